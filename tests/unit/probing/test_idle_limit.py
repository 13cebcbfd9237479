"""Connections at different spacings and the limit between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_keepalive.model import State
from sshd_keepalive.probing import idle_limit
from sshd_keepalive.probing.idle_limit import Bounds, SpacedResult
from sshd_keepalive.sshd_config.keepalive import Values
from sshd_keepalive.sshd_config.version import Version


def values(interval_s: int, version: str = "9.6p1") -> Values:
    return Values(version=Version.parse(version), interval_s=interval_s, count_max=3)


def under(limit_s: float, idle_s: float) -> Bounds:
    """What all connections find behind a box with this limit."""
    return idle_limit.find_bounds(
        tuple(
            SpacedResult(spacing_s=s, proven_s=float(s))
            if s < limit_s
            else SpacedResult(spacing_s=s, proven_s=0.0, lethal_s=float(s))
            for s in idle_limit.choose_spacings(idle_s)
        )
    )


@given(st.floats(min_value=0.5, max_value=8000), st.floats(min_value=1, max_value=8000))
def test_the_limit_lies_within_the_bounds(limit_s: float, idle_s: float) -> None:
    found = under(limit_s, idle_s)
    assert found.at_least_s < limit_s or found.at_least_s == 0
    assert found.at_most_s is None or found.at_most_s >= limit_s
    if found.advised_s is not None and found.at_least_s >= 2:
        assert found.advised_s * 2 <= found.at_least_s


@pytest.mark.parametrize("limit_s", [240, 300, 350])
def test_the_usual_limits_are_distinguished_in_six_minutes(limit_s: float) -> None:
    found = under(limit_s, 360)
    assert found.at_most_s is not None
    assert limit_s - 15 <= found.at_least_s < limit_s <= found.at_most_s <= limit_s + 60


def test_300_loses_the_race_against_300() -> None:
    found = idle_limit.judge(under(300, 360), values(300), 300)
    assert found.state is State.DRIFT
    assert "or only just in time; configure ClientAliveInterval 145 or less" in found.reason
    assert idle_limit.judge(under(300, 360), values(120), 300).state is State.OK
    assert "one lost packet" in idle_limit.judge(under(300, 360), values(200), 300).reason


def test_a_release_that_doubles_the_interval_gets_half_the_advice() -> None:
    assert "ClientAliveInterval 72 or less" in idle_limit.judge(under(300, 360), values(300, "9.2p1"), 300).reason


def test_without_keep_alives_every_limit_is_lethal() -> None:
    assert idle_limit.judge(under(300, 360), values(0), 300).state is State.DRIFT
    beyond = idle_limit.judge(under(9000, 360), values(0), 300)
    assert (beyond.state, "idle times above 355 s were not tested" in beyond.reason) == (State.UNKNOWN, True)


@pytest.mark.parametrize(
    ("proven_s", "interval_s", "version", "verdict"),
    [
        (298.0, 300, "9.6p1", State.OK),
        (355.0, 300, "9.2p1", State.UNKNOWN),  # its keep-alives come every 600 s
        (4.0, 300, "9.6p1", State.UNKNOWN),  # Ctrl-C
        (355.0, 60, "9.6p1", State.OK),
    ],
)
def test_no_limit_below_the_keep_alives_is_a_pass(
    proven_s: float, interval_s: int, version: str, verdict: State
) -> None:
    found = idle_limit.judge(Bounds(at_least_s=proven_s, at_most_s=None), values(interval_s, version), 300)
    assert found.state is verdict
    assert ("--idle" in found.reason) is (verdict is State.UNKNOWN)


def test_what_the_hosts_own_keep_alives_hide_is_said() -> None:
    masked = Bounds(at_least_s=60.0, at_most_s=None)
    assert "hides limits above" in idle_limit.judge(masked, values(60), 300).reason


def test_at_most_ten_connections() -> None:
    assert all(len(idle_limit.choose_spacings(idle_s)) <= 10 for idle_s in (1, 10, 360, 86400))
