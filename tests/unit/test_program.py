"""The commands that start this program again and that add an extra."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sshd_keepalive import program
from sshd_keepalive.quoting import quote


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


@pytest.mark.parametrize(
    ("left", "command"),
    [
        ({"pipx_metadata.json": "{}"}, "pipx inject {tool} 'sshd-keepalive[history]'"),
        (
            {"uv-receipt.toml": '[tool]\nrequirements = [{ name = "sshd-keepalive", extras = ["reports"] }]\n'},
            "uv tool install 'sshd-keepalive[history,reports]'",
        ),
        (
            {"uv-receipt.toml": '[tool]\nrequirements = [{ name = "sshd-keepalive" }]\n'},
            "uv tool install 'sshd-keepalive[history]'",
        ),
        ({}, "{python} -m pip install 'sshd-keepalive[history]'"),
    ],
)
def test_an_extra_is_added_by_the_program_that_installed_this_one(
    left: dict[str, str], command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    for name, content in left.items():
        (tmp_path / name).write_text(content)
    assert program.suggest_extra("history") == command.format(tool=tmp_path.name, python=quote(sys.executable))


def test_the_single_file_cannot_be_extended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "sshd-keepalive.pyz", "w") as archive:
        archive.writestr("__main__.py", "")
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "sshd-keepalive.pyz")])
    assert program.suggest_extra("dask").endswith("install the program: pipx install 'sshd-keepalive[dask]'")
