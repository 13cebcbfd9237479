"""Servers other than OpenSSH: named for what they are, at once, after one login at most."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sshd_keepalive.errors import HostError
from sshd_keepalive.model import Host
from sshd_keepalive.remote.observe import observe
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.connect import connect
from tests.support.hostile import HostileServer
from tests.support.leaks import nothing_left
from tests.support.sshd import make_key

pytestmark = pytest.mark.sshd

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin"


def needs(program: str, *, root: bool = False) -> pytest.MarkDecorator:
    is_missing = shutil.which(program, path=PATH) is None or (root and os.geteuid() != 0)
    return pytest.mark.skipif(is_missing, reason=f"needs {program}{' and root' if root else ''}")


def serving(argv: list[str], log: Path) -> Callable[[socket.socket, threading.Event], None]:
    """Make a server of a program that serves one connection, on its standard input and output."""

    def treat(connection: socket.socket, left: threading.Event) -> None:
        with log.open("ab") as said:
            process = subprocess.Popen(argv, stdin=connection, stdout=connection, stderr=said, env={"PATH": PATH})
            connection.close()
        process.wait(60)

    return treat


@pytest.fixture
def dropbear(tmp_path: Path) -> list[str]:
    """Serve one connection from a name space in which the account's home holds nothing but our key."""
    host_key = str(tmp_path / "host_key")
    subprocess.run(["dropbearkey", "-t", "ed25519", "-f", host_key], check=True, capture_output=True)
    public = make_key(tmp_path / "key").with_suffix(".pub")
    script = (
        'mount -t tmpfs -o mode=700 none "$HOME" && mkdir -m 700 "$HOME/.ssh" && '
        'install -m 600 "$0" "$HOME/.ssh/authorized_keys" && exec dropbear -i "$@"'
    )
    home = f"HOME={Path.home()}"
    return ["unshare", "--mount", "env", home, "sh", "-c", script, str(public), "-r", host_key]


def reach(server: HostileServer, folder: Path) -> Host:
    return server.reach(
        user=getpass.getuser(),
        identity_file=str(folder / "key"),
        known_hosts=str(folder / "known"),
        host_keys="accept-new",
    )


@needs("dropbear", root=True)
def test_dropbear_is_reported_after_a_login(dropbear: list[str], tmp_path: Path) -> None:
    with nothing_left(), HostileServer(serving(dropbear, tmp_path / "log")) as server:
        shell = connect(reach(server, tmp_path), secrets=Secrets(), timeout_s=60)
        try:
            assert shell.run("echo hello", timeout_s=60).stdout == b"hello\n"
            with pytest.raises(HostError) as caught:
                observe(shell, datetime.now(UTC), timeout_s=60)
        finally:
            shell.close()
    assert (str(caught.value.kind.value), caught.value.cause) == ("banner", "not-openssh")
    assert "dropbear" in str(caught.value)
    assert server.n_connections == 1


@needs("dropbear", root=True)
def test_a_key_that_dropbear_refuses_is_offered_once(dropbear: list[str], tmp_path: Path) -> None:
    (tmp_path / "stranger").mkdir()
    make_key(tmp_path / "stranger/key")
    with (
        nothing_left(),
        HostileServer(serving(dropbear, tmp_path / "log")) as server,
        pytest.raises(HostError) as caught,
    ):
        connect(reach(server, tmp_path / "stranger"), secrets=Secrets(), timeout_s=60)
    assert (str(caught.value.kind.value), caught.value.cause) == ("auth", "auth-failed")
    assert server.n_connections == 1


@needs("tinysshd")
def test_tinyssh_has_no_cipher_of_ours(tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    subprocess.run(["tinysshd-makekey", tmp_path / "keys"], check=True, capture_output=True, env={"PATH": PATH})
    argv = ["tinysshd", "-v", str(tmp_path / "keys")]
    with nothing_left(), HostileServer(serving(argv, tmp_path / "log")) as server, pytest.raises(HostError) as caught:
        connect(reach(server, tmp_path), secrets=Secrets(), timeout_s=60)
    assert (str(caught.value.kind.value), caught.value.cause) == ("banner", "not-openssh")
    assert "tinyssh" in str(caught.value)
    assert server.n_connections == 1
