"""What a silence proves, for every release and every way to die."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_keepalive.model import State
from sshd_keepalive.probing import proof
from sshd_keepalive.probing.proof import IdleResult, Loss
from sshd_keepalive.scripts import trial
from sshd_keepalive.scripts.trial import TRIALS
from sshd_keepalive.sshd_config import keepalive
from sshd_keepalive.sshd_config.keepalive import Values
from sshd_keepalive.sshd_config.reading import read
from sshd_keepalive.sshd_config.version import Version
from tests.support.snapshots import MAIN, look

RELEASES = ("7.4p1", "8.0p1", "8.0p1+include", "8.1p1", "8.2p1", "9.1p1", "9.2p1", "9.4p1", "9.5p1", "9.6p1", "10.2p1")


def values(pair: str, version: str = "9.6p1") -> Values:
    interval, count = pair.split("/")
    return Values(version=Version.parse(version), interval_s=int(interval), count_max=int(count))


def silence(quiet_s: float, every_s: float | None = None, loss: Loss | None = None) -> IdleResult:
    times = [] if every_s is None else [every_s * n for n in range(1, 1000) if every_s * n <= quiet_s]
    return IdleResult(quiet_s=quiet_s, keep_alives_s=times, loss=loss)


@pytest.mark.parametrize("version", RELEASES)
@pytest.mark.parametrize("pair", ["300/3", "2/3", "60/1", "300/0"])
def test_the_silence_a_host_needs_proves_what_its_release_does(pair: str, version: str) -> None:
    effect = values(pair, version)
    told = effect.consequence
    assert told.request_after_s is not None
    held_s = proof.compute_needed_s(effect, 300)
    if told.alive_dropped_after_s is not None:  # OpenSSH up to 8.1 with count 0
        found = proof.judge(silence(told.alive_dropped_after_s + 0.4, loss=Loss.CLOSED), effect, 300)
        assert found.state is State.DRIFT
        assert "known-harmful pair" in found.reason
        assert held_s > told.alive_dropped_after_s
        return
    assert proof.judge(silence(held_s, told.request_after_s), effect, 300).state is State.OK
    assert proof.judge(silence(held_s), effect, 300).state is State.DRIFT
    other = 1 if told.request_after_s > 6 else 3 * told.request_after_s
    assert proof.judge(silence(held_s, other), effect, 300).state is State.DRIFT
    short = proof.judge(
        silence(told.request_after_s + proof.compute_tolerance_s(told.request_after_s) - 0.1), effect, 300
    )
    assert (short.state, "test for longer" in short.reason) == (State.UNKNOWN, True)


def test_a_busy_host_of_a_late_release_may_keep_its_interval() -> None:
    mixed = IdleResult(quiet_s=45, keep_alives_s=(10.0, 30.2))
    assert proof.judge(mixed, values("10/3", "9.2p1"), 10).state is State.OK
    assert proof.judge(silence(45, 20), values("10/3", "9.2p1"), 10).state is State.OK
    assert proof.judge(mixed, values("10/3", "9.5p1"), 10).state is State.DRIFT
    assert proof.judge(silence(45, 5), values("10/3", "9.2p1"), 10).state is State.DRIFT


def test_half_the_rate_is_explained_and_the_cure_has_a_number() -> None:
    assert "configure ClientAliveInterval 150" in proof.recommend(values("300/3", "9.2p1"), 300)
    assert proof.recommend(values("300/3", "9.5p1"), 300) == ""
    assert "every 600 s where 300 is configured" in proof.recommend(values("0/3", "9.2p1"), 300)


def test_no_keep_alives_configured_is_never_a_pass() -> None:
    for held in (silence(360), silence(360, 60)):
        assert proof.judge(held, values("0/3"), 300).state is State.DRIFT


def test_without_the_files_the_policy_says_what_to_expect() -> None:
    assert proof.judge(silence(360, 300), None, 300).state is State.OK
    assert proof.judge(silence(360, 120), None, 300).state is State.DRIFT
    assert proof.judge(silence(60), None, 300).state is State.UNKNOWN


@pytest.mark.parametrize("loss", list(Loss))
def test_every_death_is_a_failure_with_a_side(loss: Loss) -> None:
    found = proof.judge(silence(42, 10, loss), values("10/3"), 10)
    assert found.state is State.DRIFT
    assert loss.value in found.reason
    assert "dead after 42.0 s" in found.value


def test_an_interrupted_silence_is_no_failure() -> None:
    held = replace(silence(5), was_stopped=True)
    assert proof.judge(held, values("4/3"), 4).state is State.UNKNOWN


@given(st.lists(st.floats(min_value=0.01, max_value=1e4), max_size=20))
def test_spacings_add_up_to_the_last_keep_alive(gaps: list[float]) -> None:
    arrivals_s = tuple(accumulate(gaps))
    held = IdleResult(quiet_s=sum(gaps), keep_alives_s=arrivals_s)
    assert sum(held.spacings_s) == pytest.approx(sum(gaps))
    assert (held.spacing_s is None) == (not gaps)


@pytest.mark.parametrize("version", RELEASES)
def test_each_trial_is_judged_by_what_the_release_does(version: str) -> None:
    effect = values("300/3", version)
    for one in TRIALS:
        told = keepalive.compute_consequence(effect.version, one.interval_s, one.count_max)
        end_s = told.alive_dropped_after_s if one.answers else told.dead_dropped_after_s
        assert end_s is None or end_s + 1 < one.idle_s, "too short to see it"
        dead = silence((end_s or 0) + 0.3, told.request_after_s, Loss.CLOSED)
        alive = silence(one.idle_s, told.request_after_s)
        right, wrong = (alive, dead) if end_s is None else (dead, alive)
        assert trial.build_finding(one, right, effect).state is State.OK
        assert trial.build_finding(one, wrong, effect).state is State.DRIFT


def test_without_an_interval_a_silence_is_long_and_keep_alives_are_somebody_elses() -> None:
    assert proof.compute_needed_s(values("0/3"), 300) == proof.compute_needed_s(None, 0) > 300
    verdict = proof.judge(silence(60, 10.0), values("0/3"), 300)
    assert verdict.state is State.DRIFT
    assert "other values" in verdict.reason


def test_options_of_ours_do_not_win_over_a_match() -> None:
    assert "a Match block sets the values" in trial.find_deciding_match(
        read(look({MAIN: "Match User a\nClientAliveInterval 5\n"}))
    )
    assert trial.find_deciding_match(read(look({MAIN: "ClientAliveInterval 5\n"}))) == ""


def test_the_answer_is_one_sentence_with_what_the_values_do_or_with_what_was_seen_instead() -> None:
    alive = proof.judge(silence(630, 600), values("300/3", "9.2p1"), 600)
    assert proof.compose_answer([alive], values("300/3", "9.2p1")) == (
        "a quiet session gets a keep-alive every 600 s and stays open; a dead client is dropped after 40 min"
    )
    assert proof.compose_answer([alive], values("300/0", "9.6p1")).endswith(
        "and stays open; a dead client is never dropped"
    )
    assert proof.compose_answer([alive], values("0/3")) == (
        "a quiet session gets no keep-alives and stays open; a dead client is never dropped"
    )
    dead = proof.judge(silence(4, None, Loss.RESET), values("300/3"), 300)
    assert proof.compose_answer([dead], values("300/3")).startswith(
        "a quiet session: no keep-alive, dead after 4.0 s; "
    )
    assert proof.compose_answer([alive], None).startswith("a quiet session: a keep-alive every 600.0 s")
