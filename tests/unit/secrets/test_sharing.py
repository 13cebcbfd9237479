"""Secrets over process borders: no value is in a job, local workers ask for it, refusals count for all."""

from __future__ import annotations

import io
import pickle
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from sshd_keepalive import engines
from sshd_keepalive.engines import dask
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.fleet import one_host as fleet
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
    sent, named = dask._pack(partial(fleet.check_host, orders=Orders(run_id="r", secrets=secrets)))
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
    with pytest.raises(ConfigError, match="nobody to ask"):
        first.ask("test")
    other, _ = dask._pack(partial(jobs.asking, secrets=Secrets()))
    assert dask._Unpacker(io.BytesIO(other), None).load().keywords["secrets"] is not first


def test_processes_ask_back_and_a_person_is_asked_once() -> None:
    asked = []
    lock = threading.Lock()

    def prompt(purpose: str) -> str:
        with lock:
            asked.append(purpose)
        return "hush-hush"

    job = partial(jobs.asking, secrets=Secrets(prompt))
    reports = list(engines.named("dask").run(job, HOSTS, workers=4))
    assert len({dict(report.facts)["pid"] for report in reports}) == 2
    assert {dict(report.facts)["length"] for report in reports} == {"9"}
    assert asked == ["a test"]


def test_what_cannot_be_had_is_told_in_the_same_words() -> None:
    job = partial(jobs.asking, secrets=Secrets())
    (report,) = engines.named("dask").run(job, HOSTS[:1], workers=4)
    assert dict(report.facts)["error"] == "ConfigError: a test: nobody to ask"


def test_refusals_count_for_all_processes_together() -> None:
    """Each host would refuse the password; three may be asked, whichever process they fall to."""
    job = partial(jobs.refused, secrets=Secrets())
    reports = list(engines.named("dask").run(job, HOSTS, workers=6))
    assert len(reports) == len(HOSTS)
    assert sum(dict(report.facts)["sent"] == "yes" for report in reports) == LIMIT
