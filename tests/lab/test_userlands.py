"""The main job with other programs behind `sh` and the usual commands, and what an earlier version left on a host."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cli import Ran, keepalive

from .hosts import Lab, LabHost

Boot = Callable[..., list[LabHost]]
CONFIG = "/etc/ssh/sshd_config"
OLD, NEW = "/var/backups/sshd-keepalive", "/var/lib/sshd-keepalive"


class Runner:
    """The program aimed at one host."""

    def __init__(self, lab: Lab, host: LabHost, folder: Path) -> None:
        inventory = folder / "hosts.yaml"
        inventory.write_text(lab.inventory())
        self._only = ("-i", inventory, "--limit", host.name, "--format", "json")

    def __call__(self, command: str, *words: str) -> Ran:
        yes = ("--yes", "--confirm-timeout", "60") if command in ("apply", "undo") else ()
        return keepalive(command, *yes, *self._only, *words)

    def end(self, command: str, *words: str) -> str:
        ran = self(command, *words)
        assert ran.host()["change"], ran.stdout
        return ran.host()["change"]


@pytest.mark.parametrize(("kind", "shell"), [("alpine", "busybox"), ("d12", "mksh")])
def test_the_main_job_with_another_userland(lab: Lab, boot: Boot, tmp_path: Path, kind: str, shell: str) -> None:
    (host,) = boot(kind)
    if shell == "mksh":
        shutil.copy(shutil.which("mksh") or "", host.files / "usr/bin/mksh")
        host.run("ln -sf mksh /usr/bin/sh")
    assert host.run("readlink -f /bin/sh").stdout.strip().endswith(shell)
    run = Runner(lab, host, tmp_path)
    stock = host.run(f"cksum {CONFIG}").stdout
    assert run("check").status == 1
    applied = run("apply")
    assert (applied.status, applied.host()["change"]) == (0, "applied"), applied.stdout
    assert run("check").status == 0
    assert run.end("apply") == "unchanged"
    assert run("sessions").host()["failure"] is None
    assert run.end("undo") == "applied"
    assert host.run(f"cksum {CONFIG}").stdout == stock
    assert host.run("find /etc/ssh -name '.sshd-keepalive*'").stdout == ""


def move_back(host: LabHost) -> None:
    """Leave what a run left as an earlier version of the program would have left it."""
    host.run(f"mv {NEW} {OLD}; cd {OLD}; sed -i 's,{NEW},{OLD},g' $(grep -rl {NEW} .)")


def test_runs_of_an_earlier_version_can_be_undone_unless_others_may_have_written_them(
    lab: Lab, boot: Boot, tmp_path: Path
) -> None:
    (host,) = boot("d12")
    run = Runner(lab, host, tmp_path)
    stock = host.run(f"cksum {CONFIG}").stdout
    assert run.end("apply") == "applied"
    move_back(host)
    host.run("chown pwd /var/backups")
    failure = run("undo").host()["failure"]
    assert (failure["kind"], failure["cause"]) == ("read_only", "not_ours")
    assert "chown root /var/backups" in failure["hint"]
    host.run("chown root /var/backups")
    assert run.end("undo") == "applied"
    assert host.run(f"cksum {CONFIG}").stdout == stock
    assert (
        host.run(f"ls {OLD}/etc-ssh-sshd_config | wc -l; ls {NEW}/etc-ssh-sshd_config | wc -l").stdout.split()
        == ["1"] * 2
    )
    assert run.end("undo") == "unchanged"


def test_a_run_of_an_earlier_version_is_over_before_another_begins(lab: Lab, boot: Boot, tmp_path: Path) -> None:
    (host,) = boot("d12")
    run = Runner(lab, host, tmp_path)
    first = run("apply", "--no-confirm", "--confirm-timeout", "900").data["run_id"]
    host.run("systemctl stop 'sshd-keepalive-*.timer'")
    move_back(host)
    refused = run("apply").host()
    assert (refused["change"], refused["failure"]["kind"]) == ("refused", "locked"), refused
    assert first in refused["failure"]["message"]
    old = f"{OLD}/etc-ssh-sshd_config"
    host.run(f"sh {old}/{first}/guard.sh revert")
    # Before anything is changed a run has only its lock; this one has set its timer and lives.
    boot_id = "$(cat /proc/sys/kernel/random/boot_id)"
    host.run(f"mkdir {old}/20260101T000000Z-aaaaaa; : >{old}/20260101T000000Z-aaaaaa/armed")
    host.run(f'echo "20260101T000000Z-aaaaaa 999999999 {boot_id} 1 1" >{old}/lock')
    held = run("apply").host()
    assert (held["change"], held["failure"]["kind"]) == ("refused", "locked"), held
    assert f"holds the lock {old}/lock" in held["failure"]["message"]
    host.run(f"echo '20260101T000000Z-aaaaaa 999999999 another-boot 1 1' >{old}/lock")
    assert run.end("apply") == "applied"
    assert host.run(f"ls {old}/lock {NEW}/etc-ssh-sshd_config/lock 2>/dev/null", check=False).stdout == ""
