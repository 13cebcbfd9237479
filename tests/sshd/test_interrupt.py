"""Ctrl-C and Ctrl-D, on a terminal and in front of real servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.cli import PROGRAM, STATE_HOME
from tests.support.hostile import HostileServer, silence
from tests.support.sshd import Sshd, wait_until, why_not
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]
CTRL_C, CTRL_D = "\x03", "\x04"
HANGS_S = 600  # far more than a test waits


@pytest.fixture
def sshd() -> Iterator[Sshd]:
    with Sshd("ClientAliveInterval 300\nClientAliveCountMax 0\n") as server:
        yield server


def inventory(sshd: Sshd, folder: Path, silent: HostileServer | None = None, **settings: object) -> str:
    host = {
        **sshd.inventory_host,
        **settings,
    }
    hosts = {"one": host} | ({"silent": {**host, "port": silent.port}} if silent else {})
    (folder / "hosts.yaml").write_text(yaml.safe_dump({"hosts": hosts}, sort_keys=False))
    return str(folder / "hosts.yaml")


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D])
def test_at_the_question_of_apply_nothing_was_changed(sshd: Sshd, tmp_path: Path, key: str) -> None:
    before = sshd.config_file.read_text()
    with Terminal("apply", "-i", inventory(sshd, tmp_path), NO_COLOR="1") as terminal:
        terminal.wait_for("[y/N]")
        terminal.press(key)
        assert terminal.end() == 130
        assert "interrupted: nothing was changed\n" in terminal.shown
        assert "Traceback" not in terminal.shown
    assert sshd.config_file.read_text() == before


def test_a_refusal_reports_that_nothing_was_changed(sshd: Sshd, tmp_path: Path) -> None:
    with Terminal("apply", "-i", inventory(sshd, tmp_path), NO_COLOR="1") as terminal:
        terminal.wait_for("[y/N]")
        terminal.answer("n")
        assert terminal.end() == 1
        assert terminal.shown.endswith("nothing was changed\n")


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D])
@pytest.mark.parametrize(
    "words",
    [("check",), ("check", "--engine", "serial"), ("plan",), ("apply",), ("apply", "--yes"), ("why",), ("probe",)],
)
@pytest.mark.parametrize("question", ["password", "fingerprint"])
def test_at_a_question_for_a_login_the_program_leaves_at_once(
    tmp_path: Path, words: tuple[str, ...], key: str, question: str
) -> None:
    """The password is asked for by the thread of a host, the terminal is read without echo then."""
    with Sshd("PasswordAuthentication yes\n") as sshd:
        before = sshd.config_file.read_text()
        hosts = inventory(sshd, tmp_path)
        if question == "password":
            extra = ("-k",)
        else:
            (tmp_path / "known").touch()
            hosts, extra = inventory(sshd, tmp_path, known_hosts=str(tmp_path / "known")), ()
        with Terminal(*words, "-i", hosts, *extra, "--timeout", str(HANGS_S), NO_COLOR="1") as terminal:
            terminal.wait_for("password of" if question == "password" else "(yes/no/fingerprint)?")
            terminal.press(key)
            assert terminal.end() == 130
            assert terminal.shows_what_is_typed
            assert "interrupted" in terminal.shown
            assert "Traceback" not in terminal.shown
        assert sshd.config_file.read_text() == before


@pytest.mark.parametrize("command", ["check", "plan", "sessions"])
def test_a_command_that_reads_leaves_at_once(sshd: Sshd, tmp_path: Path, command: str) -> None:
    with HostileServer(silence) as silent:
        hosts = inventory(sshd, tmp_path, silent)
        with Terminal(command, "-i", hosts, "--timeout", str(HANGS_S), NO_COLOR="1") as terminal:
            wait_until(lambda: silent.n_connections == 1, 60, "the silent host to be asked")
            terminal.press(CTRL_C)
            assert terminal.end() == 130
            assert terminal.shown.endswith("interrupted: nothing was changed\n")


def test_apply_finishes_what_it_changes_and_lets_go_of_the_rest(sshd: Sshd, tmp_path: Path) -> None:
    """The restart of one host takes until somebody lets it; the other host never answers its login."""
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    restart = f"touch {tmp_path}/restarting; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; kill -HUP {sshd.pid}"
    service = {"manager": "command", "restart": restart, "is_active": "true"}
    with HostileServer(silence) as silent:
        hosts = inventory(sshd, tmp_path, silent, service=service)
        process = subprocess.Popen(
            [*PROGRAM, "apply", "--yes", "-i", hosts, "--json", "--timeout", str(HANGS_S)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **state},
        )  # fmt: skip
        wait_until((tmp_path / "restarting").exists, 60, "the restart to begin")
        wait_until(lambda: silent.n_connections == 1, 60, "the silent host to be asked")
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)  # not a wait for anything: the signal must not end the change
        assert process.poll() is None
        (tmp_path / "go").touch()
        stdout, stderr = process.communicate(timeout=90)
    assert process.returncode == 130
    told = {
        host["name"]: (host["change"], host["failure"] and host["failure"]["cause"])
        for host in json.loads(stdout)["hosts"]
    }
    assert told == {"one": ("applied", None), "silent": ("not_begun", "interrupted")}
    assert "interrupted: finishing one; press Ctrl-C again to leave at once\n" in stderr
    assert "Traceback" not in stderr
    assert "ClientAliveCountMax 3" in sshd.config_file.read_text()


def test_nothing_is_resumed_when_nothing_is_left(sshd: Sshd, tmp_path: Path) -> None:
    restart = f"touch {tmp_path}/restarting; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; kill -HUP {sshd.pid}"
    service = {"manager": "command", "restart": restart, "is_active": "true"}
    with Terminal("apply", "--yes", "-i", inventory(sshd, tmp_path, service=service), NO_COLOR="1",
                  XDG_STATE_HOME=STATE_HOME.name) as terminal:  # fmt: skip
        wait_until((tmp_path / "restarting").exists, 60, "the restart to begin")
        terminal.press(CTRL_C)
        terminal.wait_for("interrupted: finishing one")
        (tmp_path / "go").touch()
        assert terminal.end() == 130
        assert "1 host: 1 applied" in terminal.shown
        assert "--resume" not in terminal.shown
