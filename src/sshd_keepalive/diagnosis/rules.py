"""What ended the session: ordered rules over what a log tells and what is known of the host.

The rules are read from top to bottom. Each cause gets the first rule that holds for it. The first conclusive rule ends
the reading: only its cause is reported. What is known of the host (`Known`) rules a cause out or confirms it: a pair of
values and a release either end a session after that time or do not (sshd_config.keepalive).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from enum import Enum
from typing import Final

from sshd_keepalive.diagnosis.causes import CAUSES, LOSSES, NO_LOGINS, Cause, LineKind, find_mark, is_at_limit
from sshd_keepalive.diagnosis.patterns import AIRFLOW, ANSIBLE, DATAARTS, JENKINS, JSCH, RUNDECK, SSHD
from sshd_keepalive.diagnosis.run_log import MatchedLine, RunLog
from sshd_keepalive.diagnosis.timestamps import measure_elapsed_s
from sshd_keepalive.model import BLANK, COUNT_MAX, INTERVAL, CauseName, Context
from sshd_keepalive.sshd_config.keepalive import Values
from sshd_keepalive.sshd_config.reading import Reading
from sshd_keepalive.sshd_config.version import Version

#: Products that run a command without a terminal unless configured otherwise.
_NO_TERMINAL: Final = frozenset({DATAARTS, JSCH, RUNDECK, AIRFLOW, JENKINS, ANSIBLE})
_ENDS_TERMINALS: Final = frozenset({CauseName.LOGIND, CauseName.SHELL_TMOUT})
_SHARE: Final = 0.1  # of a limit: how much of a log may lie before the silence that the limit counts


class Likelihood(Enum):
    """How sure."""

    CERTAIN = "certain"  # the host's own values say so, or a line does
    LIKELY = "likely"
    POSSIBLE = "possible"
    UNLIKELY = "unlikely"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known(Values):
    """What a host does to quiet sessions; compared with the log, not with a policy."""

    name: str
    other: tuple[tuple[CauseName, float], ...] = ()  # cause → its limit on this host, seconds


def read_known(reading: Reading, user: str | None) -> Known:
    """Read what a host does to the sessions of one account.

    Raises:
        ParseError: its files cannot be read.
    """
    effective = reading.resolve(Context(user=user) if user else BLANK)
    return Known(
        name=reading.snapshot.host.name,
        version=reading.tree.version,
        interval_s=effective[INTERVAL].number,
        count_max=effective[COUNT_MAX].number,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PossibleCause:
    """One cause, how likely it is, and why."""

    name: CauseName
    title: str
    likelihood: Likelihood
    reasons: tuple[str, ...]
    next_step: str


class Finished(Enum):
    """Whether the command came to its own end on the host."""

    YES = "yes"
    PROBABLY = "probably"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What ended a session, and why."""

    product: str  # "" when no line was known
    was_killed: bool | None  # None: the log does not tell
    duration_s: float | None  # the number the causes were held against
    duration_from: str  # where that number comes from
    silence_s: float | None
    causes: tuple[PossibleCause, ...]
    finished: Finished
    finished_because: str
    matches: tuple[MatchedLine, ...]
    facts: tuple[tuple[str, str], ...]  # job, agent, user, peer
    next_step: str  # what to type; that of the first cause where there is one; "": nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the rules are held against."""

    kinds: frozenset[LineKind]  # of the lines of the log
    measured_s: tuple[float, ...]  # durations, the surest first
    has_terminal: bool  # it may have had one
    known: Known | None
    host: str


def diagnose(log: RunLog, known: Known | None = None, *, host: str = "HOST") -> Diagnosis:
    """Find what ended the session of a log.

    Args:
        known: what the host does to quiet sessions; None: offline.
        host: how the host is named on the command line, for the next step.
    """
    matches = tuple(log.matches)
    duration_s, duration_from = _find_duration(log)
    was_killed = _judge_loss(matches)
    evidence = gather_evidence(log, known, host)
    causes = () if was_killed is None else tuple(find_causes(evidence, was_killed=was_killed))
    finished, because = _judge_finish(evidence, matches, was_killed=was_killed)
    return Diagnosis(
        product=_find_product(log),
        was_killed=was_killed,
        duration_s=duration_s,
        duration_from=duration_from,
        silence_s=_find_silence(matches),
        causes=causes,
        finished=finished,
        finished_because=because,
        matches=matches,
        facts=_collect_facts(matches),
        next_step=causes[0].next_step if causes else _advise_without_cause(evidence.kinds, was_killed, host),
    )


def gather_evidence(log: RunLog, known: Known | None, host: str) -> Evidence:
    """Gather what the rules are held against; see `diagnose`."""
    measured_s = (_find_duration(log)[0], _find_silence(log.matches))
    return Evidence(
        kinds=frozenset(matched.row.kind for matched in log.matches),
        measured_s=tuple(seconds for seconds in measured_s if seconds is not None),
        has_terminal=not _NO_TERMINAL & {matched.row.product for matched in log.matches},
        known=known,
        host=host,
    )


def _advise_without_cause(kinds: frozenset[LineKind], was_killed: bool | None, host: str) -> str:
    if was_killed is None:
        return f"sshd-keepalive probe {host}"
    return f"sshd-keepalive check {host}" if NO_LOGINS & kinds else ""


# ------------------------------------------------------------------------------------------- evidence

#: What is said as well when the script failed by itself, or there was no session.
_SAID_ANYWAY: Final = frozenset({LineKind.BLAMED, LineKind.NO_STATUS})


def _judge_loss(matches: Sequence[MatchedLine]) -> bool | None:
    kinds = [(matched.row.kind, matched.line) for matched in matches]
    no_login = min((line for kind, line in kinds if kind in NO_LOGINS), default=None)
    has_status = any(kind in (LineKind.SUCCEEDED, LineKind.FAILED) for kind, _ in kinds)
    accepted = [s.line for s in matches if s.row.kind is LineKind.STARTED and s.row.product == SSHD]
    for kind, line in kinds:
        if kind not in LOSSES or (has_status and kind is LineKind.BLAMED):
            continue
        # What is lost after a login that failed was never there, but a host's log tells of many logins.
        if no_login is None or any(at < line for at in accepted) or (line < no_login and kind not in _SAID_ANYWAY):
            return True
    return None if no_login is None and not has_status else False


def _find_duration(log: RunLog) -> tuple[float | None, str]:
    """Read the product's own number if there is one, else take the time from the first line to the loss."""
    lost = next((matched.line for matched in log.matches if matched.row.kind in LOSSES), 0)
    durations = [(abs(s.line - lost), -float(value)) for s in log.matches if (value := s.find("seconds"))]
    if durations:  # of several runs the one that was lost, of several parts of a run the longest
        return -min(durations)[1], "the duration in the log"
    limits = [
        unit_s * float(value)
        for matched in log.matches
        for name, unit_s in (("minutes", 60.0), ("milliseconds", 0.001))
        if (value := matched.find(name))
    ]
    if limits:
        return max(limits), "the limit in the log"
    for end in log.matches:
        lasted_s = _find_age(end, log.matches) if end.row.kind in LOSSES and end.find("port") else None
        if lasted_s is not None:
            return lasted_s, "from the login to the loss"
    if log.lasted_s is not None and log.lasted_s > 0:
        return log.lasted_s, "from the first line of the log to the loss"
    return None, ""


def _find_age(end: MatchedLine, matches: Iterable[MatchedLine]) -> float | None:
    """Find the age of a session in sshd's own log: since the login from the same address and port."""
    for start in matches:
        same = all(start.find(name) == end.find(name) for name in ("peer", "port"))
        if start.row.kind is LineKind.STARTED and same and start.at and end.at:
            return measure_elapsed_s(start.at, end.at)
    return None


def _find_silence(matches: Iterable[MatchedLine]) -> float | None:
    """Find how long nothing was written before the first line of the loss."""
    return next((s.silence_s for s in matches if s.row.kind in LOSSES and s.silence_s), None)


def _find_product(log: RunLog) -> str:
    """Find the outermost product: a scheduler's log contains its library's messages."""
    products = [matched.row.product for matched in log.matches] + sorted(log.names)
    schedulers = (DATAARTS, AIRFLOW, JENKINS, RUNDECK, ANSIBLE)
    return next((name for name in schedulers if name in products), products[0] if products else "")


def _collect_facts(matches: Iterable[MatchedLine]) -> tuple[tuple[str, str], ...]:
    facts: dict[str, str] = {}
    for matched in matches:
        for name, value in matched.values:
            if name in ("job", "agent", "user", "peer", "code", "status"):
                facts.setdefault(name, value)
    return tuple(facts.items())


# ----------------------------------------------------------------------------------------------- rules


class HostVerdict(Enum):
    """What the host's own values say of a cause."""

    NOTHING = "nothing"  # no look at the host, or it has no value that could say something
    RULED_OUT = "ruled out"
    POSSIBLE = "possible"
    MET = "met"  # the session ended when this limit of the host was over


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: when it holds, a cause is this likely."""

    likelihood: Likelihood
    cause: CauseName
    kinds: Set[LineKind]  # one of these is in the log; empty: any
    example: str  # a log for which the rule holds; the tests read it
    without: Set[LineKind] = frozenset()  # none of these is in the log
    at_mark: bool = False  # the duration is one of the cause's
    met: Known | None = None  # the host has this limit, and it was over; the host of the example


def _make_host(interval_s: int, count_max: int, version: str, *other: tuple[CauseName, float]) -> Known:
    return Known(name="h", version=Version.parse(version), interval_s=interval_s, count_max=count_max, other=other)


_ANY: Final = frozenset[LineKind]()
_GONE: Final = frozenset({LineKind.LOST, LineKind.BLAMED, LineKind.NO_STATUS})  # the reason is not logged
#: Something between client and server cut it.
_CUT: Final = frozenset({LineKind.RESET, LineKind.BROKEN, LineKind.CLIENT_GAVE_UP})
_CERTAIN, _LIKELY, _POSSIBLE = Likelihood.CERTAIN, Likelihood.LIKELY, Likelihood.POSSIBLE

# fmt: off
#: There was no session. First match wins.
LOGIN_RULES: Final[tuple[Rule, ...]] = (
    Rule(_CERTAIN, CauseName.SOURCE_PENALTY, {LineKind.PENALISED},
          "sshd[7]: drop connection #0 from [192.0.2.9]:50200 on [192.0.2.1]:22 penalty: failed authentication"),
    Rule(_CERTAIN, CauseName.MAX_STARTUPS, {LineKind.STARTUPS}, "Exceeded MaxStartups"),
    Rule(_CERTAIN, CauseName.LOGIN_GRACE, {LineKind.GRACE_OVER},
          "sshd[7]: fatal: Timeout before authentication for 192.0.2.9 port 50200"),
    # From 9.8 on sshd says the same to both; the log of the host tells them apart.
    Rule(_POSSIBLE, CauseName.MAX_STARTUPS, {LineKind.TURNED_AWAY}, "Not allowed at this time"),
    Rule(_POSSIBLE, CauseName.SOURCE_PENALTY, {LineKind.TURNED_AWAY}, "Not allowed at this time"),
)
#: A session was killed. First match of each cause wins; the first conclusive one wins over all.
RULES: Final[tuple[Rule, ...]] = (
    Rule(_CERTAIN, CauseName.OWN_LIMIT, {LineKind.OWN_LIMIT},
          "airflow.exceptions.AirflowException: SSH command timed out"),
    Rule(_CERTAIN, CauseName.LOGIND, {LineKind.LOGIND}, "systemd-logind[6]: Session 3 of user etl is idle, stopping."),
    Rule(_CERTAIN, CauseName.SHELL_TMOUT, {LineKind.SHELL_TMOUT}, "bash: timed out waiting for input: auto-logout"),
    Rule(_CERTAIN, CauseName.CHANNEL_TIMEOUT, {LineKind.CHANNEL},
          "sshd: channel 0: closing after 300 seconds of inactivity"),
    Rule(_CERTAIN, CauseName.UNUSED_CONNECTION, {LineKind.UNUSED},
          "sshd: terminating inactive connection from 192.0.2.9"),
    Rule(_CERTAIN, CauseName.KILLED, {LineKind.KILLED}, "kernel: Out of memory: Killed process 7 (java)"),
    Rule(_CERTAIN, CauseName.SERVER_STOPPED, {LineKind.SERVER_STOPPED}, "systemd-logind[6]: System is rebooting."),
    Rule(_CERTAIN, CauseName.COUNT_ZERO, _ANY, '{"exeTime":300.5} session is down', met=_make_host(300, 0, "8.1p1")),
    Rule(_CERTAIN, CauseName.DEAD_CLIENT, {LineKind.SERVER_GAVE_UP},
          '{"exeTime":1201} sshd: Timeout, client not responding',
          met=_make_host(300, 3, "9.6p1")),
    Rule(_CERTAIN, CauseName.CHANNEL_TIMEOUT, _ANY, '{"exeTime":300.5} session is down',
          met=_make_host(300, 3, "9.6p1", (CauseName.CHANNEL_TIMEOUT, 300))),
    Rule(_LIKELY, CauseName.DEAD_CLIENT, _ANY, '{"exeTime":1201} session is down', met=_make_host(300, 3, "9.6p1")),
    Rule(_LIKELY, CauseName.COUNT_ZERO, {*_GONE, LineKind.CLOSED, LineKind.SERVER_GAVE_UP},
          '{"exeTime":300.609} session is down', without=_CUT, at_mark=True),
    Rule(_LIKELY, CauseName.DEAD_CLIENT, {LineKind.SERVER_GAVE_UP},
          '{"exeTime":1201} sshd: Timeout, client not responding',
          at_mark=True),
    Rule(_LIKELY, CauseName.COUNT_ZERO, {LineKind.SERVER_GAVE_UP}, "sshd: Timeout, client not responding",
          without={LineKind.CLIENT_GAVE_UP}),
    Rule(_LIKELY, CauseName.DEAD_CLIENT, {LineKind.SERVER_GAVE_UP}, "sshd: Timeout, client not responding"),
    Rule(_LIKELY, CauseName.IDLE_LIMIT, _CUT, '{"exeTime":350.9} Socket exception: Connection reset by peer (104)',
          at_mark=True),
    Rule(_LIKELY, CauseName.IDLE_LIMIT, _GONE, '{"exeTime":350.9} session is down', at_mark=True),
    Rule(_POSSIBLE, CauseName.TCP_KEEPALIVE, {LineKind.LOST, LineKind.RESET, LineKind.BROKEN},
          '{"exeTime":7875} session is down', at_mark=True),
    Rule(_POSSIBLE, CauseName.IDLE_LIMIT, _CUT, "Timeout, server 192.0.2.11 not responding."),
    Rule(_POSSIBLE, CauseName.COUNT_ZERO, {*_GONE, LineKind.CLOSED, LineKind.RESET, LineKind.BROKEN},
          '{"exeTime":300.5} client_loop: send disconnect: Broken pipe', without={LineKind.CLIENT_GAVE_UP},
          at_mark=True),
    Rule(_POSSIBLE, CauseName.COUNT_ZERO, {*_GONE, LineKind.CLOSED},
          "session is down", without={LineKind.CLIENT_GAVE_UP}),
    Rule(_POSSIBLE, CauseName.IDLE_LIMIT, _GONE, "session is down"),
    Rule(_POSSIBLE, CauseName.DEAD_CLIENT, _GONE, '{"exeTime":1201} session is down', at_mark=True),
    Rule(Likelihood.UNLIKELY, CauseName.IDLE_LIMIT, {LineKind.CLOSED},
          "Connection to 192.0.2.11 closed by remote host."),
    Rule(Likelihood.UNLIKELY, CauseName.IDLE_LIMIT, {LineKind.SERVER_GAVE_UP}, "sshd: Timeout, client not responding"),
    Rule(Likelihood.UNLIKELY, CauseName.SERVER_STOPPED, {LineKind.CLOSED},
          "Connection to 192.0.2.11 closed by remote host."),
)
# fmt: on
_BY_NAME: Final = {cause.name: cause for cause in CAUSES}


def find_rules(rules: Sequence[Rule], evidence: Evidence) -> Iterator[Rule]:
    """Find the rule that holds for each cause, best first; a conclusive one alone."""
    words = {cause.name: judge_by_host(cause, evidence)[0] for cause in CAUSES}
    held: dict[str, Rule] = {}
    for rule in rules:
        if rule.cause in held or not _is_met(rule, evidence, words[rule.cause]):
            continue
        if rule.likelihood is Likelihood.CERTAIN:
            yield rule
            return
        held[rule.cause] = rule
    yield from held.values()


def _is_met(rule: Rule, evidence: Evidence, word: HostVerdict) -> bool:
    if rule.met is not None and word is not HostVerdict.MET:
        return False
    if word is HostVerdict.RULED_OUT and rule.likelihood is not Likelihood.CERTAIN:
        return False
    if (rule.kinds and not rule.kinds & evidence.kinds) or rule.without & evidence.kinds:
        return False
    return not rule.at_mark or bool(_explain_mark(_BY_NAME[rule.cause], evidence))


def find_causes(evidence: Evidence, *, was_killed: bool) -> Iterator[PossibleCause]:
    """Give the causes that fit, likeliest first, then those that the host rules out."""
    rules = [*find_rules(RULES if was_killed else LOGIN_RULES, evidence)]
    for rule in rules:
        yield _make_cause(_BY_NAME[rule.cause], rule.likelihood, _list_reasons(rule, evidence), evidence)
    if not was_killed or any(rule.likelihood is Likelihood.CERTAIN for rule in rules):
        return
    for cause in CAUSES:
        word, reason = judge_by_host(cause, evidence)
        if word is HostVerdict.RULED_OUT:
            yield _make_cause(cause, Likelihood.UNLIKELY, [reason], evidence)


def _list_reasons(rule: Rule, evidence: Evidence) -> list[str]:
    cause = _BY_NAME[rule.cause]
    kinds = sorted((rule.kinds or LOSSES) & evidence.kinds, key=lambda kind: kind.value)
    return [judge_by_host(cause, evidence)[1], _explain_mark(cause, evidence), *(kind.text for kind in kinds)]


def _make_cause(cause: Cause, likelihood: Likelihood, reasons: Iterable[str], evidence: Evidence) -> PossibleCause:
    return PossibleCause(
        name=cause.name,
        title=cause.title,
        likelihood=likelihood,
        reasons=tuple(filter(None, reasons)),
        next_step=cause.next_step.replace("HOST", evidence.host),
    )


def _explain_mark(cause: Cause, evidence: Evidence) -> str:
    """Say which mark of a cause the session ended at: `300.6 s is 0.6 s more than 300 s: …`; empty: none."""
    for seconds in evidence.measured_s:
        if mark_s := find_mark(cause, seconds):
            over_s = round(seconds - mark_s, 3)
            more = f" is {over_s:.10g} s more than {mark_s:.10g} s" if over_s > 0 else ""
            return f"{seconds:.10g} s{more}: {cause.marks[mark_s]}"
    return ""


def judge_by_host(cause: Cause, evidence: Evidence) -> tuple[HostVerdict, str]:
    """Say what the host's own values mean for a cause, and why."""
    known = evidence.known
    if known is None:
        return HostVerdict.NOTHING, ""
    effect = known.consequence
    has = f"{known.name} has {known}"

    def met(limit_s: float) -> bool:
        return any(is_at_limit(seconds, limit_s) for seconds in evidence.measured_s)

    match cause.name:
        case CauseName.COUNT_ZERO:
            limit_s = effect.alive_dropped_after_s
            if limit_s is None:
                return HostVerdict.RULED_OUT, f"{has}, which never ends the session of a client that is alive"
            if met(limit_s):
                return HostVerdict.MET, f"{has}, which ends every session that is quiet for {limit_s} s"
            return HostVerdict.POSSIBLE, f"{has}, which ends a session after {limit_s} s of silence"
        case CauseName.DEAD_CLIENT:
            limit_s = effect.dead_dropped_after_s
            if limit_s is None:
                return HostVerdict.RULED_OUT, f"{has}, which never ends the session of a dead client"
            is_met = met(limit_s) and effect.alive_dropped_after_s is None
            reason = f"{has}: a client that does not answer is dropped after {limit_s} s"
            return (HostVerdict.MET if is_met else HostVerdict.POSSIBLE), reason
        case CauseName.IDLE_LIMIT:
            every_s = effect.request_after_s
            if every_s is None or effect.alive_dropped_after_s is not None:
                reason = f"{known.name} sends no keep-alive, so any idle limit on the path ends the session"
                return HostVerdict.POSSIBLE, reason
            if evidence.measured_s and every_s < min(evidence.measured_s) * (1 - _SHARE):
                reason = f"{known.name} sends a keep-alive every {every_s} s: only a shorter limit ends the session"
                return HostVerdict.RULED_OUT, reason
            reason = f"{known.name} sends the first keep-alive after {every_s} s, too late for a shorter limit"
            return HostVerdict.POSSIBLE, reason
    limit = dict(known.other).get(cause.name)
    if limit is None:
        return HostVerdict.NOTHING, ""
    reason = f"{known.name} has this limit at {limit:.10g} s"
    if cause.name not in _ENDS_TERMINALS:
        return (HostVerdict.MET if met(limit) else HostVerdict.POSSIBLE), reason
    # When a terminal was last used no log of a job tells.
    if evidence.has_terminal:
        return HostVerdict.POSSIBLE, reason
    return HostVerdict.RULED_OUT, f"{reason}, for terminals; the job had none"


# ------------------------------------------------------------------------------------------- finished


def _judge_finish(
    evidence: Evidence, matches: Iterable[MatchedLine], *, was_killed: bool | None
) -> tuple[Finished, str]:
    kinds = evidence.kinds
    if LineKind.SUCCEEDED in kinds and not was_killed:
        return Finished.YES, "its exit status 0 arrived"
    if LineKind.SUCCEEDED in kinds:
        line = next(matched.line for matched in matches if matched.row.kind is LineKind.SUCCEEDED)
        because = f"line {line} reports exit status 0; if it belongs to the same run, the script finished"
        return Finished.PROBABLY, because
    if NO_LOGINS & kinds and not was_killed:
        return Finished.NO, "the login failed, so nothing was run"
    if LineKind.KILLED in kinds:
        return Finished.NO, "the kernel ended a process"
    if LineKind.FAILED in kinds and not was_killed:
        return Finished.YES, "its own exit status arrived; it failed by itself, and no session was killed"
    if not was_killed:
        return Finished.UNKNOWN, "no line says how it ended"
    if {LineKind.LOGIND, LineKind.SHELL_TMOUT} & kinds:
        return Finished.NO, "the session's processes ended with it"
    if not evidence.has_terminal:
        return (
            Finished.PROBABLY,
            "without a terminal a command runs to its end, unless it writes to the lost output; "
            "look for its results before you run it again",
        )
    if {matched.row.product for matched in matches} == {SSHD}:
        return Finished.UNKNOWN, "the server's log does not say whether the session had a terminal"
    return Finished.UNKNOWN, "with a terminal the command got SIGHUP, without one it continued"
