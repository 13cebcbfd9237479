"""`why --file`: the command as typed, on copies of configurations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import keepalive

BLOCK = "Include /etc/ssh/sshd_config.d/*.conf\nClientAliveInterval 60\nMatch User bob\n\tClientAliveCountMax 0\n"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copied /etc/ssh."""
    (tmp_path / "sshd_config.d").mkdir()
    (tmp_path / "sshd_config").write_text(BLOCK)
    (tmp_path / "sshd_config.d/50.conf").write_text("ClientAliveInterval 5m\n")
    (tmp_path / "sshd_config.d/directory.conf").mkdir()
    return tmp_path


def test_a_copied_etc_ssh(copied: Path) -> None:
    ran = keepalive("why", "--file", copied)
    assert ran.status == 0
    assert "ClientAliveInterval 300  /etc/ssh/sshd_config.d/50.conf:1" in ran.stdout
    assert "hides        /etc/ssh/sshd_config:2" in ran.stdout
    assert "Match User bob (/etc/ssh/sshd_config:3)" in ran.stdout


def test_a_copied_root(copied: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("root")
    (root / "etc").mkdir()
    copied.rename(root / "etc/ssh")
    assert "ClientAliveInterval 300" in keepalive("why", "--file", root).stdout


def test_a_file_is_read_as_sshd_would_here(tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("ClientAliveCountMax 9\n")
    (tmp_path / "main").write_text(f"Include {tmp_path}/[m]ore.conf {tmp_path}/none*/x {tmp_path}/none\n")
    assert f"ClientAliveCountMax 9  {tmp_path}/more.conf:1" in keepalive("why", "--file", tmp_path / "main").stdout


@pytest.mark.parametrize("word", ["--user", "--as"])
def test_one_connection(copied: Path, word: str) -> None:
    ran = keepalive("why", "--file", copied, word, "bob", "--address", "192.0.2.9", "--format", "json")
    (host,) = json.loads(ran.stdout)["hosts"]
    (answer,) = host["answers"]
    assert answer["scope"] == "user=bob, host=192.0.2.9, addr=192.0.2.9, laddr=192.0.2.2, lport=22"
    assert [(s["setting"], s["value"]) for s in answer["settings"]] == [
        ("ClientAliveInterval", "300"),
        ("ClientAliveCountMax", "0"),
    ]


def test_json_lines(copied: Path) -> None:
    (line,) = keepalive("why", "--file", copied, "--format", "jsonl").stdout.splitlines()
    assert json.loads(line)["failure"] is None


def test_the_release_matters(copied: Path) -> None:
    (copied / "sshd_config").write_text("ClientAliveInterval 300#x\n")
    assert "ClientAliveInterval 300 " in keepalive("why", "--file", copied, "--openssh", "8.4p1").stdout
    ran = keepalive("why", "--file", copied, "--openssh", "9.2p1")
    assert ran.status == 2
    assert "/etc/ssh/sshd_config:1: bad value" in ran.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--file", "/nowhere"], "no such file"),
        (["--file", "/etc/passwd", "--openssh", "new"], "no OpenSSH version"),
        (["host", "--openssh", "9.2"], "goes with --file"),
        ([], "no hosts were named"),
    ],
)
def test_mistakes(words: list[str], said: str) -> None:
    ran = keepalive("why", *words)
    assert ran.status == 2
    assert said in ran.stderr
