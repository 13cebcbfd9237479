"""The scripts of `sessions`, `check --deep` and `probe --fast`, under every shell a host may have as `sh`."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sshd_keepalive.errors import HostError
from sshd_keepalive.model import Host, Snapshot
from sshd_keepalive.planning import undo
from sshd_keepalive.planning.undo import Past
from sshd_keepalive.scripts import deep, sessions, trial
from sshd_keepalive.scripts.guard import GuardEnd
from sshd_keepalive.scripts.records import read_records
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
    completed = LocalShell(shell=shell).run(sessions.build_script(), timeout_s=120)
    assert completed.ended
    assert all(session.user and session.age_s >= 0 for session in sessions.parse(completed.stdout))


@pytest.mark.parametrize("shell", SHELLS)
def test_the_deep_check_reports_the_kernels_keep_alive_and_the_tmout_of_a_profile(shell: str, tmp_path: Path) -> None:
    (tmp_path / ".profile").write_text("# TMOUT=1\nreadonly TMOUT=900; export TMOUT\n")
    completed = LocalShell(shell=shell, folder=tmp_path).run(deep.build_script(), timeout_s=120)
    found = deep.judge(completed.stdout, SNAPSHOT)
    assert "tcp_keepalive" in dict(found.facts)
    assert ("shell-tmout", 900.0) in found.limits
    assert f"{tmp_path}/.profile:2" in " ".join(found.notes)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_trial_starts_the_hosts_sshd_with_our_values_first(shell: str, tmp_path: Path) -> None:
    write_command(tmp_path, "sshd", f"for word; do printf '%s\\n' \"$word\"; done >{tmp_path}/words")
    host = Host(name="one", address="192.0.2.1", sshd=str(tmp_path / "sshd"))
    snapshot = Snapshot(**{f: getattr(SNAPSHOT, f) for f in SNAPSHOT.__slots__} | {"host": host})
    completed = LocalShell(shell=shell).run(trial.build_script(snapshot, trial.TRIALS[0]), timeout_s=120)
    assert b"SKA1 READY" in completed.stdout
    words = (tmp_path / "words").read_text().splitlines()
    assert words[:5] == ["-i", "-o", "ClientAliveInterval=1", "-o", "ClientAliveCountMax=3"]
    assert words[-2:] == ["-f", "/etc/ssh/it's"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_run_is_distinguished_from_a_directory_of_root_alone(shell: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    run = state / "20260101T000000Z-aaaaaa"
    (run / "decided").mkdir(parents=True)
    for name, content in (("decided/how", "applied\n"), ("1.target", "/a"), ("1.before", "x\n"), ("1.after", "y\n")):
        (run / name).write_text(content)
    script = undo.build_script(replace(SNAPSHOT, state_dir=str(state)), "")
    local = LocalShell(shell=shell)
    past = undo.parse(local.run(script, timeout_s=20).stdout)
    assert past == Past(run_id=run.name, how="applied", files=(("/a", b"x\n", b"y\n"),))
    if os.geteuid() == 0:
        state.chmod(0o775)
        with pytest.raises(HostError, match="another account than root may write"):
            undo.parse(local.run(script, timeout_s=20).stdout)


@pytest.mark.parametrize(
    ("word", "how"),
    [
        ("reverting", GuardEnd.REVERTING),
        ("restoring", GuardEnd.REVERTING),  # an earlier version's word
        ("unproved", GuardEnd.UNPROVED),
        ("unknown", GuardEnd.UNPROVED),  # an earlier version's word
        ("", None),
    ],
)
def test_a_run_that_was_not_confirmed_is_reported_with_what_became_of_it(
    tmp_path: Path, word: str, how: GuardEnd | None
) -> None:
    run = tmp_path / "20260101T000000Z-aaaaaa"
    (run / "decided").mkdir(parents=True)
    (run / "decided/how").write_text(f"{word}\n")
    script = undo.build_script(replace(SNAPSHOT, state_dir=str(tmp_path)), run.name)
    assert undo.parse(LocalShell().run(script, timeout_s=20).stdout) == Past(run_id=run.name, how=how, files=())


@pytest.mark.parametrize("shell", SHELLS)
def test_sessions_tell_nothing_of_what_is_no_sshds(shell: str) -> None:
    """Arguments and connections may be as long and as many as an account likes."""
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as stack:
        port = server.getsockname()[1]
        for _ in range(50):
            stack.enter_context(socket.create_connection(server.getsockname()))
        other = stack.enter_context(subprocess.Popen(["/bin/sleep", "600", *["0" * 100_000] * 10]))
        stdout = LocalShell(shell=shell).run(sessions.build_script(), timeout_s=30).stdout
        other.kill()
    told = dict(read_records(stdout))
    assert len(stdout) < 100_000
    assert f":{port:04X}".encode() not in told["network"]
    assert f"{os.getpid()} ".encode() in told["processes"], "what the script itself runs in"
    assert f"\n{other.pid} ".encode() not in told["processes"]
