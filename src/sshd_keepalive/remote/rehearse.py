"""Rehearse a login with the new files before they are installed.

It cannot cover rules about the client's address (which is UNKNOWN there), and differences between the
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

#: A longer rehearsal would leave too little of the guard's time.
_LIMIT_S: Final = 15.0


def rehearse(shell: Shell, change: Change, *, timeout_s: float) -> tuple[Step, Failure | None]:
    """Log in with the staged files, over the open login.

    A failure counts only when the same login with the present files works: a login that is allowed from certain
    addresses only, or a host where sshd cannot be run, cannot be rehearsed. The guard covers these cases.

    Returns:
        The step, and why the change must not be made; None when it may.
    """
    began = time.monotonic()
    limit_s = min(timeout_s, _LIMIT_S, change.deadline_s / 2)

    def step(text: str, *, ok: bool = True) -> Step:
        return Step(name="rehearse", ok=ok, detail=text, seconds_s=round(time.monotonic() - began, 2))

    try:
        shell.login_through(guard.build_rehearse_command(change), timeout_s=limit_s)
    except HostError as error:
        if error.cause == "bad-password":  # the login that verifies the change would fail too
            failure = error.to_failure()
            return step(str(error), ok=False), failure
        try:
            shell.login_through(guard.build_rehearse_command(change, present=True), timeout_s=limit_s)
        except HostError as other:
            return step(f"not possible here: {other}"), None
        failure = Failure(
            kind=FailureKind.LOGIN,
            cause="rehearsal",
            message=f"login failed through the new files: {error}",
            hint="nothing was changed; the host's log of the last minute says why",
        )
        return step(str(error), ok=False), failure
    return step("a login through the new files works; address rules and SELinux cannot be rehearsed"), None
