"""The live sessions of a host over an open login, and since when the values in effect are."""

from __future__ import annotations

from datetime import datetime

from sshd_keepalive.model import Snapshot
from sshd_keepalive.scripts import sessions
from sshd_keepalive.scripts.records import output_of
from sshd_keepalive.scripts.sessions import LiveSession
from sshd_keepalive.ssh.shell import Shell


def live(shell: Shell, snapshot: Snapshot, *, timeout_s: float) -> tuple[LiveSession, ...]:
    """All sessions of the daemon but the one of this login, oldest first.

    Raises:
        HostError: as Shell.run and `output_of`.
    """
    completed = shell.run(sessions.script(), timeout_s=timeout_s)
    daemon = snapshot.daemon.pid if snapshot.daemon else None
    found = sessions.parse(output_of(completed), daemon=daemon)
    return tuple(session for session in found if not session.is_ours)


def in_effect_since(snapshot: Snapshot) -> datetime | None:
    """When new sessions began to get the present values; None when it cannot be told.

    One process per connection reads the files at its start: then it is the moment the files changed.
    """
    if snapshot.daemon is not None and snapshot.daemon.pid is not None:
        return snapshot.daemon.loaded_at
    return max((file.changed_at for file in snapshot.files if file.changed_at is not None), default=None)
