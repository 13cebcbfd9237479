"""Try a login through the new files before they are installed.

What it cannot show: rules about the client's address (it reads UNKNOWN there), and what differs between the
listener and a program started from a session: SELinux domains, limits, name spaces of the unit.
"""

from __future__ import annotations

import time
from typing import Final

from sshd_keepalive.errors import HostError
from sshd_keepalive.model import Failure, FailureKind, Step
from sshd_keepalive.scripts import guard
from sshd_keepalive.scripts.guard import Change
from sshd_keepalive.ssh.shell import Shell

#: A rehearsal that takes longer leaves too little of the guard's time.
_LIMIT_S: Final = 15.0


def rehearse(shell: Shell, change: Change, *, timeout_s: float) -> tuple[Step, Failure | None]:
    """Log in through the candidate, over the login that is open.

    A failure counts only when the same login through the present files works: one that is allowed from certain
    addresses only, or a host that lets nobody run sshd, cannot be rehearsed, and the guard is there for that.

    Returns:
        The step, and why the change must not be made; None when it may.
    """
    began = time.monotonic()
    limit_s = min(timeout_s, _LIMIT_S, change.deadline_s / 2)

    def step(text: str, *, ok: bool = True) -> Step:
        return Step(name="rehearse", ok=ok, detail=text, seconds_s=round(time.monotonic() - began, 2))

    try:
        shell.login_through(guard.rehearse_command(change), timeout_s=limit_s)
    except HostError as error:
        if error.cause == "bad-password":  # nor would it be taken from the login that proves the change
            failure = error.to_failure()
            return step(str(error), ok=False), failure
        try:
            shell.login_through(guard.rehearse_command(change, present=True), timeout_s=limit_s)
        except HostError as other:
            return step(f"not possible here: {other}"), None
        failure = Failure(
            kind=FailureKind.LOGIN,
            cause="rehearsal",
            message=f"no login comes about through the new files: {error}",
            hint="nothing was changed; the host's log of the last minute says why",
        )
        return step(str(error), ok=False), failure
    return step("a login through the new files works; address rules and SELinux cannot be rehearsed"), None
