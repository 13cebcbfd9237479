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
    return _others(_told(shell, sessions.script(), timeout_s), snapshot)


def _told(shell: Shell, script: str, timeout_s: float) -> bytes:
    completed = shell.run(script, timeout_s=timeout_s)
    if not completed.ended:
        raise HostError(
            "the connection was lost in mid-answer", kind="timeout", cause="lost", hint="run the command again"
        )
    return completed.stdout


def _others(stdout: bytes, snapshot: Snapshot) -> tuple[Session, ...]:
    found = sessions.of_daemon(sessions.parse(stdout), snapshot)
    return tuple(session for session in found if not session.is_ours)


def in_effect_since(snapshot: Snapshot) -> datetime | None:
    """When new sessions began to get the present values; None when it cannot be told.

    One process per connection reads the files at its start: then it is the moment the files changed.
    """
    if snapshot.daemon is not None and snapshot.daemon.pid is not None:
        return snapshot.daemon.loaded_at
    return max((file.changed_at for file in snapshot.files if file.changed_at is not None), default=None)


def reminder(shell: Shell, after: Snapshot | None, *, timeout_s: float) -> tuple[str, ...]:
    """What to say after a change: the new sshd's warnings in the journal, and how many sessions do not have it."""
    if after is None:
        return ()
    pid = after.daemon.pid if after.daemon is not None else None
    script = sessions.script() + (sessions.complaints_script(pid) if pid is not None else "")
    try:
        stdout = _told(shell, script, timeout_s)
        complaints, found = sessions.complaints(stdout), _others(stdout, after)
    except HostError:  # the change is made and proved; this is a courtesy
        return ()
    notes = [f"the new sshd says in the journal: {line}" for line in complaints]
    since = in_effect_since(after)
    if n_old := sum(session.is_older(since) for session in found):
        they = "1 session keeps" if n_old == 1 else f"{n_old} sessions keep"
        notes.append(f"{they} the old values until it ends: `sshd-keepalive sessions` lists what is older")
    return tuple(notes)
