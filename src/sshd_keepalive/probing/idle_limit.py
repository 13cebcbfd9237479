"""The smallest idle limit between here and a host, from many connections that speak at different spacings.

A connection that spoke again after N quiet seconds and was answered proves that nothing on the way forgets sooner;
one that was not answered proves the opposite. The host's own keep-alives are traffic too and hide every limit above
their spacing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sshd_keepalive.model import Finding, State, Subject
from sshd_keepalive.probing.proof import compute_tolerance_s, suggest_idle
from sshd_keepalive.sshd_config.keepalive import Values

#: On both sides of the limits that products have: 240, 300, 350, 600, 900, 3600 s.
_LADDER_S: Final = (
    1, 2, 3, 5, 8, 15, 30, 60, 90, 120, 180, 235, 290, 310, 345, 355, 590, 610, 890, 910, 1790, 3590, 7190,
)  # fmt: skip
CONNECTIONS_MAX: Final = 10  # logged in one after the other, so no MaxStartups is met


@dataclass(frozen=True, slots=True, kw_only=True)
class SpacedResult:
    """One connection that spoke every `spacing_s` seconds."""

    spacing_s: float
    proven_s: float  # the longest silence, in both directions, that it outlived
    lethal_s: float | None = None  # the silence in which it was lost; None: it lives


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What all connections together prove."""

    at_least_s: float  # a silence of this length is outlived
    at_most_s: float | None  # this one is not; None: no limit was met

    @property
    def advised_s(self) -> int | None:
        """An interval that leaves room for one lost packet: half of what is outlived for sure."""
        return None if self.at_most_s is None else max(1, int(self.at_least_s / 2))


def choose_spacings(idle_s: float, most: int = CONNECTIONS_MAX) -> tuple[int, ...]:
    """Choose the spacings to try, shortest first: the longest that fit into the time, one for each connection."""
    return tuple(spacing for spacing in _LADDER_S if spacing <= idle_s)[-most:]


def find_bounds(results: tuple[SpacedResult, ...]) -> Bounds:
    """Give the longest idle time that a connection survived, and the shortest that ended one."""
    lethal = [one.lethal_s for one in results if one.lethal_s is not None]
    at_most_s = min(lethal, default=None)
    # A lost connection may have been lost for another reason: only shorter silences speak for the limit.
    proven = [one.proven_s for one in results if at_most_s is None or one.proven_s < at_most_s]
    return Bounds(at_least_s=max(proven, default=0.0), at_most_s=at_most_s)


def judge(bounds: Bounds, values: Values | None, wanted_s: int) -> Finding:
    """Compare the limit with the keep-alives of the host, or those that the policy requires."""
    every_s = values.consequence.request_after_s if values is not None else wanted_s
    advice = f"configure ClientAliveInterval {bounds.advised_s} or less" if bounds.advised_s else ""
    if values is not None and values.consequence.request_after_s not in (None, values.interval_s) and bounds.advised_s:
        advice = f"configure ClientAliveInterval {max(1, bounds.advised_s // 2)} or less (this release doubles it)"
    if bounds.at_most_s is None:
        state, reason = _judge_without_limit(bounds.at_least_s, every_s)
    elif every_s is None:
        state, reason = State.DRIFT, f"the host sends no keep-alive; {advice}"
    elif every_s >= bounds.at_least_s:
        state = State.DRIFT
        reason = f"a keep-alive every {every_s} s comes too late or only just in time; {advice}"
    else:
        tight = every_s * 2 > bounds.at_least_s
        state, reason = State.OK, f"one lost packet is enough to end a session; {advice}" if tight else ""
    return Finding(
        setting=Subject.IDLE_LIMIT,
        wanted=f"more than {every_s} s" if every_s else "none",
        value=describe(bounds),
        state=state,
        reason=reason,
    )


def _judge_without_limit(proven_s: float, every_s: int | None) -> tuple[State, str]:
    """Judge a proof that met no limit: enough where the host's keep-alives are closer together than what was proved."""
    if every_s is None:
        return State.UNKNOWN, f"the host sends no keep-alive: idle times above {proven_s:.0f} s were not tested"
    if proven_s + compute_tolerance_s(every_s) < every_s:
        return (
            State.UNKNOWN,
            f"the host sends a keep-alive every {every_s} s; test for longer: --idle {suggest_idle(every_s)}",
        )
    if every_s > proven_s * 1.2:
        return State.OK, ""
    return State.OK, f"the host's keep-alive every {every_s} s keeps the connection open and hides limits above that"


def describe(bounds: Bounds) -> str:
    """Describe the bounds: `between 290 s and 310 s`."""
    if bounds.at_most_s is None:
        return f"none up to {bounds.at_least_s:.0f} s"
    if bounds.at_least_s <= 0:
        return f"below {bounds.at_most_s:.0f} s"
    return f"between {bounds.at_least_s:.0f} s and {bounds.at_most_s:.0f} s"
