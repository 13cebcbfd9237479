"""`diagnose` as it is typed, and pasted."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sshd_keepalive.cli import command as program
from sshd_keepalive.cli.duration import Duration
from sshd_keepalive.fleet.probe import Countdown

CASES = Path(__file__).parents[1] / "cases/logs"


def run(*words: str | Path, stdin: bytes = b"") -> Result:
    result = CliRunner().invoke(program, ["diagnose", *map(str, words)], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


@pytest.mark.parametrize(
    ("name", "code"),
    [("dataarts-published", 1), ("dataarts-succeeded", 0), ("dataarts-script-failed", 0), ("nothing-known", 3)],
)
def test_the_exit_code_says_whether_a_session_was_killed(name: str, code: int) -> None:
    path = CASES / f"{name}.log"
    assert run(path).exit_code == code
    assert run(stdin=path.read_bytes()).exit_code == code
    assert run("-", stdin=path.read_bytes()).exit_code == code


def test_the_published_case_leads_to_the_pair_and_to_plan() -> None:
    said = run(CASES / "dataarts-published.log")
    first = said.stdout.splitlines()[1]
    assert first.startswith("  1. likely    sshd ends every quiet session: ClientAliveCountMax 0 on OpenSSH before 8.2")
    assert "300/0" in said.stdout
    assert "did the script finish? probably" in said.stdout
    assert said.stderr == "next: sshd-keepalive plan HOST\n"


def test_json_keeps_the_document_of_every_command() -> None:
    said = json.loads(run("--format", "json", CASES / "dataarts-published.log").stdout)
    assert (said["schema_version"], said["command"], said["exit_code"], said["hosts"]) == (2, "diagnose", 1, [])
    assert said["diagnosis"]["causes"][0]["name"] == "count-zero"
    assert said["diagnosis"]["next_step"] == "sshd-keepalive plan HOST"
    assert said["diagnosis"]["facts"]["code"] == "3427"


def test_a_file_that_is_not_there_is_a_wrong_command_line(tmp_path: Path) -> None:
    said = run(tmp_path / "none")
    assert (said.exit_code, said.stdout) == (2, "")
    assert "No such file" in said.stderr


def test_an_empty_log_is_called_empty_and_the_next_step_is_a_proof() -> None:
    said = run(stdin=b"")
    assert (said.exit_code, said.stdout.splitlines()[0]) == (3, "the log is empty")
    assert said.stderr == "next: sshd-keepalive probe HOST\n"


def test_a_compressed_log_is_not_searched(tmp_path: Path) -> None:
    path = tmp_path / "run log.gz"
    path.write_bytes(gzip.compress(b"session is down"))
    said = run(path)
    assert (said.exit_code, said.stdout) == (2, "")
    assert f"zcat '{path}' | sshd-keepalive diagnose" in said.stderr
    assert "zcat FILE" in run(stdin=path.read_bytes()).stderr


def test_reports_for_files_tell_the_diagnosis_too(tmp_path: Path) -> None:
    outs = [f"--out={kind}:{tmp_path}/{kind}" for kind in ("json", "jsonl", "text")]
    said = run(CASES / "dataarts-published.log", *outs)
    assert (tmp_path / "text").read_text() == said.stdout
    (line,) = (tmp_path / "jsonl").read_text().splitlines()
    assert json.loads(line) == json.loads((tmp_path / "json").read_text())
    assert json.loads(line)["diagnosis"]["causes"][0]["name"] == "count-zero"


def test_a_host_that_cannot_be_looked_at_is_said_and_the_next_step_can_be_typed(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.yaml"
    hosts.write_text("hosts: {one: {address: 127.0.0.1, port: 1, identity_file: /nonexistent}}")
    said = run(CASES / "dataarts-published.log", "--host", "one", "-i", hosts)
    assert said.exit_code == 3
    assert "one could not be checked: " in said.stdout
    assert said.stderr == f"next: sshd-keepalive plan -i {hosts} one\n"


def test_control_characters_of_a_log_do_not_reach_the_terminal(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\x1b[31m session is down \x1b]0;title\x07 \x9b\n")
    assert not set(run(log).stdout) & set("\x1b\x07\x9b")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("6m", 360), ("1h30m", 5400), ("0.5h", 1800), (" 6M ", 360)]
)
def test_durations(text: str, seconds: float) -> None:
    assert Duration(1, 86400).convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "m", "6x", "-1", "6 m", "0", "2d", "1e3", "٣m"])
def test_no_durations(text: str) -> None:
    assert CliRunner().invoke(program, ["probe", "--idle", text, "h"]).exit_code == 2


def test_a_clock_that_jumps_does_not_move_the_countdown(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    board = Countdown()
    board.start_silence(time.monotonic() + 100)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert board.left_s == pytest.approx(100, abs=5)
    assert str(board) == "1:40 left, 1 quiet, 0 alive"
    board.end_silence(alive=False)
    assert str(board).endswith("0 quiet, 0 alive, 1 lost")
