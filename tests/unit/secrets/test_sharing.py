"""Secrets over process borders: no value is in a job, local workers ask for it, refusals count for all."""

from __future__ import annotations

import io
import os
import pickle
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from sshd_keepalive import engines
from sshd_keepalive.engines import dask
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.fleet.check import check_host
from sshd_keepalive.fleet.one_host import Orders
from sshd_keepalive.model import Host
from sshd_keepalive.secrets.attempts import LIMIT
from sshd_keepalive.secrets.retrieval import Secrets
from tests.support import jobs

pytestmark = pytest.mark.slow

HOSTS = tuple(Host(name=f"h{number}", address="192.0.2.1") for number in range(12))


@pytest.fixture(scope="module", autouse=True)
def _local_cluster() -> Iterator[None]:
    """One cluster for all tests of this file."""
    yield
    dask.disconnect()


def test_no_value_is_in_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_PASSWORD", "open-sesame")
    secrets = Secrets(lambda purpose: "hush-hush")
    secrets.get("env:OUR_PASSWORD", purpose="test")
    secrets.ask("test")
    sent, named = dask._pack(partial(check_host, orders=Orders(run_id="r", secrets=secrets)))
    assert list(named.values()) == [secrets]
    assert b"open-sesame" not in sent
    assert b"hush-hush" not in sent
    with pytest.raises(TypeError, match="do not leave"):
        pickle.dumps(secrets)


def test_on_another_machine_the_references_are_resolved_anew_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_PASSWORD", "here")
    secrets = Secrets(lambda purpose: "hush-hush")
    secrets.get("env:OUR_PASSWORD", purpose="test")
    monkeypatch.setenv("OUR_PASSWORD", "there")
    sent, _ = dask._pack(partial(jobs.asking, secrets=secrets))
    first, second = (dask._Unpacker(io.BytesIO(sent), None).load().keywords["secrets"] for _ in range(2))
    assert first is second  # one ledger for all hosts that the same run sends to a worker
    assert first.get("env:OUR_PASSWORD", purpose="test").reveal() == "there"
    with pytest.raises(ConfigError, match="cannot ask without a terminal"):
        first.ask("test")
    other, _ = dask._pack(partial(jobs.asking, secrets=Secrets()))
    assert dask._Unpacker(io.BytesIO(other), None).load().keywords["secrets"] is not first


def test_processes_ask_back_and_a_person_is_asked_once(tmp_path: Path) -> None:
    asked = []
    lock = threading.Lock()

    def prompt(purpose: str) -> str:
        with lock:
            asked.append(purpose)
        return "hush-hush"

    job = partial(jobs.asking, secrets=Secrets(prompt), meeting=tmp_path)
    reports = list(engines.select("dask").run(job, HOSTS, workers=4))
    assert len({dict(report.facts)["pid"] for report in reports}) == 2
    assert {dict(report.facts)["length"] for report in reports} == {"9"}
    assert asked == ["a test"]


def test_what_cannot_be_had_is_reported_in_the_same_words() -> None:
    job = partial(jobs.asking, secrets=Secrets())
    (report,) = engines.select("dask").run(job, HOSTS[:1], workers=4)
    assert dict(report.facts)["error"] == "ConfigError: a test: cannot ask without a terminal"


def test_refusals_count_for_all_processes_together() -> None:
    """Each host would refuse the password; three may be asked, whichever process they fall to."""
    job = partial(jobs.refused, secrets=Secrets())
    reports = list(engines.select("dask").run(job, HOSTS, workers=6))
    assert len(reports) == len(HOSTS)
    assert sum(dict(report.facts)["sent"] == "yes" for report in reports) == LIMIT


def test_a_value_is_in_no_argument_no_environment_and_no_file_of_a_worker() -> None:
    value = f"open-sesame-{os.getpid()}"
    job = partial(jobs.asking, secrets=Secrets(lambda purpose: value))
    reports = list(engines.select("dask").run(job, HOSTS, workers=4))
    pids = {dict(report.facts)["pid"] for report in reports}
    assert {dict(report.facts)["length"] for report in reports} == {str(len(value))}
    folder = dask._connections[""].folder
    assert folder is not None
    written = [path for path in Path(folder.name).rglob("*") if path.is_file()]
    for path in (*written, *(Path(f"/proc/{pid}/{name}") for pid in pids for name in ("cmdline", "environ"))):
        assert value.encode() not in path.read_bytes(), path


def test_a_process_without_the_key_of_the_run_gets_no_secret() -> None:
    """Another account of this machine reaches the port of the scheduler, and nothing more."""
    from distributed import Client, Security

    list(engines.select("dask").run(jobs.passing, HOSTS[:1], workers=4))
    address = dask._connections[""].cluster.scheduler_address
    assert address.startswith("tls://127.0.0.1:")
    with pytest.raises(OSError, match=r"Timed out|certificate|SSL"):
        Client(address, security=Security.temporary(), timeout=2)
    with pytest.raises((OSError, ValueError, TypeError)):
        Client(address.replace("tls:", "tcp:"), timeout=2)
