"""One host after the other, in this thread: for debugging."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sshd_keepalive.engines import Job, refuse_argument
from sshd_keepalive.model import Host, HostReport


def run(
    job: Job, hosts: Iterable[Host], *, workers: int, may_repeat: bool = False, argument: str = ""
) -> Iterator[HostReport]:
    """Every host once; `workers` means nothing here."""
    del workers, may_repeat
    refuse_argument("serial", argument)
    for host in hosts:
        yield job(host)
