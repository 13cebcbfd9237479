"""`why --file`: the command as typed, on copies of configurations."""

from __future__ import annotations

import json
import os
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


def test_a_host_without_a_name_is_named_once() -> None:
    ran = keepalive("why", "127.0.0.1:1")
    assert ran.status == 3
    assert ran.stderr.count("127.0.0.1:1") == 1


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
        (["--file", "/nowhere"], "neither a file nor a directory"),
        (["--file", "/etc/passwd", "--openssh", "new"], "'new' is not a release of OpenSSH"),
        (["--file", "/etc/passwd", "--address", "192.0.2"], "'--address': '192.0.2' is not an IP address"),
        (["--file", "/etc/passwd", "--local-address", "web"], "'--local-address': 'web' is not an IP address"),
        (["host", "--openssh", "9.2"], "--openssh needs --file"),
        ([], "no hosts were named"),
    ],
)
def test_mistakes(words: list[str], said: str) -> None:
    ran = keepalive("why", *words)
    assert ran.status == 2
    assert said in ran.stderr


@pytest.mark.parametrize(
    ("main", "said"),
    [
        ("Port 22\nClientAliveInterval abc\n", "/etc/ssh/sshd_config:2: bad value 'abc'"),
        ("Port 22\nInclude sshd_config\n", "/etc/ssh/sshd_config:2: too many levels of Include: /etc/ssh/sshd_config"),
        ("Include fifo\n", "/etc/ssh/fifo is neither a file nor a directory"),
        ("Include dangling\n", "broken symbolic link"),
        ("Include d/*\n", "broken symbolic link"),
        ("\ufeffPort 22\n", "/etc/ssh/sshd_config:1: the file begins with a byte order mark"),
    ],
)
def test_what_sshd_would_refuse_has_no_answer(
    copied: Path, tmp_path_factory: pytest.TempPathFactory, main: str, said: str
) -> None:
    (copied / "sshd_config").write_text(main)
    (copied / "d").mkdir()
    os.mkfifo(copied / "fifo")
    for link in ("dangling", "d/x"):
        (copied / link).symlink_to("/no/where")
    root = tmp_path_factory.mktemp("root")
    (root / "etc").mkdir()
    for tree in (copied, root):
        ran = keepalive("why", "--file", tree)
        assert (ran.status, ran.stdout) == (2, "")
        assert said in ran.stderr
        if tree == copied:
            copied.rename(root / "etc/ssh")


def test_links_of_a_copied_root_stay_in_it(tmp_path: Path) -> None:
    (tmp_path / "etc/ssh").mkdir(parents=True)
    (tmp_path / "usr/etc").mkdir(parents=True)
    (tmp_path / "usr/etc/main").write_text("Include /etc/ssh/*.conf\n")
    (tmp_path / "usr/etc/more").write_text("ClientAliveInterval 7\n")
    (tmp_path / "etc/ssh/sshd_config").symlink_to("/usr/etc/main")
    (tmp_path / "etc/ssh/a.conf").symlink_to("../../usr/etc/./more")
    assert "ClientAliveInterval 7  /etc/ssh/a.conf:1\n" in keepalive("why", "--file", tmp_path).stdout
    (tmp_path / "etc/ssh/a.conf").unlink()
    (tmp_path / "etc/ssh/a.conf").symlink_to("a.conf")
    ran = keepalive("why", "--file", tmp_path)
    assert (ran.status, ran.stdout) == (2, "")


def test_what_a_reader_may_not_expect_is_reported(copied: Path, tmp_path: Path) -> None:
    ran = keepalive("why", "--file", copied / "sshd_config")
    assert "Include /etc/ssh/sshd_config.d/*.conf is looked up on this machine" in ran.stderr
    (copied / "sshd_config").write_bytes(b"Include /usr/share/x\n# \0\nClientAliveInterval 7\n")
    ran = keepalive("why", "--file", copied)
    assert "Include /usr/share/x names files outside the copy" in ran.stderr
    assert "/etc/ssh/sshd_config:2 holds a NUL byte" in ran.stderr
    os.mkfifo(tmp_path / "fifo")
    assert "fifo is neither a file nor a directory" in keepalive("why", "--file", tmp_path / "fifo").stderr


@pytest.mark.slow
def test_ten_thousand_drop_ins(copied: Path) -> None:
    for number in range(10_000):
        (copied / f"sshd_config.d/{number:05}.conf").write_text(f"ClientAliveCountMax {number}\n")
    ran = keepalive("why", "--file", copied, "--as", "alice", "--format", "json")
    (answer,) = json.loads(ran.stdout)["hosts"][0]["answers"]
    count = answer["settings"][1]
    assert (count["place"], len(count["hides"])) == ({"path": "/etc/ssh/sshd_config.d/00000.conf", "line": 1}, 9_999)
