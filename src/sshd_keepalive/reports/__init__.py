"""Reports: one finished run as text of some format. One module each; pure functions of the run."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from sshd_keepalive import benchmarks
from sshd_keepalive.model import COMMAND_LINE, End, Finding, HostReport, Losses, Place, Run, SessionEnd
from sshd_keepalive.quoting import printable


@runtime_checkable
class Report(Protocol):
    """What a module of this package provides."""

    def render(self, run: Run) -> str:
        """The whole report, ending in a line end."""


def describe_host(report: HostReport) -> dict[str, Any]:
    """Describe one host for the JSON report."""
    host = report.host
    return {
        "name": host.name,
        "address": host.address,
        "groups": list(host.groups),
        "state": report.state,
        "change": report.end,
        "findings": [_describe_finding(finding) for finding in report.findings],
        "caveat": _describe_caveat(report),
        "diff": report.diff,
        "steps": [
            {"name": step.name, "ok": step.ok, "detail": step.detail, "seconds": step.seconds_s}
            for step in report.steps
        ],
        "backup": report.backup,
        "facts": _describe_facts(report),
        "changes": list(report.changes),
        "losses": _describe_losses(report.losses),
        "pending": _describe_pending(report),
        "reverted": _describe_reverted(report),
        "failure": _describe_failure(report),
    }


def describe_benchmarks(run: Run) -> dict[str, Any]:
    """Describe what the benchmarks of a run say: every row with its source, the hosts, the pairs that satisfy all."""
    pairs = benchmarks.wanted_pairs(run)
    found = benchmarks.common(run.benchmarks)
    both = None
    if isinstance(found, benchmarks.Common):
        both = {"interval": list(found.interval_s), "count": list(found.count_max)}
    return {
        "all": [
            {
                "name": row.name,
                "title": row.title,
                "rule": row.rule,
                "interval": list(row.interval_s),
                "count": list(row.count_max),
                "allows": {f"{pair[0]}/{pair[1]}": benchmarks.allows(row, pair) for pair in pairs},
                "hosts": {state.value: number for state, number in benchmarks.count_states(run, row).items()},
                "source": row.source,
                "dated": row.dated.isoformat(),
                "checked": row.checked,
                "note": row.note,
            }
            for row in run.benchmarks
        ],
        "common": both,
        "conclusion": benchmarks.sentence(run),
    }


def flatten(text: str) -> str:
    """Make text from a host one printable line."""
    return text if text.isprintable() else printable(" ".join(text.splitlines()))


def format_time(at: datetime) -> str:
    """Format a time in UTC to the second, as `2026-01-31T02:00:00Z`."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _describe_finding(finding: Finding) -> dict[str, Any]:
    return {
        "setting": finding.setting,
        "scope": str(finding.scope),
        "wanted": finding.wanted,
        "value": finding.value,
        "state": finding.state,
        "place": _describe_place(finding.place),
        "hides": [_describe_place(place) for place in finding.hides],
        "reason": finding.reason,
    }


def _describe_facts(report: HostReport) -> dict[str, str]:
    facts = dict(report.facts)
    if report.drops_silent_after_s is not None:
        facts["silent_clients_dropped_after"] = str(report.drops_silent_after_s)
        if report.end in (None, End.APPLIED):
            n = report.n_may_not_answer
            facts["sessions_that_may_not_answer"] = "unknown" if n is None else str(n)
    return facts | ({"notes": "; ".join(report.notes)} if report.notes else {})


def _describe_losses(losses: Losses | None) -> dict[str, Any] | None:
    if losses is None:
        return None
    return {
        "days": losses.days,
        "from": format_time(losses.first_at) if losses.first_at else None,
        "to": format_time(losses.last_at) if losses.last_at else None,
        "in_effect_since": format_time(losses.in_effect_since) if losses.in_effect_since else None,
        "run_id": losses.run_id,
        "was_cut": losses.was_cut,
        "sessions": {end.value: losses.count(end) for end in SessionEnd},
        "groups": [
            {
                "account": group.account,
                "address": group.address,
                "end": group.end.value,
                "since": group.is_new,
                "sessions": group.n,
                "lengths": [list(pair) for pair in group.lengths],
            }
            for group in losses.groups
        ],
        "clusters": [
            {
                "seconds": cluster.limit_s,
                "end": cluster.end.value,
                "sessions": cluster.n,
                "since": cluster.n_new,
                "accounts": cluster.n_accounts,
                "cause": cluster.cause,
                "likelihood": cluster.likelihood,
                "next_step": cluster.next_step,
            }
            for cluster in losses.clusters
        ],
        "unanswering": list(losses.unanswering),
    }


def _describe_caveat(report: HostReport) -> dict[str, Any] | None:
    caveat = report.caveat
    return None if caveat is None else {"keep_alive_after": caveat.keep_alive_after_s, "message": str(caveat)}


def _describe_place(place: Place | None) -> dict[str, Any] | None:
    if place is None:
        return None
    return {"path": place.path, "line": 0 if place.path == COMMAND_LINE else place.line}


def _describe_failure(report: HostReport) -> dict[str, str] | None:
    failure = report.failure
    if failure is None:
        return None
    return {"kind": failure.kind, "cause": failure.cause, "message": failure.message, "hint": failure.hint}


def _describe_pending(report: HostReport) -> dict[str, str] | None:
    pending = report.pending
    if pending is None:
        return None
    return {"run_id": pending.run_id, "phase": pending.phase.value, "reverts_at": format_time(pending.reverts_at)}


def _describe_reverted(report: HostReport) -> dict[str, str] | None:
    reverted = report.reverted
    if reverted is None:
        return None
    return {"run_id": reverted.run_id, "at": format_time(reverted.at), "reason": reverted.reason}
