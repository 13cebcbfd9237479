"""Clients that answer keep-alives and the same clients when they do not, against a real sshd."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.sshd.test_probe import inventory
from tests.support.cli import keepalive
from tests.support.sshd import Sshd, wait_until, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]

SCRIPTS = Path(__file__).parents[1] / "support" / "real_clients"
NODE_MODULES = Path(__file__).parents[2] / ".cache" / "ssh2" / "node_modules"
COUNT_MAX = 2
LOG_LEVEL = "LogLevel DEBUG1\n"  # sshd logs each answer there
#: The client, and how `diagnose` calls it.
PRODUCTS = {
    "paramiko": "paramiko",
    "asyncssh": "asyncssh",
    "libssh2": "libssh2",
    "node": "node ssh2",
    "dbclient": "Dropbear",
}


def why_missing(client: str) -> str | None:
    """How to get a client; None: it is here."""
    if client == "dbclient":
        return None if shutil.which("dbclient") and shutil.which("dropbearconvert") else "apt install dropbear-bin"
    if client == "node":
        is_here = shutil.which("node") and (NODE_MODULES / "ssh2").is_dir()
        return None if is_here else "npm install --ignore-scripts --prefix .cache/ssh2 ssh2@1.17.0"
    module = {"libssh2": "ssh2"}.get(client, client)
    return None if find_spec(module) else "pip install -c constraints.txt -e '.[dev]'"


clients = pytest.mark.parametrize(
    "client",
    [
        pytest.param(client, marks=pytest.mark.skipif(bool(why_missing(client)), reason=str(why_missing(client))))
        for client in PRODUCTS
    ],
)


@contextmanager
def quiet_session(server: Sshd, client: str, mode: str) -> Iterator[subprocess.Popen[str]]:
    """A session that has begun and says no more."""
    words = [str(server.port), server.user, str(server.user_key), mode]
    if client == "dbclient":
        key = server.folder / "dropbear_key"
        convert = ["dropbearconvert", "openssh", "dropbear", str(server.user_key), str(key)]
        subprocess.run(convert, check=True, capture_output=True)
        argv = ["dbclient", "-y", "-y", "-i", str(key), "-p", str(server.port), f"{server.user}@{server.address}",
                "echo here; exec sleep 3001"]  # fmt: skip
    elif client == "node":
        argv = ["node", str(SCRIPTS / "node_client.js"), *words]
    else:
        argv = [sys.executable, str(SCRIPTS / f"{client}_client.py"), *words]
    pipe = subprocess.PIPE
    environment = os.environ | {"NODE_PATH": str(NODE_MODULES)}
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line == "here\n", process.communicate()
            if client == "dbclient" and mode == "silent":  # it has no switch for that
                process.send_signal(signal.SIGSTOP)
            yield process
        finally:
            process.kill()


def read_error(process: subprocess.Popen[str]) -> str:
    """Let a silent client go on, and give its own error."""
    process.send_signal(signal.SIGCONT)
    return process.communicate("\n", timeout=60)[1]


@clients
def test_a_client_that_answers_lives_and_is_not_listed(client: str, tmp_path: Path) -> None:
    with Sshd(f"ClientAliveInterval 1\nClientAliveCountMax {COUNT_MAX}\n{LOG_LEVEL}") as server:
        hosts = inventory(server, tmp_path, policy=f"1/{COUNT_MAX}")
        with quiet_session(server, client, "answers") as process:
            wait_until(lambda: server.log.count(" for keepalive") > COUNT_MAX + 1, 60, "its answers")
            ran = keepalive("sessions", "--ask-clients", "-i", hosts, "--format", "json")
            assert (ran.status, ran.host()["findings"]) == (0, []), ran.stdout
            assert ran.host()["facts"]["sessions"] == "1"
            assert process.poll() is None
            assert "not responding" not in server.log


@clients
def test_a_client_that_does_not_answer_is_dropped_and_its_error_is_known(client: str, tmp_path: Path) -> None:
    with Sshd(f"ClientAliveInterval 1\nClientAliveCountMax {COUNT_MAX}\n{LOG_LEVEL}") as server:
        hosts = inventory(server, tmp_path, policy=f"1/{COUNT_MAX}")
        with quiet_session(server, client, "silent") as process:
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
            first = known.data["diagnosis"]["suspects"][0]
            assert (first["name"], first["likelihood"]) == ("dead-client", "likely"), known.stdout


@clients
def test_a_client_that_does_not_answer_is_listed_while_it_lives(client: str, tmp_path: Path) -> None:
    with Sshd(f"ClientAliveInterval 1\nClientAliveCountMax 1000\n{LOG_LEVEL}") as server:
        hosts = inventory(server, tmp_path, policy="1/1000")
        with quiet_session(server, client, "silent"):

            def find_silent() -> list[dict[str, str]]:
                return keepalive("sessions", "--ask-clients", "-i", hosts, "--format", "json").host()["findings"]

            wait_until(lambda: bool(find_silent()), 60, "the client to be listed")
            (finding,) = find_silent()
            assert (finding["setting"], finding["state"]) == ("silent client", "drift")
            assert finding["value"].startswith(f"{server.user} from 127.0.0.1:")
