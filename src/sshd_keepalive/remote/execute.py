"""Execute a plan on one host. It ends changed and verified, unchanged, or in a state reported as unknown.

The order is the safety: back up, compare, stage, validate, arm (one script, `scripts.guard`), rehearse a login,
install, restart (another one), then a new login that looks again, and only that login confirms. Whatever goes wrong
before, the change is taken back: by the script itself, by the login that is still open, or by the guard on the host
when its time is up.
"""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sshd_keepalive.errors import HostError
from sshd_keepalive.model import ChangeCause, End, Failure, FailureKind, Snapshot, Step
from sshd_keepalive.quoting import quote
from sshd_keepalive.remote import verify
from sshd_keepalive.remote.observe import observe
from sshd_keepalive.remote.verify import Connect, ask_guard
from sshd_keepalive.scripts import guard
from sshd_keepalive.scripts.guard import Answer, Change, GuardEnd
from sshd_keepalive.ssh.errors import LoginCause
from sshd_keepalive.ssh.shell import Shell
from sshd_keepalive.sshd_config.reading import Reading

#: A restore script restarts at most once and waits ten seconds for the proof.
_RESTORE_S = 45.0
_PAUSE_S = 3.0
#: A longer rehearsal would leave too little of the guard's time.
_REHEARSAL_S = 15.0
#: Logins that fail like this make OpenSSH 9.8 and newer bar the address for a while.
_BARRING = frozenset({FailureKind.AUTH, FailureKind.HOST_KEY, FailureKind.BANNED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of executing a plan."""

    end: End
    steps: tuple[Step, ...] = ()
    backup: str | None = None  # directory on the host
    failure: Failure | None = None
    after: Reading | None = None  # what the new login found
    complaints: tuple[str, ...] = ()  # messages of the new sshd in the journal
    lasting: tuple[str, ...] = ()  # titles of the sessions that keep the values they began with


def execute(shell: Shell, connect: Connect, change: Change, *, timeout_s: float) -> Outcome:
    """Change the host behind `shell`; `connect` makes the new logins that prove it.

    Never raises for a failure of the host: the outcome names the state that it was left in.
    """
    fires_at = datetime.now(UTC) + timedelta(seconds=change.deadline_s)
    outcome = _Execution(shell, connect, change, timeout_s).run()
    if outcome.end is End.UNPROVED and outcome.failure is not None:
        hint = (
            f"an unconfirmed change reverts by itself shortly after {fires_at:%H:%M:%S} UTC; check the host then. "
            f"To revert now, run on the host: {guard.show_command(change.directory)}"
        )
        return replace(outcome, failure=replace(outcome.failure, hint=hint))
    if outcome.end is End.APPLIED and not change.confirmed:
        detail = f"not confirmed (--no-confirm): the host reverts at {fires_at:%H:%M:%S} UTC"
        return replace(outcome, steps=(*outcome.steps, Step(name="confirm", ok=True, detail=detail)))
    return outcome


def revert(shell: Shell, connect: Connect, change: Change, directory: str, *, timeout_s: float) -> Outcome:
    """Let its guard revert a change that waits for its confirmation, and verify that over a new login.

    Args:
        change: the undo of that change. It is not executed; its contents must be on the host afterwards.
        directory: of the run that waits, on the host.
    """
    began = time.monotonic()
    answer = ask_guard(shell, guard.build_revert_command(directory), _RESTORE_S)
    hint = f"run check; if the old state is not back, run on the host: {guard.show_command(directory)}"
    if isinstance(answer, HostError):
        message = f"cannot tell whether the change was reverted: {answer}"
        failure = Failure(kind=answer.kind, cause=answer.cause, message=message, hint=hint)
        return Outcome(end=End.UNPROVED, failure=failure)
    steps = answer.steps
    if answer.end is not GuardEnd.ROLLED_BACK:
        end = End.REFUSED if answer.end in (GuardEnd.APPLIED, GuardEnd.REFUSED) else End.UNPROVED
        message = f"the change was not reverted: the host reports {answer.end}: {answer.reason}".rstrip(": ")
        failure = Failure(kind=FailureKind.EFFECTIVE, cause="not_reverted", message=message, hint=hint)
        return Outcome(end=end, steps=steps, failure=failure)
    try:
        with closing(connect()) as fresh:
            after = verify.prove_in_effect(fresh, change, datetime.now(UTC), timeout_s=timeout_s)
    except HostError as error:
        failure = Failure(
            kind=error.kind, cause=error.cause, message=f"the old state is not proved: {error}", hint=hint
        )
        return Outcome(end=End.UNPROVED, steps=steps, failure=failure)
    detail = "a new login finds the old files in effect"
    step = Step(name="verify", ok=True, detail=detail, seconds_s=round(time.monotonic() - began, 2))
    return Outcome(end=End.APPLIED, steps=(*steps, step), after=after)


_HINTS = {
    FailureKind.CHANGED_MEANWHILE: "look at the new diff: run plan again",
    FailureKind.LOCKED: "wait until the other run is over, then run the command again",
    FailureKind.NO_SPACE: "make room on the host, then run the command again",
    FailureKind.READ_ONLY: "make the file, or its file system, writable; then run the command again",
    FailureKind.CONFIG_BROKEN: "correct the configuration first; sshd -t names the line",
    FailureKind.OBSERVE: "this program and sshd read the files differently; please report the file",
    FailureKind.VALIDATE: "sshd would not start with it; please report the file",
    "hard_link": "keep the file under one name, or add --strategy drop-in",
    "immutable": "lift the attribute on the host (lsattr, chattr -i), then run the command again",
    "masked": "unmask the unit, then run the command again",
    "not_to_be_run": "remove that file, then run the command again",
    "process_1": "write the files with --service-action none, then restart the container",
    "binary_replaced": "restart sshd once by hand while you are logged in, then run the command again",
    "kill_mode": "set KillMode=process in the unit, or use --service-action reload",
    "socket": "use --service-action restart",
    "socket_ports": "correct what generates the socket unit, then run on the host: "
    "systemctl daemon-reload; systemctl stop ssh.service; systemctl restart ssh.socket",
    "lost": "run the command again",
}


#: No service manager of the host restarts the running sshd: the inventory must name the command.
_UNSTEERED = frozenset({ChangeCause.NO_MANAGER, ChangeCause.NO_UNIT, ChangeCause.OTHER_DAEMON, ChangeCause.NO_PIDFILE})


def _hint(answer: Answer, change: Change) -> str:
    if answer.hint:
        return answer.hint
    if answer.cause == ChangeCause.NOT_REVERTED:
        return guard.show_remedy(answer.holder)
    if answer.cause == ChangeCause.EARLIER_RUN:
        return guard.show_remedy(answer.holder, verb="restore")
    if answer.cause == ChangeCause.NOT_CONFIRMED:
        return ""  # `fleet` suggests the command
    if answer.cause in _UNSTEERED:
        service = "{manager: command, restart: COMMAND, is_active: COMMAND}"
        if answer.pidfile:
            service = f"{{manager: pidfile, pidfile: {json.dumps(answer.pidfile)}}}"
        return f"say in the inventory how this sshd is restarted: service: {service}"
    if answer.place:
        place = quote(answer.place)
        return (
            "if sshd is that account's own, log in as it and set become to none; "
            f"otherwise give it to root alone: chown -h root {place} && chmod go-w {place}"
        )
    if answer.cause == ChangeCause.NOT_ARMED and answer.kind is FailureKind.VALIDATE:
        return "correct what the host says, then run the command again; without a timer nothing would revert the change"
    if answer.cause == ChangeCause.EXPIRED:
        return f"add --confirm-timeout {2 * change.deadline_s}"
    if answer.kind is FailureKind.RESTART and answer.cause not in _HINTS:
        log = {
            "systemd": f"read its log on the host: journalctl -u {quote(change.snapshot.unit)}",
            "command": f"run on the host and read what it says: {change.snapshot.host.service.restart}",
        }
        return log.get(change.snapshot.manager, "read the host's log, /var/log/auth.log")
    return _HINTS.get(answer.cause) or _HINTS.get(answer.kind or "", "")


class _Execution:
    """One change of one host; steps are added as they finish."""

    def __init__(self, shell: Shell, connect: Connect, change: Change, timeout_s: float) -> None:
        self._shell = shell
        self._connect = connect
        self._change = change
        self._timeout_s = timeout_s
        self._steps: list[Step] = []
        self._complaints: tuple[str, ...] = ()
        self._lasting: tuple[str, ...] = ()
        self._pause_s = 1.0
        self._ends_at_s = time.monotonic() + change.deadline_s

    def run(self) -> Outcome:
        change = self._change
        if change.rehearsed:
            self._shell.prepare_login(guard.build_rehearse_command(change), timeout_s=self._timeout_s)
        answer = self._run_script(guard.build_change_script(change))
        if isinstance(answer, Answer) and answer.end is GuardEnd.READY:
            step, failure = _rehearse(self._shell, change, timeout_s=self._timeout_s)
            self._steps.append(step)
            if failure is not None:
                answer = ask_guard(self._shell, guard.build_revert_command(change.directory), _RESTORE_S)
                if isinstance(answer, Answer) and answer.end is GuardEnd.REFUSED:
                    return self._make_outcome(End.REFUSED, failure)
                return self._revert(None, failure)
            answer = self._run_script(guard.build_install_command(change.directory))
        if isinstance(answer, HostError):
            return self._revert(None, answer.to_failure())
        if answer.end is GuardEnd.CHANGED:
            return self._verify()
        failure = Failure(
            kind=answer.kind or FailureKind.OBSERVE,
            cause=answer.cause,
            message=answer.reason or "the host did not say why the change was not made",
            hint=_hint(answer, change),
        )
        if answer.end is GuardEnd.ROLLED_BACK:
            return self._verify_revert(failure)
        return self._make_outcome(End.REFUSED if answer.end is GuardEnd.REFUSED else End.UNPROVED, failure)

    def _run_script(self, script: str) -> Answer | HostError:
        answer = ask_guard(self._shell, script, self._timeout_s + _RESTORE_S)
        if isinstance(answer, Answer):
            self._steps += answer.steps
            self._lasting += answer.lasting
        return answer

    def _make_outcome(self, end: End, failure: Failure | None = None, after: Reading | None = None) -> Outcome:
        kept = end is not End.REFUSED and bool(self._change.plan.contents)
        backup = self._change.directory if kept else None
        return Outcome(
            end=end,
            steps=tuple(self._steps),
            backup=backup,
            failure=failure,
            after=after,
            complaints=self._complaints,
            lasting=self._lasting,
        )

    def _verify(self) -> Outcome:
        """Verify the change over a new login, which confirms it; otherwise the old login reverts it."""
        began = time.monotonic()
        change = self._change
        try:
            with closing(self._connect_for_proof()) as fresh:
                after = verify.prove_in_effect(
                    fresh, change, datetime.now(UTC), timeout_s=self._timeout_s, confirms=change.confirmed
                )
                detail = f"a new login finds the change in effect, sshd process: {_format_pid(after.snapshot)}"
                self._step("verify", began, detail)
                if change.confirmed:
                    self._confirm(fresh, after.snapshot.confirmation)
        except HostError as error:
            kind = error.kind if error.kind is FailureKind.EFFECTIVE else FailureKind.LOGIN
            self._step("verify", began, str(error), ok=False)
            message = f"the new login did not prove the change: {error}"
            return self._revert(self._shell, Failure(kind=kind, cause=error.cause, message=message))
        return self._make_outcome(End.APPLIED, after=after)

    def _connect_for_proof(self) -> Shell:
        """Connect, with a second attempt where sshd was busy or did not listen yet."""
        try:
            return self._connect()
        except HostError as error:
            if (
                error.kind not in (FailureKind.BANNED, FailureKind.TCP)
                or time.monotonic() + 2 * _PAUSE_S > self._ends_at_s
            ):
                raise
        time.sleep(_PAUSE_S)
        return self._connect()

    def _confirm(self, fresh: Shell, said: bytes) -> None:
        answer = verify.confirm(fresh, self._change.directory, self._timeout_s, said=said)
        if isinstance(answer, HostError):
            raise answer
        self._steps += answer.steps
        self._complaints = answer.complaints
        if answer.end is not GuardEnd.APPLIED:
            message = f"the change could not be confirmed: the host reports {answer.end} already"
            raise HostError(message, kind=FailureKind.EFFECTIVE, cause="confirm")

    def _revert(self, shell: Shell | None, failure: Failure) -> Outcome:
        """Revert over the old login, else over a new one, else leave it to the guard and check after its deadline."""
        command = guard.build_revert_command(self._change.directory)
        answer = ask_guard(shell, command, _RESTORE_S) if shell is not None else None
        while not isinstance(answer, Answer):
            answer = self._ask_over_new_login(command)
            if isinstance(answer, HostError):
                if time.monotonic() > self._ends_at_s + 30:
                    return self._make_outcome(End.UNPROVED, failure)
                time.sleep(self._pause_s)
        self._steps += answer.steps
        # Without a reason it was aborted before anything had changed; with one the host does not revert it.
        if answer.end is GuardEnd.REFUSED and not answer.kind and not answer.reason:
            return self._make_outcome(End.REFUSED, failure)
        if answer.end is GuardEnd.ROLLED_BACK:
            return self._verify_revert(failure)
        return self._make_outcome(End.UNPROVED, failure)

    def _ask_over_new_login(self, command: str) -> Answer | HostError:
        self._pause_s = 1.0
        try:
            fresh = self._connect()
        except HostError as error:
            if error.kind in _BARRING:  # more failures would bar this address, so wait for the guard
                self._pause_s = max(1.0, self._ends_at_s + _PAUSE_S - time.monotonic())
            return error
        with closing(fresh):
            return ask_guard(fresh, command, _RESTORE_S)

    def _verify_revert(self, failure: Failure) -> Outcome:
        """Report `rolled_back` only after a new login has found the old files and an active daemon."""
        began = time.monotonic()
        try:
            with closing(self._connect_for_proof()) as fresh:
                seen = observe(fresh, datetime.now(UTC), timeout_s=self._timeout_s, again=True)
                problem = verify.find_difference(seen.snapshot, self._change)
        except HostError as error:
            problem = str(error)
        detail = problem or "a new login finds the old files and an active daemon"
        self._step("verify_rollback", began, detail, ok=not problem)
        return self._make_outcome(End.UNPROVED if problem else End.ROLLED_BACK, failure)

    def _step(self, name: str, began: float, detail: str, *, ok: bool = True) -> None:
        self._steps.append(Step(name=name, ok=ok, detail=detail, seconds_s=round(time.monotonic() - began, 2)))


def _rehearse(shell: Shell, change: Change, *, timeout_s: float) -> tuple[Step, Failure | None]:
    """Log in with the staged files, over the open login.

    It cannot cover rules about the client's address (which is UNKNOWN there), and differences between the
    listener and a program started from a session: SELinux domains, limits, name spaces of the unit.
    A failure counts only when the same login with the present files works: a login that is allowed from certain
    addresses only, or a host where sshd cannot be run, cannot be rehearsed. The guard covers these cases.

    Returns:
        The step, and why the change must not be made; None when it may.
    """
    began = time.monotonic()
    limit_s = min(timeout_s, _REHEARSAL_S, change.deadline_s / 2)

    def step(text: str, *, ok: bool = True) -> Step:
        return Step(name="rehearse", ok=ok, detail=text, seconds_s=round(time.monotonic() - began, 2))

    try:
        shell.login_through(guard.build_rehearse_command(change), timeout_s=limit_s)
    except HostError as error:
        if error.cause == LoginCause.BAD_PASSWORD:  # the login that verifies the change would fail too
            return step(str(error), ok=False), error.to_failure()
        try:
            shell.login_through(guard.build_rehearse_command(change, present=True), timeout_s=limit_s)
        except HostError as other:
            return step(f"not possible here: {other}"), None
        failure = Failure(
            kind=FailureKind.LOGIN,
            cause="rehearsal",
            message=f"login failed through the new files: {error}",
            hint="nothing was changed; read why in sshd's log of the last minute on the host",
        )
        return step(str(error), ok=False), failure
    return step("a login through the new files works; address rules and SELinux cannot be rehearsed"), None


def _format_pid(snapshot: Snapshot) -> str:
    return str(snapshot.daemon.pid) if snapshot.daemon and snapshot.daemon.pid else "per connection"
