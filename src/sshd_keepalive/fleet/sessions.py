"""One host's live sessions, and which of them still run with older values."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sshd_keepalive.fleet.one_host import Orders, log_in_and_observe
from sshd_keepalive.fleet.report import report_errors, report_settled
from sshd_keepalive.model import Finding, Host, HostReport, Snapshot, State, Subject
from sshd_keepalive.scripts import sessions
from sshd_keepalive.scripts.records import read_output
from sshd_keepalive.scripts.sessions import LiveSession


@report_errors()
def list_sessions(host: Host, orders: Orders, *, is_all: bool) -> HostReport:
    """List the live sessions of a host that began before the values came into effect; changes nothing there.

    Args:
        is_all: list the others too.
    """
    with log_in_and_observe(host, orders) as (shell, reading):
        report = report_settled(reading, orders.run_id)
        completed = shell.run(sessions.build_script(), timeout_s=orders.timeout_s)
    daemon = reading.snapshot.daemon.pid if reading.snapshot.daemon else None
    found = [session for session in sessions.parse(read_output(completed), daemon=daemon) if not session.is_ours]
    since = find_loading_time(reading.snapshot)
    older = [session for session in found if session.is_older(since)]
    findings = [
        _build_finding(session, since, is_older=session in older) for session in found if is_all or session in older
    ]
    facts = {**dict(report.facts), "sessions": str(len(found)), "older_sessions": str(len(older))}
    if since is not None:
        facts["in_effect_since"] = f"{since:%Y-%m-%dT%H:%M:%SZ}"
    state = State.DRIFT if older else State.OK if since is not None or not found else State.UNKNOWN
    notes = report.notes
    if state is State.UNKNOWN:
        notes = (*notes, "when the configuration came into effect could not be told; --all lists the sessions")
    return replace(report, findings=tuple(findings), facts=tuple(facts.items()), state=state, failure=None, notes=notes)


def _build_finding(session: LiveSession, since: datetime | None, *, is_older: bool) -> Finding:
    age = timedelta(seconds=int(session.age_s))
    what = "; ".join(session.commands) or "no command"
    line = f" on {session.line}" if session.line else ""
    peer = f" from {session.peer}" if session.peer else ""
    return Finding(
        setting=Subject.SESSION,
        scope=f"process {session.pid}",
        wanted="",
        value=f"{session.user}{line}{peer}, {age} old: {what}",
        state=State.DRIFT if is_older else State.OK,
        reason=f"it began before the values came into effect ({since:%Y-%m-%d %H:%M:%S} UTC)"
        if is_older and since
        else "",
    )


def find_loading_time(snapshot: Snapshot) -> datetime | None:
    """Find the time since which new sessions get the present values; None when it is not known.

    A process per connection reads the files at its start: then it is the time at which the files changed.
    """
    if snapshot.daemon is not None and snapshot.daemon.pid is not None:
        return snapshot.daemon.loaded_at
    return max((file.changed_at for file in snapshot.files if file.changed_at is not None), default=None)
