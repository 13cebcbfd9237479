"""One host's check with everything that can end its sessions: the usual check, and a second script."""

from __future__ import annotations

from dataclasses import replace

from sshd_keepalive.diagnosis.rules import Known, read_known
from sshd_keepalive.errors import KeepaliveError
from sshd_keepalive.fleet.losses import add_losses
from sshd_keepalive.fleet.one_host import Beside, Orders, log_in_and_observe
from sshd_keepalive.fleet.report import add_as_if, find_worst, report_error, report_errors, report_settled
from sshd_keepalive.model import Host, HostReport, Snapshot, State
from sshd_keepalive.scripts import deep
from sshd_keepalive.scripts.deep import Deep
from sshd_keepalive.scripts.records import read_output
from sshd_keepalive.secrets.redaction import redact
from sshd_keepalive.ssh.shell import Shell
from sshd_keepalive.sshd_config.version import Build


@report_errors()
def check_host(host: Host, orders: Orders, as_if: Build | None = None, *, beside: Beside) -> HostReport:
    """Compare one host with its policy, and look for what else is asked; changes nothing there."""
    with log_in_and_observe(host, orders) as (shell, reading):
        report = report_settled(reading, orders.run_id)
        if beside.deep or beside.concurrency is not None:
            report = _add_limits(report, run_deep_script(shell, reading.snapshot, orders, beside.concurrency))
        if as_if is not None:
            report = add_as_if(report, reading, as_if)
        return add_losses(report, shell, reading, orders) if beside.losses else report


def _add_limits(report: HostReport, found: Deep) -> HostReport:
    state = report.state
    # A waiver covers the policy, not other causes.
    if found.findings and (state is not State.UNKNOWN or report.failure is None):
        state = find_worst((*report.findings, *found.findings))
    return replace(
        report,
        findings=(*report.findings, *found.findings),
        notes=(*report.notes, *found.notes),
        facts=(*report.facts, *found.facts),
        state=state,
    )


def study_host(host: Host, orders: Orders, user: str | None) -> tuple[Known | None, HostReport]:
    """Find what a host does to the sessions of one account, for a diagnosis; change nothing."""
    try:
        with log_in_and_observe(host, orders) as (shell, reading):
            limits = run_deep_script(shell, reading.snapshot, orders).limits
            known = replace(read_known(reading, user), other=limits)
            return known, redact(report_settled(reading, orders.run_id))
    except KeepaliveError as error:
        return None, redact(report_error(host, error))


def run_deep_script(shell: Shell, snapshot: Snapshot, orders: Orders, concurrency: int | None = None) -> Deep:
    """Run the second script over the open login.

    Raises:
        HostError: as Shell.run and `output_of`.
    """
    completed = shell.run(deep.build_script(), timeout_s=orders.timeout_s)
    return deep.judge(read_output(completed), snapshot, concurrency)
