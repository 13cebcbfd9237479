"""The bar: seen while a host that does not answer yet holds the run up."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.cli import keepalive
from tests.support.hostile import HostileServer
from tests.support.sshd import Sshd, why_not
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with Sshd("ClientAliveInterval 300\nClientAliveCountMax 3\nMaxStartups 100\n") as server:
        yield server


@pytest.fixture
def seen() -> threading.Event:
    """Set when the bar was seen: then the silent host is done."""
    return threading.Event()


@pytest.fixture
def hosts(sshd: Sshd, seen: threading.Event, tmp_path: Path) -> Iterator[Path]:
    """Three times the server, then one that is silent for a while and turns out to be no SSH server."""

    def treat(connection: socket.socket, left: threading.Event) -> None:
        while not (seen.wait(0.05) or left.is_set()):
            pass
        connection.sendall(b"220 mail.example ESMTP\r\n")

    host: dict[str, object] = {
        **sshd.inventory_host,
    }
    path = tmp_path / "hosts.yaml"
    with HostileServer(treat) as silent:
        hosts = {**{f"h{number}": host for number in range(3)}, "silent": {**host, "port": silent.port}}
        path.write_text(yaml.safe_dump({"hosts": hosts}, sort_keys=False))
        yield path


def test_count_and_rate_are_shown_before_the_hosts(hosts: Path, seen: threading.Event) -> None:
    with Terminal("check", "-i", str(hosts), NO_COLOR="1", COLUMNS="120") as terminal:
        terminal.wait_for("3/4")
        terminal.wait_for("hosts/")
        seen.set()
        assert terminal.end() == 3
    shown = terminal.shown
    assert shown.index("3/4") < shown.index("unreachable silent") < shown.index("ok          3 hosts")
    assert shown.splitlines()[-1].strip() == "4 hosts: 3 ok, 1 unreachable"


def test_a_question_is_not_drawn_over_and_nothing_of_the_bar_is_left(
    hosts: Path, seen: threading.Event, tmp_path: Path, sshd: Sshd
) -> None:
    """A host whose key is not known asks while the others are in progress."""
    data = yaml.safe_load(hosts.read_text())
    data["hosts"]["asks"] = {**sshd.inventory_host, "known_hosts": str(tmp_path / "known_hosts")}
    hosts.write_text(yaml.safe_dump(data, sort_keys=False))
    with Terminal("check", "-i", str(hosts), NO_COLOR="1", COLUMNS="120") as terminal:
        terminal.wait_for("(yes/no/fingerprint)?")
        asked = len(terminal.raw)
        terminal.answer("no")
        terminal.wait_for("4/5")
        seen.set()
        terminal.end()
    between = terminal.raw[asked : terminal.raw.index("no\r\n", asked)]
    assert "check [" not in between, "the question stays as it is until it is answered"
    last_bar = terminal.raw.rindex("check [")
    assert "\r\x1b[K" in terminal.raw[last_bar:], "the line is erased at the end"


def test_quiet_keeps_the_bar(hosts: Path, seen: threading.Event) -> None:
    with Terminal("check", "-q", "-i", str(hosts), NO_COLOR="1", COLUMNS="120") as terminal:
        terminal.wait_for("3/4")
        seen.set()
        assert terminal.end() == 3
    assert "ok          " not in terminal.shown


def test_a_narrow_terminal_gets_whole_words_and_a_pipe_whole_lines(hosts: Path, seen: threading.Event) -> None:
    seen.set()
    words = ("check", "-i", str(hosts), "--no-progress")
    with Terminal(*words, NO_COLOR="1", COLUMNS="44") as terminal:
        assert terminal.end() == 3
    assert max(len(line) for line in terminal.shown.splitlines() if "next: " not in line) <= 44
    assert max(map(len, keepalive(*words).stdout.splitlines())) > 44


def test_colours_follow_the_environment(hosts: Path) -> None:
    words = ("check", "-i", hosts, "--limit", "h0")
    assert "\x1b[32mok\x1b[0m  " in keepalive(*words, FORCE_COLOR="1").stdout
    assert "\x1b" not in keepalive(*words, FORCE_COLOR="1", NO_COLOR="1").stdout
    assert "\x1b" not in keepalive(*words).stdout


def test_wave_and_budget_of_a_rollout(hosts: Path, seen: threading.Event, tmp_path: Path) -> None:
    words = ("apply", "--yes", "-i", str(hosts), "--serial", "3,1", "--max-fail", "2")
    with Terminal(*words, NO_COLOR="1", COLUMNS="160", XDG_STATE_HOME=str(tmp_path)) as terminal:
        terminal.wait_for("wave 2 of 2, 0 failed of 2 allowed")
        seen.set()
        assert terminal.end() == 3


def test_lines_for_a_file_arrive_there_though_a_bar_is_shown(
    hosts: Path, seen: threading.Event, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ("check", "-i", str(hosts), "--format", "jsonl")
    with Terminal(*words, stdout=out, NO_COLOR="1", COLUMNS="120") as terminal:
        terminal.wait_for("3/4")
        seen.set()
        assert terminal.end() == 3
    assert "{" not in terminal.shown
    assert [json.loads(line)["name"] for line in out.read_text().splitlines()][-1] == "silent"


def test_without_a_terminal_there_is_no_bar(hosts: Path, seen: threading.Event) -> None:
    seen.set()
    ran = keepalive("check", "-i", hosts)
    words = [line.split()[0] for line in ran.stdout.splitlines() if line and not line.startswith(" ")]
    assert words == ["unreachable", "ok", "4"]
    assert ran.stderr == ""
