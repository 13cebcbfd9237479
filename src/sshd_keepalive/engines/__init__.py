"""Engines: how one job is repeated for many hosts. One module each.

On the command line an engine is `KIND` or `KIND:ARGUMENT`: `thread`, `dask:tls://scheduler:8786`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol, runtime_checkable

from sshd_keepalive import registry
from sshd_keepalive.deadline import Stopwatch
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import End, Failure, FailureKind, Host, HostReport, State

#: One host's whole pass. It never raises for the host's trouble, and opens and closes its own connections.
Job = Callable[[Host], HostReport]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How an engine repeats a job."""

    workers: int  # hosts at a time; no more than that are taken from `hosts` ahead of their reports
    may_repeat: bool = False  # the job changes nothing, so a host whose worker was lost is tried once more
    #: --timeout: a host that takes much longer is reported as late, and the thread that works on it is left alone.
    #: None: a change is never left alone.
    limit_s: float | None = None
    lets_go: Callable[[Host], bool] | None = None  # a host in progress that is not waited for: nothing changes there
    argument: str = ""  # what stood behind the engine's name; empty: the engine's default


@runtime_checkable
class Engine(Protocol):
    """What a module of this package provides."""

    def run(self, job: Job, hosts: Iterable[Host], options: RunOptions) -> Iterator[HostReport]:
        """Give the report of every host exactly once, in the order in which they finish.

        Closing the iterator starts no further host and waits for those in progress.

        Raises:
            ConfigError, ExtensionError: before the first host is contacted: the engine cannot work like this.
        """


@dataclass(frozen=True, slots=True)
class SelectedEngine:
    """An engine with its argument."""

    engine: Engine
    argument: str

    def run(self, job: Job, hosts: Iterable[Host], **options: Any) -> Iterator[HostReport]:
        """Repeat a job; see Engine.run.

        Args:
            options: fields of RunOptions.
        """
        return self.engine.run(job, hosts, RunOptions(argument=self.argument, **options))


def select(text: str) -> SelectedEngine:
    """Select the engine that `KIND` or `KIND:ARGUMENT` names.

    Raises:
        ExtensionError: there is none of this name.
    """
    kind, _, argument = text.partition(":")
    return SelectedEngine(registry.load("engines", kind, option="--engine"), argument)


def refuse_argument(name: str, argument: str) -> None:
    """Refuse an argument, for engines that take none.

    Raises:
        ConfigError: there is one.
    """
    if argument:
        raise ConfigError(f"--engine {name}:{argument}: {name} takes no argument", hint=f"write --engine {name}")


_LATE: Final = 1.15  # of its time limit: then a host is no longer waited for; its own step should have ended before
_POLL_S: Final = 1.0  # how often time limits are checked; more often where a limit is short


def work_through(
    job: Job,
    hosts: Iterable[Host],
    *,
    workers: int,
    limit_s: float | None,
    lets_go: Callable[[Host], bool] | None = None,
) -> Iterator[HostReport]:
    """Run a job once for every host, in threads of this process; see `Engine.run`.

    A job that computes cannot be interrupted: at the limit its thread is left alone, and the next host starts.
    """
    waiting = iter(hosts)
    threads = _Threads(job, limit_s, lets_go)
    try:
        for host in islice(waiting, workers):
            threads.start(host)
        while threads.running:
            for report in threads.collect():
                # The report first, then the next host: the caller may stop the run because of this report.
                yield report
                for host in islice(waiting, 1):
                    threads.start(host)
    except KeyboardInterrupt:
        threads.running.clear()  # the hosts in progress are not waited for
        raise
    finally:
        while threads.running:
            with contextlib.suppress(Exception):
                for _ in threads.collect():
                    pass


class _HostThread(threading.Thread):
    """One host in progress."""

    def __init__(self, job: Job, host: Host, done: SimpleQueue[_HostThread]) -> None:
        super().__init__(name=f"host_{host.name}", daemon=True)
        self.host = host
        self.watch = Stopwatch()
        self.result: HostReport | BaseException
        self._job = job
        self._done = done

    def run(self) -> None:
        self.watch.start()
        try:
            self.result = self._job(self.host)
        except BaseException as error:  # a defect of the job, raised again in the caller's thread
            self.result = error
        self._done.put(self)


class _Threads:
    """Threads that run a job, one for each host. One that exceeds the limit is left alone."""

    def __init__(self, job: Job, limit_s: float | None, lets_go: Callable[[Host], bool] | None) -> None:
        self._job = job
        self._limit_s = float("inf") if limit_s is None else limit_s
        self._lets_go = lets_go
        self._poll_s = None if limit_s is None and lets_go is None else min(_POLL_S, self._limit_s / 20)
        self._done: SimpleQueue[_HostThread] = SimpleQueue()
        self._polled_at_s = time.monotonic()
        self.running: set[_HostThread] = set()

    def start(self, host: Host) -> None:
        """Start a host."""
        thread = _HostThread(self._job, host, self._done)
        self.running.add(thread)
        thread.start()

    def collect(self) -> Iterator[HostReport]:
        """Wait a moment; give the reports of hosts that finished or exceeded the limit."""
        try:
            thread = self._done.get(timeout=self._poll_s)
        except Empty:
            pass
        else:
            thread.join()
            if thread in self.running:  # otherwise it is reported already
                self.running.remove(thread)
                if isinstance(thread.result, BaseException):
                    raise thread.result
                yield thread.result
        now_s = time.monotonic()
        if self._poll_s is None or now_s - self._polled_at_s < self._poll_s:
            return
        self._polled_at_s = now_s
        for thread in tuple(self.running):
            if thread.watch.seconds_s > _LATE * self._limit_s:
                report = report_late(thread.host, self._limit_s, thread.watch.seconds_s)
            elif self._lets_go is not None and self._lets_go(thread.host):
                report = report_not_begun(thread.host, "interrupted", "the run was interrupted")
            else:
                continue
            self.running.remove(thread)
            yield report


def raise_file_limit(workers: int) -> None:
    """Raise the limit of open files to what so many hosts need for sockets, key files and resolvers."""
    import resource

    wanted = 4 * workers + 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))


def report_lost(host: Host, *, may_repeat: bool) -> HostReport:
    """Report a host whose worker was lost with it, and that is not tried again."""
    failure = Failure(
        kind=FailureKind.INTERNAL,
        cause="worker-lost",
        message="the worker of this host was lost; how far it came is not known",
        hint="run it again" if may_repeat else "check this host now; a change that was not confirmed reverts by itself",
    )
    return HostReport(host=host, state=State.UNKNOWN, end=None if may_repeat else End.UNPROVED, failure=failure)


def report_late(host: Host, limit_s: float, seconds_s: float) -> HostReport:
    """Report a host that exceeded its time limit; the job changes nothing there.

    Args:
        limit_s: --timeout.
        seconds_s: how long it was waited for.
    """
    failure = Failure(
        kind=FailureKind.TIMEOUT,
        cause="deadline(host)",
        message=f"not finished after {seconds_s:.0f} s; no longer waiting for it",
        hint=f"add --timeout {2 * limit_s:g}, or log in to the host by hand",
    )
    return HostReport(host=host, state=State.UNKNOWN, failure=failure, seconds_s=seconds_s)


def report_not_begun(host: Host, cause: str, why: str) -> HostReport:
    """Report a host that the run did not come to.

    Args:
        cause: interrupted | budget | no-worker.
        why: the same as a sentence.
    """
    failure = Failure(kind=FailureKind.NOT_BEGUN, cause=cause, message=why)
    return HostReport(host=host, state=State.UNKNOWN, end=End.NOT_BEGUN, failure=failure)
