"""How often a password was refused, so that a wrong one locks nobody out.

A password that one host refused is not sent to that host again, and after LIMIT hosts it is sent nowhere. While
no host has accepted it, no more than LIMIT hosts are trying it at a time: otherwise a run with forty forks would
have sent a wrong one forty times before the first refusal came back.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Final

from sshd_keepalive.deadline import Deadline

LIMIT: Final = 3


class Spent(Exception):
    """The password must not be sent; the text says why."""


class Ledger:
    """Refusals of each credential (secret reference and user) in this process. Thread-safe."""

    def __init__(self) -> None:
        self._pages: dict[Hashable, _Page] = {}
        self._lock = threading.Lock()

    def attempt(self, credential: Hashable, host: Hashable, deadline: Deadline) -> Attempt:
        """Wait for leave to send the password once.

        Raises:
            Spent: this host, or LIMIT hosts, refused it before; or leave did not come before the deadline.
        """
        with self._lock:
            page = self._pages.setdefault(credential, _Page())
        page.enter(host, deadline)
        return Attempt(self, credential, host)

    def end(self, credential: Hashable, host: Hashable, *, accepted: bool | None) -> None:
        """Close one attempt; None: without a verdict it counts as not tried."""
        with self._lock:
            page = self._pages[credential]
        page.leave(host, accepted)


class Attempt:
    """One sending of a password; the first verdict counts."""

    def __init__(self, ledger: Ledger, credential: Hashable, host: Hashable) -> None:
        self._ledger = ledger
        self._credential = credential
        self._host = host
        self._open = True

    def accepted(self) -> None:
        """The host took it."""
        self._end(accepted=True)

    def refused(self) -> None:
        """The host said that it is wrong."""
        self._end(accepted=False)

    def close(self) -> None:
        """Without a verdict so far it counts as not tried."""
        self._end(accepted=None)

    def _end(self, *, accepted: bool | None) -> None:
        if self._open:
            self._open = False
            self._ledger.end(self._credential, self._host, accepted=accepted)


class _Page:
    """One credential. `proved`: some host accepted it, so it is worth trying anywhere."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._refused_by: set[Hashable] = set()
        self._n_trying = 0
        self._proved = False

    def enter(self, host: Hashable, deadline: Deadline) -> None:
        with self._changed:
            while True:
                if host in self._refused_by:
                    raise Spent("it was refused before")
                if len(self._refused_by) >= LIMIT:
                    raise Spent(f"{LIMIT} hosts refused it, so it is not sent any more")
                if self._proved or len(self._refused_by) + self._n_trying < LIMIT:
                    break
                if not self._changed.wait(deadline.left_s()):
                    raise Spent("waited for another host to try it, in vain")
            self._n_trying += 1

    def leave(self, host: Hashable, accepted: bool | None) -> None:
        with self._changed:
            self._n_trying -= 1
            if accepted:
                self._proved = True
            elif accepted is False:
                self._refused_by.add(host)
            self._changed.notify_all()
