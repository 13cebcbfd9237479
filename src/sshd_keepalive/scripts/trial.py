"""The same proof in seconds: what this host's own sshd does with short intervals, on connections made for it.

`sshd -i` serves one connection on its standard input and output (sshd(8)). So the binary that serves the host is
tried with an interval of 1 s, without touching its service, its files or a port.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sshd_keepalive.model import Finding, Snapshot, State, Subject
from sshd_keepalive.probing.proof import IdleResult, Loss, describe
from sshd_keepalive.scripts import compose
from sshd_keepalive.sshd_config import keepalive
from sshd_keepalive.sshd_config.keepalive import Values
from sshd_keepalive.sshd_config.reading import Reading

#: sshd's timer counts whole seconds; a busy host is late.
_TOLERANCE_S: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One connection: a pair of values and a client that answers or does not."""

    subject: Subject
    interval_s: int
    count_max: int
    idle_s: float
    answers: bool = True


#: 4.5 s show four keep-alives, or two where they come at half the rate; 7 s a dead client's end at 2 or 4 s.
TRIALS: Final = (
    Trial(subject=Subject.OBSERVED, interval_s=1, count_max=3, idle_s=4.5),
    Trial(subject=Subject.COUNT_ZERO, interval_s=1, count_max=0, idle_s=3.0),
    Trial(subject=Subject.DEAD_CLIENT, interval_s=1, count_max=1, idle_s=7.0, answers=False),
)


def build_script(snapshot: Snapshot, trial: Trial) -> str:
    """Build what is sent to a shell of the host, as root."""
    values = {
        "CONFIG": snapshot.config_path,
        "SSHD": snapshot.host.sshd or "",
        "INTERVAL": str(trial.interval_s),
        "COUNT": str(trial.count_max),
    }
    return compose("trial", values)


def build_finding(trial: Trial, result: IdleResult, values: Values) -> Finding:
    """Compare a trial with what the release should do."""
    expected = keepalive.compute_consequence(values.version, trial.interval_s, trial.count_max)
    late = keepalive.count_intervals(values.version)
    dropped_s = expected.alive_dropped_after_s or expected.dead_dropped_after_s
    if trial.subject is Subject.OBSERVED:
        wanted = f"a keep-alive every {expected.request_after_s} s"
        right = result.loss is None and _is_near(result.spacing_s, expected.request_after_s, late)
    elif dropped_s is None:
        wanted = "a client that answers is never dropped"
        right = result.loss is None
    else:
        wanted = f"a {'living' if expected.alive_dropped_after_s else 'dead'} client is dropped after {dropped_s} s"
        right = result.loss is Loss.CLOSED and _is_near(result.quiet_s, dropped_s, late)
    return Finding(
        setting=trial.subject,
        wanted=wanted,
        value=f"with {trial.interval_s}/{trial.count_max} {describe(result)}",
        state=State.OK if right else State.DRIFT,
        reason=""
        if right
        else f"OpenSSH {values.version} is known to behave differently: a patched build, or a busy host",
    )


def find_deciding_match(reading: Reading) -> str:
    """Say why our options would not decide on this host: a Match block overrides them; empty when they do."""
    place = next((event.place for event in reading.overrides), None)
    return f"a Match block sets the values ({place}), and a command-line option cannot override it" if place else ""


def _is_near(seconds: float | None, expected_s: int | None, late: int) -> bool:
    """Whether a time is as expected; `late` 2: a busy host may keep the interval (proof.compute_earliest_s)."""
    if seconds is None or expected_s is None:
        return False
    return expected_s / late - _TOLERANCE_S <= seconds <= expected_s + _TOLERANCE_S
