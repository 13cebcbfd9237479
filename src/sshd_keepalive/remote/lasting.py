"""The live sessions of a host over an open login, and since when the values in effect are."""

from __future__ import annotations

from datetime import datetime

from sshd_keepalive.core import sessions
from sshd_keepalive.core.sessions import Session
from sshd_keepalive.errors import HostError
from sshd_keepalive.model import Snapshot
from sshd_keepalive.remote.shell import Shell


def live(shell: Shell, snapshot: Snapshot, *, timeout_s: float) -> tuple[Session, ...]:
    """All sessions of the daemon but the one of this login, oldest first.

    Raises:
        HostError: as Shell.run; kind timeout, the answer was cut off.
    """
    completed = shell.run(sessions.script(), timeout_s=timeout_s)
    if not completed.ended:
        raise HostError(
            "the connection was lost in mid-answer", kind="timeout", cause="lost", hint="run the command again"
        )
    found = sessions.of_daemon(sessions.parse(completed.stdout), snapshot)
    return tuple(session for session in found if not session.is_ours)


def in_effect_since(snapshot: Snapshot) -> datetime | None:
    """When new sessions began to get the present values; None when it cannot be told.

    One process per connection reads the files at its start: then it is the moment the files changed.
    """
    if snapshot.daemon is not None and snapshot.daemon.pid is not None:
        return snapshot.daemon.loaded_at
    return max((file.changed_at for file in snapshot.files if file.changed_at is not None), default=None)


def reminder(shell: Shell, after: Snapshot | None, *, timeout_s: float) -> tuple[str, ...]:
    """What to say after a change of the sessions that do not have it; nothing when there are none or none are told."""
    if after is None:
        return ()
    try:
        found = live(shell, after, timeout_s=timeout_s)
    except HostError:  # the change is made and proved; this is a courtesy
        return ()
    since = in_effect_since(after)
    n_old = sum(session.is_older(since) for session in found)
    if not n_old:
        return ()
    they = "1 session keeps" if n_old == 1 else f"{n_old} sessions keep"
    return (f"{they} the old values until it ends: `sshd-keepalive sessions` lists what is older than the change",)
