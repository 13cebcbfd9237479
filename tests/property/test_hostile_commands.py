"""A short part of `make fuzz`: some seeds of hostile answers through every command that reads from a host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sshd_keepalive.cli import command as program
from tests.support import answers, fuzzing


@pytest.mark.parametrize("first", range(0, 160, 20))
def test_hostile_answers_end_in_a_report(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + 20):
        fuzzing.run(seed, tmp_path)


ENDLESS = ("output without end", "records without end", "a byte now and then")


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", [name for name in answers.hostile() if name not in ENDLESS])
@pytest.mark.parametrize("command", ["check", "plan", "apply", "why"])
def test_large_answers_end_in_a_report(name: str, command: str, tmp_path: Path) -> None:
    """What `make fuzz` sends over connections to `check`, through the other commands as well."""
    text = b"".join(answers.hostile()[name]()(b""))
    words = [command, fuzzing.HOSTS[0], "--format", "json", *(["--yes"] if command == "apply" else [])]
    with fuzzing.hosts_that_say(text):
        result = CliRunner().invoke(program, words, env={"XDG_STATE_HOME": str(tmp_path)})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert result.exit_code in (0, 1, 3), result.output[-2000:]
    failure = json.loads(result.stdout)["hosts"][0]["failure"]
    assert failure is None or failure["kind"] in ("observe", "config_broken", "validate", "shell"), failure
