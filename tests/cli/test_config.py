"""`config`: the options that are set, command by command, and where each value comes from."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sshd_keepalive.cli import COMMANDS, command
from sshd_keepalive.config import document
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
    ran = CliRunner().invoke(command, ["config", *words], env=environment)
    assert ran.exit_code == 0, ran.output
    return [" ".join(line.split()) for line in ran.stdout.splitlines()]


def test_every_source_is_named() -> None:
    lines = shown("check", "--timeout", "7", "-v", SSHD_KEEPALIVE_USER="jo")
    assert lines[0] == "file: sshd-keepalive.yaml"
    assert {
        "forks 50 (sshd-keepalive.yaml:1)",
        "inventory hosts.yaml more.yaml (sshd-keepalive.yaml:2)",
        "no-progress yes (sshd-keepalive.yaml:5)",
        "timeout 7.0 (command line)",
        "verbose 1 (command line)",
        "user jo (environment, SSHD_KEEPALIVE_USER)",
        "limit - (default)",
    } <= set(lines)


def test_the_file_is_read_once_for_the_values_and_once_for_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    read, paths = document.read, []
    monkeypatch.setattr(document, "read", lambda path: paths.append(path) or read(path))
    assert len(shown()) > len(COMMANDS)
    assert paths == ["sshd-keepalive.yaml"] * 2


def test_what_is_set_is_grouped_by_command() -> None:
    lines = shown()
    check, plan = lines.index("check"), lines.index("plan")
    assert sorted(lines[check + 1 : plan - 1]) == [
        "forks 50 (sshd-keepalive.yaml:1)",
        "inventory hosts.yaml more.yaml (sshd-keepalive.yaml:2)",
        "no-progress yes (sshd-keepalive.yaml:5)",
        "timeout 5.0 (sshd-keepalive.yaml:4)",
    ]
    assert lines[plan + 1 : plan + 3] == [
        "inventory hosts.yaml more.yaml (sshd-keepalive.yaml:2)",
        "forks 50 (sshd-keepalive.yaml:1)",
    ]
    assert "completion" not in lines


def test_no_option_is_left_out() -> None:
    data = json.loads("\n".join(shown("--format", "json")))
    told = {(row["command"], row["option"]) for row in data["options"]}
    for name in COMMANDS:
        found = command.get_command(click.Context(command), name)
        assert found is not None
        for parameter in found.params:
            if isinstance(parameter, click.Option) and parameter.expose_value:
                longest = max(parameter.opts, key=len).removeprefix("--")
                assert (name, longest) in told or longest in ("help", "json", "dry-run")
    assert all(row["origin"] for row in data["options"])
    assert not {option for _, option in told if "_" in option}


@pytest.mark.parametrize(
    ("command_name", "option", "variable"),
    [
        ("apply", "confirm-timeout", "SSHD_KEEPALIVE_CONFIRM_TIMEOUT"),
        ("undo", "run", "SSHD_KEEPALIVE_RUN"),
        ("why", "as", "SSHD_KEEPALIVE_AS"),
        ("why", "file", "SSHD_KEEPALIVE_FILE"),
    ],
)
def test_keys_and_variables_are_spelled_as_the_long_options(
    place: Path, command_name: str, option: str, variable: str
) -> None:
    assert f"{option} 60 (environment, {variable})" in shown(command_name, **{variable: "60"})
    (place / "sshd-keepalive.yaml").write_text(f"{command_name}: {{{option}: 60}}\n")
    assert f"{option} 60 (sshd-keepalive.yaml:1)" in shown(command_name)
    (place / "sshd-keepalive.yaml").write_text("check:\n  no_progress: true\n")
    ran = keepalive("config")
    assert (ran.status, "did you mean 'no-progress'?" in ran.stderr) == (2, True)


def test_a_variable_that_means_nothing_is_reported_and_does_no_harm() -> None:
    ran = keepalive("hosts", "-i", "a,b,", SSHD_KEEPALIVE_INVENTROY="x", SSHD_KEEPALIVE_FORKS="3")
    assert (ran.status, ran.stdout.splitlines()[-1]) == (0, "2 hosts")
    assert ran.stderr == (
        "warning: SSHD_KEEPALIVE_INVENTROY is not the variable of any option, "
        "did you mean 'SSHD_KEEPALIVE_INVENTORY'?\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [(["chek"], "did you mean 'check'?"), (["check", "--frks", "5"], "--frks"), (["check", "-f", "x"], "x")],
)
def test_what_is_not_a_command_line_is_reported(words: list[str], said: str) -> None:
    ran = CliRunner().invoke(command, ["config", *words])
    assert ran.exit_code == 2
    assert said in ran.output


@pytest.mark.parametrize(
    "words",
    [
        ("--config", "own.yaml", "config", "check"),
        ("config", "--config", "own.yaml", "check"),
        ("config", "check", "--config=own.yaml"),
    ],
)
def test_a_named_file_counts_wherever_the_option_is(place: Path, words: tuple[str, ...]) -> None:
    (place / "own.yaml").write_text("inventory: other.yaml\n")
    lines = [" ".join(line.split()) for line in keepalive(*words).stdout.splitlines()]
    assert lines[0] == "file: own.yaml"
    assert "inventory other.yaml (own.yaml:1)" in lines


def test_options_of_the_working_directory_are_reported(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSHD_KEEPALIVE_CONFIG")
    refused = keepalive("hosts", "-i", "gone.yaml")
    assert (refused.status, "inventory is not allowed in a file" in refused.stderr) == (2, True)
    (place / "sshd-keepalive.yaml").write_text("forks: 5\ncheck: {quiet: true, no-progress: true}\n")
    ran = keepalive("check", "-i", "a,", "--limit", "b")
    assert ran.stderr.startswith("options from ./sshd-keepalive.yaml: forks, quiet, no-progress\n")


def test_what_may_be_a_secret_is_not_shown(place: Path) -> None:
    (place / "sshd-keepalive.yaml").write_text(
        "store: postgresql://jo:secret@db/x\ncheck:\n  notify: ['slack://secret/secret', 'apprise:env:CHAT',"
        " 'apprise:secret', 'command:./tell --token secret', secret]\n"
    )
    for words in ((), ("check",), ("--format", "json")):
        text = "\n".join(shown(*words))
        assert "secret" not in text
        assert "postgresql://jo:***@db/x" in text
    assert "notify slack:*** apprise:env:CHAT apprise:*** command:*** *** (sshd-keepalive.yaml:3)" in shown("check")


def test_without_a_file_all_is_default(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "sshd-keepalive.yaml").unlink()
    monkeypatch.delenv("SSHD_KEEPALIVE_CONFIG")
    assert keepalive("config").stdout == (
        "file: none\nevery option has its default; sshd-keepalive config check shows those of check\n"
    )
    of_hosts = keepalive("config", "hosts").stdout.splitlines()
    assert of_hosts[:3] == ["file: none", "", "hosts"]
    assert all(line.endswith("(default)") for line in of_hosts[3:])
