"""Clients of other make than OpenSSH, in quiet sessions in which they answer keep-alives or not."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).with_name("real_clients")
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
        is_here = shutil.which("node") and (SCRIPTS / "node_modules").is_dir()
        return None if is_here else "make tests/support/real_clients/node_modules"
    module = {"libssh2": "ssh2"}.get(client, client)
    return None if find_spec(module) else "pip install -c constraints.txt -e '.[dev]'"


each_client = pytest.mark.parametrize(
    "client",
    [
        pytest.param(client, marks=pytest.mark.skipif(bool(why_missing(client)), reason=str(why_missing(client))))
        for client in PRODUCTS
    ],
)


@contextmanager
def quiet_session(
    client: str, mode: str, address: tuple[str, int], user: str, key: Path, folder: Path
) -> Iterator[subprocess.Popen[str]]:
    """A session that has begun and says no more.

    Args:
        mode: `answers` or `silent`.
        folder: for a copy of the key in the form of another client.
    """
    host, port = address[0], str(address[1])
    if client == "dbclient":
        converted = folder / "dropbear_key"
        convert = ["dropbearconvert", "openssh", "dropbear", str(key), str(converted)]
        subprocess.run(convert, check=True, capture_output=True)
        argv = [
            "dbclient",
            "-y",
            "-y",
            "-i",
            str(converted),
            "-p",
            port,
            f"{user}@{host}",
            "echo here; exec sleep 3001",
        ]
    else:
        runner, suffix = ("node", "js") if client == "node" else (sys.executable, "py")
        argv = [runner, str(SCRIPTS / f"{client}_client.{suffix}"), host, port, user, str(key), mode]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line == "here\n", process.communicate()
            if client == "dbclient" and mode == "silent":  # it has no switch for that
                process.send_signal(signal.SIGSTOP)
            yield process
        finally:
            process.kill()
