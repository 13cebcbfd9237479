"""One host's check: the policy, and on request another release, other settings that end sessions, lost sessions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sshd_keepalive.errors import HostError, KeepaliveError, ParseError
from sshd_keepalive.fleet.one_host import Orders, log_in_and_observe
from sshd_keepalive.fleet.report import (
    add_as_if,
    find_worst,
    report_error,
    report_errors,
    report_settled,
    suggest_command,
)
from sshd_keepalive.model import Host, HostReport, Policy, Snapshot, State
from sshd_keepalive.secrets.redaction import redact

if TYPE_CHECKING:
    from sshd_keepalive.diagnosis.rules import Known
    from sshd_keepalive.scripts.deep import Deep
    from sshd_keepalive.ssh.shell import Shell
    from sshd_keepalive.sshd_config.version import Build, Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What a check looks for in addition to the two settings."""

    deep: bool = False  # other settings that end sessions
    concurrency: int | None = None  # sessions over one connection at the same time; implies deep
    losses: bool = False  # lost sessions, by the host's log


@report_errors()
def check_host(host: Host, orders: Orders, *, as_if: Build | None = None, extras: Extras | None = None) -> HostReport:
    """Compare one host with its policy, and look for what else is asked; change nothing there.

    Args:
        as_if: a release that would read the same files.
    """
    extras = extras or Extras()
    with log_in_and_observe(host, orders) as (shell, reading):
        report = report_settled(reading, orders.run_id)
        if extras.deep or extras.concurrency is not None:
            report = _add_limits(report, run_deep_script(shell, reading.snapshot, orders, extras.concurrency))
        if as_if is not None:
            report = add_as_if(report, reading, as_if)
        if extras.losses:
            from sshd_keepalive.fleet.losses import add_losses

            report = add_losses(report, shell, reading, orders)
        return report


def _add_limits(report: HostReport, deep: Deep) -> HostReport:
    state = report.state
    # A waiver covers the policy, not other causes.
    if deep.findings and (state is not State.UNKNOWN or report.failure is None):
        state = find_worst((*report.findings, *deep.findings))
    return replace(
        report,
        findings=(*report.findings, *deep.findings),
        notes=(*report.notes, *deep.notes),
        facts=(*report.facts, *deep.facts),
        state=state,
    )


def check_file(path: str, version: Version, policy: Policy, as_if: Build | None) -> HostReport:
    """Compare a configuration on this disk with a policy; its path is the name of the host."""
    from sshd_keepalive.config.local_tree import read_tree
    from sshd_keepalive.planning import explain, judge

    host = Host(name=path, address="", policy=policy)
    try:
        reading, warnings = read_tree(path, version)
        findings = judge.judge_files(reading, policy)
    except (ParseError, HostError) as error:
        return HostReport(host=host, state=State.UNKNOWN, version=str(version), failure=error.to_failure())
    state = find_worst(findings)
    report = HostReport(
        host=host,
        state=state,
        findings=findings,
        version=str(version),
        caveat=judge.find_caveat(reading, policy) if state is State.OK else None,
        notes=(*warnings, *explain.find_nul_bytes(reading.tree)),
    )
    return report if as_if is None else add_as_if(report, reading, as_if)


def study_host(host: Host, orders: Orders, user: str | None) -> tuple[Known | None, HostReport]:
    """Find what a host does to the sessions of one account, for a diagnosis; change nothing."""
    from sshd_keepalive.diagnosis.rules import read_known

    try:
        with log_in_and_observe(host, orders) as (shell, reading):
            limits = run_deep_script(shell, reading.snapshot, orders).limits
            known = replace(read_known(reading, user), other=limits)
            report = report_settled(reading, orders.run_id)
    except KeepaliveError as error:
        known, report = None, report_error(host, error)
    return known, redact(suggest_command(report, orders.repeated))


def run_deep_script(shell: Shell, snapshot: Snapshot, orders: Orders, concurrency: int | None = None) -> Deep:
    """Run the second script over the open login.

    Raises:
        HostError: as Shell.run and `read_output`.
    """
    from sshd_keepalive.scripts import deep
    from sshd_keepalive.scripts.records import read_output

    completed = shell.run(deep.build_script(), timeout_s=orders.timeout_s)
    return deep.judge(read_output(completed), snapshot, concurrency)
