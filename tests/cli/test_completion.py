"""What Tab offers, asked as the shells ask; bash itself is asked too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from sshd_keepalive.cli import COMMANDS, COMPLETES, command


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv(COMPLETES, "x")
    (tmp_path / "hosts.yaml").write_text(
        "groups: {etl: {hosts: {ecs-01: 192.0.2.1, ecs-02: 192.0.2.2}}, db: {hosts: {d: }}}\n"
    )
    (tmp_path / "config-of-ssh").write_text("Host web1 web2\nHost *\n User ops\n")
    (tmp_path / "boom").write_text("#!/bin/sh\ntouch ran\n")
    (tmp_path / "boom").chmod(0o755)
    return tmp_path


def offered(*words: str) -> list[str]:
    *finished, incomplete = words
    found = ShellComplete(command, {}, "sshd-keepalive", COMPLETES).get_completions(finished, incomplete)
    return [f"{item.type}:" if item.type != "plain" else item.value for item in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ch"], ["check"]),
        ([""], list(COMMANDS)),
        (["check", "-i", "hosts.yaml", "e"], ["ecs-01", "ecs-02", "etl"]),
        (["check", "-i", "hosts.yaml", "-l", ""], ["all", "d", "db", "ecs-01", "ecs-02", "etl"]),
        (["apply", "-i", "hosts.yaml", "--limit", "db,!ecs"], ["db,!ecs-01", "db,!ecs-02"]),
        (["plan", "-i", "hosts.yaml", "-J", "ecs-01,d"], ["ecs-01,d", "ecs-01,db"]),
        (["check", "-i", "config-of-ssh", "w"], ["web1", "web2"]),
        (["check", "-i", "hosts.yaml", "-i", "config-of-ssh", "-l", "web2"], ["web2"]),
        (["check", "--format", "j"], ["json", "jsonl", "junit"]),
        (["check", "--out", "js"], ["json:", "jsonl:"]),
        (["check", "--notify", "app"], ["apprise:"]),
        (["check", "--benchmark", "stig-u"], ["stig-ubuntu-20.04", "stig-ubuntu-22.04", "stig-ubuntu-24.04"]),
        (["check", "--engine", "thr"], ["thread"]),
        (["check", "-i", "yaml:ho"], ["yaml:hosts.yaml"]),
        (["check", "-i", "ans"], ["ansible:"]),
        (["check", "-i", "hos"], ["file:"]),
        (["check", "-i", ""], ["file:"]),
        (["check", "--private-key", "x"], ["file:"]),
        (["check", "--color", "a"], ["auto", "always"]),
        (["check", "-i", "gone.yaml", "-l", ""], []),
        (["check", "-i", "-", "-l", ""], []),
        (["check", "-i", "boom", "-l", ""], []),
        (["check", ""], []),
        (["completion", ""], ["bash", "zsh", "fish"]),
    ],
    ids=" ".join,
)
def test_is_offered(place: Path, words: list[str], expected: list[str]) -> None:
    assert offered(*words) == expected
    assert not (place / "ran").exists()


def test_the_inventory_of_the_environment_and_of_the_configuration_file_counts(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "sshd-keepalive.yaml").write_text(
        "unknown: 1\ninventory: [hosts.yaml]\napply: {inventory: config-of-ssh}\n"
    )
    assert offered("check", "ec") == []  # nobody has named the file
    assert offered("--config", "sshd-keepalive.yaml", "check", "ec") == ["ecs-01", "ecs-02"]
    monkeypatch.setenv("SSHD_KEEPALIVE_CONFIG", "sshd-keepalive.yaml")
    assert offered("check", "ec") == ["ecs-01", "ecs-02"]
    assert offered("apply", "we") == ["web1", "web2"]
    monkeypatch.setenv("SSHD_KEEPALIVE_INVENTORY", "config-of-ssh")
    assert offered("check", "") == ["all", "web1", "web2"]


@pytest.mark.parametrize(
    ("shell", "asked", "answer"),
    [
        ("bash", {"COMP_LINE": "sshd-keepalive check -i yaml:ho"}, "plain,hosts.yaml\n"),
        (
            "zsh",
            {"COMP_WORDS": "sshd-keepalive hosts -i yaml:hosts.yaml d", "COMP_CWORD": "4"},
            "plain\nd\n_\nplain\ndb\n_\n",
        ),
        ("fish", {"COMP_WORDS": "sshd-keepalive hosts -i hosts.yaml", "COMP_CWORD": "et"}, "plain,etl\n"),
    ],
)
def test_each_shell_is_answered_in_its_protocol(shell: str, asked: dict[str, str], answer: str) -> None:
    assert keepalive_completes(shell, asked) == answer


def keepalive_completes(shell: str, asked: dict[str, str]) -> str:
    code = "import sys, sshd_keepalive.__main__ as m\ntry: m.main()\nfinally: assert 'paramiko' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, COMPLETES: f"{shell}_complete", **asked},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_lines_for_a_shell_are_printed(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COMPLETES)
    printed = CliRunner().invoke(command, ["completion", shell])
    assert (printed.exit_code, printed.stderr) == (0, "")
    assert f"{COMPLETES}={shell}_complete" in printed.stdout
    if path := shutil.which(shell):
        subprocess.run([path, "-n"], input=printed.stdout, text=True, check=True)


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_completes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COMPLETES)
    (place / "sshd-keepalive").write_text(f'#!/bin/sh\nexec {sys.executable} -m sshd_keepalive "$@"\n')
    (place / "sshd-keepalive").chmod(0o755)
    lines = CliRunner().invoke(command, ["completion", "bash"]).stdout
    line = "./sshd-keepalive check -i yaml:hosts.yaml -l db,ecs"
    asked = f"COMP_LINE='{line}' COMP_POINT={len(line)}; _sshd_keepalive_completion ./sshd-keepalive 2>/dev/null"
    done = subprocess.run(
        ["bash", "--norc", "-c", f'{lines}\n{asked}; printf "%s\\n" "${{COMPREPLY[@]}}"'],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["db,ecs-01", "db,ecs-02"]
