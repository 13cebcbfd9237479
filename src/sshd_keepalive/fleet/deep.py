"""One host's check with all that can end its sessions: the look of every check, and a second script."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from sshd_keepalive.errors import HostError
from sshd_keepalive.fleet import one_host as fleet
from sshd_keepalive.fleet.one_host import Orders
from sshd_keepalive.model import Host, HostReport, Snapshot, Verdict
from sshd_keepalive.scripts import deep
from sshd_keepalive.scripts.deep import Deep
from sshd_keepalive.scripts.records import output_of
from sshd_keepalive.ssh.shell import Shell
from sshd_keepalive.sshd_config.reading import Reading


def check_host(host: Host, orders: Orders, concurrency: int | None = None) -> HostReport:
    """Compare one host with its policy, and look for other causes; changes nothing there."""
    return fleet.look_host(host, orders, partial(_deepened, orders=orders, concurrency=concurrency))


def look(shell: Shell, snapshot: Snapshot, orders: Orders, concurrency: int | None = None) -> Deep:
    """The second script, over the login of the look.

    Raises:
        HostError: as Shell.run and `output_of`.
    """
    completed = shell.run(deep.script(), timeout_s=orders.timeout_s)
    return deep.judge(output_of(completed), snapshot, concurrency)


def _deepened(
    shell: Shell, reading: Reading | HostError, report: HostReport, *, orders: Orders, concurrency: int | None
) -> HostReport:
    if not isinstance(reading, Reading):
        return report
    found = look(shell, reading.snapshot, orders, concurrency)
    verdict = report.verdict
    # A waiver is about the policy; what else ends sessions was never waived.
    if found.findings and (verdict is not Verdict.UNKNOWN or report.failure is None):
        verdict = fleet.worst((*report.findings, *found.findings))
    return replace(
        report,
        findings=(*report.findings, *found.findings),
        notes=(*report.notes, *found.notes),
        facts=(*report.facts, *found.facts),
        verdict=verdict,
    )
