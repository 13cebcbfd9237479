"""`losses` on hosts whose sessions a box on the way really cut, from the journal and from a compressed text log."""

import os
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.cli import keepalive
from tests.support.middlebox import Middlebox
from tests.support.sshd import wait_until

from .hosts import Lab, LabHost
from .test_sessions_live import ending, inventory, job

__all__ = ["ending"]
Boot = Callable[..., list[LabHost]]

#: Sessions of `pwd` are quiet until they are cut; others are dropped after (1 + 1) x 6 s. Either may take 3 s to begin:
#: a length may be so much above its limit.
_CONFIG = """
ClientAliveInterval 6
ClientAliveCountMax 1
Match User pwd
    ClientAliveInterval 0
"""
_LOG = "journalctl -q -o short -t sshd -t sshd-session --no-pager"
#: The journal's lines as a log that was rotated and compressed; a new journal may begin in the very second.
_AS_TEXT = f"""
{_LOG} | gzip >/var/log/auth.log.2.gz
: >/var/log/auth.log
rm -rf /var/log/journal/* /run/log/journal/*
systemctl restart systemd-journald
"""


# OpenSSH 8.4 (d11) logs a reset at LogLevel VERBOSE only; then the log gives no reason.
@pytest.mark.parametrize(("kind", "log", "cut"), [("d13", "journal", "cut"), ("d11", "text", "unknown")])
def test_sessions_that_were_cut_are_counted_with_their_lengths(
    lab: Lab, boot: Boot, tmp_path: Path, ending: list["subprocess.Popen[str]"], kind: str, log: str, cut: str
) -> None:
    (host,) = boot(kind)
    host.run(f"echo '{_CONFIG}' >/etc/ssh/sshd_config.d/00-quick.conf")
    host.restart_sshd()
    hosts = inventory(tmp_path / "hosts.yaml", lab, host, "6/1", match_overrides="keep")
    address = (host.address, 22)
    with Middlebox(address, 6.1, resets=True) as resetting, Middlebox(address, 4.0, resets=False) as forgetting:
        for box, user in ((resetting, "pwd"), (forgetting, "ops")):
            for _ in range(3):
                ending.append(job(lab, box.address, "echo here; sleep 90", user=user))
                assert ending[-1].stdout is not None
                assert ending[-1].stdout.readline() == "here\n"
        said = job(lab, address, "echo finished")
        assert said.communicate(timeout=60)[0] == "finished\n"
        wait_until(lambda: host.run(_LOG).stdout.count("not responding") == 3, 60, "sshd to drop three sessions")
    wait_until(lambda: host.run(_LOG).stdout.count("session closed") >= 7, 60, "the journal to tell of all ends")
    if log == "text":
        host.run(_AS_TEXT)
    ran = keepalive("losses", "-i", hosts, "--format", "json")
    assert ran.status == 1, ran.stdout
    found = ran.host()["losses"]
    assert ran.host()["facts"]["log"].startswith("journal" if log == "journal" else "2 text logs")
    assert found["sessions"]["timeout"] == found["sessions"][cut] == 3, found
    assert found["sessions"]["peer"] >= 1
    assert {(c["end"], c["sessions"], c["accounts"]) for c in found["clusters"]} == {("timeout", 3, 1), (cut, 3, 1)}
    assert [c["seconds"] for c in found["clusters"]] == [12, 6]
    hidden = keepalive("losses", "-i", hosts, "--format", "json", "--anonymous").stdout
    assert '"account-1"' in hidden
    assert '"account": "ops"' not in hidden
    history = f"{tmp_path}/history.db"
    checked = keepalive("check", "-i", hosts, "--losses", "--record", "--store", history, "--format", "json")
    assert (checked.status, checked.host()["state"]) == (0, "ok"), "the policy is met, whatever the log tells"
    assert checked.host()["losses"]["sessions"]["timeout"] == 3
    assert "lost sessions: " in checked.host()["facts"]["notes"]
    assert keepalive("losses", "-i", hosts, "--record", "--store", history).status == 1
    again = keepalive("check", "-i", hosts, "--losses", "--record", "--store", history, "--format", "json")
    assert (again.status, again.host()["changes"]) == (0, []), "the record of losses is no record of the policy"
    shown = keepalive("losses", "-i", hosts)
    assert "ops from" in shown.stdout
    assert "#" in shown.stdout


@pytest.mark.parametrize(
    ("on_loss", "status", "end", "interval"), [("report", 1, "applied", "2"), ("undo", 4, "rolled_back", "0")]
)
def test_a_client_that_the_new_values_drop_is_found_in_the_watch(
    lab: Lab, boot: Boot, tmp_path: Path, ending: list["subprocess.Popen[str]"],
    on_loss: str, status: int, end: str, interval: str,
) -> None:  # fmt: skip
    (host,) = boot("d13")
    hosts = inventory(tmp_path / "hosts.yaml", lab, host, "2/1")
    with ThreadPoolExecutor(1) as pool:
        words = ("apply", "--yes", "-i", hosts, "--watch", "30s", "--on-loss", on_loss, "--format", "json")
        applying = pool.submit(keepalive, *words)
        confirmed = "grep -qsx applied /var/lib/sshd-keepalive/*/*/decided/how"
        host.wait_until(confirmed, "the change to be confirmed")
        frozen = job(lab, (host.address, 22), "echo here; sleep 90")
        ending.append(frozen)
        assert frozen.stdout is not None
        assert frozen.stdout.readline()
        os.kill(frozen.pid, signal.SIGSTOP)
        ran = applying.result(120)
    os.kill(frozen.pid, signal.SIGCONT)
    assert (ran.status, ran.host()["change"]) == (status, end), ran.stdout
    (silent,) = [finding for finding in ran.host()["findings"] if finding["setting"] == "silent client"]
    assert silent["value"].startswith("1 session dropped since the change")
    assert host.sshd_values()["clientaliveinterval"] == interval
