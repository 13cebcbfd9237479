"""`sessions`: live sessions, and which of them still run with older values."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import click

from sshd_keepalive.cli._options import Options, fleet_options, named_in_environment
from sshd_keepalive.cli._run import FleetRun
from sshd_keepalive.errors import HostError
from sshd_keepalive.fleet import one_host as fleet
from sshd_keepalive.fleet.one_host import Orders
from sshd_keepalive.model import Finding, Host, HostReport, Subject, Verdict
from sshd_keepalive.remote import lasting
from sshd_keepalive.scripts.sessions import Session
from sshd_keepalive.ssh.shell import Shell
from sshd_keepalive.sshd_config.reading import Reading


@click.command("sessions", short_help="List sessions older than the configuration in effect.")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option("--all", "is_all", is_flag=True, help="Also those that have the values in effect.")
@fleet_options
def command(hosts: tuple[str, ...], options: Options, is_all: bool) -> None:
    """List the live sessions that are older than the configuration in effect.

    A session keeps the values it began with for life, so these still run with the old ones: they end as before,
    until somebody logs in anew. Nothing is changed, no session is ended. Exit code 1: there are such sessions.
    """
    run = FleetRun("sessions", options, hosts)
    raise SystemExit(run.show(run.end(run.repeat(partial(_listed, is_all=is_all)))))


def _listed(host: Host, orders: Orders, *, is_all: bool) -> HostReport:
    return fleet.look_host(host, orders, partial(_then, orders=orders, is_all=is_all))


def _then(
    shell: Shell, reading: Reading | HostError, report: HostReport, *, orders: Orders, is_all: bool
) -> HostReport:
    if not isinstance(reading, Reading):
        return report
    snapshot = reading.snapshot
    found = lasting.live(shell, snapshot, timeout_s=orders.timeout_s)
    since = lasting.in_effect_since(snapshot)
    older = [session for session in found if session.is_older(since)]
    findings = [_finding(session, since, is_older=session in older) for session in found if is_all or session in older]
    facts = {**dict(report.facts), "sessions": str(len(found)), "older_sessions": str(len(older))}
    if since is not None:
        facts["in_effect_since"] = f"{since:%Y-%m-%dT%H:%M:%SZ}"
    verdict = Verdict.FAIL if older else Verdict.PASS if since is not None or not found else Verdict.UNKNOWN
    notes = report.notes
    if verdict is Verdict.UNKNOWN:
        notes = (*notes, "when the configuration came into effect could not be told; --all lists the sessions")
    return replace(
        report, findings=tuple(findings), facts=tuple(facts.items()), verdict=verdict, failure=None, notes=notes
    )


def _finding(session: Session, since: datetime | None, *, is_older: bool) -> Finding:
    age = timedelta(seconds=int(session.age_s))
    what = "; ".join(session.commands) or "no command"
    line = f" on {session.line}" if session.line else ""
    peer = f" from {session.peer}" if session.peer else ""
    return Finding(
        setting=Subject.SESSION,
        scope=f"process {session.pid}",
        wanted="",
        value=f"{session.user}{line}{peer}, {age} old: {what}",
        verdict=Verdict.FAIL if is_older else Verdict.PASS,
        reason=f"it began before the values came into effect ({since:%Y-%m-%d %H:%M:%S} UTC)"
        if is_older and since
        else "",
    )


named_in_environment(command)
