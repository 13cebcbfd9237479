"""What a pair of values does, release by release; the drop times of 2/3 were measured on live daemons."""

from __future__ import annotations

import pytest

from sshd_keepalive.sshd_config import keepalive
from sshd_keepalive.sshd_config.version import Version

V = Version.parse


@pytest.mark.parametrize(
    ("version", "seconds"),
    [
        ("7.4", 8),
        ("8.2", 8),
        ("8.8", 8),
        ("9.0", 8),
        ("9.2", 16),
        ("9.4", 16),
        ("9.5", 8),
        ("9.6", 8),
        ("9.9p2", 8),
        ("10.2", 8),
    ],
)
def test_a_dead_client_is_dropped_when_it_was_measured(version: str, seconds: int) -> None:
    assert keepalive.compute_consequence(V(version), 2, 3).dead_dropped_after_s == seconds


def test_the_wanted_pair() -> None:
    told = keepalive.compute_consequence(V("8.9"), 300, 3)
    assert (told.request_after_s, told.alive_dropped_after_s, told.dead_dropped_after_s) == (300, None, 1200)
    assert "every 300 s" in told.sentence
    assert "1200 s" in told.sentence
    late = keepalive.compute_consequence(V("9.3"), 300, 3)
    assert (late.request_after_s, late.dead_dropped_after_s) == (600, 2400)
    assert "twice the interval" in late.sentence


@pytest.mark.parametrize(
    ("version", "dropped"), [("7.4", 300), ("8.1", 300), ("8.2", None), ("8.0p1+include", None), ("9.2", None)]
)
def test_the_harmful_pair(version: str, dropped: int | None) -> None:
    told = keepalive.compute_consequence(V(version), 300, 0)
    assert told.alive_dropped_after_s == dropped
    assert told.sentence.startswith("300/0 is a known-harmful pair")
    assert "300 s" in told.sentence


def test_off_and_overflown() -> None:
    off = keepalive.compute_consequence(V("9.6"), 0, 3)
    assert (off.request_after_s, off.dead_dropped_after_s) == (None, None)
    assert off.sentence.startswith("no keep-alives")
    assert "overflowed" in keepalive.compute_consequence(V("8.4"), -2147483648, 3).sentence


def test_the_values_of_a_session_name_their_release_and_have_its_effect() -> None:
    values = keepalive.Values(version=V("9.2"), interval_s=300, count_max=3)
    assert str(values) == "300/3 on OpenSSH 9.2p1"
    assert values.consequence == keepalive.compute_consequence(V("9.2"), 300, 3)
    assert values.consequence.request_after_s == 600
