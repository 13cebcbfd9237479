"""What a pair of values does to a session on one release of OpenSSH, in seconds and in one sentence.

Sources: serverloop.c of each release (client_alive_check, wait_until_can_do_something), and measurements on
live daemons: with 2/3 a dead client is dropped after 8 s on 7.4, 8.2, 8.8, 9.0, 9.6, 9.9 and 10.2, and after
16 s on 9.2. The manual page counts one interval less than really passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from sshd_keepalive.sshd_config.version import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequence:
    """What happens to a quiet session. None stands for never."""

    request_after_s: int | None = None  # silence after which sshd asks the client whether it is there
    alive_dropped_after_s: int | None = None  # a client that answers, but has nothing else to say
    dead_dropped_after_s: int | None = None  # a client that is gone
    sentence: str

    @property
    def times(self) -> tuple[int | None, int | None, int | None]:
        """All but the sentence."""
        return self.request_after_s, self.alive_dropped_after_s, self.dead_dropped_after_s

    def is_better_than(self, other: Consequence) -> bool:
        """Whether some session fares better than with the other: asked sooner, not cut while alive, dropped if dead."""
        ours, theirs = ([inf if time is None else time for time in one.times] for one in (self, other))
        return ours[0] < theirs[0] or ours[1] > theirs[1] or ours[2] < theirs[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Both settings as a session has them, and the release that applies them."""

    version: Version
    interval_s: int
    count_max: int

    @property
    def consequence(self) -> Consequence:
        """What that means in seconds."""
        return compute_consequence(self.version, self.interval_s, self.count_max)

    def __str__(self) -> str:
        """`300/3 on OpenSSH 9.6p1`."""
        return f"{self.interval_s}/{self.count_max} on OpenSSH {self.version}"


def compute_consequence(version: Version, interval_s: int, count_max: int) -> Consequence:
    """Compute what `interval_s`/`count_max` means; the timer runs only after authentication."""
    pair = f"{interval_s}/{count_max}"
    if interval_s <= 0:
        broken = "" if interval_s == 0 else f"the interval {interval_s} has overflowed; "
        return Consequence(
            sentence=f"{broken}no keep-alives: a firewall or load balancer may drop idle sessions, "
            "and sshd never notices a dead client",
        )
    every_s = count_intervals(version) * interval_s
    if count_max <= 0 and not can_disable_dropping(version):
        return Consequence(
            request_after_s=interval_s,
            alive_dropped_after_s=interval_s,
            dead_dropped_after_s=interval_s,
            sentence=f"{pair} is a known-harmful pair: OpenSSH up to 8.1 ends every session that is quiet for "
            f"{interval_s} s, also when the client is alive",
        )
    if count_max <= 0:
        return Consequence(
            request_after_s=every_s,
            sentence=f"{pair} is a known-harmful pair: this release sends a keep-alive every {every_s} s and never "
            "ends the session of a dead client "
            f"(OpenSSH up to 8.1 ends every session that is quiet for {interval_s} s)",
        )
    dead_s = (count_max + 1) * every_s
    late = f" (OpenSSH 9.2 to 9.4 wait twice the interval of {interval_s} s)" if every_s != interval_s else ""
    return Consequence(
        request_after_s=every_s,
        dead_dropped_after_s=dead_s,
        sentence=f"a quiet session gets a keep-alive every {every_s} s{late}, a dead one is dropped after {dead_s} s",
    )


def choose_pair(
    version: Version, keep_alive_every_s: int, drop_dead_after_s: int | None, count_max: int
) -> tuple[int, int]:
    """Choose ClientAliveInterval and ClientAliveCountMax for a wanted effect on one release.

    The greatest values that ask at least every `keep_alive_every_s` (2 or more) and drop a dead client within
    `drop_dead_after_s` (twice the former or more); with None, `count_max` stays.
    """
    interval_s = keep_alive_every_s // count_intervals(version)
    if drop_dead_after_s is None:
        return interval_s, count_max
    return interval_s, drop_dead_after_s // (interval_s * count_intervals(version)) - 1


def count_intervals(version: Version) -> int:
    """Count the intervals of silence that pass before a keep-alive is sent."""
    return 2 if has_doubled_interval(version) else 1


def has_doubled_interval(version: Version) -> bool:
    """Whether keep-alives come after two intervals instead of one: in 9.2, 9.3 and 9.4; fixed in 9.5."""
    return (9, 2) <= (version.major, version.minor) <= (9, 4)


def has_same_effect(one: Version, other: Version) -> bool:
    """Whether every pair of values does the same in both releases."""
    effects = ((has_doubled_interval(version), can_disable_dropping(version)) for version in (one, other))
    return next(effects) == next(effects)


def can_disable_dropping(version: Version) -> bool:
    """Whether a count of 0 disables dropping: from 8.2 on; in RHEL 8's 8.0p1 from build 13, one after Include."""
    return version.at_least(8, 2) or version.include_backport
