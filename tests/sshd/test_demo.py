"""`demo` against the sshd of this machine, as a newcomer types it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from sshd_keepalive.cli.commands import demo
from tests.support.cli import PROGRAM, keepalive
from tests.support.sshd import wait_until

pytestmark = pytest.mark.sshd


def test_the_demo_repairs_four_servers_and_rolls_the_fifth_back(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    ran = keepalive("demo", TMPDIR=str(folder))
    assert ran.status == 0, ran.stdout
    assert "\nrolled_back fragile\n" in ran.stdout
    assert "\n5 hosts: 4 applied, 1 rolled_back\n" in ran.stdout
    assert "-l '!fragile' -i hosts.yaml\n4 hosts: 4 ok\n" in ran.stdout
    assert "    next: run on the host and read what it says: sh fragile/restart\n" in ran.stdout
    assert ran.stdout.count("\n--- ") == 1, "one plan is shown, once"
    assert len(ran.stdout.splitlines()) <= 60
    assert "/tmp" not in ran.stdout
    assert ran.stdout.endswith("sshd-keepalive check ops@192.0.2.11\n")


def test_no_other_program_gets_the_port_of_a_server_that_restarts(tmp_path: Path) -> None:
    key = demo._make_key(tmp_path / "key")
    with demo._run_server(demo._find_sshd(), tmp_path, "stock", key) as server:
        pid_file = server.directory / "sshd.pid"
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
        wait_until(lambda: not pid_file.exists(), 60, "the end of sshd")
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", server.port))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_servers_of_a_kept_demo_end_with_it(number: signal.Signals) -> None:
    with subprocess.Popen([*PROGRAM, "demo", "--keep"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        shown = next(line for line in process.stdout if "the inventory is" in line)
        directory = Path(shown.split()[3]).parent
        pids = [int(file.read_text()) for file in directory.glob("*/sshd.pid")]
        assert len(pids) == 5
        process.send_signal(number)
        assert process.wait(60) == 0
    assert not directory.exists()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.skipif(os.geteuid() != 0, reason="only an sshd of root needs the directory")
def test_a_demo_of_root_leaves_the_directory_that_every_sshd_of_root_needs() -> None:
    own_run = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && "$@"', "sh"]
    if subprocess.run([*own_run, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let root mount a file system")
    then_stat = ["sh", "-c", '"$@" && stat -c "%U %a" /run/sshd', "sh", *PROGRAM, "demo"]
    ran = subprocess.run([*own_run, *then_stat], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.endswith("\nroot 755\n")
