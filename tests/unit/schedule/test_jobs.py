"""A check that hangs is killed and told; one that goes on after its limit is no success."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from sshd_keepalive import program
from sshd_keepalive.schedule import jobs
from sshd_keepalive.schedule.jobs import Last, OverdueError, Schedule

#: What stands in for the program: it gets the words of `check` and never ends.
HANGS = "import time; time.sleep(600)"
HANGS_ON = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {HANGS}"


@pytest.fixture
def schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Schedule:
    made = Schedule(name="etl", every="day", manager="cron", directory="/", state=str(tmp_path), argv=(), limit_s=0.5)
    monkeypatch.setattr(jobs, "find", lambda name: made)
    monkeypatch.setattr(jobs, "_cron_status", lambda schedule: (True, ""))
    monkeypatch.setattr(jobs, "_LOOK_S", 0)
    return made


def instead(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(program, "argv", lambda: (sys.executable, "-c", script))


@pytest.mark.parametrize(("script", "end_s"), [(HANGS, 60.0), (HANGS_ON, 1.0)])
def test_a_check_that_hangs_is_killed_at_its_limit(
    schedule: Schedule, monkeypatch: pytest.MonkeyPatch, script: str, end_s: float
) -> None:
    instead(monkeypatch, script)
    monkeypatch.setattr(jobs, "_END_S", end_s)
    with pytest.raises(OverdueError, match="was killed"):
        jobs.run("etl")
    status = jobs.status(schedule)
    assert (status.running, status.last and status.last.exit_code) == (False, 3)


def test_a_check_that_ends_by_itself_is_not_touched(schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, "raise SystemExit(1)")
    assert jobs.run("etl") == 1


def held(schedule: Schedule, begun_at: str) -> Any:
    """The lock of a run that began at some time and is still in progress."""
    jobs._keep(schedule, jobs._Kept(last=Last(started_at="x", ended_at="x", exit_code=0), begun_at=begun_at))
    descriptor = os.open(jobs._result(schedule).with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def test_a_run_that_goes_on_after_its_limit_is_no_success(schedule: Schedule) -> None:
    descriptor = held(schedule, "2026-01-31T02:00:00Z")
    with pytest.raises(OverdueError, match="2026-01-31T02:00:00Z") as raised:
        jobs.run("etl")
    assert "etl.lock" in str(raised.value.hint)
    last = jobs.status(schedule).last
    assert (last and last.exit_code) is None, "the ok of the run before is no longer true"
    os.close(descriptor)


def test_a_run_within_its_limit_is_waited_for(schedule: Schedule) -> None:
    descriptor = held(schedule, jobs._now())
    assert jobs.run("etl") == jobs.OVERLAPS
    last = jobs.status(schedule).last
    assert last is not None
    assert last.exit_code == 0
    os.close(descriptor)


def test_the_limit_grows_with_the_fleet() -> None:
    assert jobs.limit_of(40, 20, 60) == 3600
    assert jobs.limit_of(10_000, 20, 60) == 2 * 501 * 60
