"""Verify over a new login that a change is in effect, or that it was reverted; and ask the guard about it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sshd_keepalive.errors import HostError, MomentaryError
from sshd_keepalive.model import SPELLING, Action, ChangeCause, FailureKind, Snapshot, State, Subject
from sshd_keepalive.planning import judge
from sshd_keepalive.remote.observe import observe
from sshd_keepalive.scripts import guard, survey
from sshd_keepalive.scripts.guard import Answer, Change, GuardEnd
from sshd_keepalive.scripts.records import read_output
from sshd_keepalive.ssh.shell import Shell
from sshd_keepalive.sshd_config.reading import Reading

Connect = Callable[[], Shell]


def prove_in_effect(
    shell: Shell, change: Change, now: datetime, *, timeout_s: float, confirms: bool = False
) -> Reading:
    """Observe over a login made after the change: files, daemon and values must be as planned.

    Args:
        confirms: the host confirms by itself where it finds all as predicted; see `Snapshot.confirmation`.
    Raises:
        HostError: kind `effective`, naming the first difference.
    """
    condition = None
    if confirms:
        expected = survey.predict_records(change.snapshot, change.plan)
        condition = survey.Condition(expected=expected, guard=f"{change.directory}/guard.sh")
    reading = observe(shell, now, timeout_s=timeout_s, again=True, expected=change.after, confirms=condition)
    after = reading.snapshot
    if not after.active:
        raise HostError(
            f"{after.unit or 'sshd'} is not active after the restart", kind=FailureKind.EFFECTIVE, cause="inactive"
        )
    now_there = after.contents
    for content in change.plan.contents:
        if now_there.get(content.path) != (None if content.gone else content.after):
            raise HostError(f"{content.path} is not what was installed", kind=FailureKind.EFFECTIVE, cause="file")
    wrong = [f for f in judge.judge(reading, change.plan.host.policy) if f.state in (State.DRIFT, State.UNKNOWN)]
    if change.action is Action.NONE:  # the daemon keeps the old values on request
        wrong = [finding for finding in wrong if finding.setting != Subject.DAEMON]
    if not change.judged:  # an undo restores values without a policy; only unknown values and old daemons count
        wrong = [f for f in wrong if f.setting == Subject.DAEMON or f.state is State.UNKNOWN]
    if wrong:
        first = wrong[0]
        raise HostError(
            f"{first.setting} reads {first.value}, not {first.wanted}, for {first.scope}: {first.reason}".rstrip(": "),
            kind=FailureKind.EFFECTIVE,
            cause=ChangeCause.VALUE,
        )
    return reading


def find_difference(seen: Snapshot, change: Change) -> str:
    """Find the first difference from the state before the change: files, the output of `sshd -T`, the daemon."""
    now_there = seen.contents
    for content in change.plan.contents:
        if now_there.get(content.path) != content.before:
            return f"{content.path} does not hold its old content"
    if complaint := judge.find_refusal(seen):
        return f"sshd refuses the old files: {complaint}"
    answers = seen.answers
    if not answers:
        return "cannot run sshd -T to see how it reads the old files"
    for prediction in change.plan.predictions:
        dump = answers.get(prediction.context)
        if dump is None:  # the guard has checked all contexts; an observation covers fewer
            continue
        for keyword, value in prediction.before:
            if dump.find(keyword) != value:
                return f"sshd reads {SPELLING[keyword]} as {dump.find(keyword)}, before it was {value}"
    return "" if seen.active else f"{seen.unit or 'sshd'} is not active"


def ask_guard(shell: Shell, script: str, timeout_s: float) -> Answer | HostError:
    """Run a script of the guard; an error: how far it came is unknown."""
    try:
        answer = guard.parse(read_output(shell.run(script, timeout_s=timeout_s)))
    except HostError as error:
        if error.kind in (FailureKind.BECOME, FailureKind.SHELL):  # refused before the script began
            hint = error.hint or ""
            return Answer(end=GuardEnd.REFUSED, kind=error.kind, cause=error.cause, reason=str(error), hint=hint)
        return error
    if not answer.end:
        return MomentaryError("the answer of the guard has no result")
    return answer


def confirm(shell: Shell, directory: str, timeout_s: float, *, said: bytes = b"") -> Answer | HostError:
    """Confirm the run of a directory over this login; an error: whether the host has confirmed is unknown.

    Args:
        said: what the guard printed if the host has confirmed by itself.
    """
    if said and (confirmed := guard.parse(said)).end:
        return confirmed
    answer = ask_guard(shell, guard.build_confirm_command(directory), timeout_s)
    if isinstance(answer, Answer):
        return answer
    message = f"cannot tell whether the host has confirmed: {answer}"
    return HostError(message, kind=answer.kind, cause=answer.cause)
