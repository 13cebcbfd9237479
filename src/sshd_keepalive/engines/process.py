"""Processes of this machine, each with threads: the engine for thousands of hosts, where one interpreter is the limit.

The job goes to each process once, when that starts; hosts and reports go through a pipe. A process that dies,
killed for its memory for instance, takes only its own hosts along, and another one takes its place.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from multiprocessing.connection import Connection, wait
from queue import Empty, SimpleQueue
from typing import Final

from sshd_keepalive.engines import Job, lost, pickled, room_for
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import Host, HostReport

BATCH: Final = 32  # reports in one message; more wait for the next one
#: Never fork: this process has threads. A fresh interpreter costs each process 0.3 s of CPU, once.
_CONTEXT: Final = multiprocessing.get_context("spawn")


def run(
    job: Job, hosts: Iterable[Host], *, workers: int, may_repeat: bool = False, argument: str = ""
) -> Iterator[HostReport]:
    """Every host once; `workers` hosts at a time, shared among the processes.

    Args:
        argument: how many processes; as many as there are processors by default.
    """
    n = min(workers, _n_processes(argument))
    pickled(job, "process")
    waiting = iter(hosts)
    crew: list[_Process] = []
    again: list[Host] = []  # lost once, to be tried once more
    tried_twice: set[str] = set()
    try:
        for number in range(n):
            share = list(islice(waiting, workers // n + (number < workers % n)))
            if share:
                crew.append(_Process(job, len(share)))
                crew[-1].hand_out(share)
        while any(one.flying for one in crew):
            for pipe in wait([one.pipe for one in crew]):
                one = next(one for one in crew if one.pipe is pipe)
                try:
                    landed = one.landed()
                except (EOFError, OSError):
                    crew.remove(one)
                    landed = []
                    for host in one.end():
                        if may_repeat and host.name not in tried_twice:
                            tried_twice.add(host.name)
                            again.append(host)
                        else:
                            landed.append(lost(host, may_repeat=may_repeat))
                # First told, then the next ones: the caller may stop the run over these very reports.
                yield from landed
                n_free = one.n_threads - len(one.flying)
                following, again = again[:n_free], again[n_free:]
                following += islice(waiting, n_free - len(following))
                if following and one not in crew:
                    one = _Process(job, one.n_threads)
                    crew.append(one)
                one.hand_out(following)
    finally:
        for one in crew:
            one.finish()


def _n_processes(argument: str) -> int:
    if not argument:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not argument.isascii() or not argument.isdigit() or not 0 < int(argument) <= 256:
        raise ConfigError(f"--engine process:{argument}: not a number of processes", hint="for example process:4")
    return int(argument)


class _Process:
    """One process and the hosts it has."""

    def __init__(self, job: Job, n_threads: int) -> None:
        self.n_threads = n_threads
        self.flying: dict[str, Host] = {}
        self.pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(job, theirs, n_threads), name="hosts", daemon=True)
        self._process.start()
        theirs.close()  # so that the pipe ends when the process does

    def hand_out(self, hosts: list[Host]) -> None:
        """Give it some more; what a process that is dying does not take is lost with it, as the next read tells."""
        if hosts:
            self.flying |= {host.name: host for host in hosts}
            try:
                self.pipe.send(hosts)
            except OSError:
                return

    def landed(self) -> list[HostReport]:
        """The next reports. EOFError: the process is gone."""
        landed: list[HostReport | Exception] = self.pipe.recv()
        reports = []
        for report in landed:
            if isinstance(report, Exception):  # a defect of the job, raised here as it is with threads
                raise report
            # Our own host, not its copy: one in memory is enough.
            reports.append(replace(report, host=self.flying.pop(report.host.name)))
        return reports

    def end(self) -> list[Host]:
        """Clear up after a process that is gone; gives the hosts it had."""
        self._process.kill()
        self._process.join()
        self.pipe.close()
        gone = list(self.flying.values())
        self.flying.clear()
        return gone

    def finish(self) -> None:
        """Let it end what it has begun; nobody reads the reports any more."""
        with contextlib.suppress(Exception):
            self.pipe.send([])
            while self.flying:
                self.landed()
        self._process.join()
        self.pipe.close()


def _serve(job: Job, pipe: Connection, n_threads: int) -> None:
    """The life of one process: hosts in, reports out, until an empty list comes."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the first process decides what an interruption means
        signal.signal(number, signal.SIG_IGN)
    room_for(n_threads)
    done: SimpleQueue[HostReport | Exception | None] = SimpleQueue()
    teller = threading.Thread(target=_tell, args=(done, pipe), name="reports", daemon=True)
    teller.start()

    def work(host: Host) -> None:
        try:
            done.put(job(host))
        except Exception as error:  # its own class may not survive the pipe
            done.put(RuntimeError(f"{type(error).__name__}: {error}"))

    with ThreadPoolExecutor(n_threads, thread_name_prefix="host") as pool:
        while True:
            try:
                hosts: list[Host] = pipe.recv()
            except (EOFError, OSError):
                os._exit(1)  # the first process is gone, and with it whoever waits for reports
            if not hosts:
                break
            for host in hosts:
                pool.submit(work, host)
    done.put(None)
    teller.join()


def _tell(done: SimpleQueue[HostReport | Exception | None], pipe: Connection) -> None:
    """Send what is there in one message, until None comes."""
    ends = False
    while not ends:
        batch = [done.get()]
        with contextlib.suppress(Empty):
            while len(batch) < BATCH:
                batch.append(done.get_nowait())
        ends = None in batch
        try:
            pipe.send([report for report in batch if report is not None])
        except OSError:
            os._exit(1)
