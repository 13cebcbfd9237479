"""Who ended the session: the suspects, ranked, from what a log tells and what is known of the host.

Everything here is weighing: signs and durations give points, and the reasons for them are kept. What the host says
of itself (`Known`) outweighs all guesses: a pair of values and a release either end a session after that time or
do not (core.consequence).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from sshd_keepalive.diagnosis.causes import KILLERS, Killer, Mark, Sign, fitting, is_round, slack_s
from sshd_keepalive.diagnosis.patterns import AIRFLOW, ANSIBLE, DATAARTS, JENKINS, JSCH, RUNDECK, SSHD
from sshd_keepalive.diagnosis.run_log import RunLog, Sighting
from sshd_keepalive.diagnosis.timestamps import elapsed_s
from sshd_keepalive.model import COUNT_MAX, INTERVAL, Context
from sshd_keepalive.sshd_config import keepalive as consequence
from sshd_keepalive.sshd_config.reading import Reading
from sshd_keepalive.sshd_config.resolve import BLANK
from sshd_keepalive.sshd_config.version import Version

#: Products that run a command without a terminal unless told otherwise.
_NO_TERMINAL: Final = frozenset({DATAARTS, JSCH, RUNDECK, AIRFLOW, JENKINS, ANSIBLE})
_CERTAIN: Final = 100
_STRONG: Final = 80  # points from which a single line is as good as a confession
_LIKELY, _POSSIBLE = 55, 25  # points from which
_ENDS_TERMINALS: Final = frozenset({"logind", "shell-tmout"})
_SHARE: Final = 0.1  # of a limit: how much of a log may lie before the silence that the limit counts


class Likelihood(Enum):
    """How sure."""

    CERTAIN = "certain"  # the host's own values say so, or a line does
    LIKELY = "likely"
    POSSIBLE = "possible"
    UNLIKELY = "unlikely"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a look at the host said; compared with the log, not with a policy."""

    name: str
    version: Version
    interval_s: int
    count_max: int
    other: tuple[tuple[str, float], ...] = ()  # killer → its limit on this host, seconds


def known_of(reading: Reading, user: str | None) -> Known:
    """What a host does to the sessions of one account.

    Raises:
        ParseError: its files cannot be read.
    """
    effective = reading.resolve(Context(user=user) if user else BLANK)
    return Known(
        name=reading.snapshot.host.name,
        version=reading.tree.version,
        interval_s=int(effective[INTERVAL].value),
        count_max=int(effective[COUNT_MAX].value),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """One killer and what speaks for and against it."""

    name: str
    title: str
    points: int
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
    """All that is told."""

    product: str  # "" when no line was known
    was_killed: bool | None  # None: the log does not tell
    duration_s: float | None  # the number the suspects were held against
    duration_from: str  # where that number comes from
    silence_s: float | None
    suspects: tuple[Suspect, ...]
    finished: Finished
    finished_because: str
    sightings: tuple[Sighting, ...]
    facts: tuple[tuple[str, str], ...]  # job, agent, user, peer
    next_step: str  # what to type; that of the first suspect where there is one; "": nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    """What the suspects are held against."""

    seen: frozenset[Sign]
    measured_s: tuple[float, ...]  # durations, the surest first
    has_terminal: bool  # it may have had one
    known: Known | None
    host: str


def diagnose(log: RunLog, known: Known | None = None, *, host: str = "HOST") -> Diagnosis:
    """Weigh what a log tells.

    Args:
        known: a look at the host; None: offline.
        host: how the host is named on the command line, for the next step.
    """
    sightings = tuple(log.sightings)
    seen = frozenset(sighting.row.sign for sighting in sightings)
    duration_s, duration_from = _duration(log)
    silence_s = _silence(sightings)
    was_killed = _was_killed(sightings)
    evidence = _Evidence(
        seen=seen,
        measured_s=tuple(m for m in (duration_s, silence_s) if m is not None),
        has_terminal=not _NO_TERMINAL & {sighting.row.product for sighting in sightings},
        known=known,
        host=host,
    )
    suspects = tuple(_suspects(evidence)) if was_killed else ()
    finished, because = _finished(evidence, sightings, was_killed=was_killed)
    return Diagnosis(
        product=_product(log),
        was_killed=was_killed,
        duration_s=duration_s,
        duration_from=duration_from,
        silence_s=silence_s,
        suspects=suspects,
        finished=finished,
        finished_because=because,
        sightings=sightings,
        facts=_facts(sightings),
        next_step=suspects[0].next_step if suspects else _without_suspects(seen, was_killed, host),
    )


def _without_suspects(seen: frozenset[Sign], was_killed: bool | None, host: str) -> str:
    if was_killed is None:
        return f"sshd-keepalive probe {host}"
    return f"sshd-keepalive check {host}" if Sign.NO_LOGIN in seen else ""


# ------------------------------------------------------------------------------------------- evidence

_LOSS: Final = frozenset(Sign) - {
    Sign.STARTED, Sign.RAN, Sign.NO_LOGIN, Sign.FAILED, Sign.SUCCEEDED,
}  # fmt: skip


#: What is said as well when the script failed by itself, or no session came about.
_SAID_ANYWAY: Final = frozenset({Sign.BLAMED, Sign.NO_STATUS})


def _was_killed(sightings: Sequence[Sighting]) -> bool | None:
    signs = [(sighting.row.sign, sighting.line) for sighting in sightings]
    no_login = min((line for sign, line in signs if sign is Sign.NO_LOGIN), default=None)
    has_status = any(sign in (Sign.SUCCEEDED, Sign.FAILED) for sign, _ in signs)
    accepted = [s.line for s in sightings if s.row.sign is Sign.STARTED and s.row.product == SSHD]
    for sign, line in signs:
        if sign not in _LOSS or (has_status and sign is Sign.BLAMED):
            continue
        # What is lost after a login that failed was never there, but a host's log tells of many logins.
        if no_login is None or any(at < line for at in accepted) or (line < no_login and sign not in _SAID_ANYWAY):
            return True
    return None if no_login is None and not has_status else False


def _duration(log: RunLog) -> tuple[float | None, str]:
    """The product's own number where it tells one, else the time from the first line to the loss."""
    lost = next((sighting.line for sighting in log.sightings if sighting.row.sign in _LOSS), 0)
    told = [(abs(s.line - lost), -float(value)) for s in log.sightings if (value := s.value("seconds"))]
    if told:  # of several runs the one that was lost, of several parts of a run the longest
        return -min(told)[1], "the duration the log tells"
    limits = [60.0 * float(value) for sighting in log.sightings if (value := sighting.value("minutes"))]
    if limits:
        return max(limits), "the limit the log tells"
    for end in log.sightings:
        lasted_s = _since_login(end, log.sightings) if end.row.sign in _LOSS and end.value("port") else None
        if lasted_s is not None:
            return lasted_s, "from the login to the loss"
    if log.lasted_s is not None and log.lasted_s > 0:
        return log.lasted_s, "from the first line of the log to the loss"
    return None, ""


def _since_login(end: Sighting, sightings: Iterable[Sighting]) -> float | None:
    """The age of a session by sshd's own log: the login from the same address and port."""
    for start in sightings:
        same = all(start.value(name) == end.value(name) for name in ("peer", "port"))
        if start.row.sign is Sign.STARTED and same and start.at and end.at:
            return elapsed_s(start.at, end.at)
    return None


def _silence(sightings: Iterable[Sighting]) -> float | None:
    """How long nothing was written before the first sign of the loss."""
    return next((s.silence_s for s in sightings if s.row.sign in _LOSS and s.silence_s), None)


def _product(log: RunLog) -> str:
    """The outermost product: a scheduler's log holds its library's messages."""
    seen = [sighting.row.product for sighting in log.sightings] + sorted(log.names)
    schedulers = (DATAARTS, AIRFLOW, JENKINS, RUNDECK, ANSIBLE)
    return next((name for name in schedulers if name in seen), seen[0] if seen else "")


def _facts(sightings: Iterable[Sighting]) -> tuple[tuple[str, str], ...]:
    facts: dict[str, str] = {}
    for sighting in sightings:
        for name, value in sighting.values:
            if name in ("job", "agent", "user", "peer", "code", "status"):
                facts.setdefault(name, value)
    return tuple(facts.items())


# ------------------------------------------------------------------------------------------- suspects


def _suspects(evidence: _Evidence) -> list[Suspect]:
    found = [suspect for killer in KILLERS if (suspect := _weigh(killer, evidence)) is not None]
    if any(suspect.likelihood is Likelihood.CERTAIN for suspect in found):
        # One who is convicted clears the others; what else fits the number shows when the next session dies.
        found = [suspect if suspect.likelihood is Likelihood.CERTAIN else _cleared(suspect) for suspect in found]
    return sorted(found, key=lambda suspect: -suspect.points)


def _cleared(suspect: Suspect) -> Suspect:
    points = min(suspect.points, _POSSIBLE - 1)
    return replace(suspect, points=points, likelihood=_likelihood(points, certain=False))


def _weigh(killer: Killer, evidence: _Evidence) -> Suspect | None:
    seen, measured_s = evidence.seen, evidence.measured_s
    if killer.needs and not killer.needs & seen:
        return None
    points, reasons = killer.base, []
    mark = next((m for seconds in measured_s if (m := fitting(killer, seconds))), None)
    if mark is not None:
        points += killer.fits
        reasons.append(_says_mark(mark, measured_s))
    elif any(is_round(seconds) for seconds in measured_s) and killer.round_fits:
        points += killer.round_fits
        reasons.append("the duration is a round number, as a limit is")
    for sign in sorted(seen, key=lambda sign: sign.value):
        if weight := killer.signs.get(sign, 0):
            points += weight
            reasons.append(f"{'for' if weight > 0 else 'against'} it: {SPOKEN[sign]}")
    points = max(0, min(_CERTAIN - 1, points))
    certain = any(killer.signs.get(sign, 0) >= _STRONG for sign in seen)
    if evidence.known is not None:
        held, reason = _held_against(killer, evidence.known, evidence)
        if reason:
            reasons.insert(0, reason)
        if held is not None:
            points, certain = held, held == _CERTAIN
    if points == 0 or (points <= killer.base and not certain and mark is None):
        if evidence.known is None or not reasons:
            return None
        points = min(points, 5)
    return Suspect(
        name=killer.name,
        title=killer.title,
        points=points,
        likelihood=_likelihood(points, certain=certain),
        reasons=tuple(reasons),
        next_step=killer.next_step.replace("HOST", evidence.host),
    )


def _likelihood(points: int, *, certain: bool) -> Likelihood:
    if certain:
        return Likelihood.CERTAIN
    if points >= _LIKELY:
        return Likelihood.LIKELY
    return Likelihood.POSSIBLE if points >= _POSSIBLE else Likelihood.UNLIKELY


def _says_mark(mark: Mark, measured_s: Iterable[float]) -> str:
    seconds = next(s for s in measured_s if -1.0 <= s - mark.seconds <= slack_s(mark.seconds))
    over_s = round(seconds - mark.seconds, 3)
    signature = f"{seconds:.10g} s is {mark.seconds:.10g} s and {over_s:.10g} s" if over_s > 0 else f"{seconds:.10g} s"
    return f"{signature}: {mark.where}"


def _held_against(killer: Killer, known: Known, evidence: _Evidence) -> tuple[int | None, str]:
    """What the host's own values say of a killer: points in place of all others, None for nothing; and why."""
    said = consequence.of(known.version, known.interval_s, known.count_max)
    has = f"{known.name} has {known.interval_s}/{known.count_max} on OpenSSH {known.version}"

    def met(limit_s: float) -> bool:
        return any(-1.0 <= seconds - limit_s <= slack_s(limit_s) for seconds in evidence.measured_s)

    match killer.name:
        case "count-zero":
            limit_s = said.alive_dropped_after_s
            if limit_s is None:
                return 0, f"{has}, which never ends the session of a client that is alive"
            if met(limit_s):
                return _CERTAIN, f"{has}, which ends every session that is quiet for {limit_s} s"
            return None, f"{has}, which strikes after {limit_s} s of silence"
        case "dead-client":
            limit_s = said.dead_dropped_after_s
            if limit_s is None:
                return 0, f"{has}, which never ends the session of a dead client"
            reason = f"{has}: a client that is gone is dropped after {limit_s} s"
            if not met(limit_s) or said.alive_dropped_after_s is not None:
                return None, reason
            return _CERTAIN if Sign.SERVER_GAVE_UP in evidence.seen else _STRONG, reason
        case "idle-limit":
            every_s = said.request_after_s
            if every_s is None or said.alive_dropped_after_s is not None:
                return None, f"{known.name} sends no keep-alive, so a limit on the way is free to strike"
            if evidence.measured_s and every_s < min(evidence.measured_s) * (1 - _SHARE):
                return 0, f"{known.name} sends a keep-alive every {every_s} s: only a shorter limit could strike"
            return None, f"{known.name} sends the first keep-alive after {every_s} s, too late for a shorter limit"
    limit = dict(known.other).get(killer.name)
    if limit is None:
        return None, ""
    reason = f"{known.name} has this limit at {limit:.10g} s"
    if killer.name not in _ENDS_TERMINALS:
        return _CERTAIN if met(limit) else None, reason
    # When a terminal was last used no log of a job tells.
    return (None, reason) if evidence.has_terminal else (0, f"{reason}, for terminals; the job had none")


#: How a sign is said in a report.
SPOKEN: Final = {
    Sign.LOST: "the session was gone, and nobody said who ended it",
    Sign.BLAMED: "the scheduler says that the job failed, not why",
    Sign.NO_STATUS: "no exit status arrived; the client made one up",
    Sign.CLOSED: "the server's side closed the connection",
    Sign.RESET: "a TCP reset arrived",
    Sign.BROKEN: "the loss was noticed only when something was to be sent",
    Sign.SERVER_GAVE_UP: "sshd says that the client does not respond",
    Sign.CLIENT_GAVE_UP: "the client says that the server does not respond",
    Sign.OWN_LIMIT: "the scheduler says that its own time limit was reached",
    Sign.LOGIND: "systemd-logind says that it stopped the session",
    Sign.SHELL_TMOUT: "the shell says that it waited too long for input",
    Sign.UNUSED: "sshd says that the connection had no session",
    Sign.CHANNEL: "sshd says that the channel was without data",
    Sign.SERVER_STOPPED: "the daemon or the host was being stopped",
    Sign.KILLED: "the kernel ran out of memory",
    Sign.NO_LOGIN: "no login came about",
    Sign.FAILED: "the command itself ended with a status",
    Sign.SUCCEEDED: "the command ended with status 0",
    Sign.STARTED: "the session began",
    Sign.RAN: "a duration",
}


# ------------------------------------------------------------------------------------------- finished


def _finished(evidence: _Evidence, sightings: Iterable[Sighting], *, was_killed: bool | None) -> tuple[Finished, str]:
    seen = evidence.seen
    if Sign.SUCCEEDED in seen and not was_killed:
        return Finished.YES, "its exit status 0 arrived"
    if Sign.SUCCEEDED in seen:
        line = next(sighting.line for sighting in sightings if sighting.row.sign is Sign.SUCCEEDED)
        return Finished.PROBABLY, f"an exit status 0 arrived in line {line}; when it is of the same run, it finished"
    if Sign.NO_LOGIN in seen and not was_killed:
        return Finished.NO, "no login came about, so nothing was run"
    if Sign.KILLED in seen:
        return Finished.NO, "a process was ended by the kernel"
    if Sign.FAILED in seen and not was_killed:
        return Finished.YES, "its own exit status arrived; it failed by itself, and no session was killed"
    if not was_killed:
        return Finished.UNKNOWN, "no line tells how it ended"
    if {Sign.LOGIND, Sign.SHELL_TMOUT} & seen:
        return Finished.NO, "the session's processes were ended with it"
    if not evidence.has_terminal:
        return (
            Finished.PROBABLY,
            "without a terminal nothing tells a command that its session is gone: it runs on to its end, "
            "unless it writes to the lost output after that; look for its results before you run it again",
        )
    if {sighting.row.product for sighting in sightings} == {SSHD}:
        return Finished.UNKNOWN, "the server's log does not tell whether there was a terminal"
    return Finished.UNKNOWN, "with a terminal the command got SIGHUP, without one it ran on"
