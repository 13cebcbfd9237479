"""The man pages hold every option, and both formatters accept them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from sshd_keepalive.cli import COMMANDS, ExitCode, command
from tools import manual

ROOT = Path(__file__).parents[1]
PAGES = manual.render_pages("2026-01-31", (ROOT / "README.md").read_text())


def test_there_is_a_page_for_the_program_and_for_each_command() -> None:
    assert set(PAGES) == {"sshd-keepalive.1", *(f"sshd-keepalive-{name}.1" for name in COMMANDS)}


def test_a_page_shows_every_option_and_every_exit_code() -> None:
    parent = click.Context(command, info_name="sshd-keepalive")
    for name in COMMANDS:
        page = PAGES[f"sshd-keepalive-{name}.1"].replace("\\-", "-")
        described = set(re.findall(r"-[\w-]+", "\n".join(re.findall(r"^\.TP\n\\fB(.+)\\fR$", page, re.MULTILINE))))
        subject = command.get_command(parent, name)
        assert subject is not None
        for one in (subject, *(getattr(subject, "commands", {}).values())):
            for option in one.params:
                if isinstance(option, click.Option) and not option.hidden:
                    assert set(option.opts) <= described, name
        codes = {int(code) for code in re.findall(r"^\.BR (\d+) ", page, re.MULTILINE)}
        assert codes == set(ExitCode), name


def test_text_that_roff_would_read_as_a_request_is_escaped() -> None:
    assert list(manual._render_text(".conf is read\n'x' too\n\n\b\na\\b  ~c\n")) == [
        "\\&.conf is read",
        "\\&'x' too",
        ".PP",
        ".nf",
        "a\\eb  \\(tic",
        ".fi",
    ]


@pytest.mark.skipif(not shutil.which("mandoc"), reason="mandoc is not installed")
@pytest.mark.parametrize("name", PAGES)
def test_mandoc_accepts_the_page(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(PAGES[name])
    ran = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", name], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "")


@pytest.mark.skipif(not shutil.which("man"), reason="man is not installed")
@pytest.mark.parametrize("name", PAGES)
def test_man_shows_the_page_without_a_warning(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(PAGES[name])
    ran = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", name],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANROFFSEQ": ""},
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
