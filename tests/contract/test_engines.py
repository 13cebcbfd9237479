"""Every engine gives each host exactly once, whatever its job does."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from sshd_keepalive import registry
from sshd_keepalive.model import Host, HostReport, Verdict

HOSTS = tuple(Host(name=f"h{number}", address="192.0.2.1") for number in range(50))


def report(host: Host) -> HostReport:
    return HostReport(host=host, verdict=Verdict.PASS)


@pytest.mark.parametrize("name", registry.names("engines"))
class TestEngine:
    @pytest.mark.parametrize("workers", [1, 7, 100])
    def test_each_host_once(self, name: str, workers: int) -> None:
        seen = [r.host.name for r in registry.load("engines", name).run(report, iter(HOSTS), workers=workers)]
        assert Counter(seen) == Counter(host.name for host in HOSTS)

    def test_no_hosts(self, name: str) -> None:
        assert list(registry.load("engines", name).run(report, (), workers=3)) == []

    def test_no_more_at_a_time_than_asked_and_none_taken_early(self, name: str) -> None:
        lock = threading.Lock()
        flying = peak = taken = 0

        def job(host: Host) -> HostReport:
            nonlocal flying, peak
            with lock:
                flying += 1
                peak = max(peak, flying)
            threading.Event().wait(0.002)
            with lock:
                flying -= 1
            return report(host)

        def source() -> Iterator[Host]:
            nonlocal taken
            for host in HOSTS:
                taken += 1
                yield host

        finished = 0
        for _ in registry.load("engines", name).run(job, source(), workers=4):
            finished += 1
            assert taken <= finished + 4 + 4
        assert (peak <= 4, finished) == (True, len(HOSTS))

    def test_a_source_that_ends_early_ends_the_run(self, name: str) -> None:
        stop = threading.Event()
        seen = []
        begun = (host for host in HOSTS if not stop.is_set())
        for one in registry.load("engines", name).run(report, begun, workers=3):
            seen.append(one.host.name)
            stop.set()
        assert 1 <= len(seen) <= 8
