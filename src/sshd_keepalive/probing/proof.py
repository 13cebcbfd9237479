"""What a quiet session proves: configured, loaded, observed; the third is the only one a user feels.

A proof is a spacing: from our last packet to the first keep-alive, and from each keep-alive to the next. It is compared
with what the release does with its values (`sshd_config.keepalive`): OpenSSH 9.2 to 9.4 wait twice the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from statistics import median
from typing import Final

from sshd_keepalive.model import Finding, State, Subject
from sshd_keepalive.sshd_config import keepalive
from sshd_keepalive.sshd_config.keepalive import Values

#: sshd's timer counts whole seconds, and a busy host is late by a little; 2 % for long intervals.
_TOLERANCE_S: Final = 1.5
_TOLERANCE: Final = 0.02
_NO_KEEPALIVES_S: Final = 360.0
_SHORT_S: Final = 120
_SPARE_S: Final = 60.0


class Loss(Enum):
    """How a connection ended, as the client sees it; the names are the words of the JSON report."""

    CLOSED = "closed from the host's side"  # TCP FIN
    RESET = "ended by a TCP reset"
    NO_ANSWER = "lost: the other side does not answer, and sent no close or reset"
    JUMP_HOST = "lost together with the connection to its jump host: that connection has the shorter limit"
    CHANNEL = "its session was closed, the connection is still open"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleResult:
    """One silence."""

    quiet_s: float  # its length
    keep_alives_s: tuple[float, ...] = ()  # when each arrived, since the silence began
    loss: Loss | None = None  # None: alive, and it answered at the end
    farewell: str = ""  # the server's disconnect message
    was_stopped: bool = False  # by Ctrl-C

    @property
    def spacings_s(self) -> tuple[float, ...]:
        """From our last packet to the first keep-alive, then between keep-alives."""
        return tuple(later - earlier for earlier, later in pairwise((0.0, *self.keep_alives_s)))

    @property
    def spacing_s(self) -> float | None:
        """The usual one; None when no keep-alive arrived."""
        return median(self.spacings_s) if self.keep_alives_s else None


def compute_needed_s(values: Values | None, policy_interval_s: int) -> float:
    """Compute how long a silence must be as a proof: past the first keep-alive, for short intervals the second."""
    first_s = policy_interval_s
    if values is not None:
        first_s = values.consequence.request_after_s or 0
    if first_s <= 0:
        return _NO_KEEPALIVES_S
    return 2 * first_s + 5.0 if first_s <= _SHORT_S else first_s + _SPARE_S


def judge(result: IdleResult, values: Values | None, wanted_s: int) -> Finding:
    """Judge a silence.

    Args:
        values: None: the configuration could not be read, so the policy alone says what to expect.
        wanted_s: the policy's interval.
    """
    state, reason = _judge_silence(result, values, wanted_s)
    expected_s = values.consequence.request_after_s if values is not None else wanted_s
    return Finding(
        setting=Subject.OBSERVED,
        wanted=f"a keep-alive every {expected_s} s, alive" if expected_s else "alive",
        value=describe(result),
        state=state,
        reason=reason,
    )


def describe(result: IdleResult) -> str:
    """Describe a result: `a keep-alive every 2.0 s (7 seen), alive after 15 s`."""
    ending = f"alive after {result.quiet_s:.0f} s" if result.loss is None else f"dead after {result.quiet_s:.1f} s"
    ending += ", when the test was interrupted" if result.was_stopped else ""
    if result.spacing_s is None:
        return f"no keep-alive, {ending}"
    return f"a keep-alive every {result.spacing_s:.1f} s ({len(result.keep_alives_s)} seen), {ending}"


def compose_answer(observed: Sequence[Finding], values: Values | None) -> str:
    """Say in one sentence what happens to a quiet session: the effect of the values, or what was measured instead."""
    worst = next((finding for finding in observed if finding.state is not State.OK), observed[0])
    if worst.state is State.OK and worst.setting is not Subject.IDLE_LIMIT and values is not None:
        effect = values.consequence
        dropped_s = effect.dead_dropped_after_s
        dropped = "never dropped" if dropped_s is None else f"dropped after {_format_duration(dropped_s)}"
        every_s = effect.request_after_s
        gets = "no keep-alives" if every_s is None else f"a keep-alive every {every_s} s"
        return f"a quiet session gets {gets} and stays open; a dead client is {dropped}"
    subject = "a quiet session" if worst.setting is Subject.OBSERVED else worst.setting
    return f"{subject}: {worst.value}" + (f"; {worst.reason}" if worst.reason else "")


def _format_duration(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds >= 120 and seconds % 60 == 0 else f"{seconds} s"


def recommend(values: Values, wanted_s: int) -> str:
    """Say what to configure where the release does not keep the interval; empty where it does."""
    if not keepalive.has_doubled_interval(values.version) or values.consequence.request_after_s == wanted_s:
        return ""
    interval_s = values.interval_s if values.interval_s > 0 else wanted_s
    return (
        f"OpenSSH 9.2 to 9.4 send a keep-alive after two intervals: {values.version} sends one every "
        f"{2 * interval_s} s where {interval_s} is configured; for one every {wanted_s} s configure "
        f"ClientAliveInterval {max(1, wanted_s // 2)}, as --keep-alive-every {wanted_s} does"
    )


def _judge_silence(result: IdleResult, values: Values | None, wanted_s: int) -> tuple[State, str]:
    if result.loss is not None:
        return State.DRIFT, _explain_loss(result, values)
    expected_s = values.consequence.request_after_s if values is not None else wanted_s
    if values is not None and values.interval_s <= 0:
        if result.keep_alives_s:
            return State.DRIFT, f"keep-alives arrive although {values} sends none: the running sshd uses other values"
        return State.DRIFT, values.consequence.sentence
    if expected_s is None:  # never together with an interval above 0
        return State.UNKNOWN, ""
    if result.spacing_s is None:
        if result.quiet_s < expected_s + compute_tolerance_s(expected_s):
            return (
                State.UNKNOWN,
                f"the first keep-alive is due after {expected_s} s; test for longer: --idle {suggest_idle(expected_s)}",
            )
        return State.DRIFT, f"no keep-alive in {result.quiet_s:.0f} s, although one was due after {expected_s} s"
    least_s = compute_earliest_s(values) if values is not None else expected_s
    if not least_s - compute_tolerance_s(least_s) <= result.spacing_s <= expected_s + compute_tolerance_s(expected_s):
        source = f"{values} means" if values is not None else "the policy requires"
        return (
            State.DRIFT,
            f"{source} one every {expected_s} s, the running sshd sends one every {result.spacing_s:.1f} s",
        )
    return State.OK, ""


def compute_earliest_s(values: Values) -> int:
    """Compute the spacing that is expected at least.

    OpenSSH 9.2 to 9.4 wake up after one interval and then find, in whole seconds, that it is not over yet; where the
    host is busy they wake up late enough to ask after one already (seen on 9.2 under load: 10 s, then 20 s).
    """
    expected_s = values.consequence.request_after_s or 0
    return values.interval_s if keepalive.has_doubled_interval(values.version) else expected_s


def compute_tolerance_s(expected_s: float) -> float:
    """Compute how far from its time a keep-alive may come."""
    return max(_TOLERANCE_S, _TOLERANCE * expected_s)


def suggest_idle(expected_s: int) -> str:
    """Choose the `--idle` that shows a keep-alive due after so many seconds: `13`, `6m`."""
    if expected_s <= _SHORT_S:
        return str(2 * expected_s + 5)
    return f"{int(expected_s + _SPARE_S) // 60 + 1}m"


def _explain_loss(result: IdleResult, values: Values | None) -> str:
    loss = result.loss.value if result.loss is not None else ""
    words = f" with the message {result.farewell!r}" if result.farewell else ""
    after = f"{loss}{words}"
    if values is not None and result.loss is Loss.CLOSED:
        limit_s = values.consequence.alive_dropped_after_s
        if limit_s is not None and abs(result.quiet_s - limit_s) <= compute_tolerance_s(limit_s):
            return f"{after}: {values.consequence.sentence}"
    if result.loss in (Loss.RESET, Loss.NO_ANSWER):
        last_s = result.keep_alives_s[-1] if result.keep_alives_s else 0.0
        quiet_s = result.quiet_s - last_s
        return (
            f"{after}; a firewall, NAT or load balancer drops a connection that is idle for less than {quiet_s:.0f} s"
        )
    return after
