"""Clients that answer keep-alives and the same clients when they do not, against a real sshd."""

from __future__ import annotations

import signal
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.sshd.test_probe import inventory
from tests.support.cli import keepalive
from tests.support.clients import PRODUCTS, each_client, quiet_session
from tests.support.sshd import Sshd, wait_until, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]

COUNT_MAX = 6  # times 1 s: a busy machine lets a client wait
LOG_LEVEL = "LogLevel DEBUG1\n"  # sshd logs each answer there


def session(server: Sshd, client: str, mode: str) -> AbstractContextManager[subprocess.Popen[str]]:
    address = server.address, server.port
    return quiet_session(client, mode, address, server.user, server.user_key, server.folder)


def read_error(process: subprocess.Popen[str]) -> str:
    """Let a silent client go on, and give its own error."""
    process.send_signal(signal.SIGCONT)
    return process.communicate("\n", timeout=60)[1]


@each_client
def test_a_client_that_answers_lives_and_is_not_listed(client: str, tmp_path: Path) -> None:
    with Sshd(f"ClientAliveInterval 1\nClientAliveCountMax {COUNT_MAX}\n{LOG_LEVEL}") as server:
        hosts = inventory(server, tmp_path, policy=f"1/{COUNT_MAX}")
        with session(server, client, "answers") as process:
            wait_until(lambda: server.log.count(" for keepalive") > COUNT_MAX + 1, 60, "its answers")
            ran = keepalive("sessions", "--ask-clients", "-i", hosts, "--format", "json")
            assert (ran.status, ran.host()["findings"]) == (0, []), ran.stdout
            assert ran.host()["facts"]["sessions"] == "1"
            assert process.poll() is None
            assert "not responding" not in server.log


@each_client
def test_a_client_that_does_not_answer_is_dropped_and_its_error_is_known(client: str, tmp_path: Path) -> None:
    with Sshd(f"ClientAliveInterval 1\nClientAliveCountMax {COUNT_MAX}\n{LOG_LEVEL}") as server:
        hosts = inventory(server, tmp_path, policy=f"1/{COUNT_MAX}")
        with session(server, client, "silent") as process:
            log = server.wait_for_log("Timeout, client not responding")
            assert " for keepalive" not in log
            error = read_error(process)
            job_log = tmp_path / "job.log"
            job_log.write_text(error)
            alone = keepalive("diagnose", job_log, "--format", "json")
            assert alone.status == 1, error
            assert alone.data["diagnosis"]["product"] == PRODUCTS[client], error
            (dropped,) = (line for line in log.splitlines() if line.startswith("Timeout, client not responding"))
            job_log.write_text(f"{error}{dropped}\n")
            known = keepalive("diagnose", job_log, "--host", "one", "-i", hosts, "--format", "json")
            first = known.data["diagnosis"]["causes"][0]
            assert (first["name"], first["likelihood"]) == ("dead-client", "likely"), known.stdout


@each_client
def test_a_client_that_does_not_answer_is_listed_while_it_lives(client: str, tmp_path: Path) -> None:
    with Sshd(f"ClientAliveInterval 1\nClientAliveCountMax 1000\n{LOG_LEVEL}") as server:
        hosts = inventory(server, tmp_path, policy="1/1000")
        with session(server, client, "silent"):

            def find_silent() -> list[dict[str, str]]:
                return keepalive("sessions", "--ask-clients", "-i", hosts, "--format", "json").host()["findings"]

            wait_until(lambda: bool(find_silent()), 60, "the client to be listed")
            (finding,) = find_silent()
            assert (finding["setting"], finding["state"]) == ("silent client", "drift")
            assert finding["value"].startswith(f"{server.user} from 127.0.0.1:")
