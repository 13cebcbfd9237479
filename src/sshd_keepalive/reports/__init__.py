"""Reports: one finished run as text of some format. One module each; pure functions of the run."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from sshd_keepalive import benchmarks
from sshd_keepalive.model import End, Finding, HostReport, Losses, Run, SessionEnd
from sshd_keepalive.quoting import printable


@runtime_checkable
class Report(Protocol):
    """What a module of this package provides."""

    def render(self, run: Run) -> str:
        """Render the whole report, ending in a line end; it names what changed since the last recorded run."""


def describe_host(report: HostReport) -> dict[str, Any]:
    """Describe one host for the JSON report."""
    host, caveat, reverted = report.host, report.caveat, report.reverted
    pending = report.pending and {
        "run_id": report.pending.run_id,
        "phase": report.pending.phase.value,
        "reverts_at": format_time(report.pending.reverts_at),
    }
    return {
        "name": host.name,
        "address": host.address,
        "groups": list(host.groups),
        "state": report.state,
        "change": report.end,
        "findings": [_describe_finding(finding) for finding in report.findings],
        "caveat": caveat and {"keep_alive_after": caveat.keep_alive_after_s, "message": str(caveat)},
        "diff": report.diff,
        "steps": [
            {"name": step.name, "ok": step.ok, "detail": step.detail, "seconds": step.seconds_s}
            for step in report.steps
        ],
        "backup": report.backup,
        "facts": _describe_facts(report),
        "changes": list(report.changes),
        "losses": report.losses and _describe_losses(report.losses),
        "pending": pending,
        "reverted": reverted and asdict(reverted) | {"at": format_time(reverted.at)},
        "failure": report.failure and asdict(report.failure),
    }


def describe_benchmarks(run: Run) -> dict[str, Any]:
    """Describe what the benchmarks of a run say: every row with its source, the hosts, the pairs that satisfy all."""
    pairs = benchmarks.wanted_pairs(run)
    common = benchmarks.common(run.benchmarks)
    spans = None
    if isinstance(common, benchmarks.Common):
        spans = {"interval": list(common.interval_s), "count": list(common.count_max)}
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
        "common": spans,
        "conclusion": benchmarks.conclude(run),
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
        "place": finding.place and asdict(finding.place),
        "hides": [*map(asdict, finding.hides)],
        "reason": finding.reason,
    }


def _describe_facts(report: HostReport) -> dict[str, str]:
    facts = dict(report.facts)
    if report.drops_silent_after_s is not None:
        facts["silent_clients_dropped_after"] = str(report.drops_silent_after_s)
        if report.end in (None, End.APPLIED):
            n = report.n_may_not_answer
            facts["sessions_that_may_not_answer"] = "unknown" if n is None else str(n)
    return facts | ({"notes": "; ".join(report.all_notes)} if report.all_notes else {})


def _describe_losses(losses: Losses) -> dict[str, Any]:
    return {
        "days": losses.days,
        "from": losses.first_at and format_time(losses.first_at),
        "to": losses.last_at and format_time(losses.last_at),
        "in_effect_since": losses.in_effect_since and format_time(losses.in_effect_since),
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
