"""The command that starts this program again."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sshd_keepalive import program


def test_an_installed_program_starts_its_module_and_imports_nothing_from_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise SystemExit('imported from the working directory')\n")
    ran = subprocess.run([*program.argv(), "--version"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("sshd-keepalive")


def test_the_single_file_starts_itself_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sshd-keepalive.pyz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("__main__.py", "print('here')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["./sshd-keepalive.pyz", "demo"])
    ran = subprocess.run(program.argv(), cwd="/", capture_output=True, text=True, check=False)
    assert ran.stdout == "here\n"
