"""Hosts that use up their time are left alone; time that is not theirs does not count."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from sshd_keepalive.deadline import Stopwatch, waiting
from sshd_keepalive.engines import work_through
from sshd_keepalive.model import Host, HostReport, State

HOSTS = tuple(Host(name=f"h{number}", address="192.0.2.1") for number in range(9))
LIMIT_S = 1.0  # far more than a job takes that waits for nothing


def passed(host: Host) -> HostReport:
    return HostReport(host=host, state=State.OK)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_hosts_that_hold_every_thread_do_not_hold_the_run(released: threading.Event) -> None:
    def job(host: Host) -> HostReport:
        if host.name in ("h0", "h1", "h2"):
            released.wait()
        return passed(host)

    reports = {report.host.name: report for report in work_through(job, HOSTS, workers=2, limit_s=LIMIT_S)}
    assert len(reports) == len(HOSTS)
    assert {name for name, report in reports.items() if report.state is State.UNKNOWN} == {"h0", "h1", "h2"}
    failure = reports["h0"].failure
    assert failure is not None
    assert str(failure.hint).startswith("add --timeout 2, "), "twice what was typed, not twice what was waited"


def test_a_report_that_comes_after_all_is_not_given_twice(released: threading.Event) -> None:
    def job(host: Host) -> HostReport:
        if host.name == "h0":
            released.wait()
        return passed(host)

    seen = []
    for report in work_through(job, HOSTS, workers=1, limit_s=LIMIT_S):
        seen.append((report.host.name, report.state))
        released.set()
    assert seen == [("h0", State.UNKNOWN), *((host.name, State.OK) for host in HOSTS[1:])]


def test_a_change_is_waited_for(released: threading.Event) -> None:
    threading.Timer(3 * LIMIT_S, released.set).start()

    def job(host: Host) -> HostReport:
        released.wait()
        return passed(host)

    assert [r.state for r in work_through(job, HOSTS[:1], workers=1, limit_s=None)] == [State.OK]


def test_who_waits_for_a_person_or_for_the_throttle_is_not_late(released: threading.Event) -> None:
    threading.Timer(3 * LIMIT_S, released.set).start()

    def job(host: Host) -> HostReport:
        with waiting(), waiting():  # one waits inside of the other
            released.wait()
        return passed(host)

    assert [r.state for r in work_through(job, HOSTS[:1], workers=1, limit_s=LIMIT_S)] == [State.OK]


def test_a_defect_of_the_job_is_raised_and_the_others_are_waited_for(released: threading.Event) -> None:
    ended = threading.Event()

    def job(host: Host) -> HostReport:
        if host.name == "h0":
            raise KeyError("defect")
        released.wait()
        ended.set()
        return passed(host)

    threading.Timer(0.1, released.set).start()
    with pytest.raises(KeyError):
        list(work_through(job, HOSTS[:2], workers=2, limit_s=None))
    assert ended.is_set()


def test_no_thread_is_left() -> None:
    before = set(threading.enumerate())  # some may be about to end
    list(work_through(passed, HOSTS, workers=4, limit_s=LIMIT_S))
    assert set(threading.enumerate()) <= before


def test_a_watch_pauses_and_continues() -> None:
    watch = Stopwatch()
    with waiting():
        first_s = watch.seconds_s
        assert watch.seconds_s == first_s
    assert watch.seconds_s < 30
