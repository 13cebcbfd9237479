"""Policies: what is accepted, and every mistake at once."""

from __future__ import annotations

import pytest

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import MatchOverrides, Policy, Strategy
from sshd_keepalive.planning import policy


def test_nothing_said_is_the_default() -> None:
    assert policy.from_mapping({}) == Policy(interval_s=300, count_max=3)


def test_all_of_it() -> None:
    read = policy.from_mapping(
        {
            "clientaliveinterval": "5m",
            "ClientAliveCountMax": "7",
            "match_overrides": "keep",
            "strategy": Strategy.DROP_IN,
        }
    )
    assert read == Policy(interval_s=300, count_max=7, match_overrides=MatchOverrides.KEEP, strategy=Strategy.DROP_IN)


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"ClientAliveIntervall": 5}, ["ClientAliveIntervall", "did you mean ClientAliveInterval?"]),
        ({"nonsense": 5}, ["unknown policy setting 'nonsense'"]),
        ({"ClientAliveInterval": -1}, ["-1 is not seconds"]),
        ({"ClientAliveInterval": True}, ["True is not seconds"]),
        ({"ClientAliveInterval": 2**31}, ["from 0 to 2147483647"]),
        ({"ClientAliveInterval": "5min"}, ["'5min' is not seconds"]),
        ({"ClientAliveInterval": "99999999w"}, ["is not seconds"]),
        ({"ClientAliveCountMax": "3m"}, ["is not a number"]),
        ({"ClientAliveCountMax": 3.0}, ["is not a number"]),
        ({"match_overrides": "kep"}, ["did you mean keep?"]),
        ({"strategy": 7}, ["not one of edit, drop-in"]),
        ({"ClientAliveCountMax": 0}, ["harmful", "use 1 or more"]),
        ({"ClientAliveInterval": "x", "strategy": "y"}, ["ClientAliveInterval", "\nstrategy"]),
    ],
)
def test_mistakes(mapping: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        policy.from_mapping(mapping)
    for word in words:
        assert word in str(caught.value)


def test_keep_alives_may_be_asked_to_be_off() -> None:
    assert policy.from_mapping({"ClientAliveInterval": 0}).interval_s == 0
    assert policy.from_mapping({"ClientAliveInterval": "0", "ClientAliveCountMax": 0}).count_max == 0
