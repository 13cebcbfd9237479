"""One host after the other in the main thread, for debugging."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sshd_keepalive.engines import Job, RunOptions, refuse_argument
from sshd_keepalive.model import Host, HostReport


def run(job: Job, hosts: Iterable[Host], options: RunOptions) -> Iterator[HostReport]:
    """Run every host once. `workers` and `limit_s` have no effect: a debugger may hold a host for any time."""
    refuse_argument("serial", options.argument)
    for host in hosts:
        yield job(host)
