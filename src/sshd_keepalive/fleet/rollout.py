"""A change for many hosts in waves: soak, check again, stop when the error budget is spent.

After the stop no host is started; hosts in progress are finished. Every host gets exactly one report.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from sshd_keepalive.engines import SelectedEngine, report_not_begun
from sshd_keepalive.fleet import one_host as fleet
from sshd_keepalive.fleet.check import check_host
from sshd_keepalive.fleet.losses import find_dropped
from sshd_keepalive.fleet.one_host import Orders, Pass
from sshd_keepalive.fleet.report import suggest_command
from sshd_keepalive.fleet.waves import Budget, Wave, has_failed
from sshd_keepalive.model import ChangeCause, End, Failure, FailureKind, Host, HostReport, Scope, State, Subject


@dataclass(slots=True)
class Rollout:
    """One run over waves.

    Args:
        waves: see `fleet.waves`.
        budget: how many hosts may fail before no more are started.
        soak_s: how long to wait after a wave before it is checked again and the next one starts.
        engine: repeats a pass.
        stop: set by Ctrl-C, or by a spent budget.
    """

    waves: Sequence[Wave]
    budget: Budget
    engine: SelectedEngine
    workers: int
    stop: threading.Event
    soak_s: float = 0.0
    n_failed: int = 0
    number: int = 0  # of the wave that is under way, from 1
    is_spent: bool = False
    soaked: Callable[[int, float], None] = field(default=lambda wave, seconds: None)

    def run(self, job: Pass, orders: Orders) -> Iterator[HostReport]:
        """Yield reports as hosts finish; a changed host of a wave that soaks comes after its second check."""
        for number, wave in enumerate(self.waves, 1):
            self.number = number
            is_last = number == len(self.waves)
            soaking: list[HostReport] = []
            begun = (host for host in wave if not self.stop.is_set())
            for report in fleet.run(job, begun, orders, self.engine, workers=self.workers):
                self.count(has_failed(report))
                if self.soak_s and not is_last and report.end is End.APPLIED:
                    soaking.append(report)
                else:
                    yield report
            if soaking:
                yield from self._check_again(number, soaking, orders)

    def __str__(self) -> str:
        """Describe the progress: the wave, and the budget."""
        wave = f"wave {self.number} of {len(self.waves)}" if len(self.waves) > 1 else ""
        allowed = f" of {self.budget.n_max} allowed" if self.budget.n_max is not None else ""
        failed = f"{self.n_failed} failed{allowed}" if self.n_failed or allowed else ""
        return ", ".join(filter(None, (wave, failed)))

    def report_not_begun(self, host: Host) -> HostReport:
        """Report a host that was not started because of the stop."""
        if self.is_spent:
            return report_not_begun(host, "budget", "more hosts failed than --max-fail allows")
        return report_not_begun(host, "interrupted", "the run was interrupted")

    def count(self, n_failed: int) -> None:
        """Count failed hosts, and stop when the budget is spent."""
        self.n_failed += n_failed
        if self.budget.is_spent(self.n_failed) and not self.stop.is_set():
            self.is_spent = True
            self.stop.set()

    def _check_again(self, number: int, soaking: list[HostReport], orders: Orders) -> Iterator[HostReport]:
        """Check the hosts of a wave again after the soak, also when it was interrupted."""
        self.soaked(number, self.soak_s)
        self.stop.wait(self.soak_s)
        for report, checked in self._repeat(check_host, soaking, orders, changes=False):
            # After an undo, or without a restart, the host differs from its policy, as when it was verified.
            if checked.state is State.OK or (
                checked.failure is None and _list_values(checked) and _list_values(checked) == _list_values(report)
            ):
                yield report
                continue
            failure = checked.failure or Failure(
                kind=FailureKind.EFFECTIVE,
                cause=ChangeCause.RELAPSE,
                message="the settings changed again during the soak",
            )
            report = replace(
                report,
                end=End.UNPROVED,
                state=checked.state,
                findings=checked.findings or report.findings,
                failure=failure,
            )
            self.count(has_failed(report))
            yield suggest_command(report, orders.repeated)

    def find_losses(self, changed: Sequence[HostReport], orders: Orders) -> Iterator[HostReport]:
        """Yield hosts whose new values dropped sessions, as drift, and hosts whose log cannot be read, as unknown."""
        for report, logged in self._repeat(find_dropped, changed, orders, changes=False):
            if logged.losses is None or not logged.losses.groups:
                why = logged.failure.message if logged.failure else "it has no session"
                note = f"cannot find out whether the change dropped sessions: cannot read the log: {why}"
                yield replace(report, state=State.UNKNOWN, notes=(*report.notes, note))
            elif logged.findings:
                yield replace(report, state=State.DRIFT, findings=(*report.findings, *logged.findings))

    def undo(self, changed: Sequence[HostReport], orders: Orders, why: str) -> Iterator[HostReport]:
        """Undo hosts that this run changed, each with the same care as the change."""
        for report, undone in self._repeat(fleet.undo_host, changed, orders, changes=True):
            if undone.end is End.APPLIED:
                silent = tuple(finding for finding in report.findings if finding.setting is Subject.SILENT_CLIENT)
                losses = orders.repeated.write_command("losses", host=undone.host)
                failure = Failure(
                    kind=FailureKind.EFFECTIVE,
                    cause="taken-back",
                    message=f"changed, verified, and reverted because {why}",
                    hint=f"see which client does not answer: {losses}" if silent else "look at the hosts that failed",
                )
                findings = (*undone.findings, *silent)
                undone = replace(undone, end=End.ROLLED_BACK, failure=failure, findings=findings)
            yield replace(undone, diff=report.diff, value_diff=report.value_diff)

    def _repeat(
        self, job: Pass, reports: Sequence[HostReport], orders: Orders, *, changes: bool
    ) -> Iterator[tuple[HostReport, HostReport]]:
        """Do another pass for these hosts; yield each report with the new one."""
        earlier = {report.host.name: report for report in reports}
        hosts = [report.host for report in reports]
        for report in fleet.run(job, hosts, orders, self.engine, workers=self.workers, changes=changes):
            yield earlier[report.host.name], report


def _list_values(report: HostReport) -> list[tuple[str, Scope, str]]:
    return [(finding.setting, finding.scope, finding.value) for finding in report.findings]
