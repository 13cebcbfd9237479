"""One host after the other, in this thread: for debugging."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sshd_keepalive.engines import Job, refuse_argument
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
    """Every host once; `workers` means nothing here, and no host is left alone: a debugger may hold it."""
    del workers, may_repeat, limit_s
    refuse_argument("serial", argument)
    for host in hosts:
        yield job(host)
