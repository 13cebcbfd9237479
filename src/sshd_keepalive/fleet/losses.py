"""One host's lost sessions, by its own log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

from sshd_keepalive.diagnosis import losses as lost
from sshd_keepalive.diagnosis.rules import read_known
from sshd_keepalive.fleet.clients import find_loading_time
from sshd_keepalive.fleet.one_host import Orders, log_in_and_try_to_observe
from sshd_keepalive.fleet.report import find_worst, report_errors
from sshd_keepalive.model import Host, HostReport, Losses
from sshd_keepalive.scripts import losses
from sshd_keepalive.scripts.losses import SessionLog
from sshd_keepalive.scripts.records import read_output
from sshd_keepalive.ssh.shell import Shell
from sshd_keepalive.sshd_config.reading import Reading

DAYS: Final = 30  # how far to look back by default
#: A note names a log that begins so much later than asked for; the first login of a day may come late.
_LATE: Final = timedelta(days=1)


@report_errors()
def count_losses(host: Host, orders: Orders, *, days: int, is_anonymous: bool) -> HostReport:
    """Count the sessions in the log of a host, by how they ended; change nothing there.

    Args:
        days: how far to look back.
        is_anonymous: the names of accounts are replaced by numbers.
    """
    with log_in_and_try_to_observe(host, orders) as (shell, reading):
        present = reading if isinstance(reading, Reading) else None
        log = _count(shell, present, orders, days)
    counts = _study(lost.hide_accounts(log) if is_anonymous else log, host, present, days)
    findings = tuple(lost.judge(counts))
    snapshot = present.snapshot if present else None
    return HostReport(
        host=host,
        state=find_worst(findings),
        findings=findings,
        losses=counts,
        facts=(*(snapshot.facts if snapshot else ()), ("log", ", ".join(log.sources))),
        version=snapshot.version if snapshot else "",
        notes=(*_notes(log, days), *([str(reading)] if present is None else [])),
    )


@report_errors()
def find_dropped(host: Host, orders: Orders) -> HostReport:
    """Find the addresses whose sessions sshd drops only since the present values are in effect; change nothing."""
    report = count_losses(host, orders, days=DAYS, is_anonymous=False)
    dropped = lost.find_newly_dropped(report.losses) if report.losses else ()
    return replace(report, findings=tuple(dropped))


def add_losses(report: HostReport, shell: Shell, reading: Reading, orders: Orders) -> HostReport:
    """Add what the log of a host shows, over an open login; the state stays that of the policy.

    Raises:
        HostError: as Shell.run and `read_output`.
    """
    log = _count(shell, reading, orders, DAYS)
    counts = _study(log, report.host, reading, DAYS)
    sentences = [f"{finding.setting}: {finding.value}" for finding in lost.judge(counts)]
    return replace(report, losses=counts, notes=(*report.notes, *sentences, *_notes(log, DAYS)))


def _count(shell: Shell, reading: Reading | None, orders: Orders, days: int) -> SessionLog:
    script = losses.build_script(
        days=days,
        loaded_at=find_loading_time(reading.snapshot) if reading else None,
        limit_s=orders.timeout_s,
        state_dir=reading.snapshot.state_dir if reading else "",
    )
    return losses.parse(read_output(shell.run(script, timeout_s=orders.timeout_s)))


def _study(log: SessionLog, host: Host, reading: Reading | None, days: int) -> Losses:
    return lost.study(log, days=days, known=read_known(reading, None) if reading else None, name=host.name)


def _notes(log: SessionLog, days: int) -> Iterator[str]:
    """List what the counts leave out."""
    if log.unread:
        yield f"not read: {', '.join(log.unread)}; log in as root, or set become: sudo"
    if not log.groups:
        yield "the log has no session: LogLevel is below INFO, or sshd writes to another log"
    if log.was_cut:
        yield "only a part of the log was read within --timeout: the real counts may be higher; raise --timeout"
    if log.n_left_out:
        yield f"{log.n_left_out} sessions are not counted: they began while 100000 others had no end in the log"
    if log.first_at and log.last_at and log.last_at - log.first_at + _LATE < timedelta(days=days):
        yield f"the log has sshd messages only from {log.first_at:%Y-%m-%d %H:%M} to {log.last_at:%Y-%m-%d %H:%M} UTC"
