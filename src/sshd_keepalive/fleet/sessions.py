"""One host's live sessions, and which of them still have older values."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sshd_keepalive.fleet import clients
from sshd_keepalive.fleet.one_host import Orders, log_in_and_observe
from sshd_keepalive.fleet.report import report_errors, report_settled
from sshd_keepalive.model import Finding, Host, HostReport, Scope, State, Subject
from sshd_keepalive.scripts.sessions import LiveSession
from sshd_keepalive.spelling import write_count


@report_errors()
def list_sessions(host: Host, orders: Orders, *, is_all: bool) -> HostReport:
    """List the live sessions of a host that began before the values came into effect; change nothing.

    Args:
        is_all: list the others too.
    """
    with log_in_and_observe(host, orders) as (shell, reading):
        report = report_settled(reading, orders.run_id)
        live = clients.list_live(shell, reading.snapshot, orders.timeout_s)
    since = clients.find_loading_time(reading.snapshot)
    older = [session for session in live if session.is_older(since)]
    findings = [
        _build_finding(session, since, is_older=session in older) for session in live if is_all or session in older
    ]
    facts = {**dict(report.facts), "sessions": str(len(live)), "older_sessions": str(len(older))}
    if since is not None:
        facts["in_effect_since"] = f"{since:%Y-%m-%dT%H:%M:%SZ}"
    state = State.DRIFT if older else State.OK if since is not None or not live else State.UNKNOWN
    notes = report.notes
    if state is State.UNKNOWN:
        notes = (*notes, "cannot find out when the configuration came into effect; list all sessions with --all")
    all_of_them = write_count(len(live), "session")
    answer = f"{len(older)} of {all_of_them} older than the values in effect" if older else ""
    if state is State.OK:
        answer = f"{all_of_them}, none older than the values in effect"
    return replace(
        report,
        findings=tuple(findings),
        facts=tuple(facts.items()),
        state=state,
        failure=None,
        notes=notes,
        answer=answer,
    )


@report_errors()
def list_silent_clients(host: Host, orders: Orders) -> HostReport:
    """List the live sessions whose client has not answered the last keep-alive; change nothing."""
    with log_in_and_observe(host, orders) as (shell, reading):
        report = report_settled(reading, orders.run_id)
        live = clients.list_live(shell, reading.snapshot, orders.timeout_s, asks_silence=True)
    since = clients.find_loading_time(reading.snapshot)
    findings, n_unknown = [], 0
    for session in live:
        every_s = clients.find_interval_s(session, reading, since)
        if every_s is None:
            n_unknown += 1
        elif clients.is_due(every_s, session.silent_s):
            findings.append(_build_silence(session, every_s))
    notes = report.notes
    if n_unknown:
        number = write_count(n_unknown, "session")
        notes = (*notes, f"cannot judge {number}: older values, no keep-alives, or no ss on the host")
    state = State.DRIFT if findings else State.UNKNOWN if n_unknown else State.OK
    return replace(
        report,
        findings=tuple(findings),
        facts=(*report.facts, ("sessions", str(len(live))), ("silent_sessions", str(len(findings)))),
        state=state,
        failure=None,
        notes=notes,
        answer="no session has left its last keep-alive unanswered" if state is State.OK else "",
    )


def _build_silence(session: LiveSession, every_s: int) -> Finding:
    return Finding(
        setting=Subject.SILENT_CLIENT,
        scope=Scope(text=f"process {session.pid}"),
        value=f"{session.user} from {session.peer}: no packet for {session.silent_s:.0f} s",
        state=State.DRIFT,
        reason=f"no answer to the keep-alive that was due after {every_s} s: the client is dead, or never answers",
    )


def _build_finding(session: LiveSession, since: datetime | None, *, is_older: bool) -> Finding:
    age = timedelta(seconds=int(session.age_s))
    what = "; ".join(session.commands) or "no command"
    line = f" on {session.line}" if session.line else ""
    peer = f" from {session.peer}" if session.peer else ""
    return Finding(
        setting=Subject.SESSION,
        scope=Scope(text=f"process {session.pid}"),
        value=f"{session.user}{line}{peer}, {age} old: {what}",
        state=State.DRIFT if is_older else State.OK,
        reason=f"it began before the values came into effect ({since:%Y-%m-%d %H:%M:%S} UTC)"
        if is_older and since
        else "",
    )
