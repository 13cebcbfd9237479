"""Threads of this process: the engine for up to some thousand hosts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sshd_keepalive.engines import Job, RunOptions, raise_file_limit, refuse_argument, work_through
from sshd_keepalive.model import Host, HostReport


def run(job: Job, hosts: Iterable[Host], options: RunOptions) -> Iterator[HostReport]:
    """Run every host once, at most `workers` at a time.

    When the caller stops, no further host is started, and those in progress are waited for.
    """
    refuse_argument("thread", options.argument)
    raise_file_limit(options.workers)
    yield from work_through(job, hosts, workers=options.workers, limit_s=options.limit_s, lets_go=options.lets_go)
