"""The exit code of a run: that of its worst host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sshd_keepalive.cli import ExitCode
from sshd_keepalive.history import outcome
from sshd_keepalive.model import End, HostReport, State

_BY_WORD: Final[dict[outcome.Word | None, ExitCode]] = {
    End.REFUSED: ExitCode.UNKNOWN,
    End.NOT_BEGUN: ExitCode.UNKNOWN,
    End.ROLLED_BACK: ExitCode.ROLLED_BACK,
    End.UNPROVED: ExitCode.UNPROVED,
    State.OK: ExitCode.OK,
    State.WAIVED: ExitCode.OK,
    State.DRIFT: ExitCode.DRIFT,
    State.UNKNOWN: ExitCode.UNKNOWN,
    State.UNREACHABLE: ExitCode.UNKNOWN,
}


def compute_exit_code(reports: Iterable[HostReport], command: str) -> int:
    """Give the exit code of the worst host."""
    return max((_code(report, command) for report in reports), default=ExitCode.OK)


def _code(report: HostReport, command: str) -> int:
    if command == "undo" and report.end in (End.APPLIED, End.UNCHANGED) and report.failure is None:
        return ExitCode.OK  # an undo does not need to meet the policy
    if report.end in _BY_WORD:
        return _BY_WORD[report.end]
    if report.failure is not None:
        return ExitCode.UNKNOWN
    if command == "plan":
        if outcome.is_change_planned(report):
            return ExitCode.DRIFT
        return ExitCode.OK if report.state.is_judged else ExitCode.UNKNOWN
    return _BY_WORD[report.state]
