"""Who ended the session: the suspects, ranked, from what a log tells and what is known of the host.

Everything here is weighing: signs and durations give points, and the reasons for them are kept. What the host says
of itself (`Known`) outweighs all guesses: a pair of values and a release either end a session after that time or
do not (core.consequence).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from sshd_keepalive.core import consequence, resolve
from sshd_keepalive.core.killers import KILLERS, Killer, Mark, Sign, fitting, is_round, slack_s
from sshd_keepalive.core.moments import elapsed_s
from sshd_keepalive.core.runlog import RunLog, Sighting
from sshd_keepalive.core.signs import AIRFLOW, ANSIBLE, DATAARTS, JENKINS, JSCH, RUNDECK, SSHD
from sshd_keepalive.core.version import Version
from sshd_keepalive.model import COUNT_MAX, INTERVAL, Context, Snapshot

#: Products that run a command without a terminal unless told otherwise.
_NO_TERMINAL: Final = frozenset({DATAARTS, JSCH, RUNDECK, AIRFLOW, JENKINS, ANSIBLE})
_CERTAIN: Final = 100
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


def known_of(snapshot: Snapshot, user: str | None) -> Known:
    """What a host does to the sessions of one account.

    Raises:
        ParseError: its files cannot be read.
    """
    tree = resolve.tree(snapshot)
    effective = resolve.resolve(tree, Context(user=user) if user else None)
    return Known(
        name=snapshot.host.name,
        version=tree.version,
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

    @property
    def next_step(self) -> str:
        """What to type next; that of the first suspect."""
        return self.suspects[0].next_step if self.suspects else ""


def diagnose(log: RunLog, known: Known | None = None, *, host: str = "HOST") -> Diagnosis:
    """Weigh what a log tells.

    Args:
        known: a look at the host; None: offline.
        host: how the host is named on the command line, for the next step.
    """
    sightings = tuple(log.sightings)
    seen = {sighting.row.sign for sighting in sightings}
    duration_s, duration_from = _duration(log)
    silence_s = _silence(sightings)
    was_killed = _was_killed(seen)
    measured = [m for m in (duration_s, silence_s) if m is not None]
    suspects = tuple(_suspects(seen, measured, known, host)) if was_killed else ()
    finished, because = _finished(seen, sightings, was_killed=was_killed)
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
    )


# ------------------------------------------------------------------------------------------- evidence

_LOSS: Final = frozenset(Sign) - {
    Sign.STARTED, Sign.RAN, Sign.NO_LOGIN, Sign.FAILED, Sign.SUCCEEDED,
}  # fmt: skip


def _was_killed(seen: set[Sign]) -> bool | None:
    if seen & _LOSS:
        return True
    if seen & {Sign.SUCCEEDED, Sign.FAILED, Sign.NO_LOGIN}:
        return False
    return None


def _duration(log: RunLog) -> tuple[float | None, str]:
    """The product's own number where it tells one, else the time from the first line to the loss."""
    told = [float(value) for sighting in log.sightings if (value := sighting.value("seconds"))]
    if told:
        return max(told), "the duration the log tells"
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


def _suspects(seen: set[Sign], measured: list[float], known: Known | None, host: str) -> list[Suspect]:
    found = [_weigh(killer, seen, measured, known, host) for killer in KILLERS]
    likely = [suspect for suspect in found if suspect is not None]
    return sorted(likely, key=lambda suspect: -suspect.points)


def _weigh(killer: Killer, seen: set[Sign], measured: list[float], known: Known | None, host: str) -> Suspect | None:
    if killer.needs and not killer.needs & seen:
        return None
    points, reasons = killer.base, []
    mark = next((m for seconds in measured if (m := fitting(killer, seconds))), None)
    if mark is not None:
        points += killer.fits
        reasons.append(_says_mark(mark, measured))
    elif any(is_round(seconds) for seconds in measured) and killer.round_fits:
        points += killer.round_fits
        reasons.append("the duration is a round number, as a limit is")
    for sign in sorted(seen, key=lambda sign: sign.value):
        if weight := killer.signs.get(sign, 0):
            points += weight
            reasons.append(f"{'for' if weight > 0 else 'against'} it: {SPOKEN[sign]}")
    points = max(0, min(_CERTAIN - 1, points))
    certain = any(killer.signs.get(sign, 0) >= 80 for sign in seen)
    if known is not None:
        verdict, reason = _held_against(killer, known, measured, seen)
        if reason:
            reasons.insert(0, reason)
        if verdict is not None:
            points, certain = (_CERTAIN, True) if verdict else (0, False)
    if points == 0 or (points <= killer.base and not certain and mark is None):
        if known is None or not reasons:
            return None
        points = min(points, 5)
    return Suspect(
        name=killer.name,
        title=killer.title,
        points=points,
        likelihood=_likelihood(points, certain=certain),
        reasons=tuple(reasons),
        next_step=killer.next_step.replace("HOST", host),
    )


def _likelihood(points: int, *, certain: bool) -> Likelihood:
    if certain:
        return Likelihood.CERTAIN
    return Likelihood.LIKELY if points >= 55 else Likelihood.POSSIBLE if points >= 25 else Likelihood.UNLIKELY


def _says_mark(mark: Mark, measured: list[float]) -> str:
    seconds = next(s for s in measured if -1.0 <= s - mark.seconds <= slack_s(mark.seconds))
    return f"{seconds:.10g} s is {mark.seconds:.10g} s and {max(0.0, seconds - mark.seconds):.3f} s: {mark.where}"


def _held_against(killer: Killer, known: Known, measured: list[float], seen: set[Sign]) -> tuple[bool | None, str]:
    """What the host's own values say of a killer: it is one, it cannot be, or nothing."""
    said = consequence.of(known.version, known.interval_s, known.count_max)
    pair = f"{known.interval_s}/{known.count_max} on OpenSSH {known.version}"

    def met(limit_s: float) -> bool:
        return any(-1.0 <= seconds - limit_s <= slack_s(limit_s) for seconds in measured)

    match killer.name:
        case "count-zero":
            limit_s = said.alive_dropped_after_s
            if limit_s is None:
                return False, f"{known.name} has {pair}, which never ends the session of a client that is alive"
            if met(limit_s):
                return True, f"{known.name} has {pair}, which ends every session that is quiet for {limit_s} s"
            return None, f"{known.name} has {pair}, which strikes after {limit_s} s of silence"
        case "dead-client":
            limit_s = said.dead_dropped_after_s
            if limit_s is None:
                return False, f"{known.name} has {pair}, which never ends the session of a dead client"
            if met(limit_s) and said.alive_dropped_after_s is None:
                return True, f"{known.name} has {pair}: a client that is gone is dropped after {limit_s} s"
            return None, f"{known.name} has {pair}: a client that is gone is dropped after {limit_s} s"
        case "idle-limit":
            every_s = said.request_after_s
            if every_s is None or said.alive_dropped_after_s is not None:
                return None, f"{known.name} sends no keep-alive, so a limit on the way is free to strike"
            if measured and every_s < min(measured) * (1 - _SHARE):
                return None, f"{known.name} sends a keep-alive every {every_s} s: only a shorter limit could strike"
            return None, f"{known.name} sends the first keep-alive after {every_s} s, too late for a shorter limit"
    limit = dict(known.other).get(killer.name)
    if limit is None:
        return None, ""
    if met(limit):
        return True, f"{known.name} has this limit at {limit:.10g} s"
    return None, f"{known.name} has this limit at {limit:.10g} s"


#: How a sign is said in a report.
SPOKEN: Final = {
    Sign.LOST: "the session was gone, and nobody said who ended it",
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


def _finished(seen: set[Sign], sightings: Iterable[Sighting], *, was_killed: bool | None) -> tuple[Finished, str]:
    if Sign.SUCCEEDED in seen:
        return Finished.YES, "its exit status 0 arrived"
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
    products = {sighting.row.product for sighting in sightings}
    if products & _NO_TERMINAL:
        return (
            Finished.PROBABLY,
            "without a terminal nothing tells a command that its session is gone: it runs on to its end, "
            "unless it writes to the lost output after that; look for its results before you run it again",
        )
    if products == {SSHD}:
        return Finished.UNKNOWN, "the server's log does not tell whether there was a terminal"
    return Finished.UNKNOWN, "with a terminal the command got SIGHUP, without one it ran on"
