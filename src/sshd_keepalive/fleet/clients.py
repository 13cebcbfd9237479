"""The clients of one host's live sessions, and whether they answer keep-alives."""

from __future__ import annotations

from datetime import datetime

from sshd_keepalive.diagnosis.rules import read_known
from sshd_keepalive.errors import HostError
from sshd_keepalive.model import Snapshot
from sshd_keepalive.probing.proof import compute_tolerance_s
from sshd_keepalive.scripts import sessions
from sshd_keepalive.scripts.records import read_output
from sshd_keepalive.scripts.sessions import LiveSession
from sshd_keepalive.ssh.shell import Shell
from sshd_keepalive.sshd_config.reading import Reading


def list_live(shell: Shell, snapshot: Snapshot, timeout_s: float, *, asks_silence: bool = False) -> list[LiveSession]:
    """List the sessions of the daemon, without the one of this login.

    Raises:
        HostError: as Shell.run and `read_output`.
    """
    completed = shell.run(sessions.build_script(asks_silence=asks_silence), timeout_s=timeout_s)
    daemon = snapshot.daemon.pid if snapshot.daemon else None
    return [session for session in sessions.parse(read_output(completed), daemon=daemon) if not session.is_ours]


def find_loading_time(snapshot: Snapshot) -> datetime | None:
    """Find the time since which new sessions get the present values; None when it is not known.

    A process per connection reads the files at its start: then it is the time at which the files changed.
    """
    if snapshot.daemon is not None and snapshot.daemon.pid is not None:
        return snapshot.daemon.loaded_at
    return max((file.changed_at for file in snapshot.files if file.changed_at is not None), default=None)


def count_doubtful_clients(shell: Shell, reading: Reading, timeout_s: float) -> int | None:
    """Count the live sessions whose client is not seen to answer keep-alives; None: the host cannot list them."""
    try:
        live = list_live(shell, reading.snapshot, timeout_s, asks_silence=True)
    except HostError:
        return None
    since, n_answering = find_loading_time(reading.snapshot), 0
    for session in live:
        every_s = find_interval_s(session, reading, since)
        if every_s is not None and is_due(every_s, session.age_s) and not is_due(every_s, session.silent_s):
            n_answering += 1
    return len(live) - n_answering


def find_interval_s(session: LiveSession, reading: Reading, since: datetime | None) -> int | None:
    """Find the silence after which sshd asks a client; None: never, or the client cannot be judged."""
    if since is None or session.is_older(since) or session.silent_s is None:
        return None
    known = read_known(reading, session.user)
    return known.consequence.request_after_s


def is_due(every_s: int, seconds: float | None) -> bool:
    """Whether a keep-alive was sent, and could be answered, in so many seconds."""
    return seconds is not None and seconds > every_s + compute_tolerance_s(every_s)
