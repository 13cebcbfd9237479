"""One host's whole pass, one function per command; and a fleet's run, which repeats that function.

A pass without failures logs in at most twice: once to work, once to verify. It never raises for a failure of the
host: that is the `failure` of the report, so that one host never delays or hides another.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Protocol
from zlib import crc32

from sshd_keepalive.errors import HostError
from sshd_keepalive.fleet.report import (
    RepeatedWords,
    add_plan,
    describe_unsettled,
    find_pending,
    report_errors,
    report_reading,
    report_settled,
)
from sshd_keepalive.fleet.stop import Stop
from sshd_keepalive.model import (
    Action,
    ChangeCause,
    End,
    FailureKind,
    Host,
    HostReport,
    PendingChange,
    Phase,
    Plan,
    Snapshot,
    State,
    Subject,
)
from sshd_keepalive.quoting import quote
from sshd_keepalive.ssh.shell import Shell

if TYPE_CHECKING:
    from sshd_keepalive.engines import SelectedEngine
    from sshd_keepalive.planning.undo import Past
    from sshd_keepalive.scripts.guard import Change
    from sshd_keepalive.secrets.retrieval import Secrets
    from sshd_keepalive.ssh.dial import DialAhead
    from sshd_keepalive.sshd_config.reading import Reading


#: Share of a host's time limit that remains for the observation at least, after a slow login.
_OBSERVE_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """The options and time limits of a pass."""

    run_id: str
    secrets: Secrets
    timeout_s: float = 60.0  # for one login, and for one exchange over it
    connect_timeout_s: float = 10.0
    confirm_timeout_s: int = 60
    action: Action = Action.RESTART
    rehearses: bool = True  # a login through the new files comes before the change
    confirms: bool = True  # the verification confirms; otherwise `confirm` does it later
    undoes: str = ""  # undo: the run to revert; empty: the latest that can be
    force: bool = False  # undo: also over edits made since
    #: host name → fingerprint of the plan that was shown; a pass that would write anything else refuses.
    shown: dict[str, str] | None = field(default=None)
    stop: Stop = field(default_factory=Stop)  # a pass that has changed nothing yet heeds it
    repeated: RepeatedWords = field(default_factory=RepeatedWords)  # for hints


class Pass(Protocol):
    """A function for one host, like those below."""

    def __call__(self, host: Host, orders: Orders) -> HostReport:
        """Run the pass; never raises for a failure of the host."""


def run(
    job: Pass,
    hosts: Iterable[Host],
    orders: Orders,
    engine: SelectedEngine,
    *,
    workers: int,
    changes: bool = True,
    waits: bool = False,
) -> Iterator[HostReport]:
    """Repeat one pass for many hosts; reports come as they finish, each host exactly once.

    Args:
        changes: the pass may change a host: it is never begun a second time, even when its worker is lost, and never
            left alone. One that only reads is, when it takes much longer than its time limit.
        waits: it only reads, and takes as long as its idle session.
    """
    limit_s = None if changes or waits else orders.timeout_s
    return engine.run(
        partial(job, orders=orders),
        hosts,
        workers=workers,
        may_repeat=not changes,
        limit_s=limit_s,
        lets_go=(lambda host: orders.stop.lets_go(host.name)) if changes else None,
    )


@report_errors()
def plan_host(host: Host, orders: Orders) -> HostReport:
    """Plan what apply would change on one host; change nothing."""
    with log_in_and_observe(host, orders) as (shell, reading):
        report = report_settled(reading, orders.run_id)
        if report.state is State.WAIVED or report.failure is not None:
            return report
        from sshd_keepalive.planning import plan

        report = add_plan(report, plan.plan(reading, host.policy))
        if report.drops_silent_after_s is not None:
            from sshd_keepalive.fleet.clients import count_doubtful_clients

            report = replace(report, n_may_not_answer=count_doubtful_clients(shell, reading, orders.timeout_s))
    return report


@report_errors(End.REFUSED)
def apply_host(host: Host, orders: Orders) -> HostReport:
    """Make one host compliant and verify it, or leave it unchanged."""
    with log_in_and_observe(host, orders, rehearses=orders.rehearses) as (shell, reading):
        report = replace(report_settled(reading, orders.run_id), end=End.UNCHANGED)
        if report.state is State.WAIVED:
            return report
        if report.failure is not None:
            return replace(report, end=End.REFUSED)
        from sshd_keepalive.planning import plan

        planned = plan.plan(reading, host.policy)
        report = add_plan(report, planned)
        _refuse_other_than_shown(planned, orders, host)
        if planned.is_empty:
            return report
        return _execute(shell, make_change(reading, planned, orders), report, orders)


@report_errors()
def undo_plan_host(host: Host, orders: Orders) -> HostReport:
    """Plan what undo would change on one host; change nothing."""
    return _undo(host, orders, only_plan=True)


@report_errors(End.REFUSED)
def undo_host(host: Host, orders: Orders) -> HostReport:
    """Restore the files from before a run and verify them, or leave the host unchanged."""
    return _undo(host, orders)


def _undo(host: Host, orders: Orders, *, only_plan: bool = False) -> HostReport:
    with log_in_and_observe(host, orders, rehearses=orders.rehearses and not only_plan) as (shell, reading):
        report = replace(report_reading(reading), end=None if only_plan else End.UNCHANGED)
        pending = find_pending(reading, orders.run_id)
        if pending is not None and (pending.phase is not Phase.WAITING or orders.undoes not in ("", pending.run_id)):
            raise describe_unsettled(pending)
        past = _find_past(shell, reading.snapshot, orders, pending)
        if past is None:
            return replace(report, notes=(*report.notes, "the host has no run to undo"))
        from sshd_keepalive.planning import diff, plan, undo

        planned = undo.plan(reading, past, force=orders.force)
        report = replace(
            report,
            diff=diff.render_diff(planned),
            value_diff=diff.render_value_diff(planned) if planned.contents else "",
            fingerprint=plan.compute_plan_fingerprint(planned.contents),
            restarts=planned.restart,
        )
        _refuse_other_than_shown(planned, orders, host)
        if only_plan or (planned.is_empty and pending is None):
            return report
        change = replace(make_change(reading, planned, orders), judged=False, undoes=past.run_id)
        return _execute(shell, change, report, orders, waiting=pending)


def _find_past(shell: Shell, snapshot: Snapshot, orders: Orders, pending: PendingChange | None) -> Past | None:
    """Find the run to undo; one that waits for its confirmation comes first."""
    from sshd_keepalive.planning import undo
    from sshd_keepalive.scripts.guard import GuardEnd
    from sshd_keepalive.scripts.records import read_output

    wanted = orders.undoes or (pending.run_id if pending else "")
    completed = shell.run(undo.build_script(snapshot, wanted), timeout_s=orders.timeout_s)
    past = undo.parse(read_output(completed))
    if past is None and orders.undoes:
        raise HostError(
            f"the host has no record of run {orders.undoes}",
            kind=FailureKind.OBSERVE,
            cause="no-run",
            hint=f"list the runs on the host: sudo ls {quote(snapshot.state_dir)}",
        )
    if past is not None and past.how is not GuardEnd.APPLIED and pending is None:
        raise HostError(
            f"cannot undo run {past.run_id}: it is not an applied run ({past.how or 'not confirmed'})",
            kind=FailureKind.OBSERVE,
            cause="not-applied",
            hint=f"list the runs on the host, and name an applied one with --run: sudo ls {quote(snapshot.state_dir)}",
        )
    return past


@report_errors(End.REFUSED)
def confirm_host(host: Host, orders: Orders) -> HostReport:
    """Confirm a pending change over this new login."""
    from sshd_keepalive.remote import verify
    from sshd_keepalive.scripts.guard import GuardEnd

    with log_in_and_observe(host, orders) as (shell, reading):
        report = replace(report_reading(reading), end=End.UNCHANGED)
        snapshot = reading.snapshot
        pending = snapshot.pending
        if pending is None:
            return replace(report, notes=(*report.notes, "no change waits for a confirmation"))
        if pending.phase is not Phase.WAITING:
            raise describe_unsettled(pending)
        if report.state is not State.OK:
            raise HostError(
                "not confirmed: this login does not find the change in effect; the host reverts it by itself",
                kind=FailureKind.EFFECTIVE,
                cause=ChangeCause.VALUE,
            )
        with orders.stop.changing(host.name):
            answer = verify.confirm(shell, pending.directory, orders.timeout_s)
        if isinstance(answer, HostError):
            failure = replace(answer.to_failure(), hint="run check on this host")
            return replace(report, state=State.UNKNOWN, caveat=None, end=End.UNPROVED, failure=failure)
        if answer.end is not GuardEnd.APPLIED:
            raise HostError(
                f"the change could not be confirmed: {answer.reason or f'the host reports {answer.end}'}",
                kind=answer.kind or FailureKind.EFFECTIVE,
                cause=answer.cause or "confirm",
                hint=answer.hint or "run check on this host",
            )
        return replace(
            report,
            end=End.APPLIED,
            steps=answer.steps,
            notes=quote_complaints(answer.complaints),
            pending=None,
            reverted=None,
        )


def quote_complaints(lines: Sequence[str]) -> tuple[str, ...]:
    """Make notes from the messages of the new sshd in the journal."""
    return tuple(f"the new sshd logged in the journal: {line}" for line in lines)


def _refuse_other_than_shown(planned: Plan, orders: Orders, host: Host) -> None:
    from sshd_keepalive.planning import plan

    if orders.shown is not None and plan.compute_plan_fingerprint(planned.contents) != orders.shown.get(host.name):
        raise HostError(
            "the host has changed since the plan was made",
            kind=FailureKind.CHANGED_MEANWHILE,
            hint="run plan again and read the new diff",
        )


def _execute(
    shell: Shell, change: Change, report: HostReport, orders: Orders, *, waiting: PendingChange | None = None
) -> HostReport:
    """Execute a change, or revert one that waits for its confirmation, and add the outcome to the report."""
    from sshd_keepalive.remote.execute import execute, revert
    from sshd_keepalive.scripts import sessions

    # The new login must share nothing with the open one: only then it proves that logins work.
    log_in = partial(connect, change.snapshot.host, orders)
    with orders.stop.changing(change.snapshot.host.name):
        if waiting is None:
            outcome = execute(shell, log_in, change, timeout_s=orders.timeout_s)
        else:
            outcome = revert(shell, log_in, change, waiting.directory, timeout_s=orders.timeout_s)
    wrong = tuple(f for f in report.findings if f.state is State.DRIFT and f.setting != Subject.DAEMON)
    if outcome.after is not None:
        after = report_reading(outcome.after)
        report = replace(
            report,
            findings=after.findings,
            caveat=after.caveat,
            state=after.state,
            facts=after.facts,
            deciding_files=after.deciding_files,
            replaced=wrong,
            pending=None if change.confirmed else after.pending,
            reverted=None if change.confirmed else after.reverted,
        )
    elif outcome.end is End.UNPROVED:
        report = replace(report, state=State.UNKNOWN, caveat=None)
    if outcome.end is End.APPLIED:
        notes = [*report.notes, *quote_complaints(outcome.complaints)]
        n_older = sessions.count_logged_in(outcome.lasting)
        report = replace(report, n_older_sessions=n_older, n_may_not_answer=n_older)
        if n_older:
            report = replace(report, facts=(*report.facts, ("older_sessions", str(n_older))))
            they = "1 session keeps" if n_older == 1 else f"{n_older} sessions keep"
            notes.append(f"{they} the old values until {'it ends' if n_older == 1 else 'they end'}")
        report = replace(report, notes=tuple(notes))
    return replace(
        report, end=outcome.end, steps=(*report.steps, *outcome.steps), backup=outcome.backup, failure=outcome.failure
    )


def make_change(reading: Reading, planned: Plan, orders: Orders) -> Change:
    """Build the change from a plan: everything that its scripts need."""
    from sshd_keepalive.planning import candidate
    from sshd_keepalive.remote.observe import build_functions, build_guard_functions, find_service
    from sshd_keepalive.scripts.guard import Change

    snapshot = reading.snapshot
    directory = f"{snapshot.state_dir}/{orders.run_id}"
    service = find_service(snapshot)
    # Several daemons of one machine may be hosts of one run, so each guard has its own name.
    name = f"sshd-keepalive-{orders.run_id}-{crc32(directory.encode('utf-8', 'surrogateescape')):08x}"
    return Change(
        plan=planned,
        snapshot=snapshot,
        run_id=orders.run_id,
        deadline_s=orders.confirm_timeout_s,
        candidate=candidate.build(reading, planned, directory),
        functions=build_functions(service)
        + build_guard_functions(service.manager or "", name, directory, orders.confirm_timeout_s),
        action=orders.action,
        rehearsed=orders.rehearses,
        confirmed=orders.confirms,
        after=reading.after(planned.contents),
    )


@contextmanager
def log_in_and_observe(host: Host, orders: Orders, *, rehearses: bool = False) -> Iterator[tuple[Shell, Reading]]:
    """Log in and observe, together within the host's time limit, or a little longer after a slow login.

    Args:
        rehearses: a login through new files may follow.

    Raises:
        HostError.
    """
    with closing(connect(host, orders, is_patient=True)) as shell:
        if rehearses:
            shell.open_ahead(2)  # for the observation, and for that login
        left_s = orders.timeout_s - shell.login_s
        yield shell, _observe(shell, orders, timeout_s=max(left_s, orders.timeout_s * _OBSERVE_SHARE))


@contextmanager
def log_in_and_try_to_observe(host: Host, orders: Orders) -> Iterator[tuple[Shell, Reading | HostError]]:
    """Log in and observe, for work that does not need a reading: give the error in its place."""
    with closing(connect(host, orders, is_patient=True)) as shell:
        reading: Reading | HostError
        try:
            reading = _observe(shell, orders)
        except HostError as error:
            if error.kind is FailureKind.BANNER:
                raise
            reading = error
        yield shell, reading


def observe_host(host: Host, orders: Orders) -> Reading:
    """Observe one host; change nothing.

    Raises:
        HostError.
    """
    with log_in_and_observe(host, orders) as (_, reading):
        return reading


def connect(host: Host, orders: Orders, *, is_patient: bool = False) -> Shell:
    """Log in; see `ssh.connect`.

    Raises:
        ConnectError.
    """
    ahead = _dial_ahead(host, orders)
    from sshd_keepalive.ssh import connect as ssh  # paramiko costs 60 ms: not before a connection is needed

    _import_readers()
    with _suggest_more_time(orders):
        return ssh.connect(
            host,
            secrets=orders.secrets,
            timeout_s=orders.timeout_s,
            connect_timeout_s=orders.connect_timeout_s,
            is_patient=is_patient,
            ahead=ahead,
        )


def _dial_ahead(host: Host, orders: Orders) -> DialAhead | None:
    """Begin the first connection of the process, which is made while paramiko is imported.

    It precedes the keys and the throttle, which allows more than one connection; so it is one alone.
    """
    is_first = "paramiko" not in sys.modules and _first.acquire(blocking=False)
    if not is_first or host.jump or host.obstacle:
        return None
    from sshd_keepalive.ssh.dial import DialAhead

    return DialAhead(host, orders.timeout_s, orders.connect_timeout_s)


_first = threading.Lock()  # never released: the thread that gets it makes the first connection


@cache
def _import_readers() -> None:
    """Import what reads and judges a host, in a thread: the login waits for the network most of its time."""

    def import_all() -> None:
        for name in ("remote.observe", "planning.judge", "planning.owners"):
            import_module(f"sshd_keepalive.{name}")

    threading.Thread(target=import_all, name="imports", daemon=True).start()


def _observe(shell: Shell, orders: Orders, *, timeout_s: float | None = None) -> Reading:
    from sshd_keepalive.remote.observe import observe

    with _suggest_more_time(orders):
        return observe(shell, datetime.now(UTC), timeout_s=timeout_s or orders.timeout_s)


@contextmanager
def _suggest_more_time(orders: Orders) -> Iterator[None]:
    """Name the option and a value that may be enough in the hint of a time limit."""
    try:
        yield
    except HostError as error:
        if error.kind is FailureKind.TIMEOUT:
            error.hint = f"add --timeout {2 * orders.timeout_s:g}, or look at the load of the host"
        raise
