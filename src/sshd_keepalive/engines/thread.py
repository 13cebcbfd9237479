"""Threads of this process: the engine for up to some thousand hosts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from sshd_keepalive.engines import Job, refuse_argument, room_for
from sshd_keepalive.model import Host, HostReport


def run(
    job: Job, hosts: Iterable[Host], *, workers: int, may_repeat: bool = False, argument: str = ""
) -> Iterator[HostReport]:
    """Every host once; at most `workers` at a time, and no more handed out than that.

    A host that was not handed out when the caller stops is never begun; those in flight are waited for.
    """
    del may_repeat  # a thread is not lost alone
    refuse_argument("thread", argument)
    room_for(workers)
    waiting = iter(hosts)
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="host") as pool:
        flying: set[Future[HostReport]] = set()
        for host in waiting:
            flying.add(pool.submit(job, host))
            if len(flying) >= workers:
                break
        while flying:
            landed, flying = wait(flying, return_when=FIRST_COMPLETED)
            for future in landed:
                # First told, then the next one: the caller may stop the run over this very report.
                yield future.result()
                following = next(waiting, None)
                if following is not None:
                    flying.add(pool.submit(job, following))
