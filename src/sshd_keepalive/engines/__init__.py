"""Engines: how one job is repeated for many hosts. One module each.

On the command line an engine is `KIND` or `KIND:ARGUMENT`: `thread`, `dask:tls://scheduler:8786`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Final, Protocol, runtime_checkable

from sshd_keepalive import registry
from sshd_keepalive.deadline import Stopwatch
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import End, Failure, FailureKind, Host, HostReport, Verdict

#: One host's whole pass. It never raises for the host's trouble, and opens and closes its own connections.
Job = Callable[[Host], HostReport]


@runtime_checkable
class Engine(Protocol):
    """What a module of this package provides."""

    def run(
        self,
        job: Job,
        hosts: Iterable[Host],
        *,
        workers: int,
        may_repeat: bool = False,
        limit_s: float | None = None,
        argument: str = "",
    ) -> Iterator[HostReport]:
        """Every host exactly once, reports as they come. Closing the iterator starts nothing new and waits.

        Args:
            workers: hosts at a time; no more than that are taken from `hosts` ahead of their reports.
            may_repeat: the job changes nothing, so a host whose worker was lost is tried once more.
            limit_s: how long a host may take; then it is reported as `late`, and what works on it is left alone.
                None: a change is never left alone.
            argument: what stood behind the engine's name; empty: the engine's default.
        Raises:
            ConfigError, ExtensionError: before the first host is contacted: the engine cannot work like this.
        """


@dataclass(frozen=True, slots=True)
class _Bound:
    """An engine with its argument."""

    engine: Engine
    argument: str

    def run(
        self,
        job: Job,
        hosts: Iterable[Host],
        *,
        workers: int,
        may_repeat: bool = False,
        limit_s: float | None = None,
        argument: str = "",
    ) -> Iterator[HostReport]:
        return self.engine.run(
            job,
            hosts,
            workers=workers,
            may_repeat=may_repeat,
            limit_s=limit_s,
            argument=argument or self.argument,
        )


def named(text: str) -> Engine:
    """The engine that `KIND` or `KIND:ARGUMENT` means.

    Raises:
        ExtensionError: there is none of this name.
    """
    kind, _, argument = text.partition(":")
    engine: Engine = registry.load("engines", kind)
    return _Bound(engine, argument) if argument else engine


def refuse_argument(name: str, argument: str) -> None:
    """For engines that take none.

    Raises:
        ConfigError: there is one.
    """
    if argument:
        raise ConfigError(f"--engine {name}:{argument}: {name} takes no argument", hint=f"--engine {name}")


_LOOK_S: Final = 1.0  # how often it is looked whose time is over; more often where a host has little


def work_through(job: Job, hosts: Iterable[Host], *, workers: int, limit_s: float | None) -> Iterator[HostReport]:
    """Every host once, in threads of this process; see `Engine.run`.

    A job that computes cannot be interrupted: at the limit its thread is left alone, and another one takes its place.
    """
    waiting = iter(hosts)
    crew = _Crew(job, limit_s)
    try:
        for host in islice(waiting, workers):
            crew.begin(host)
        while crew.flying:
            for report in crew.landed():
                # First told, then the next one: the caller may stop the run over this very report.
                yield report
                for following in islice(waiting, 1):
                    crew.begin(following)
    finally:
        crew.dismiss()


@dataclass(slots=True, eq=False)
class _Flight:
    """One host that is worked on."""

    host: Host
    watch: Stopwatch = field(default_factory=Stopwatch)


class _Crew:
    """Threads that do a job for one host after the other. A thread that a host keeps is replaced."""

    def __init__(self, job: Job, limit_s: float | None) -> None:
        self._job = job
        self._limit_s = float("inf") if limit_s is None else limit_s
        self._look_s = None if limit_s is None else min(_LOOK_S, limit_s / 20)
        self._tasks: SimpleQueue[_Flight | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[_Flight, HostReport | BaseException]] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._n_idle = 0
        self._late: set[_Flight] = set()
        self._looked_at_s = time.monotonic()
        self.flying: set[_Flight] = set()

    def begin(self, host: Host) -> None:
        """Give the host to a thread that is free, or to a new one."""
        flight = _Flight(host)
        self.flying.add(flight)
        self._tasks.put(flight)
        if self._n_idle:
            self._n_idle -= 1
            return
        thread = threading.Thread(target=self._work, name=f"host_{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def landed(self) -> Iterator[HostReport]:
        """Wait a moment; give the reports of those that have ended, and of those whose time is over."""
        try:
            flight, result = self._done.get(timeout=self._look_s)
        except Empty:
            pass
        else:
            self._n_idle += 1
            if flight in self._late:  # its report was given
                self._late.remove(flight)
            else:
                self.flying.remove(flight)
                if isinstance(result, BaseException):
                    raise result
                yield result
        now_s = time.monotonic()
        if self._look_s is None or now_s - self._looked_at_s < self._look_s:
            return
        self._looked_at_s = now_s
        for flight in [flight for flight in self.flying if flight.watch.seconds_s > self._limit_s]:
            self.flying.remove(flight)
            self._late.add(flight)
            yield late(flight.host, self._limit_s)

    def dismiss(self) -> None:
        """Wait for what was begun; nobody wants the reports any more."""
        while self.flying:
            with contextlib.suppress(Exception):
                for _ in self.landed():
                    pass
        for _ in self._threads:
            self._tasks.put(None)
        for thread in () if self._late else self._threads:
            thread.join()

    def _work(self) -> None:
        while (flight := self._tasks.get()) is not None:
            flight.watch.start()
            try:
                self._done.put((flight, self._job(flight.host)))
            except BaseException as error:  # a defect of the job, raised where the reports are wanted
                self._done.put((flight, error))


def room_for(workers: int) -> None:
    """Raise the limit of open files to what so many hosts need: sockets, key files, resolvers."""
    import resource

    wanted = 4 * workers + 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))


def lost(host: Host, *, may_repeat: bool) -> HostReport:
    """The report of a host whose worker vanished while it had the host, and that is not tried again."""
    failure = Failure(
        kind=FailureKind.INTERNAL,
        cause="worker-lost",
        message="the worker that had this host was lost; how far it came is not known",
        hint="run it again" if may_repeat else "check this host now; a change that was not confirmed reverts by itself",
    )
    return HostReport(host=host, verdict=Verdict.UNKNOWN, end=None if may_repeat else End.UNKNOWN, failure=failure)


def late(host: Host, limit_s: float) -> HostReport:
    """The report of a host that used up its time; nothing was to be changed there."""
    failure = Failure(
        kind=FailureKind.TIMEOUT,
        cause="deadline(host)",
        message=f"not done after {limit_s:.0f} s, and no longer waited for",
        hint="raise --timeout, or look at the host by hand",
    )
    return HostReport(host=host, verdict=Verdict.UNKNOWN, failure=failure, seconds_s=limit_s)


def not_begun(host: Host, why: str, *, may_repeat: bool) -> HostReport:
    """The report of a host that no worker was there for."""
    failure = Failure(kind=FailureKind.INTERNAL, cause="no-worker", message=f"not begun: {why}", hint="run it again")
    return HostReport(host=host, verdict=Verdict.UNKNOWN, end=None if may_repeat else End.REFUSED, failure=failure)
