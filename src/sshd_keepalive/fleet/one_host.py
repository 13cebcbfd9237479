"""One host's whole pass, as one function per command; and a fleet's run, which is that function repeated.

A pass logs in at most twice when all goes well: once to work, once to prove. It never raises for the host's
trouble: what went wrong is the `failure` of the report, so that one bad host never delays or hides another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol
from zlib import crc32

from sshd_keepalive.errors import ConnectError, HostError, KeepaliveError
from sshd_keepalive.model import (
    End,
    Failure,
    FailureKind,
    Finding,
    Host,
    HostReport,
    NewContent,
    PendingChange,
    Phase,
    Plan,
    Snapshot,
    Step,
    Subject,
    Verdict,
    Waiver,
)
from sshd_keepalive.planning import candidate, diff, judge, plan, undo
from sshd_keepalive.planning import owners as managed
from sshd_keepalive.scripts import guard, sessions
from sshd_keepalive.scripts.guard import Action, Change, GuardEnd
from sshd_keepalive.scripts.records import output_of
from sshd_keepalive.secrets.redaction import redacted
from sshd_keepalive.ssh.shell import Shell
from sshd_keepalive.sshd_config.reading import Reading

if TYPE_CHECKING:
    from sshd_keepalive.engines import Engine
    from sshd_keepalive.secrets.retrieval import Secrets


#: Of a host's time: what a look gets at least after a slow login; when a host is no longer waited for.
_LOOK_SHARE, _LATE = 0.1, 1.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a pass is to do and how long it may take."""

    run_id: str
    secrets: Secrets
    timeout_s: float = 60.0  # for one login, and for one exchange over it
    connect_timeout_s: float = 10.0
    confirm_timeout_s: int = 60
    action: Action = Action.RESTART
    rehearses: bool = True  # a login through the new files comes before the change
    confirms: bool = True  # the proof confirms; else `confirm` does it later
    undoes: str = ""  # undo: the run to take back; empty: the latest that can be
    force: bool = False  # undo: also over edits made since
    #: host name → what the shown plan would write; a pass that would write anything else refuses.
    shown: dict[str, tuple[NewContent, ...]] | None = field(default=None)


class Pass(Protocol):
    """One of the functions below."""

    def __call__(self, host: Host, orders: Orders) -> HostReport:
        """Never raises for the host's trouble."""


def run(
    job: Pass,
    hosts: Iterable[Host],
    orders: Orders,
    engine: Engine,
    *,
    workers: int,
    changes: bool = True,
    waits: bool = False,
) -> Iterator[HostReport]:
    """Repeat one pass for many hosts; reports come as they finish, each host exactly once.

    Args:
        changes: the pass may change a host: it is never begun a second time, even when its worker is lost, and never
            left alone. One that only reads is, when it takes much longer than its time limit.
        waits: it only reads, and takes as long as it takes: a quiet session is held for minutes.
    """
    limit_s = None if changes or waits else _LATE * orders.timeout_s
    return engine.run(partial(job, orders=orders), hosts, workers=workers, may_repeat=not changes, limit_s=limit_s)


def check_host(host: Host, orders: Orders) -> HostReport:
    """Compare one host with its policy; changes nothing there."""
    return _reported(_checked, host, orders)


def plan_host(host: Host, orders: Orders) -> HostReport:
    """What apply would do to one host; changes nothing there."""
    return _reported(_planned, host, orders)


def apply_host(host: Host, orders: Orders) -> HostReport:
    """Make one host as its policy wants it, prove it, or leave it as it was."""
    return _reported(_applied, host, orders, End.REFUSED)


def undo_plan_host(host: Host, orders: Orders) -> HostReport:
    """What an undo would do to one host; changes nothing there."""
    return _reported(partial(_undone, only_plan=True), host, orders)


def undo_host(host: Host, orders: Orders) -> HostReport:
    """Bring back the files from before a run, prove it, or leave the host as it was."""
    return _reported(_undone, host, orders, End.REFUSED)


def confirm_host(host: Host, orders: Orders) -> HostReport:
    """Confirm a change that waits for it, over this new login."""
    return _reported(_confirmed, host, orders, End.REFUSED)


def look_at(host: Host, orders: Orders) -> Reading:
    """One look at a host; changes nothing there.

    Raises:
        HostError.
    """
    shell = _connect(host, orders, scripts_only=True)
    try:
        return _observe(shell, orders)
    finally:
        shell.close()


#: What a command does over the login after the look; without root there may be a reason instead of a reading.
Then = Callable[[Shell, Reading | HostError, HostReport], HostReport]


def look_host(host: Host, orders: Orders, then: Then) -> HostReport:
    """Look at one host, then do something else over the same login, which is open until `then` returns.

    A login that cannot read the configuration can still do much: `then` gets the error in place of the reading.
    """
    return _reported(partial(_looked, then=then), host, orders)


# ------------------------------------------------------------------------------------------- one pass


def _checked(host: Host, orders: Orders) -> HostReport:
    with _looked_at(host, orders, scripts_only=True) as (_, reading):
        return _settled(reading, orders)


def _looked(host: Host, orders: Orders, *, then: Then) -> HostReport:
    shell = _connect(host, orders, is_patient=True)
    try:
        try:
            reading = _observe(shell, orders)
        except HostError as error:
            if error.kind is FailureKind.BANNER:
                raise
            return then(shell, error, HostReport(host=host, verdict=Verdict.UNKNOWN, failure=error.to_failure()))
        return then(shell, reading, _settled(reading, orders))
    finally:
        shell.close()


def _planned(host: Host, orders: Orders) -> HostReport:
    with _looked_at(host, orders, scripts_only=True) as (_, reading):
        report = _settled(reading, orders)
    if report.verdict is Verdict.WAIVED or report.failure is not None:
        return report
    return _with_plan(report, plan.plan(reading, host.policy))


def _applied(host: Host, orders: Orders) -> HostReport:
    with _looked_at(host, orders) as (shell, reading):
        report = replace(_settled(reading, orders), end=End.UNCHANGED)
        if report.verdict is Verdict.WAIVED:
            return report
        if report.failure is not None:
            return replace(report, end=End.REFUSED)
        planned = plan.plan(reading, host.policy)
        report = _with_plan(report, planned)
        _refuse_other_than_shown(planned, orders, host)
        if planned.is_empty:
            return report
        return _executed(shell, change_of(reading, planned, orders), report, orders)


def _undone(host: Host, orders: Orders, *, only_plan: bool = False) -> HostReport:
    with _looked_at(host, orders) as (shell, reading):
        report = replace(_report(reading), end=None if only_plan else End.UNCHANGED)
        pending = _pending(reading.snapshot, orders)
        if pending is not None and (pending.phase is not Phase.WAITING or orders.undoes not in ("", pending.run_id)):
            raise _unsettled(pending, host)
        past = _past(shell, reading.snapshot, orders, pending)
        if past is None:
            return replace(report, notes=(*report.notes, "there is no run to undo"))
        planned = undo.plan(reading, past, force=orders.force)
        report = replace(
            report,
            diff=undo.unified(planned),
            value_diff=diff.values(planned) if planned.contents else "",
            contents=planned.contents,
            restarts=planned.restart,
        )
        _refuse_other_than_shown(planned, orders, host)
        if only_plan or (planned.is_empty and pending is None):
            return report
        change = replace(change_of(reading, planned, orders), judged=False, undoes=past.run_id)
        return _executed(shell, change, report, orders, waiting=pending)


def _past(shell: Shell, snapshot: Snapshot, orders: Orders, pending: PendingChange | None) -> undo.Past | None:
    """The run to take back: the one that waits for its confirmation goes first."""
    wanted = orders.undoes or (pending.run_id if pending else "")
    completed = shell.run(undo.runs_script(snapshot, wanted), timeout_s=orders.timeout_s)
    past = undo.parse(output_of(completed))
    if past is None and orders.undoes:
        raise HostError(
            f"the host knows no run {orders.undoes}",
            kind=FailureKind.OBSERVE,
            cause="no-run",
            hint="the runs it keeps are the directories below " + snapshot.state_dir,
        )
    if past is not None and past.how is not GuardEnd.APPLIED and pending is None:
        raise HostError(
            f"run {past.run_id} is {past.how or 'not confirmed'}",
            kind=FailureKind.OBSERVE,
            cause="not-applied",
            hint=None,
        )
    return past


def _confirmed(host: Host, orders: Orders) -> HostReport:
    from sshd_keepalive.remote import verify

    with _looked_at(host, orders) as (shell, reading):
        report = replace(_report(reading), end=End.UNCHANGED)
        snapshot = reading.snapshot
        pending = snapshot.pending
        if pending is None:
            return replace(report, notes=(*report.notes, "nothing waits for a confirmation"))
        if pending.phase is not Phase.WAITING:
            raise _unsettled(pending, host)
        if report.verdict is not Verdict.PASS:
            raise HostError(
                "this login does not find the change in effect, so it is not confirmed",
                kind=FailureKind.EFFECTIVE,
                hint="look at check; the host reverts by itself",
            )
        answer = verify.confirmed(shell, pending.directory, timeout_s=orders.timeout_s)
        return replace(
            report,
            end=End.APPLIED,
            steps=answer.steps,
            notes=complained(answer.complaints),
            pending=None,
            reverted=None,
        )


def complained(lines: Sequence[str]) -> tuple[str, ...]:
    """The notes on what a new sshd says in the journal."""
    return tuple(f"the new sshd says in the journal: {line}" for line in lines)


def _refuse_other_than_shown(planned: Plan, orders: Orders, host: Host) -> None:
    if orders.shown is not None and planned.contents != orders.shown.get(host.name, ()):
        raise HostError(
            "the host is no longer as it was when the plan was shown",
            kind=FailureKind.CHANGED_MEANWHILE,
            hint="look at the new diff: run plan again",
        )


def _executed(
    shell: Shell, change: Change, report: HostReport, orders: Orders, *, waiting: PendingChange | None = None
) -> HostReport:
    """Carry out a change, or have one that waits for its confirmation reverted, and put the outcome into the report."""
    from sshd_keepalive.remote.execute import execute, revert

    # Nothing may be shared with the login at work: only a login from scratch proves that logins work.
    connect = partial(_connect, change.snapshot.host, orders, scripts_only=True)
    if waiting is None:
        outcome = execute(shell, connect, change, timeout_s=orders.timeout_s)
    else:
        outcome = revert(shell, connect, change, waiting.directory, timeout_s=orders.timeout_s)
    wrong = tuple(f for f in report.findings if f.verdict is Verdict.FAIL and f.setting != Subject.DAEMON)
    if outcome.after is not None:
        after = _report(outcome.after)
        report = replace(
            report,
            findings=after.findings,
            caveat=after.caveat,
            verdict=after.verdict,
            facts=after.facts,
            marks=after.marks,
            replaced=wrong,
            pending=None if change.confirmed else after.pending,
            reverted=None if change.confirmed else after.reverted,
        )
    elif outcome.end is End.UNKNOWN:
        report = replace(report, verdict=Verdict.UNKNOWN, caveat=None)
    if outcome.end is End.APPLIED:
        notes = [*report.notes, *complained(outcome.complaints)]
        if n_older := sessions.n_logged_in(outcome.lasting):
            facts = (*report.facts, ("older_sessions", str(n_older)))
            report = replace(report, facts=facts, n_older_sessions=n_older)
            they = "1 session keeps" if n_older == 1 else f"{n_older} sessions keep"
            notes.append(f"{they} the old values until {'it ends' if n_older == 1 else 'they end'}")
        report = replace(report, notes=tuple(notes))
    return replace(
        report, end=outcome.end, steps=(*report.steps, *outcome.steps), backup=outcome.backup, failure=outcome.failure
    )


def change_of(reading: Reading, planned: Plan, orders: Orders) -> Change:
    """The plan with all that its scripts need to know."""
    from sshd_keepalive.remote.observe import found, functions, guard_functions

    snapshot = reading.snapshot
    directory = f"{snapshot.state_dir}/{orders.run_id}"
    service = found(snapshot)
    # Several daemons of one machine may be hosts of one run: the name tells their guards apart.
    name = f"sshd-keepalive-{orders.run_id}-{crc32(directory.encode('utf-8', 'surrogateescape')):08x}"
    return Change(
        plan=planned,
        snapshot=snapshot,
        run_id=orders.run_id,
        deadline_s=orders.confirm_timeout_s,
        candidate=candidate.candidate(reading, planned, directory),
        functions=functions(service)
        + guard_functions(service.manager or "", name, directory, orders.confirm_timeout_s),
        action=orders.action,
        rehearsed=orders.rehearses,
        confirmed=orders.confirms,
        after=reading.after(planned.contents),
    )


@contextmanager
def _looked_at(host: Host, orders: Orders, *, scripts_only: bool = False) -> Iterator[tuple[Shell, Reading]]:
    """A login and what it found; both together within the host's time, unless a login was slow but good."""
    shell = _connect(host, orders, is_patient=True, scripts_only=scripts_only)
    try:
        left_s = orders.timeout_s - shell.login_s
        yield shell, _observe(shell, orders, timeout_s=max(left_s, orders.timeout_s * _LOOK_SHARE))
    finally:
        shell.close()


def _connect(host: Host, orders: Orders, *, is_patient: bool = False, scripts_only: bool = False) -> Shell:
    from sshd_keepalive.ssh import connect as ssh  # paramiko costs 200 ms: not before a connection is needed

    return ssh.connect(
        host,
        secrets=orders.secrets,
        timeout_s=orders.timeout_s,
        connect_timeout_s=orders.connect_timeout_s,
        is_patient=is_patient,
        scripts_only=scripts_only,
    )


def _observe(shell: Shell, orders: Orders, *, timeout_s: float | None = None) -> Reading:
    from sshd_keepalive.remote.observe import observe

    return observe(shell, datetime.now(UTC), timeout_s=timeout_s or orders.timeout_s)


# ---------------------------------------------------------------------------------------- its report


def _reported(
    work: Callable[[Host, Orders], HostReport], host: Host, orders: Orders, end: End | None = None
) -> HostReport:
    """Run one pass; whatever it raises becomes the failure of its report.

    Args:
        end: how a pass that changes hosts ends when it raises; None for one that only reads.
    """
    began = time.monotonic()
    try:
        report = work(host, orders)
    except KeepaliveError as error:
        unreached = isinstance(error, ConnectError)
        end = End.UNREACHABLE if unreached and end is not None else end
        failure = error.to_failure()
        report = HostReport(host=host, verdict=Verdict.UNKNOWN, end=end, failure=failure, unreached=unreached)
    except Exception as error:  # a defect of ours must not take the other hosts down
        failure = Failure(
            kind=FailureKind.INTERNAL,
            message=f"{type(error).__name__}: {error}",
            hint="this is a defect; run again with -vv for the traceback and report it",
        )
        _remember_traceback(error)
        # In mid-change nobody knows how far it came.
        report = HostReport(host=host, verdict=Verdict.UNKNOWN, end=End.UNKNOWN if end else None, failure=failure)
    return redacted(replace(report, seconds_s=round(time.monotonic() - began, 3)))


def _remember_traceback(error: Exception) -> None:
    import logging

    logging.getLogger("sshd_keepalive").debug("internal error", exc_info=error)


def _settled(reading: Reading, orders: Orders) -> HostReport:
    """The report of a host; one with a change of another run that is not settled cannot be judged."""
    report = _report(reading)
    pending = _pending(reading.snapshot, orders)
    if pending is None or report.failure is not None:
        return report
    return replace(report, verdict=Verdict.UNKNOWN, failure=_unsettled(pending, reading.snapshot.host).to_failure())


def _pending(snapshot: Snapshot, orders: Orders) -> PendingChange | None:
    """The change of another run that is not settled."""
    pending = snapshot.pending
    return None if pending is None or pending.run_id == orders.run_id else pending


def _unsettled(pending: PendingChange, host: Host) -> HostError:
    """Say what is the matter with a change, and what settles it."""
    run = f"run {pending.run_id}"
    reverts = f"reverts at {pending.reverts_at:%Y-%m-%d %H:%M:%S} UTC"
    cause, message, hint = {
        Phase.CHANGING: ("at_work", f"{run} is changing the host; cut off, it {reverts}", "run the command again then"),
        Phase.WAITING: ("not_confirmed", f"not confirmed: {run} {reverts}", f"sshd-keepalive confirm {host.name}"),
        Phase.REVERTING: ("reverting", f"the host is reverting {run}", "run the command again in a minute"),
        Phase.STUCK: ("not_taken_back", f"{run} was not reverted", guard.unfinished_hint(pending.directory)),
    }[pending.phase]
    return HostError(message, kind=FailureKind.LOCKED, cause=cause, hint=hint)


def _report(reading: Reading) -> HostReport:
    snapshot = reading.snapshot
    host = snapshot.host
    findings = judge.judge(reading, host.policy)
    notes = (str(snapshot.reverted),) if snapshot.reverted is not None else ()
    report = HostReport(
        host=host,
        verdict=Verdict.UNKNOWN,
        findings=findings,
        facts=snapshot.facts,
        version=snapshot.version,
        agents=snapshot.agents,
        notes=notes,
        pending=snapshot.pending,
        reverted=snapshot.reverted,
    )
    complaint = judge.broken(snapshot)
    if complaint:  # nothing else matters: the next restart, ours or anybody's, would lock everybody out
        failure = Failure(
            kind=FailureKind.CONFIG_BROKEN,
            message=f"sshd refuses the present configuration: {complaint}",
            hint="mend it before sshd is restarted; a restart would lock everybody out",
        )
        return replace(report, failure=failure)
    both = judge.contradiction(reading)
    if both:
        failure = Failure(
            kind=FailureKind.OBSERVE,
            cause="readings-differ",
            message=both,
            hint="copy its /etc/ssh, look at it with why --file, and report what differs; nothing was written",
        )
        return replace(report, failure=failure)
    verdict = worst(findings)
    if host.waiver is not None and verdict is Verdict.FAIL:
        verdict, note = _waived(host.waiver, findings, snapshot.taken_at.date())
        notes = (*notes, note)
    marks = managed.marks(snapshot.files, findings)
    caveat = judge.caveat(reading, host.policy) if verdict is Verdict.PASS else None
    return replace(report, verdict=verdict, caveat=caveat, marks=marks, notes=notes)


def _waived(waiver: Waiver, findings: Sequence[Finding], today: date) -> tuple[Verdict, str]:
    """What a waiver makes of a host that differs. What could not be told was never waived."""
    if today > waiver.until:
        return Verdict.FAIL, f"the waiver of {waiver.owner} ended on {waiver.until}: {waiver.reason}"
    unknown = any(finding.verdict is Verdict.UNKNOWN for finding in findings)
    verdict = Verdict.UNKNOWN if unknown else Verdict.WAIVED
    return verdict, f"waived until {waiver.until} by {waiver.owner}: {waiver.reason}"


def worst(findings: Sequence[Finding]) -> Verdict:
    """A known failure outweighs what could not be told; both outweigh a pass. No findings: nothing was told."""
    verdicts = {finding.verdict for finding in findings}
    return next((v for v in (Verdict.FAIL, Verdict.UNKNOWN, Verdict.PASS) if v in verdicts), Verdict.UNKNOWN)


def _with_plan(report: HostReport, planned: Plan) -> HostReport:
    steps = report.steps
    if planned.restart and not planned.contents:
        steps = (*steps, Step(name="pending_restart", ok=True, detail="the files are right, the running sshd is older"))
    return replace(
        report,
        diff=diff.unified(planned),
        value_diff=diff.values(planned),
        contents=planned.contents,
        caveat=planned.caveat,
        restarts=planned.restart,
        notes=(*report.notes, *planned.notes),
        steps=steps,
    )
