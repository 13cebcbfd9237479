"""A fleet behind one jump host that dies in mid-run: every host has its report, nothing hangs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.support.cli import Ran
from tests.support.sshd import Sshd, wait_until, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]

N = 40


def login(server: Sshd) -> dict[str, object]:
    return {
        "address": server.address,
        "port": server.port,
        "user": server.user,
        "identity_file": str(server.user_key),
        "known_hosts": str(server.known_hosts),
        "become": "none",
    }


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_jump_host_that_dies_in_mid_run(tmp_path: Path, comes_back: bool) -> None:
    with Sshd("ClientAliveInterval 300\nClientAliveCountMax 3\nMaxStartups 100\n") as target, Sshd() as hop:
        settings = {"sshd_config": str(target.config_file), "service": service(target), "jump": "hop"}
        hosts = {"hop": login(hop), **{f"h{n}": {**login(target), **settings} for n in range(N)}}
        inventory = tmp_path / "hosts.yaml"
        inventory.write_text(yaml.safe_dump({"hosts": hosts}, sort_keys=False))
        words = ["check", "-i", str(inventory), "-f", "4", "--limit", "h*,!hop", "--format", "json", "--timeout", "120"]
        process = subprocess.Popen(
            [sys.executable, "-m", "sshd_keepalive", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: target.log.count("Accepted publickey") >= 5, 60, "some hosts to be looked at")
        serving = children(hop.pid)
        if not comes_back:
            hop.stop()
        for pid in serving:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=300)
        assert "Traceback" not in stdout + stderr, stderr
        ran = Ran(process.returncode, stdout, stderr)
        n_logins = hop.log.count("Accepted publickey")
    assert Counter(host["name"] for host in ran.data["hosts"]) == Counter(f"h{n}" for n in range(N))
    causes = Counter(host["failure"]["cause"] for host in ran.data["hosts"] if host["failure"])
    if comes_back:  # connected to again; lost were those in flight, and those that took it for alive a moment longer
        assert sum(causes.values()) <= 2 * 4, causes
        assert n_logins == 2
    else:
        assert causes["refused"] > 0, causes
        messages = [host["failure"]["message"] for host in ran.data["hosts"] if host["failure"]]
        unnamed = [message for message in messages if not message.startswith(("jump host hop ", "hop "))]
        assert not unnamed


def service(server: Sshd) -> dict[str, str]:
    return {"manager": "pidfile", "pidfile": str(server.folder / "pid")}


def children(parent: int) -> list[int]:
    """The processes that serve a connection: those of the listener, and theirs."""
    of: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            of.setdefault(int((entry / "stat").read_text().rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found = of.get(parent, [])
    return found + [pid for child in found for pid in of.get(child, [])]
