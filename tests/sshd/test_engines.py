"""The engines with real logins: local workers, and a Dask cluster of two workers, one of which is killed."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from sshd_keepalive.program import suggest_extra
from tests.support.cli import Ran, keepalive
from tests.support.dask import Cluster, pid_connected_to
from tests.support.hostile import HostileServer, silence
from tests.support.sshd import Sshd, wait_until, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]

N = 24


@pytest.fixture
def sshd() -> Iterator[Sshd]:
    with Sshd("ClientAliveInterval 300\nClientAliveCountMax 0\nMaxStartups 100\n") as server:
        yield server


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as started:
        yield started


def inventory(server: Sshd, folder: Path, *, n: int = N, silent: HostileServer | None = None) -> Path:
    """An inventory of `silent`, which never answers, and of hosts that are all the same server."""
    host: dict[str, object] = {
        **server.inventory_host,
    }
    hosts = {f"h{number}": host for number in range(n)}
    if silent is not None:
        hosts = {"silent": {**host, "port": silent.port}, **hosts}
    path = folder / "hosts.yaml"
    path.write_text(yaml.safe_dump({"hosts": hosts}, sort_keys=False))
    return path


@pytest.mark.parametrize("engine", ["serial", "thread", "dask", "dask:"])
def test_all_engines_find_the_same(engine: str, sshd: Sshd, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    words = ["--engine", engine + request.getfixturevalue("cluster").address if engine == "dask:" else engine]
    ran = keepalive("check", "-i", inventory(sshd, tmp_path), *words, "--format", "json", "-f", "6")
    assert (ran.status, ran.stderr) == (1, "")
    assert Counter(host["name"] for host in ran.data["hosts"]) == Counter(f"h{number}" for number in range(N))
    assert {f["value"] for host in ran.data["hosts"] for f in host["findings"] if f["state"] == "drift"} == {"0"}


def test_applied_by_another_process(sshd: Sshd, tmp_path: Path) -> None:
    hosts = inventory(sshd, tmp_path, n=1)
    ran = keepalive("apply", "--yes", "-i", hosts, "--engine", "dask", "--format", "json")
    assert ran.host()["change"] == "applied", ran.stdout
    assert "ClientAliveCountMax 3\n" in sshd.config_file.read_text()


def test_a_worker_without_the_keyring_names_host_reference_machine_and_command(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "keyring.py").write_text("raise ModuleNotFoundError(name='keyring')\n")
    hosts = tmp_path / "hosts.yaml"
    hosts.write_text(yaml.safe_dump({"hosts": {"h": sshd.inventory_host | {"password": "keyring:etl/ops"}}}))
    words = ["check", "-i", hosts, "--engine", "dask", "--format", "json"]
    failure = keepalive(*words, PYTHONPATH=str(tmp_path)).host()["failure"]
    assert failure["message"].startswith(f"h ({sshd.address}:{sshd.port}): "), failure
    assert f"keyring:etl/ops: keyring is not installed on {platform.node()}" in failure["message"]
    assert failure["hint"] == suggest_extra("keyring")


class TestLostWorker:
    """The worker that waits for the silent host is killed."""

    def test_its_hosts_are_read_once_more(self, sshd: Sshd, tmp_path: Path) -> None:
        with Cluster() as cluster, HostileServer(silence) as silent:
            ran = run_and_kill(cluster, silent, ["check"], inventory(sshd, tmp_path, silent=silent), timeout_s=15)
            assert silent.n_connections == 2
        assert ran.status == 3
        hosts = ran.data["hosts"]
        assert [host["name"] for host in hosts] == ["silent", *(f"h{number}" for number in range(N))]
        assert ran.host("silent")["failure"]["kind"] == "timeout"
        assert all(host["state"] == "drift" and host["failure"] is None for host in hosts[1:])

    def test_its_changes_are_unknown_and_never_repeated(self, sshd: Sshd, tmp_path: Path) -> None:
        # One thread each: also where the second worker is listed late, the other host is not given to the first.
        with Cluster(n_threads=1) as cluster, HostileServer(silence) as silent:
            hosts = inventory(sshd, tmp_path, n=1, silent=silent)
            ran = run_and_kill(cluster, silent, ["apply", "--yes"], hosts, timeout_s=60)
            assert silent.n_connections == 1
        assert ran.status == 5
        assert [host["name"] for host in ran.data["hosts"]] == ["silent", "h0"]
        assert (ran.host("silent")["change"], ran.host("silent")["failure"]["cause"]) == ("unproved", "worker-lost")
        assert ran.host("h0")["change"] == "applied", ran.stdout

    def test_without_any_worker_the_rest_is_not_begun(self, sshd: Sshd, tmp_path: Path) -> None:
        """The scheduler goes as well, so nobody has to wait for a worker to come back."""
        with Cluster(n_workers=1, n_threads=1) as cluster, HostileServer(silence) as silent:
            hosts = inventory(sshd, tmp_path, n=3, silent=silent)
            process = started(f"dask:{cluster.address}", ["apply", "--yes"], hosts, timeout_s=60)
            wait_until(lambda: silent.n_connections == 1, 120, "the worker to begin")
            for one in cluster.processes:
                one.kill()
            ran = ended(process)
        assert ran.status == 5
        causes = [host["failure"]["cause"] for host in ran.data["hosts"]]
        assert causes == ["worker-lost", "no-worker", "no-worker", "no-worker"]
        assert [host["change"] for host in ran.data["hosts"]] == ["unproved", "not_begun", "not_begun", "not_begun"]


def test_ctrl_c_lets_local_workers_finish_what_they_have(sshd: Sshd, tmp_path: Path) -> None:
    """A terminal sends the signal to the worker processes too; they must not end in the middle of a host."""
    with HostileServer(silence) as silent:
        hosts = inventory(sshd, tmp_path, n=40, silent=silent)
        process = started("dask", ["check"], hosts, timeout_s=15, start_new_session=True)
        wait_until(lambda: silent.n_connections == 1, 120, "a worker to begin the silent host")
        os.killpg(process.pid, signal.SIGINT)
        ran = ended(process)
    assert ran.status == 130
    assert ran.host("silent")["failure"]["kind"] == "timeout"
    causes = {host["failure"] and host["failure"]["cause"] for host in ran.data["hosts"][1:]}
    assert causes <= {None, "interrupted"}


def test_ctrl_c_of_a_terminal_does_not_end_local_workers_while_they_start(sshd: Sshd, tmp_path: Path) -> None:
    """They get it all the time here; the program itself does not."""
    process = started("dask", ["check"], inventory(sshd, tmp_path, n=4), timeout_s=60)
    interrupted = set()

    def interrupt_workers() -> bool:
        for pid in workers_of(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
                interrupted.add(pid)
        return process.poll() is not None

    wait_until(interrupt_workers, 240, "the end of the run")
    ran = ended(process)
    assert (ran.status, ran.stderr) == (1, "")
    assert interrupted


def workers_of(pid: int) -> list[int]:
    """The processes that Dask started: `multiprocessing` runs them, and another one that looks after its own files."""
    found = []
    with suppress(OSError):  # somebody has ended meanwhile
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found


def test_a_scheduler_that_is_not_there_is_reported_before_any_host_is_contacted(sshd: Sshd, tmp_path: Path) -> None:
    for command in (["check"], ["apply", "--yes"]):
        words = ["--engine", "dask:tcp://127.0.0.1:1"]
        ran = keepalive(*command, "-i", inventory(sshd, tmp_path), *words)
        assert ran.status == 2
        assert "error: --engine dask:tcp://127.0.0.1:1: the scheduler cannot be reached" in ran.stderr
        assert "next: start one with `dask scheduler`" in ran.stderr
    assert "Accepted" not in sshd.log


def test_no_secret_is_sent_to_a_cluster(cluster: Cluster, sshd: Sshd, tmp_path: Path) -> None:
    hosts = inventory(sshd, tmp_path, n=2)
    data = yaml.safe_load(hosts.read_text())
    for host in data["hosts"].values():
        host["password"] = "env:OUR_PASSWORD"
    hosts.write_text(yaml.safe_dump(data))
    words = ["--engine", f"dask:{cluster.address}", "--format", "json"]
    ran = keepalive("check", "-i", hosts, *words, OUR_PASSWORD="open-sesame")
    assert {host["failure"]["cause"] for host in ran.data["hosts"]} == {"secret"}  # the workers have no such variable
    assert "env:OUR_PASSWORD: not set" in ran.stdout
    assert "open-sesame" not in cluster.log + ran.stdout + ran.stderr


def run_and_kill(cluster: Cluster, silent: HostileServer, command: list[str], hosts: Path, *, timeout_s: int) -> Ran:
    """Kill the worker that has the silent host, once all other hosts have ended."""
    process = started(f"dask:{cluster.address}", command, hosts, timeout_s=timeout_s)
    wait_until(lambda: silent.n_connections == 1, 120, "a worker to begin the silent host")
    pid = pid_connected_to(silent.port, [one.pid for one in cluster.workers])
    cluster.kill_worker(pid)
    return ended(process)


def started(
    engine: str, command: list[str], hosts: Path, *, timeout_s: int, start_new_session: bool = False
) -> subprocess.Popen[str]:
    words = ["-i", str(hosts), "--engine", engine, "--format", "json", "-f", "4"]
    return subprocess.Popen(
        [sys.executable, "-m", "sshd_keepalive", *command, *words, "--timeout", str(timeout_s)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_STATE_HOME": str(hosts.parent / "state")},
        start_new_session=start_new_session,
    )


def ended(process: subprocess.Popen[str]) -> Ran:
    stdout, stderr = process.communicate(timeout=120)
    assert "Traceback" not in stdout + stderr, stderr
    json.loads(stdout)
    return Ran(process.returncode, stdout, stderr)
