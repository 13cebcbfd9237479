"""The main job with other programs behind `sh` and the usual commands."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cli import Ran, keepalive

from .hosts import Lab, LabHost

Boot = Callable[..., list[LabHost]]
CONFIG = "/etc/ssh/sshd_config"


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
