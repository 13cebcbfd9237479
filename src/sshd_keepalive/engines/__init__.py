"""Engines: how one job is repeated for many hosts. One module each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, runtime_checkable

from sshd_keepalive.model import Host, HostReport

#: One host's whole pass. It never raises for the host's trouble, and opens and closes its own connections.
Job = Callable[[Host], HostReport]


@runtime_checkable
class Engine(Protocol):
    """What a module of this package provides."""

    def run(self, job: Job, hosts: Iterable[Host], *, workers: int) -> Iterator[HostReport]:
        """Every host exactly once, reports as they come. Closing the iterator starts nothing new and waits."""
