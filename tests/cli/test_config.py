"""`config show --origin`: every option of every command, its value, and where it comes from."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sshd_keepalive.cli import COMMANDS, command
from tests.support.cli import keepalive


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("SSHD_KEEPALIVE_CONFIG", "sshd-keepalive.yaml")
    (tmp_path / "sshd-keepalive.yaml").write_text(
        "forks: 50\ninventory: [hosts.yaml, more.yaml]\ncheck:\n  timeout: 5\n  no-progress: true\n"
    )
    return tmp_path


def shown(*words: str, **environment: str) -> list[str]:
    ran = CliRunner().invoke(command, ["config", "show", *words], env=environment)
    assert ran.exit_code == 0, ran.output
    return [" ".join(line.split()) for line in ran.stdout.splitlines()]


def test_every_source_is_named() -> None:
    lines = shown("--origin", "check", "--timeout", "7", "-v", SSHD_KEEPALIVE_USER="jo")
    assert lines[0] == "file: sshd-keepalive.yaml"
    assert {
        "forks 50 sshd-keepalive.yaml:1",
        "inventory hosts.yaml more.yaml sshd-keepalive.yaml:2",
        "no-progress yes sshd-keepalive.yaml:5",
        "timeout 7.0 command line",
        "verbose 1 command line",
        "user jo environment, SSHD_KEEPALIVE_USER",
        "limit - default",
    } <= set(lines)


def test_commands_that_differ_are_told_apart() -> None:
    lines = shown("--origin")
    assert "forks 50 sshd-keepalive.yaml:1" in lines
    assert "check timeout 5.0 sshd-keepalive.yaml:4" in lines
    assert "apply timeout 60.0 default" in lines


def test_without_origin_only_the_values_are_told() -> None:
    assert "forks 50" in shown("check")


def test_no_option_is_left_out() -> None:
    data = json.loads("\n".join(shown("--origin", "--format", "json")))
    told = {(row["command"], row["option"]) for row in data["options"]}
    for name in set(COMMANDS) - {"config"}:
        found = command.get_command(click.Context(command), name)
        assert found is not None
        for parameter in found.params:
            if isinstance(parameter, click.Option) and parameter.name != "help":
                assert (name, str(parameter.name).replace("_", "-")) in told
    assert all(row["origin"] for row in data["options"])


@pytest.mark.parametrize(
    ("words", "said"),
    [(["chek"], "did you mean 'check'?"), (["check", "--frks", "5"], "--frks"), (["check", "-f", "x"], "x")],
)
def test_what_is_no_command_line_is_told(words: list[str], said: str) -> None:
    ran = CliRunner().invoke(command, ["config", "show", *words])
    assert ran.exit_code == 2
    assert said in ran.output


@pytest.mark.parametrize(
    "words",
    [
        ("--config", "own.yaml", "config", "show", "--origin", "check"),
        ("config", "show", "--config", "own.yaml", "--origin", "check"),
        ("config", "show", "--origin", "check", "--config=own.yaml"),
    ],
)
def test_a_named_file_counts_wherever_the_option_stands(place: Path, words: tuple[str, ...]) -> None:
    (place / "own.yaml").write_text("inventory: other.yaml\n")
    lines = [" ".join(line.split()) for line in keepalive(*words).stdout.splitlines()]
    assert lines[0] == "file: own.yaml"
    assert "inventory other.yaml own.yaml:1" in lines


def test_options_of_the_working_directory_are_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSHD_KEEPALIVE_CONFIG")
    refused = keepalive("hosts", "-i", "gone.yaml")
    assert (refused.status, "inventory is not taken from a file" in refused.stderr) == (2, True)
    (place / "sshd-keepalive.yaml").write_text("forks: 5\nhosts: {quiet: true}\n")
    (place / "hosts.yaml").write_text("hosts: {a: 192.0.2.1}\n")
    ran = keepalive("hosts", "-i", "hosts.yaml")
    assert ran.status == 0
    assert ran.stderr == "options from ./sshd-keepalive.yaml: forks, quiet\n"


def test_what_may_be_a_secret_is_not_shown(place: Path) -> None:
    (place / "sshd-keepalive.yaml").write_text(
        "store: postgresql://jo:secret@db/x\ncheck:\n  notify: ['slack://secret/secret', 'apprise:env:CHAT',"
        " 'apprise:secret', 'command:./tell --token secret', secret]\n"
    )
    for words in ((), ("--format", "json")):
        text = "\n".join(shown(*words))
        assert "secret" not in text
        assert "postgresql://jo:***@db/x" in text
    assert "notify slack:*** apprise:env:CHAT apprise:*** command:*** ***" in shown("check")


def test_without_a_file_all_is_default(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "sshd-keepalive.yaml").unlink()
    monkeypatch.delenv("SSHD_KEEPALIVE_CONFIG")
    ran = keepalive("config", "show", "--origin", "hosts")
    assert ran.stdout.splitlines()[0] == "file: none"
    assert all(line.endswith("default") for line in ran.stdout.splitlines()[1:])
