"""A policy by effect has the wanted effect on every release, by the model that also judges, and it is stable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_keepalive.model import Goal, Policy, State
from sshd_keepalive.planning import judge, plan
from sshd_keepalive.planning.policy import adapt_to_release, from_mapping, to_mapping
from sshd_keepalive.sshd_config import keepalive
from sshd_keepalive.sshd_config.reading import read
from sshd_keepalive.sshd_config.version import Version
from tests.support.snapshots import MAIN, look
from tests.unit.sshd_config.test_facts import ASKED, version_of

RELEASES = [version_of(name) for name in ASKED]
goals = st.integers(2, 10**6).flatmap(
    lambda every_s: st.builds(
        Goal, keep_alive_every_s=st.just(every_s), drop_dead_after_s=st.none() | st.integers(2 * every_s, 10**8)
    )
)


def policy_of(goal: Goal) -> Policy:
    times = {"keep_alive_every": goal.keep_alive_every_s, "drop_dead_after": goal.drop_dead_after_s}
    return from_mapping({name: time for name, time in times.items() if time is not None})


@pytest.mark.parametrize("version", RELEASES, ids=str)
@given(goal=goals)
def test_the_pair_has_the_wanted_effect(version: Version, goal: Goal) -> None:
    policy = adapt_to_release(policy_of(goal), version)
    effect = keepalive.compute_consequence(version, policy.interval_s, policy.count_max)
    assert effect.alive_dropped_after_s is None
    assert effect.request_after_s is not None
    assert effect.dead_dropped_after_s is not None
    assert effect.request_after_s <= goal.keep_alive_every_s
    later = keepalive.compute_consequence(version, policy.interval_s + 1, policy.count_max)
    assert later.request_after_s is not None
    assert later.request_after_s > goal.keep_alive_every_s  # no greater interval would do
    if goal.drop_dead_after_s is None:
        assert policy.count_max == 3
    else:
        assert effect.dead_dropped_after_s <= goal.drop_dead_after_s
        assert effect.dead_dropped_after_s + effect.request_after_s > goal.drop_dead_after_s


@given(version=st.sampled_from(RELEASES), goal=goals)
def test_planning_again_changes_nothing(version: Version, goal: Goal) -> None:
    policy = policy_of(goal)
    planned = plan.plan(read(look({MAIN: "ClientAliveInterval 0\n"}, version=str(version))), policy)
    after = look({MAIN: planned.contents[0].after}, version=str(version))
    assert plan.plan(read(after), policy).is_empty
    assert {finding.state for finding in judge.judge(read(after), policy)} == {State.OK}
    assert planned.caveat is None


@given(goal=goals)
def test_a_policy_is_written_as_it_was_read(goal: Goal) -> None:
    policy = policy_of(goal)
    assert policy.goal == goal
    assert from_mapping(to_mapping(policy)) == policy
    assert adapt_to_release(adapt_to_release(policy, RELEASES[0]), RELEASES[-1]) == adapt_to_release(
        policy, RELEASES[0]
    )
