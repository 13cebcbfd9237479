"""Build the report of a host: from its reading, from a plan, or from the error that ended a pass."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sshd_keepalive import program
from sshd_keepalive.errors import ConnectError, ExtraError, HostError, KeepaliveError
from sshd_keepalive.model import (
    ChangeCause,
    End,
    Failure,
    FailureKind,
    Finding,
    Host,
    HostReport,
    PendingChange,
    Phase,
    Plan,
    State,
    Step,
    Waiver,
)
from sshd_keepalive.quoting import join
from sshd_keepalive.secrets.redaction import redact

if TYPE_CHECKING:
    from sshd_keepalive.sshd_config.reading import Reading
    from sshd_keepalive.sshd_config.version import Build

PassFunction = TypeVar("PassFunction", bound=Callable[..., HostReport])

_WITH_POLICY: Final = frozenset({"check", "plan", "apply", "confirm"})
#: Failures without a hint of their own → the reason for the command to type next, and the command.
_NEXT_COMMANDS: Final = {
    (FailureKind.LOCKED, ChangeCause.NOT_CONFIRMED): ("", "confirm"),
    (FailureKind.EFFECTIVE, ""): ("another file or option decides: ", "why"),
    (FailureKind.EFFECTIVE, ChangeCause.VALUE): ("another file or option decides: ", "why"),
    (FailureKind.EFFECTIVE, ChangeCause.RELAPSE): ("another program on the host writes the file: ", "why"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedWords:
    """Words of the command line that the next command needs as well."""

    config: tuple[str, ...] = ()
    inventory: tuple[str, ...] = ()
    policy: tuple[str, ...] = ()
    login: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()  # out of the inventory

    def write_command(self, command: str, *more: str, host: Host | None = None) -> str:
        """Write a command for the same hosts, or for one of them, as it is typed in a shell."""
        policy = self.policy if command in _WITH_POLICY else ()
        hosts = self.hosts if host is None else (self._name(host),)
        return join(("sshd-keepalive", command, *self.config, *self.inventory, *policy, *self.login, *hosts, *more))

    def _name(self, host: Host) -> str:
        """Name a host of the inventory, or write a target."""
        return host.name if self.inventory or host.user is None else f"{host.user}@{host.name}"


def report_errors(end: End | None = None) -> Callable[[PassFunction], PassFunction]:
    """Make a decorator for a pass: an error of the pass becomes the failure of its report.

    Args:
        end: how a pass that changes hosts ends when it raises; None for one that only reads.
    """

    def decorate(work: PassFunction) -> PassFunction:
        @functools.wraps(work)
        def call(host: Host, orders: Any, *args: Any, **more: Any) -> HostReport:
            began = time.monotonic()
            try:
                report = work(host, orders, *args, **more)
            except Exception as error:  # a defect must not stop the other hosts
                report = report_error(host, error, end)
            report = suggest_command(report, orders.repeated)
            return redact(replace(report, seconds_s=round(time.monotonic() - began, 3)))

        return call  # type: ignore[return-value]  # of the same signature

    return decorate


def report_error(host: Host, error: Exception, end: End | None = None) -> HostReport:
    """Report what ended a pass.

    Args:
        end: as for `report_errors`.
    """
    if isinstance(error, ExtraError):
        error.hint = program.suggest_extra(error.extra)
    if isinstance(error, KeepaliveError):
        failure = error.to_failure()
        if isinstance(error, ConnectError):
            return HostReport(host=host, state=State.UNREACHABLE, failure=failure)
        if failure.kind is FailureKind.NOT_BEGUN:
            end = End.NOT_BEGUN
        return HostReport(host=host, state=State.UNKNOWN, end=end, failure=failure)
    logging.getLogger("sshd_keepalive").debug("internal error", exc_info=error)
    failure = Failure(
        kind=FailureKind.INTERNAL,
        message=f"{type(error).__name__}: {error}",
        hint="this is a defect; run again with -vv for the traceback and report it",
    )
    # During a change it is unknown how far it came.
    return HostReport(host=host, state=State.UNKNOWN, end=End.UNPROVED if end else None, failure=failure)


def suggest_command(report: HostReport, repeated: RepeatedWords) -> HostReport:
    """Add the command to type next to a failure that has no hint of its own."""
    failure = report.failure
    if failure is None or failure.hint or (failure.kind, failure.cause) not in _NEXT_COMMANDS:
        return report
    reason, command = _NEXT_COMMANDS[failure.kind, failure.cause]
    hint = reason + repeated.write_command(command, host=report.host)
    return replace(report, failure=replace(failure, hint=hint))


def report_settled(reading: Reading, run_id: str) -> HostReport:
    """Report on a host; it cannot be judged while a change of another run is pending."""
    report = report_reading(reading)
    pending = find_pending(reading, run_id)
    is_broken = report.failure is not None and report.failure.kind is FailureKind.CONFIG_BROKEN
    if pending is None or is_broken:
        return report
    return replace(report, state=State.UNKNOWN, failure=describe_unsettled(pending).to_failure())


def find_pending(reading: Reading, run_id: str) -> PendingChange | None:
    """Find the pending change of another run."""
    pending = reading.snapshot.pending
    return None if pending is None or pending.run_id == run_id else pending


def describe_unsettled(pending: PendingChange) -> HostError:
    """Describe a pending change, and the next step where `suggest_command` does not add it."""
    from sshd_keepalive.scripts import guard

    run = f"run {pending.run_id}"
    reverts = f"reverts at {pending.reverts_at:%Y-%m-%d %H:%M:%S} UTC"
    cause, message, hint = {
        Phase.CHANGING: (
            "at_work",
            f"{run} is changing the host; if it is interrupted, it {reverts}",
            "run the command again then",
        ),
        Phase.WAITING: (ChangeCause.NOT_CONFIRMED, f"not confirmed: {run} {reverts}", None),
        Phase.REVERTING: ("reverting", f"the host is reverting {run}", "run the command again in a minute"),
        Phase.STUCK: (ChangeCause.NOT_REVERTED, f"{run} was not reverted", guard.show_remedy(pending.directory)),
    }[pending.phase]
    return HostError(message, kind=FailureKind.LOCKED, cause=cause, hint=hint)


def report_reading(reading: Reading) -> HostReport:
    """Compare a host with its policy; when that is not possible, the failure says why."""
    from sshd_keepalive.planning import judge, owners

    snapshot = reading.snapshot
    host = snapshot.host
    findings = judge.judge(reading, host.policy)
    report = HostReport(
        host=host,
        state=State.UNKNOWN,
        findings=findings,
        facts=snapshot.facts,
        version=snapshot.version,
        agents=snapshot.agents,
        pending=snapshot.pending,
        reverted=snapshot.reverted,
    )
    complaint = judge.find_refusal(snapshot)
    if complaint:  # after the next restart every login would fail
        failure = Failure(
            kind=FailureKind.CONFIG_BROKEN,
            message=f"sshd refuses the present configuration: {complaint}",
            hint="correct it before sshd is restarted; after a restart every login would fail",
        )
        return replace(report, failure=failure)
    both = judge.find_contradiction(reading)
    if both:
        failure = Failure(
            kind=FailureKind.OBSERVE,
            cause="readings-differ",
            message=both,
            hint="nothing was written; copy /etc/ssh of the host, run why --file on it, and report the difference",
        )
        return replace(report, failure=failure)
    state = find_worst(findings)
    if host.waiver is not None and state is State.DRIFT:
        state, note = _waive(host.waiver, findings, snapshot.taken_at.date())
        report = replace(report, notes=(note,))
    deciding_files = owners.find_deciding_files(snapshot.files, findings)
    caveat = judge.find_caveat(reading, host.policy) if state is State.OK else None
    return replace(report, state=state, caveat=caveat, deciding_files=deciding_files)


def _waive(waiver: Waiver, findings: Sequence[Finding], today: date) -> tuple[State, str]:
    """Apply a waiver to a host that differs. It does not cover what could not be judged."""
    if today > waiver.until:
        return State.DRIFT, f"the waiver of {waiver.owner} ended on {waiver.until}: {waiver.reason}"
    unknown = any(finding.state is State.UNKNOWN for finding in findings)
    state = State.UNKNOWN if unknown else State.WAIVED
    return state, str(waiver)


def add_as_if(report: HostReport, reading: Reading, build: Build) -> HostReport:
    """Add what another release would make of the files; a host that cannot be judged now has no such findings."""
    if report.failure is not None:
        return report
    from sshd_keepalive.planning import as_if

    findings, notes = as_if.judge(reading, build)
    # A waiver is about the policy, not about the next upgrade.
    state = find_worst((*report.findings, *findings)) if findings else report.state
    return replace(report, findings=(*report.findings, *findings), notes=(*report.notes, *notes), state=state)


def find_worst(findings: Sequence[Finding]) -> State:
    """Find the worst verdict: FAIL, then UNKNOWN, then PASS; UNKNOWN without findings."""
    states = {finding.state for finding in findings}
    return next((v for v in (State.DRIFT, State.UNKNOWN, State.OK) if v in states), State.UNKNOWN)


def add_plan(report: HostReport, planned: Plan) -> HostReport:
    """Add the changes of a plan."""
    from sshd_keepalive.planning import diff, plan
    from sshd_keepalive.sshd_config.version import Version

    steps = report.steps
    if planned.restart and not planned.contents:
        steps = (*steps, Step(name="pending_restart", ok=True, detail="the files are right; restart sshd to load them"))
    return replace(
        report,
        drops_silent_after_s=plan.find_new_drop_s(planned, Version.parse(report.version)),
        diff=diff.render_diff(planned),
        value_diff=diff.render_value_diff(planned),
        fingerprint=plan.compute_plan_fingerprint(planned.contents),
        caveat=planned.caveat,
        restarts=planned.restart,
        notes=(*report.notes, *planned.notes),
        steps=steps,
    )
