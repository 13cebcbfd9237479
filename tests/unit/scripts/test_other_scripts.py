"""The scripts of `sessions`, `check --deep` and `probe --fast`, under every shell a host may have as `sh`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sshd_keepalive.model import Host, Snapshot
from sshd_keepalive.scripts import deep, sessions, trial
from tests.support.shell import LocalShell, installed_shells, write_command

SHELLS = installed_shells()
SNAPSHOT = Snapshot(
    host=Host(name="one", address="192.0.2.1"),
    taken_at=datetime(2026, 1, 31, tzinfo=UTC),
    version="9.6p1",
    files=(),
    globs=(),
    dumps=(),
    daemon=None,
    config_path="/etc/ssh/it's",
)


@pytest.mark.parametrize("shell", SHELLS)
def test_sessions_are_read_from_the_processes_of_this_machine(shell: str) -> None:
    completed = LocalShell(shell=shell).run(sessions.script(), timeout_s=120)
    assert completed.ended
    assert all(session.user and session.age_s >= 0 for session in sessions.parse(completed.stdout))


@pytest.mark.parametrize("shell", SHELLS)
def test_the_deep_look_tells_the_kernels_keep_alive_and_the_tmout_of_a_profile(shell: str, tmp_path: Path) -> None:
    (tmp_path / ".profile").write_text("# TMOUT=1\nreadonly TMOUT=900; export TMOUT\n")
    completed = LocalShell(shell=shell, folder=tmp_path).run(deep.script(), timeout_s=120)
    found = deep.judge(completed.stdout, SNAPSHOT)
    assert "tcp_keepalive" in dict(found.facts)
    assert ("shell-tmout", 900.0) in found.limits
    assert f"{tmp_path}/.profile:2" in " ".join(found.notes)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_trial_starts_the_hosts_sshd_with_our_values_first(shell: str, tmp_path: Path) -> None:
    write_command(tmp_path, "sshd", f"for word; do printf '%s\\n' \"$word\"; done >{tmp_path}/words")
    host = Host(name="one", address="192.0.2.1", sshd=str(tmp_path / "sshd"))
    snapshot = Snapshot(**{f: getattr(SNAPSHOT, f) for f in SNAPSHOT.__slots__} | {"host": host})
    completed = LocalShell(shell=shell).run(trial.script(snapshot, trial.TRIALS[0]), timeout_s=120)
    assert b"SKA1 READY" in completed.stdout
    words = (tmp_path / "words").read_text().splitlines()
    assert words[:5] == ["-i", "-o", "ClientAliveInterval=1", "-o", "ClientAliveCountMax=3"]
    assert words[-2:] == ["-f", "/etc/ssh/it's"]
