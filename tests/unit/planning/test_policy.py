"""Policies: what is accepted, and every mistake at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import Goal, MatchOverrides, Policy, Strategy
from sshd_keepalive.planning import policy
from sshd_keepalive.sshd_config.version import Version

V = Version.parse


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
        ({"ClientAliveIntervall": 5}, ["ClientAliveIntervall", "did you mean 'ClientAliveInterval'?"]),
        ({"nonsense": 5}, ["unknown policy setting 'nonsense'"]),
        ({"ClientAliveInterval": -1}, ["-1 is not seconds"]),
        ({"ClientAliveInterval": True}, ["True is not seconds"]),
        ({"ClientAliveInterval": 2**31}, ["from 0 to 2147483647"]),
        ({"ClientAliveInterval": "5min"}, ["'5min' is not seconds"]),
        ({"ClientAliveInterval": "99999999w"}, ["is not seconds"]),
        ({"ClientAliveCountMax": "3m"}, ["is not a number"]),
        ({"ClientAliveCountMax": 3.0}, ["is not a number"]),
        ({"match_overrides": "kep"}, ["did you mean 'keep'?"]),
        ({"strategy": 7}, ["not one of edit, drop-in"]),
        ({"ClientAliveCountMax": 0}, ["harmful", "use 1 or more"]),
        (
            {"ClientAliveInterval": 300, "keep_alive_every": 300},
            ["keep_alive_every cannot be combined with ClientAliveInterval"],
        ),
        (
            {"ClientAliveCountMax": 3, "drop_dead_after": "20m"},
            ["drop_dead_after cannot be combined with ClientAliveCountMax"],
        ),
        ({"keep_alive_every": 1}, ["1 s is too short"]),
        ({"keep_alive_every": "5min"}, ["keep_alive_every: '5min' is not seconds"]),
        ({"keep_alive_every": 300, "drop_dead_after": 599}, ["599 s is less than twice keep_alive_every (300 s)"]),
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


def test_a_policy_by_effect_is_300_and_3_where_the_release_keeps_the_interval() -> None:
    read = policy.from_mapping({"keep_alive_every": "5m", "drop_dead_after": "20m", "strategy": "drop-in"})
    goal = Goal(keep_alive_every_s=300, drop_dead_after_s=1200)
    assert read == Policy(interval_s=300, count_max=3, goal=goal, strategy=Strategy.DROP_IN)
    assert str(read) == "a keep-alive every 300 s, dead sessions dropped after 1200 s"
    assert policy.adapt_to_release(read, V("9.6p1")) == Policy(strategy=Strategy.DROP_IN)
    assert policy.adapt_to_release(read, V("9.2p1")) == Policy(interval_s=150, strategy=Strategy.DROP_IN)


@pytest.mark.parametrize(
    ("own", "values", "written"),
    [
        ({}, {"ClientAliveInterval": 120}, {"ClientAliveInterval": 120, "ClientAliveCountMax": 3}),
        ({"ClientAliveCountMax": 5}, {"ClientAliveInterval": 9}, {"ClientAliveInterval": 9, "ClientAliveCountMax": 5}),
        ({"keep_alive_every": 60}, {"ClientAliveCountMax": 2}, {"ClientAliveInterval": 60, "ClientAliveCountMax": 2}),
        ({"ClientAliveInterval": 60}, {"drop_dead_after": 600}, {"keep_alive_every": 60, "drop_dead_after": 600}),
        ({"drop_dead_after": 1200}, {"keep_alive_every": 60}, {"keep_alive_every": 60, "drop_dead_after": 1200}),
        ({"ClientAliveInterval": 0}, {"keep_alive_every": 60}, {"keep_alive_every": 60}),
    ],
)
def test_a_run_may_want_something_else(own: dict[str, int], values: dict[str, int], written: dict[str, int]) -> None:
    read = policy.from_mapping({**own, "match_overrides": "keep"})
    changed = policy.override(read, values)
    assert policy.to_mapping(changed) == written
    assert changed.match_overrides is MatchOverrides.KEEP
    assert policy.override(read, {}) == read


def test_a_count_of_the_policy_is_kept_with_a_goal_that_does_not_say_when_to_drop() -> None:
    changed = policy.override(Policy(count_max=5), {"keep_alive_every": 300})
    assert policy.adapt_to_release(changed, V("9.2p1")) == Policy(interval_s=150, count_max=5)


def test_a_run_cannot_want_what_no_policy_may() -> None:
    for values in (
        {"ClientAliveCountMax": 0},
        {"ClientAliveInterval": 9, "keep_alive_every": 9},
        {"keep_alive_every": 1},
    ):
        with pytest.raises(ConfigError):
            policy.override(Policy(), values)


@pytest.mark.parametrize("own", [{"ClientAliveInterval": 120}, {"keep_alive_every": 120, "drop_dead_after": 600}])
def test_one_run_may_write_elsewhere_and_want_the_same(own: dict[str, object]) -> None:
    read = policy.from_mapping(own)
    assert policy.override(read, {"strategy": "drop-in"}) == replace(read, strategy=Strategy.DROP_IN)
    assert policy.override(read, {"strategy": "drop-in", "ClientAliveInterval": 60}).strategy is Strategy.DROP_IN
