"""Waves: every host exactly once, the budget never exceeded by more than what was in flight, nothing after the stop."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sshd_keepalive import engines
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.fleet import rollout as rollouts
from sshd_keepalive.fleet.one_host import Orders
from sshd_keepalive.fleet.report import RepeatedWords
from sshd_keepalive.fleet.rollout import Rollout
from sshd_keepalive.fleet.waves import Budget, divide, has_failed
from sshd_keepalive.model import End, Failure, Finding, Host, HostReport, State, Subject
from sshd_keepalive.secrets.retrieval import Secrets

ZONES = ("", "a", "b", "c")


def some_hosts(n: int, zones: list[int] | None = None) -> tuple[Host, ...]:
    labels = [
        (("zone", ZONES[zones[i % len(zones)]]),) if zones and ZONES[zones[i % len(zones)]] else () for i in range(n)
    ]
    return tuple(Host(name=f"h{i}", address="192.0.2.1", labels=label) for i, label in enumerate(labels))


sizes = st.lists(
    st.one_of(st.integers(1, 50).map(str), st.integers(1, 100).map(lambda p: f"{p}%")), min_size=1, max_size=4
)


@given(n=st.integers(0, 120), serial=sizes.map(",".join), canary=st.integers(0, 10))
def test_every_host_is_in_exactly_one_wave_and_keeps_its_order(n: int, serial: str, canary: int) -> None:
    hosts = some_hosts(n)
    divided = divide(hosts, serial, canary=canary)
    assert tuple(host for wave in divided for host in wave) == hosts
    assert all(divided)
    if canary and n:
        assert len(divided[0]) == min(canary, n)


@given(n=st.integers(1, 60), zones=st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_a_wave_by_label_holds_one_value(n: int, zones: list[int]) -> None:
    hosts = some_hosts(n, zones)
    if not any(host.labels for host in hosts):
        with pytest.raises(ConfigError, match="zone"):
            divide(hosts, "label:zone")
        return
    divided = divide(hosts, "label:zone")
    assert sorted(h.name for wave in divided for h in wave) == sorted(h.name for h in hosts)
    assert all(len({dict(h.labels).get("zone") for h in wave}) == 1 for wave in divided)
    assert len(divided) == len({dict(h.labels).get("zone") for h in hosts})


@pytest.mark.parametrize("serial", ["", "0", "0%", "101%", "x", "1,,2", "-1", "1.5", "label:nothing"])
def test_a_size_that_means_nothing_is_refused(serial: str) -> None:
    with pytest.raises(ConfigError):
        divide(some_hosts(3), serial)


def test_shares_are_of_all_hosts_and_the_last_size_repeats() -> None:
    assert [len(wave) for wave in divide(some_hosts(100), "1,10%,30%")] == [1, 10, 30, 30, 29]
    assert [len(wave) for wave in divide(some_hosts(100), "50%", canary=3)] == [3, 50, 47]
    assert [len(wave) for wave in divide(some_hosts(3), "1%")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("text", "n", "n_max"), [("0", 50, 0), ("3", 50, 3), ("10%", 55, 5), ("1%", 50, 0), ("100%", 9, 9)]
)
def test_budget(text: str, n: int, n_max: int) -> None:
    budget = Budget.parse(text, n)
    assert budget.n_max == n_max
    assert not budget.is_spent(n_max)
    assert budget.is_spent(n_max + 1)
    assert not Budget(None).is_spent(10**9)


FAILURE = Failure(kind="tcp", message="refused")


@settings(max_examples=60)
@given(
    n=st.integers(1, 40),
    bad=st.sets(st.integers(0, 39)),
    n_max=st.integers(0, 6),
    serial=sizes.map(",".join),
    workers=st.integers(1, 5),
)
def test_nothing_starts_after_the_stop_and_the_budget_holds(
    n: int, bad: set[int], n_max: int, serial: str, workers: int
) -> None:
    hosts = some_hosts(n)
    stop = threading.Event()
    begun: list[str] = []
    late: list[str] = []

    def job(host: Host, orders: Orders) -> HostReport:
        begun.append(host.name)
        if int(host.name[1:]) in bad:
            return HostReport(host=host, state=State.UNREACHABLE, failure=FAILURE)
        return HostReport(host=host, state=State.OK, end=End.APPLIED)

    engine = engines.select("thread")
    rollout = Rollout(divide(hosts, serial), Budget(n_max), engine, workers, stop)
    orders = Orders(run_id="r", secrets=Secrets())
    reports = []
    for report in rollout.run(job, orders):
        reports.append(report)
        if stop.is_set() and not late:
            late = [host.name for host in hosts if host.name not in begun]
    done = {report.host.name for report in reports}
    spared = [rollout.report_not_begun(host) for host in hosts if host.name not in done]
    assert sorted([*done, *(report.host.name for report in spared)]) == sorted(host.name for host in hosts)
    assert sorted(begun) == sorted(done)
    failed = sum(has_failed(report) for report in reports)
    assert failed <= n_max + workers
    assert rollout.is_spent == (failed > n_max)
    if len(bad & set(range(n))) <= n_max:
        assert not spared


def test_a_wave_that_is_as_it_was_when_it_was_proved_holds_even_without_the_policy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After an undo the policy is not met, and was not when the host was proved."""
    old = Finding(setting=Subject.INTERVAL, wanted="300", value="0", state=State.DRIFT)

    def seen(host: Host, orders: Orders) -> HostReport:
        return HostReport(host=host, state=State.DRIFT, findings=(old,))

    def undone(host: Host, orders: Orders) -> HostReport:
        return HostReport(host=host, state=State.DRIFT, findings=(old,), end=End.APPLIED)

    monkeypatch.setattr(rollouts, "check_host", seen)
    engine = engines.select("serial")
    rollout = Rollout(divide(some_hosts(4), "2"), Budget(0), engine, 1, threading.Event(), soak_s=0.001)
    ends = [r.end for r in rollout.run(undone, Orders(run_id="r", secrets=Secrets()))]
    assert ends == [End.APPLIED] * 4


def test_a_wave_that_did_not_hold_while_it_soaked_counts_and_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    def relapsed(host: Host, orders: Orders) -> HostReport:
        return HostReport(host=host, state=State.DRIFT if host.name == "h0" else State.OK)

    def applied(host: Host, orders: Orders) -> HostReport:
        return HostReport(host=host, state=State.OK, end=End.APPLIED)

    monkeypatch.setattr(rollouts, "check_host", relapsed)
    stop = threading.Event()
    soaks: list[tuple[int, float]] = []
    rollout = Rollout(
        divide(some_hosts(6), "2"),
        Budget(0),
        engines.select("serial"),
        1,
        stop,
        soak_s=0.001,
        soaked=lambda number, seconds: soaks.append((number, seconds)),
    )
    repeated = RepeatedWords(inventory=("-i", "my hosts.yaml"), policy=("--interval", "60"), hosts=("--limit", "etl"))
    orders = Orders(run_id="r", secrets=Secrets(), repeated=repeated)
    reports = {r.host.name: r for r in rollout.run(applied, orders)}
    assert (sorted(reports), soaks) == (["h0", "h1"], [(1, 0.001)])
    assert (reports["h0"].end, reports["h1"].end) == (End.UNPROVED, End.APPLIED)
    assert reports["h0"].failure is not None
    assert reports["h0"].failure.cause == "relapse"
    assert reports["h0"].failure.hint.endswith(": sshd-keepalive why -i 'my hosts.yaml' h0")
