"""A jump host that dies in mid-run: every host behind it has its report, nothing hangs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.support.cli import PROGRAM, STATE_HOME, Ran
from tests.support.sshd import Sshd, wait_until, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]

N = 40


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_jump_host_that_dies_in_mid_run(tmp_path: Path, comes_back: bool) -> None:
    with Sshd("ClientAliveInterval 300\nClientAliveCountMax 3\nMaxStartups 100\n") as target, Sshd() as hop:
        hosts = {"hop": hop.inventory_host}
        hosts |= {f"h{n}": target.inventory_host | {"jump": "hop"} for n in range(N)}
        process = start(tmp_path, hosts, "check", "-f", "4", "--timeout", "120")
        wait_until(lambda: target.log.count("Accepted publickey") >= 5, 60, "some hosts to be looked at")
        serving = children(hop.pid)
        if not comes_back:
            hop.stop()
        kill(serving)
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


def test_a_jump_host_that_dies_during_a_change_is_named(tmp_path: Path) -> None:
    """The restart takes until the connection to the jump host is gone; a new login through it finds the old files."""
    config = "ClientAliveInterval 300\nClientAliveCountMax 0\n"
    with Sshd(config) as target, Sshd() as hop:
        before = target.config_file.read_text()
        restart = (
            f"touch {tmp_path}/restarting; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; kill -HUP {target.pid}"
        )
        service = {"manager": "command", "restart": restart, "is_active": "true"}
        hosts = {"hop": hop.inventory_host, "h": target.inventory_host | {"jump": "hop", "service": service}}
        process = start(tmp_path, hosts, "apply", "--yes")
        wait_until((tmp_path / "restarting").exists, 60, "the restart to begin")
        kill(children(hop.pid))
        (tmp_path / "go").touch()
        stdout, stderr = process.communicate(timeout=300)
        after = target.config_file.read_text()
    assert "Traceback" not in stdout + stderr, stderr
    (host,) = Ran(process.returncode, stdout, stderr).data["hosts"]
    assert (host["change"], after) == ("rolled_back", before), host
    assert (host["failure"]["kind"], host["failure"]["cause"]) == ("tcp", "jump-host-lost")
    assert host["failure"]["message"].startswith("hop ("), host
    assert "the connection to this jump host was lost (while a script ran on h)" in host["failure"]["message"]


def start(folder: Path, hosts: dict[str, dict[str, object]], command: str, *words: str) -> subprocess.Popen[str]:
    """Start a command for all hosts but the jump host."""
    inventory = folder / "hosts.yaml"
    inventory.write_text(yaml.safe_dump({"hosts": hosts}, sort_keys=False))
    return subprocess.Popen(
        [*PROGRAM, command, "-i", str(inventory), "--limit", "h*,!hop", "--format", "json", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_STATE_HOME": STATE_HOME.name},
    )


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def children(parent: int) -> list[int]:
    """The processes that serve a connection: those of the listener, and theirs."""
    of: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            of.setdefault(int((entry / "stat").read_text().rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found = of.get(parent, [])
    return found + [pid for child in found for pid in of.get(child, [])]
