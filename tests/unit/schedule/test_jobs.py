"""The script of a schedule, run by a real shell: where it runs, what overlaps, and what hangs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sshd_keepalive import program
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.schedule import jobs
from sshd_keepalive.schedule.jobs import Schedule
from tests.support.sshd import wait_until

needs_flock = pytest.mark.skipif(not shutil.which("flock"), reason="util-linux is not installed")
SHOWS = "import os, sys; print(os.getcwd(), os.environ['XDG_STATE_HOME'], sys.argv[1:])"
HANGS = "import time; print('begun', flush=True); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {HANGS}"


@pytest.fixture
def schedule(tmp_path: Path) -> Schedule:
    return Schedule(name="etl", every="day", directory=str(tmp_path), state="/a b/$x", argv=("-i", "it's", "*"))


def written(schedule: Schedule, code: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, cron: bool) -> Path:
    """The script; `code` stands in for the program."""
    monkeypatch.setattr(program, "argv", lambda: (sys.executable, "-c", code))
    path = folder / "etl.sh"
    path.write_text(jobs.render_script(schedule, for_cron=cron))
    return path


def run(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["/bin/sh", path], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("cron", [False, pytest.param(True, marks=needs_flock)])
def test_the_check_runs_where_it_was_installed_with_its_words(
    schedule: Schedule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cron: bool
) -> None:
    ran = run(written(schedule, f"{SHOWS}; sys.exit(1)", tmp_path, monkeypatch, cron=cron))
    words = ["check", "--record", "--no-progress", "-i", "it's", "*"]
    assert (ran.returncode, ran.stdout) == (1, f"{tmp_path} /a b/$x {words}\n")


def test_a_directory_that_is_gone_leaves_absolute_paths(
    schedule: Schedule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run(written(replace(schedule, directory="/not there"), SHOWS, tmp_path, monkeypatch, cron=False))
    assert ran.stdout.startswith("/ /a b/$x ")


@needs_flock
def test_cron_is_given_no_word_when_all_is_well(
    schedule: Schedule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run(written(schedule, SHOWS, tmp_path, monkeypatch, cron=True))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@needs_flock
@pytest.mark.parametrize("code", [HANGS, DEAF])
def test_a_check_that_hangs_is_killed_at_its_limit(
    schedule: Schedule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(jobs, "_END_S", 1)
    ran = run(written(replace(schedule, limit_s=5), code, tmp_path, monkeypatch, cron=True))
    assert ran.returncode == 3
    assert ran.stdout == "begun\nthe check did not finish within 5 s and was killed\n"


@needs_flock
def test_two_runs_never_overlap_even_when_the_shell_was_killed(
    schedule: Schedule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check itself holds the lock, not only the shell that started it."""
    # It prints nothing: nobody reads that once the shell was killed.
    code = "import os, time; open('begun', 'w').write(str(os.getpid())); time.sleep(600)"
    path = written(schedule, code, tmp_path, monkeypatch, cron=True)
    first = subprocess.Popen(["/bin/sh", path], stdout=subprocess.DEVNULL)
    wait_until(lambda: (tmp_path / "begun").exists() and (tmp_path / "begun").read_text() != "", 30, "the check")
    first.kill()
    first.wait()
    assert run(path).returncode == jobs.OVERLAPS
    os.kill(int((tmp_path / "begun").read_text()), 9)


def test_the_limit_grows_with_the_fleet() -> None:
    assert jobs.compute_limit(40, 20, 60) == 3600
    assert jobs.compute_limit(10_000, 20, 60) == 2 * 501 * 60


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", '"', "x" * 65])
def test_a_name_is_one_word_everywhere(name: str) -> None:
    with pytest.raises(ConfigError, match="not a valid name"):
        jobs.check_name(name)


@pytest.mark.parametrize(
    ("text", "every"),
    [("daily", "day"), ("Hourly", "hour"), (" week ", "week"), ("Mon..Fri  06:00", "Mon..Fri 06:00"), ("Day", "day")],
)
def test_the_usual_words_for_a_time_mean_the_same(text: str, every: str) -> None:
    assert jobs.read_every(text) == every
