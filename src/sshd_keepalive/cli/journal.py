"""The journal of a run that changes hosts, so that --resume can continue an interrupted one.

One file for each run that changes hosts, `runs/RUN.jsonl` in the program's state directory, one line a host; and
`RUN.failed`, the names of the hosts that failed, for `--limit @FILE`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.fleet.waves import has_failed
from sshd_keepalive.model import End, HostReport
from sshd_keepalive.spelling import join_first

KEPT = 100  # runs
_DONE = frozenset({End.APPLIED.value, End.UNCHANGED.value})


def find_directory() -> Path:
    """Give the place of the journals of this account."""
    from platformdirs import user_state_path

    return user_state_path("sshd-keepalive") / "runs"


class Journal:
    """The journal of one run. If it cannot be written, the run goes on after a warning: --resume will not work."""

    def __init__(self, run_id: str, command: str, *, confirms: bool) -> None:
        self._run = {"command": command, "confirms": confirms}
        self._path = find_directory() / f"{run_id}.jsonl"
        self._fd: int | None = None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            _prune(self._path.parent)
        except OSError as error:
            sys.stderr.write(f"warning: this run cannot be resumed: {self._path}: {error.strerror}\n")

    def write(self, report: HostReport) -> None:
        """Write the end of one host to disk, before the next one is reported."""
        if self._fd is None:
            return
        end = report.end.value if report.end else None
        line = json.dumps({"host": report.host.name, **self._run, "end": end, "failed": has_failed(report)})
        try:
            os.write(self._fd, f"{line}\n".encode())
            os.fsync(self._fd)
        except OSError as error:
            sys.stderr.write(f"warning: --resume will not know the next hosts: {self._path}: {error.strerror}\n")
            os.close(self._fd)
            self._fd = None

    def close(self, reports: Iterable[HostReport]) -> Path | None:
        """End the journal; give the file with the hosts that failed, if there are any."""
        if self._fd is None:
            return None
        os.close(self._fd)
        self._fd = None
        failed = [report.host.name for report in reports if has_failed(report)]
        if not failed:
            return None
        path = self._path.with_suffix(".failed")
        try:
            path.write_text("".join(f"{name}\n" for name in failed), encoding="utf-8")
        except OSError:
            return None
        return path


def list_runs() -> tuple[str, ...]:
    """Give the ids of the runs that are kept, newest first."""
    return tuple(sorted((path.stem for path in find_directory().glob("*.jsonl")), reverse=True))


def find_run(begin: str) -> str:
    """Find the run whose id begins like this; empty when none does.

    Raises:
        ConfigError: several do.
    """
    runs = [run for run in list_runs() if run.startswith(begin)]
    if begin in runs or len(runs) < 2:
        return begin if begin in runs else "".join(runs)
    raise ConfigError(f"{len(runs)} runs begin with {begin!r}", hint=f"name one of them: {join_first(runs, 5)}")


def find_done(begin: str, command: str) -> frozenset[str]:
    """Find the hosts that an earlier run has finished without a failure; the last line of a host counts.

    Raises:
        ConfigError: the run does not exist, was one of another command, or left its changes to be confirmed: a host may
            revert such a change, and must not be skipped.
    """
    run_id = find_run(begin)
    if not run_id:
        raise ConfigError(f"--resume {begin}: the run does not exist", hint=f"runs are kept in {find_directory()}")
    path = find_directory() / f"{run_id}.jsonl"
    done: dict[str, bool] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # the last line of a machine that crashed
            continue
        if entry.get("command") != command:
            raise ConfigError(f"--resume {run_id}: that was a run of {entry.get('command')}, not of {command}")
        if not entry.get("confirms"):
            hint = f"run {command} again without --resume"
            raise ConfigError(f"--resume {run_id}: that run did not confirm its changes (--no-confirm)", hint=hint)
        done[entry["host"]] = entry.get("end") in _DONE and not entry.get("failed")
    return frozenset(host for host, is_done in done.items() if is_done)


def _prune(folder: Path) -> None:
    for path in sorted(folder.glob("*.jsonl"), reverse=True)[KEPT:]:
        path.unlink(missing_ok=True)
        path.with_suffix(".failed").unlink(missing_ok=True)
