"""One host's probe: observe, hold an idle session, and record what sshd sends.

Logins are limited, idle sessions are not: a probe of 500 hosts takes as long as one of a single host.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Final

from sshd_keepalive.diagnosis.rules import read_known
from sshd_keepalive.errors import HostError, ParseError
from sshd_keepalive.fleet.one_host import Orders, connect, log_in_and_try_to_observe
from sshd_keepalive.fleet.report import find_worst, report_error, report_errors, report_settled
from sshd_keepalive.model import (
    FailureKind,
    Finding,
    Host,
    HostReport,
    Snapshot,
    State,
    Subject,
)
from sshd_keepalive.probing import idle_limit, proof
from sshd_keepalive.probing.proof import IdleResult
from sshd_keepalive.scripts import trial
from sshd_keepalive.scripts.trial import TRIALS, Trial
from sshd_keepalive.ssh.errors import LoginCause
from sshd_keepalive.ssh.shell import Shell
from sshd_keepalive.sshd_config.keepalive import Values
from sshd_keepalive.sshd_config.reading import Reading

_LIMIT_S: Final = 360.0


class Countdown:
    """The progress of a probe: how long the silences will last, and how many there are; any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began_s: float | None = None
        self._until_s = 0.0
        self.n_quiet = self.n_alive = self.n_lost = 0

    def start_silence(self, until_s: float) -> None:
        """Note that one host is silent until a time of the monotonic clock."""
        with self._lock:
            self._began_s = self._began_s if self._began_s is not None else time.monotonic()
            self._until_s = max(self._until_s, until_s)
            self.n_quiet += 1

    def end_silence(self, *, alive: bool) -> None:
        """Note that a host has ended its silence."""
        with self._lock:
            self.n_quiet -= 1
            self.n_alive += alive
            self.n_lost += not alive

    @property
    def left_s(self) -> float:
        """Until the last silence that has begun is over."""
        return max(0.0, self._until_s - time.monotonic())

    @property
    def share(self) -> float:
        """How much of the wait is over, 0 to 1."""
        if self._began_s is None or self._until_s <= self._began_s:
            return 0.0
        return min(1.0, (time.monotonic() - self._began_s) / (self._until_s - self._began_s))

    def __str__(self) -> str:
        if self._began_s is None:
            return "logging in"
        left_s = int(self.left_s + 0.999)
        lost = f", {self.n_lost} lost" if self.n_lost else ""
        return f"{left_s // 60}:{left_s % 60:02d} left, {self.n_quiet} quiet, {self.n_alive} alive{lost}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The options of a probe."""

    logins: threading.Semaphore
    idle_s: float | None = None  # None: as long as the host's own values need
    is_fast: bool = False
    finds_limit: bool = False
    stop: Callable[[], bool] = lambda: False
    board: Countdown = field(default_factory=Countdown)


@report_errors()
def probe_host(host: Host, orders: Orders, probe: Probe) -> HostReport:
    """Hold an idle session with one host; change nothing."""
    with ExitStack() as slot:  # of a login; closed before the long silence
        slot.enter_context(probe.logins)
        with log_in_and_try_to_observe(host, orders) as (shell, reading):
            return _probe(shell, reading, orders, probe, slot)


def _probe(shell: Shell, reading: Reading | HostError, orders: Orders, probe: Probe, slot: ExitStack) -> HostReport:
    if isinstance(reading, Reading):
        report = report_settled(reading, orders.run_id)
    else:
        report = report_error(shell.host, reading)
    values = _find_values(shell, reading)
    if probe.is_fast:
        return _probe_fast(shell, reading, report, values, orders)
    if probe.finds_limit:
        return _probe_limit(shell, report, values, orders, probe, slot)
    slot.close()
    wanted_s = shell.host.policy.interval_s
    idle_s = probe.idle_s if probe.idle_s is not None else proof.compute_needed_s(values, wanted_s)
    probe.board.start_silence(time.monotonic() + idle_s)
    result = None
    try:
        result = shell.hold(idle_s, stop=probe.stop)
    finally:
        probe.board.end_silence(alive=result is not None and result.loss is None)
    return _add_observed(report, (proof.judge(result, values, wanted_s),), values, result, _recommend(report, values))


def _find_values(shell: Shell, reading: Reading | HostError) -> Values | None:
    """Find the values in effect for the login; None when the files cannot be read."""
    if not isinstance(reading, Reading):
        return None
    from sshd_keepalive.ssh.auth import choose_user

    try:
        return read_known(reading, choose_user(shell.host))
    except ParseError:
        return None


def _probe_fast(
    shell: Shell, reading: Reading | HostError, report: HostReport, values: Values | None, orders: Orders
) -> HostReport:
    if not isinstance(reading, Reading) or values is None:
        return report
    snapshot = reading.snapshot
    obstacle = trial.find_deciding_match(reading)
    if obstacle:
        return _add_observed(report, (_report_not_tried(obstacle),), values, None, ())
    with ThreadPoolExecutor(max_workers=len(TRIALS)) as pool:
        findings = list(pool.map(lambda one: _run_trial(shell, snapshot, one, values, orders), TRIALS))
    # MaxSessions may allow one channel only: trials without a channel are repeated alone.
    for index, (finding, one) in enumerate(zip(findings, TRIALS, strict=True)):
        if finding is None:
            findings[index] = _run_trial(shell, snapshot, one, values, orders, is_last=True)
    observed = tuple(finding for finding in findings if finding)
    return _add_observed(report, observed, values, None, _recommend(report, values))


def _recommend(report: HostReport, values: Values | None) -> tuple[str, ...]:
    """Say what to configure for the policy's interval, unless the caveat of the report says it."""
    if values is None or report.caveat is not None:
        return ()
    recommendation = proof.recommend(values, report.host.policy.interval_s)
    return (recommendation,) if recommendation else ()


def _run_trial(
    shell: Shell, snapshot: Snapshot, one: Trial, values: Values, orders: Orders, *, is_last: bool = False
) -> Finding | None:
    try:
        result = shell.rehearse(
            trial.build_script(snapshot, one), one.idle_s, answers=one.answers, timeout_s=orders.timeout_s
        )
    except HostError as error:
        if error.cause == LoginCause.NO_SESSION and not is_last:
            return None
        return _report_not_tried(str(error), one.subject)
    return trial.build_finding(one, result, values)


def _probe_limit(
    shell: Shell, report: HostReport, values: Values | None, orders: Orders, probe: Probe, slot: ExitStack
) -> HostReport:
    """Keep several connections to one host at the same time, each with its own spacing."""
    total_s = probe.idle_s if probe.idle_s is not None else _LIMIT_S

    def pace(one: Shell, spacing_s: float) -> idle_limit.SpacedResult:
        return one.pace(spacing_s, total_s, stop=probe.stop)

    others, notes = _open_logins(shell, len(idle_limit.choose_spacings(total_s)) - 1, orders)
    try:
        slot.close()
        shells = (shell, *others)
        probe.board.start_silence(time.monotonic() + total_s)
        is_alive = False
        try:
            with ThreadPoolExecutor(max_workers=len(shells)) as pool:
                results = tuple(pool.map(pace, shells, idle_limit.choose_spacings(total_s, len(shells))))
            is_alive = all(one.lethal_s is None for one in results)
        finally:
            probe.board.end_silence(alive=is_alive)
    finally:
        for other in others:
            other.close()
    bounds = idle_limit.find_bounds(results)
    report = _add_observed(
        report, (idle_limit.judge(bounds, values, shell.host.policy.interval_s),), values, None, notes
    )
    facts = (
        *report.facts,
        ("idle_limit", idle_limit.describe(bounds)),
        ("lost", str(sum(one.lethal_s is not None for one in results))),
    )
    return replace(report, facts=facts)


def _open_logins(shell: Shell, n: int, orders: Orders) -> tuple[list[Shell], tuple[str, ...]]:
    """Open further logins, as many as succeed, and give a note where some failed: fewer are less exact."""
    others: list[Shell] = []
    for _ in range(n):  # one after the other, so that MaxStartups does not matter
        try:
            others.append(connect(shell.host, orders))
        except HostError as error:
            return others, (f"only {len(others) + 1} of {n + 1} connections, so the limit is less exact: {error}",)
    return others, ()


def _report_not_tried(reason: str, subject: Subject = Subject.OBSERVED) -> Finding:
    return Finding(setting=subject, value="not tried", state=State.UNKNOWN, reason=reason)


def _add_observed(
    report: HostReport,
    observed: tuple[Finding, ...],
    values: Values | None,
    result: IdleResult | None,
    notes: tuple[str, ...],
) -> HostReport:
    """Add what was observed in sessions; without root the report has nothing else."""
    facts = dict(report.facts)
    if values is not None:
        is_older = any(finding.setting is Subject.DAEMON for finding in report.findings)
        facts["configured"] = f"{values.interval_s}/{values.count_max}"
        facts["loaded"] = "older files" if is_older else "the present files"
    if result is not None:
        facts["observed"] = proof.describe(result)
        facts["keepalives"] = str(len(result.keep_alives_s))
        facts["quiet_s"] = f"{result.quiet_s:.1f}"
        if result.spacing_s is not None:
            facts["spacing_s"] = f"{result.spacing_s:.2f}"
        if result.loss is not None:
            facts["loss"] = result.loss.name.lower()
    findings = (*report.findings, *observed)
    failure = report.failure
    if (
        values is None
        and failure is not None
        and failure.kind in (FailureKind.OBSERVE, FailureKind.BECOME, FailureKind.SHELL)
    ):
        notes = (*notes, f"cannot read the configuration: {failure.message}")
        failure = None
    state = find_worst(findings) if failure is None else State.UNKNOWN
    if report.state is State.WAIVED and find_worst(observed) is State.OK:
        state = State.WAIVED  # a waiver covers values, not lost sessions
    return replace(
        report,
        findings=findings,
        facts=tuple(facts.items()),
        answer=proof.compose_answer(observed, values),
        notes=(*report.notes, *notes),
        failure=failure,
        state=state,
    )
