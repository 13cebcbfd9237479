"""The program as the operating system sees it: its standard streams, and what a defect of ours ends with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import PROGRAM, keepalive

DEFECT = "def load(source):\n    raise RuntimeError('a defect')\n\n\ndef recognises(head, path):\n    return False\n"


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "<&- 2>&-", "<&- >&- 2>&-", ">&-", "2>&-"])
def test_closed_streams_change_no_exit_code(closed: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    words = f"-P -m sshd_keepalive check ops@127.0.0.1:1 --out json:{report}"
    done = subprocess.run(
        f'"{sys.executable}" {words} {closed}',
        shell=True,
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
    assert json.loads(report.read_text())["hosts"][0]["failure"]


def test_a_defect_is_never_taken_for_drift(tmp_path: Path) -> None:
    (tmp_path / "stranger.py").write_text(DEFECT)
    installed = tmp_path / "stranger-0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Name: stranger\nVersion: 0\n")
    (installed / "entry_points.txt").write_text("[sshd_keepalive.inventories]\nstranger = stranger\n")
    done = subprocess.run(
        [*PROGRAM, "check", "-i", "stranger:anything"],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 5
    assert "a defect" in done.stderr


def test_the_version_comes_with_those_of_the_libraries_when_asked() -> None:
    ran = keepalive("--version", "-v")
    assert ran.status == 0
    names = [line.split()[0] for line in ran.stdout.splitlines()]
    assert names == ["sshd-keepalive,", "Python", "paramiko", "cryptography", "click"]
    assert keepalive("--version").stdout == ran.stdout.splitlines(keepends=True)[0]
