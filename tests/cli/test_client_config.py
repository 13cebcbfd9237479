"""`client-config`: what it prints is what the clients take, and it reads an ssh_config as ssh does."""

from __future__ import annotations

import json
from pathlib import Path

import paramiko
import pytest
from click.testing import CliRunner, Result

from sshd_keepalive.cli.commands.client_config import CLIENTS, NAMES, command


def run(*words: str | Path) -> Result:
    result = CliRunner().invoke(command, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


def test_every_client_gets_the_numbers() -> None:
    told = json.loads(run("--interval", "1m", "--count", "4", "--format", "json").stdout)["clients"]
    assert set(told) == set(NAMES)
    for name, client in told.items():
        assert ("60000" if name == "jsch" else "60") in client["text"]
    assert run("--for", "jsch").stdout.startswith("jsch: before session.connect()")


def test_paramiko_has_what_is_printed_for_it() -> None:
    assert hasattr(paramiko.Transport, "set_keepalive")


def test_what_is_printed_for_openssh_passes_the_check(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host etl\n  User ops\n" + CLIENTS[0].render(60, 3) + "\n")
    checked = run("--check", config, "--interval", "60")
    assert checked.exit_code == 0
    assert checked.stdout == "ok    etl  ServerAliveInterval 60\nok    any other host  ServerAliveInterval 60\n"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 1),
        ("Host *\n  ServerAliveInterval 0\n", 1),
        ("Host *\n  ServerAliveInterval 300\n", 0),
        ("Host *\n  ServerAliveInterval 5m\n", 0),
        ("Host *\n  ServerAliveInterval 301\n", 1),
        ("ServerAliveInterval 600\nHost *\n  ServerAliveInterval 60\n", 1),  # the first value wins
        ("Host etl\n  ServerAliveInterval 60\n", 1),  # nobody else has one
    ],
)
def test_check(tmp_path: Path, text: str, code: int) -> None:
    config = tmp_path / "config"
    config.write_text(text)
    assert run("--check", config).exit_code == code
    assert (
        json.loads(run("--check", config, "--format", "json").stdout)["hosts"][-1]["state"] == ["drift", "ok"][1 - code]
    )


def test_one_host_can_be_asked_for(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host etl\n  ServerAliveInterval 60\n")
    assert run("--check", config, "etl").exit_code == 0
    assert run("--check", config, "web").exit_code == 1
