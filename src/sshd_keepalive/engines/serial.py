"""One host after the other, in this thread: for debugging."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sshd_keepalive.engines import Job
from sshd_keepalive.model import Host, HostReport


def run(job: Job, hosts: Iterable[Host], *, workers: int) -> Iterator[HostReport]:
    """Every host once; `workers` means nothing here."""
    del workers
    for host in hosts:
        yield job(host)
