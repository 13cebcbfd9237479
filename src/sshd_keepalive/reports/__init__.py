"""Reports: one finished run as text of some format. One module each; pure functions of the run."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from sshd_keepalive.model import COMMAND_LINE, End, Finding, HostReport, Place, Run, Verdict


@runtime_checkable
class Report(Protocol):
    """What a module of this package provides."""

    SUFFIX: str

    def render(self, run: Run) -> str:
        """The whole report, ending in a line end."""


def outcome_word(report: HostReport) -> str:
    """One word for a host, the same in every report: its end where it was to be changed, else its verdict."""
    if report.end is not None and not (report.end is End.UNCHANGED and report.verdict is not Verdict.PASS):
        return "ok" if report.end is End.UNCHANGED else report.end.value
    if report.unreached:
        return "unreachable"
    if report.end is None and (report.diff or report.restarts):
        return "change"
    return {Verdict.PASS: "ok", Verdict.FAIL: "drift"}.get(report.verdict, report.verdict.value)


def summary(run: Run) -> dict[str, int]:
    """How many hosts came to what."""

    def count(end: End) -> int:
        return sum(report.end is end for report in run.hosts)

    def judged(verdict: Verdict) -> int:
        return sum(report.verdict is verdict for report in run.hosts)

    return {
        "hosts": len(run.hosts),
        "pass": judged(Verdict.PASS),
        "fail": judged(Verdict.FAIL),
        "unknown": judged(Verdict.UNKNOWN),
        "applied": count(End.APPLIED),
        "unchanged": count(End.UNCHANGED),
        "refused": count(End.REFUSED),
        "rolled_back": count(End.ROLLED_BACK),
        "unreachable": sum(report.unreached for report in run.hosts),
    }


def host_data(report: HostReport) -> dict[str, Any]:
    """One host of the JSON report."""
    host = report.host
    return {
        "name": host.name,
        "address": host.address,
        "groups": list(host.groups),
        "verdict": report.verdict.value,
        "end": report.end.value if report.end else None,
        "findings": [_finding(finding) for finding in report.findings],
        "diff": report.diff,
        "steps": [
            {"name": step.name, "ok": step.ok, "detail": step.detail, "seconds": step.seconds_s}
            for step in report.steps
        ],
        "backup": report.backup,
        "facts": dict(report.facts) | ({"notes": "; ".join(report.notes)} if report.notes else {}),
        "failure": _failure(report),
    }


def timestamp(at: datetime) -> str:
    """UTC to the second, as `2026-01-31T02:00:00Z`."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "setting": finding.setting,
        "scope": finding.scope,
        "wanted": finding.wanted,
        "value": finding.value,
        "verdict": finding.verdict.value,
        "place": _place(finding.place),
        "hides": [_place(place) for place in finding.hides],
        "reason": finding.reason,
    }


def _place(place: Place | None) -> dict[str, Any] | None:
    if place is None:
        return None
    return {"path": place.path, "line": 0 if place.path == COMMAND_LINE else place.line}


def _failure(report: HostReport) -> dict[str, str] | None:
    failure = report.failure
    if failure is None:
        return None
    return {"kind": failure.kind, "cause": failure.cause, "message": failure.message, "hint": failure.hint}
