"""Threads of this process: the engine for up to some thousand hosts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sshd_keepalive.engines import Job, refuse_argument, room_for, work_through
from sshd_keepalive.model import Host, HostReport


def run(
    job: Job,
    hosts: Iterable[Host],
    *,
    workers: int,
    may_repeat: bool = False,
    limit_s: float | None = None,
    argument: str = "",
) -> Iterator[HostReport]:
    """Every host once; at most `workers` at a time, and no more handed out than that.

    A host that was not handed out when the caller stops is never begun; those in flight are waited for.
    """
    del may_repeat  # a thread is not lost alone
    refuse_argument("thread", argument)
    room_for(workers)
    yield from work_through(job, hosts, workers=workers, limit_s=limit_s)
