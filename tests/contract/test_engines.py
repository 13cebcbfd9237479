"""Every engine gives each host exactly once, whatever its job does and whoever dies."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from sshd_keepalive import engines, registry, serialization
from sshd_keepalive.engines import SelectedEngine, dask
from sshd_keepalive.errors import ConfigError, ExtraError
from sshd_keepalive.model import End, Host, HostReport, State
from tests.support import jobs
from tests.support.dask import Cluster
from tests.support.sshd import wait_until

pytestmark = pytest.mark.slow

HOSTS = tuple(Host(name=f"h{number}", address="192.0.2.1") for number in range(50))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as started:
        yield started
        dask.disconnect()  # its threads would go on beside the tests that follow


@pytest.fixture(scope="module", params=[*registry.list_names("engines"), "dask:"])
def engine(request: pytest.FixtureRequest) -> SelectedEngine:
    name = request.param
    return engines.select(name + request.getfixturevalue("cluster").address if name == "dask:" else name)


class TestEngine:
    @pytest.mark.parametrize("workers", [1, 7, 100])
    def test_each_host_once(self, engine: SelectedEngine, workers: int) -> None:
        seen = [r.host for r in engine.run(jobs.passing, iter(HOSTS), workers=workers)]
        assert Counter(host.name for host in seen) == Counter(host.name for host in HOSTS)
        assert all(any(host is ours for ours in HOSTS) for host in seen)  # no copies: ten thousand would cost memory

    def test_no_hosts(self, engine: SelectedEngine) -> None:
        assert list(engine.run(jobs.passing, (), workers=3)) == []

    def test_no_more_at_a_time_than_asked_and_none_taken_early(self, engine: SelectedEngine, tmp_path: Path) -> None:
        file = tmp_path / "noted"
        taken = 0

        def source() -> Iterator[Host]:
            nonlocal taken
            for host in HOSTS:
                taken += 1
                yield host

        finished = 0
        for _ in engine.run(partial(jobs.noted, file=file), source(), workers=4):
            finished += 1
            assert taken <= finished + 4 + 4
        flying = peak = 0
        for line in jobs.lines(file):
            flying += 1 if line[0] == "+" else -1
            peak = max(peak, flying)
        assert (peak <= 4, finished, flying) == (True, len(HOSTS), 0)

    def test_a_source_that_ends_early_ends_the_run(self, engine: SelectedEngine) -> None:
        stop = threading.Event()
        seen = []
        begun = (host for host in HOSTS if not stop.is_set())
        for one in engine.run(jobs.passing, begun, workers=3):
            seen.append(one.host.name)
            stop.set()
        assert 1 <= len(seen) <= 8

    def test_who_stops_listening_leaves_nothing_half_done(self, engine: SelectedEngine, tmp_path: Path) -> None:
        file = tmp_path / "noted"
        reports = engine.run(partial(jobs.noted, file=file), HOSTS, workers=4)
        next(reports)
        reports.close()  # type: ignore[attr-defined]
        signs = Counter(line[0] for line in jobs.lines(file))
        assert signs["+"] == signs["-"] <= 9

    def test_a_host_that_uses_up_its_time_is_reported_and_delays_nobody(
        self, engine: SelectedEngine, request: pytest.FixtureRequest, tmp_path: Path
    ) -> None:
        if "serial" in request.node.name:
            pytest.skip("it has one thread")
        until = tmp_path / "released"
        job = partial(jobs.held_one, name="h7", file=tmp_path / "noted", until=until)
        seen = {}
        for report in engine.run(job, HOSTS, workers=2, may_repeat=True, limit_s=2.0):
            assert report.host.name not in seen
            seen[report.host.name] = report
        until.touch()
        failure = seen.pop("h7").failure
        assert failure is not None
        assert (failure.kind, failure.cause) == ("timeout", "deadline(host)")
        assert len(seen) == len(HOSTS) - 1
        assert all(report.state is State.OK for report in seen.values())

    def test_it_can_be_used_for_one_wave_after_another(self, engine: SelectedEngine) -> None:
        for wave in (HOSTS[:3], HOSTS[3:5]):
            assert len(list(engine.run(jobs.passing, wave, workers=2))) == len(wave)


class TestLostWorker:
    """A worker process of the local cluster that is killed while it has hosts; another one takes its place."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Iterator[Path]:
        yield tmp_path / "noted"
        dask.disconnect()

    def test_reading_is_tried_once_more(self, file: Path) -> None:
        job = partial(jobs.deadly, file=file, name="h7", times=1)
        seen = list(engines.select("dask").run(job, HOSTS, workers=4, may_repeat=True))
        assert Counter(r.host.name for r in seen) == Counter(host.name for host in HOSTS)
        assert all(r.state is State.OK for r in seen)
        assert jobs.lines(file).count("+h7") == 2

    def test_and_not_a_third_time(self, file: Path) -> None:
        job = partial(jobs.deadly, file=file, name="h7", times=9)
        seen = {r.host.name: r for r in engines.select("dask").run(job, HOSTS, workers=4, may_repeat=True)}
        assert len(seen) == len(HOSTS)
        failure = seen["h7"].failure
        assert (seen["h7"].state, seen["h7"].end, failure and failure.cause) == (State.UNKNOWN, None, "worker-lost")
        assert jobs.lines(file).count("+h7") == 2

    def test_a_change_is_never_repeated(self, file: Path) -> None:
        job = partial(jobs.deadly, file=file, name="h7", times=1)
        seen = list(engines.select("dask").run(job, HOSTS, workers=4))
        assert Counter(r.host.name for r in seen) == Counter(host.name for host in HOSTS)
        unknown = {r.host.name for r in seen if r.end is End.UNPROVED}
        assert "h7" in unknown
        assert len(unknown) <= 4  # what else that process had
        assert max(Counter(jobs.lines(file)).values()) == 1


class TestHostileWorker:
    """What a worker of somebody else's cluster sends back must not run on the controller."""

    def test_a_pickle_that_runs_code_is_refused(self, cluster: Cluster, tmp_path: Path) -> None:
        """It is what the worker returns; the connection is the one that all answers take."""
        engine, file = engines.select(f"dask:{cluster.address}"), tmp_path / "ran"
        job = partial(jobs.attacking, file=file, name="h5")
        seen = {r.host.name: r for r in engine.run(job, HOSTS[:6], workers=2)}
        assert not file.exists()
        assert set(seen) == {host.name for host in HOSTS[:6]}
        failure = seen["h5"].failure
        assert (seen["h5"].end, failure and failure.cause) == (End.UNPROVED, "worker-lost")
        dask.disconnect()

    def test_the_same_pickle_runs_where_nothing_refuses_it(self, tmp_path: Path) -> None:
        """Otherwise the test above would show nothing."""
        file = tmp_path / "ran"
        pickle.loads(pickle.dumps(jobs.Attack(file)))
        assert file.exists()

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "null",
            '{"state":"ok"}',
            '{"host":{},"state":"fine"}',
            '{"host":7,"state":"ok"}',
            "{" * 9999,
        ],
    )
    def test_an_answer_that_is_not_a_report_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="not a HostReport"):
            serialization.read(text, HostReport)


def test_a_report_comes_back_as_it_was() -> None:
    report = HostReport(
        host=HOSTS[0],
        state=State.DRIFT,
        end=End.REFUSED,
        fingerprint="0" * 64,
        facts=(("os", "undecodable \udc80"),),
    )
    assert serialization.read(serialization.write(report), HostReport) == report


def test_a_cluster_that_went_away_between_two_waves_begins_nothing_and_raises_nothing() -> None:
    with Cluster(n_workers=1) as cluster:
        engine = engines.select(f"dask:{cluster.address}")
        assert len(list(engine.run(jobs.passing, HOSTS[:3], workers=2))) == 3
    seen = list(engine.run(jobs.passing, HOSTS[3:], workers=2))
    assert Counter(report.host.name for report in seen) == Counter(host.name for host in HOSTS[3:])
    assert {(report.end, report.failure and report.failure.cause) for report in seen} == {(End.NOT_BEGUN, "no-worker")}
    dask.disconnect()


def test_a_worker_that_ends_while_it_is_asked_takes_no_other_with_it(tmp_path: Path) -> None:
    file, until = tmp_path / "noted", tmp_path / "until"
    with Cluster(n_threads=1) as cluster, ThreadPoolExecutor(1) as pool:
        engine = engines.select(f"dask:{cluster.address}")
        run = engine.run(partial(jobs.held, file=file, until=until), HOSTS[:2], workers=2)
        seen = pool.submit(list, run)
        wait_until(lambda: len(jobs.lines(file)) == 2, 60, "both hosts to begin")
        (lost, pid), (kept, _) = (line.removeprefix("+").split() for line in jobs.lines(file))
        os.kill(int(pid), signal.SIGSTOP)
        n_asked = cluster.log.count("_read_identity")
        wait_until(lambda: cluster.log.count("_read_identity") > n_asked, 60, "both to be asked")
        cluster.kill_worker(int(pid))
        wait_until(lambda: "Remove worker" in cluster.log, 60, "the scheduler to see it")
        until.touch()
        reports = {report.host.name: report for report in seen.result(60)}
        dask.disconnect()
    causes = {name: report.failure and report.failure.cause for name, report in reports.items()}
    assert causes == {lost: "worker-lost", kept: None}


def test_reading_is_sent_in_batches_where_threads_are_few(cluster: Cluster, tmp_path: Path) -> None:
    """Two workers of four threads: each has 25 of 200 at a time. A change goes alone."""
    hosts = [Host(name=f"h{number}", address="192.0.2.1") for number in range(200)]
    engine, file = engines.select(f"dask:{cluster.address}"), tmp_path / "noted"
    job = partial(jobs.noted, file=file, seconds_s=0.05)
    for may_repeat, least, most in ((True, 9, 200), (False, 1, 8)):
        file.unlink(missing_ok=True)
        seen = list(engine.run(job, hosts[: 200 if may_repeat else 40], workers=200, may_repeat=may_repeat))
        assert len({report.host.name for report in seen}) == len(seen)
        flying = peak = 0
        for line in jobs.lines(file):
            flying += 1 if line[0] == "+" else -1
            peak = max(peak, flying)
        assert least <= peak <= most


@pytest.mark.parametrize("may_repeat", [True, False])
def test_hosts_that_are_only_read_share_the_cost_of_a_task(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, may_repeat: bool
) -> None:
    """Also where each of them could have a thread; a task costs three times a check."""
    sizes = []
    submit = dask._Cluster.submit
    monkeypatch.setattr(dask._Cluster, "submit", lambda self, hosts: (sizes.append(len(hosts)), submit(self, hosts))[1])
    engine = engines.select(f"dask:{cluster.address}")
    assert len(list(engine.run(jobs.passing, HOSTS, workers=8, may_repeat=may_repeat))) == len(HOSTS)
    assert max(sizes) == (2 if may_repeat else 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("thread:3", "takes no argument"),
        ("serial:x", "takes no argument"),
        ("dask:tcp://127.0.0.1:1", "cannot be reached"),
        ("dask:tls://127.0.0.1:1", "cannot be reached"),
        ("dask:nonsense://x", "not an address"),
        ("dask:2", "not an address"),
        ("dask:tcp://192.0.2.1:8786", "without TLS"),
        ("dask:tcp://scheduler:8786", "without TLS"),
        ("dask:tcp://[2001:db8::1]:8786?insecure=no", "without TLS"),
        ("dask:tcp://192.0.2.1:8786?secure=yes", "is not an option of this kind"),
        ("dask:tcp://127.0.0.1:1?insecure=yes", "cannot be reached"),
    ],
)
def test_an_engine_that_cannot_work_is_reported_before_the_first_host(
    text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sshd_keepalive.engines.dask.CONNECT_S", 0.5)
    with pytest.raises(ConfigError, match=said) as caught:
        next(engines.select(text).run(jobs.passing, HOSTS, workers=2), None)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["dask", "dask:tcp://127.0.0.1:1"])
def test_a_job_that_lives_in_one_process_is_refused(text: str) -> None:
    def job(host: Host):  # a closure cannot be sent
        return jobs.passing(host)

    with pytest.raises(ConfigError, match="from one process"):
        next(engines.select(text).run(job, HOSTS, workers=2), None)


def test_a_local_cluster_that_does_not_start_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    def fails(**_: object) -> None:
        raise RuntimeError("Cluster failed to start: Nanny failed to start.\nmore")

    dask.disconnect()
    monkeypatch.setattr(distributed, "LocalCluster", fails)
    with pytest.raises(ConfigError, match="no workers could be started on this machine: Cluster failed to start"):
        next(engines.select("dask").run(jobs.passing, HOSTS, workers=2))


_WITHOUT_SHARED_MEMORY = """
mount -t tmpfs tmpfs "$1"
mkdir "$1/dev"
for name in null zero urandom; do touch "$1/dev/$name"; mount --bind "/dev/$name" "$1/dev/$name"; done
mount --rbind "$1/dev" /dev
exec "$2" -c "
from sshd_keepalive import engines
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import Host
from tests.support import jobs
try:
    next(engines.select('dask').run(jobs.passing, [Host(name='a', address='192.0.2.1')], workers=2))
except ConfigError as error:
    print(error, error.hint, sep='|')
"
"""


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/tmp"], stderr=subprocess.DEVNULL, check=False
    ).returncode
    != 0,
    reason="this account cannot have mounts of its own",
)
def test_without_shared_memory_the_cause_and_what_to_do_are_reported(tmp_path: Path) -> None:
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-ec", _WITHOUT_SHARED_MEMORY, "sh", tmp_path, sys.executable],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout.startswith("--engine dask: worker processes need shared memory in /dev/shm: "), done.stderr
    assert "|mkdir -p /dev/shm && mount" in done.stdout


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ExtraError) as caught:
        next(engines.select("dask:tcp://127.0.0.1:1").run(jobs.passing, HOSTS, workers=2))
    assert caught.value.extra == "dask"
