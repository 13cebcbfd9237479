"""Engines: how one job is repeated for many hosts. One module each.

On the command line an engine is `KIND` or `KIND:ARGUMENT`: `thread`, `dask:tls://scheduler:8786`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final, Protocol, runtime_checkable

from sshd_keepalive import registry
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import End, Failure, FailureKind, Host, HostReport, Verdict

#: One host's whole pass. It never raises for the host's trouble, and opens and closes its own connections.
Job = Callable[[Host], HostReport]


@runtime_checkable
class Engine(Protocol):
    """What a module of this package provides."""

    def run(
        self, job: Job, hosts: Iterable[Host], *, workers: int, may_repeat: bool = False, argument: str = ""
    ) -> Iterator[HostReport]:
        """Every host exactly once, reports as they come. Closing the iterator starts nothing new and waits.

        Args:
            workers: hosts at a time; no more than that are taken from `hosts` ahead of their reports.
            may_repeat: the job changes nothing, so a host whose worker was lost is tried once more.
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
        self, job: Job, hosts: Iterable[Host], *, workers: int, may_repeat: bool = False, argument: str = ""
    ) -> Iterator[HostReport]:
        return self.engine.run(job, hosts, workers=workers, may_repeat=may_repeat, argument=argument or self.argument)


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


_GC: Final = (20_000, 20, 50)  # some forty connections; with Python's own (700, 10, 10) it is 6 % of a check's CPU


@cache
def _collect_less_often() -> None:
    """Connections are knots of references, some hundred objects each: Python is told to look for those less often.

    Once, for what is frozen is never collected: in a later wave that would be the connections of the earlier ones.
    """
    import gc

    gc.freeze()
    gc.set_threshold(*_GC)


def room_for(workers: int) -> None:
    """Raise the limit of open files to what so many hosts need: sockets, key files, resolvers."""
    import resource

    _collect_less_often()
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


def not_begun(host: Host, why: str, *, may_repeat: bool) -> HostReport:
    """The report of a host that no worker was there for."""
    failure = Failure(kind=FailureKind.INTERNAL, cause="no-worker", message=f"not begun: {why}", hint="run it again")
    return HostReport(host=host, verdict=Verdict.UNKNOWN, end=None if may_repeat else End.REFUSED, failure=failure)
