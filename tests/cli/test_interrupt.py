"""Ctrl-C at moments that chance rarely meets: the tests make it come there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.hostile import HostileServer, silence

#: The program, with one line that runs before it.
PROGRAM = """
import atexit, signal
from functools import partial
from sshd_keepalive import __main__, cli
from sshd_keepalive.cli.base import CommandGroup
from sshd_keepalive.cli.output import Output
interrupt = partial(signal.raise_signal, signal.SIGINT)
{before}
__main__.main()
"""
IMPORTS_THE_PROGRAM = "del cli.run; cli.__getattr__ = lambda name: interrupt()"
MAKES_A_CLASS = "CommandGroup.main = lambda *_, **__: exec('interrupt()')"  # as dataclasses and namedtuple do


def run(folder: Path, before: str, *words: str, timeout_s: int = 180) -> subprocess.CompletedProcess[str]:
    (folder / "interrupted.py").write_text(PROGRAM.format(before=before))
    done = subprocess.run(
        [sys.executable, "-m", "interrupted", *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False,
        env={**os.environ, "PYTHONPATH": str(folder), "LOGIN_PASSWORD": "x"},
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize("before", [IMPORTS_THE_PROGRAM, MAKES_A_CLASS], ids=["of the program", "that makes a class"])
def test_during_an_import(tmp_path: Path, before: str) -> None:
    done = run(tmp_path, before, "check", "ops@127.0.0.1:1")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.endswith("interrupted: nothing was changed\n")


def test_a_second_time_while_the_first_is_reported(tmp_path: Path) -> None:
    assert run(tmp_path, "cli.run = interrupt", "check", "ops@127.0.0.1:1").returncode == 130


def test_after_the_result_it_changes_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, "atexit.register(interrupt)", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("sshd-keepalive, version")


def test_while_a_host_is_shown_the_hosts_in_progress_are_not_waited_for(tmp_path: Path) -> None:
    with HostileServer(silence) as silent:
        host = {"address": "127.0.0.1", "user": "ops", "password": "env:LOGIN_PASSWORD"}
        hosts = {"silent": {**host, "port": silent.port}, "closed": {**host, "port": 1}}
        (tmp_path / "hosts.yaml").write_text(yaml.safe_dump({"hosts": hosts}, sort_keys=False))
        words = ("check", "-i", str(tmp_path / "hosts.yaml"), "--timeout", "3600")
        done = run(tmp_path, "Output.show_host = lambda *_: interrupt()", *words, timeout_s=120)
    assert done.returncode == 130
    assert done.stderr.endswith("interrupted: nothing was changed\n")
