"""The history of one real host: it drifts, is mended, and falls back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sshd.test_cli import inventory
from tests.support.cli import Ran, keepalive
from tests.support.sshd import Sshd, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]


def test_a_value_that_we_replaced_and_that_comes_back_is_a_relapse(tmp_path: Path) -> None:
    with Sshd("ClientAliveInterval 300\nClientAliveCountMax 0\n") as sshd:
        hosts = inventory(sshd, tmp_path)
        store = tmp_path / "history.db"

        def run(*words: str) -> Ran:
            return keepalive(*words, "-i", hosts, "--record", "--store", store)

        assert run("check").status == 1
        assert run("apply", "--yes").status == 0
        assert "    changed: ClientAliveCountMax is 3, was 0 on " in _told(store)

        text = sshd.config_file.read_text()
        sshd.config_file.write_text(
            "# This file is managed by Puppet\n" + text.replace("ClientAliveCountMax 3", "ClientAliveCountMax 0")
        )
        sshd.reload()
        relapsed = run("check")
        assert relapsed.status == 1
        assert "    changed: relapse: ClientAliveCountMax is 0 again, which apply replaced on " in relapsed.stdout
        assert f"; {sshd.config_file}:" in relapsed.stdout
        assert ", managed by Puppet" in relapsed.stdout
        assert "changed:" not in run("check").stdout

        assert run("undo", "--yes", "--force").status == 0
        life = keepalive("history", "one", "--store", store).stdout
        assert [line.split()[3:5] for line in life.splitlines() if line[:2] == "20"] == [
            ["check", "drift"],
            ["apply", "applied"],
            ["check", "drift"],
            ["check", "drift"],
            ["undo", "applied"],
        ]
        applied = next(line for line in life.splitlines() if "  apply  " in line)
        assert f"last compliant: {applied[:16]} UTC, run {applied.split()[2]}" in life


def _told(store: Path) -> str:
    """What changed from the first recorded run to the last, as lines of a host."""
    runs = [line.split()[2] for line in keepalive("history", "--store", store).stdout.splitlines()]
    return keepalive("history", runs[0], runs[-1], "--store", store).stdout.replace("    ", "    changed: ")


def test_values_are_compared_with_the_last_time_the_host_could_be_judged(tmp_path: Path) -> None:
    with Sshd("ClientAliveInterval 300\nClientAliveCountMax 0\n") as sshd:
        hosts = inventory(sshd, tmp_path)
        store = ("--record", "--store", tmp_path / "history.db")
        assert keepalive("check", "-i", hosts, *store).status == 1

        gone = tmp_path / "gone"
        gone.mkdir()
        unreached = keepalive("check", "-i", inventory(sshd, gone, port=1), *store)
        assert unreached.status == 3
        assert "    changed: cannot be judged; could be judged on " in unreached.stdout

        text = sshd.config_file.read_text()
        sshd.config_file.write_text(text.replace("ClientAliveCountMax 0", "ClientAliveCountMax 5"))
        sshd.reload()
        back = keepalive("check", "-i", hosts, *store).stdout
        assert "    changed: can be judged again; could not be judged on " in back
        assert "    changed: ClientAliveCountMax is 5, was 0 on " in back
