"""Limit the attempts with a refused password, so that a wrong one does not lock accounts.

A password that one host refused is not sent to that host again, and after LIMIT hosts to no host. While
no host has accepted it, at most LIMIT hosts try it at a time: otherwise a run with forty forks would
send a wrong one forty times before the first refusal arrives.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Hashable
from typing import Final

from sshd_keepalive.deadline import Deadline

LIMIT: Final = 3


class AttemptRefused(Exception):
    """The password must not be sent; the text says why."""


class AttemptLimits:
    """Refusals of each credential (secret reference and user) in this process. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._refused_by: defaultdict[Hashable, set[Hashable]] = defaultdict(set)  # by credential
        self._n_trying: Counter[Hashable] = Counter()
        self._proved: set[Hashable] = set()  # a host accepted the credential, so the limit no longer applies

    def start(self, credential: Hashable, host: Hashable, deadline: Deadline) -> Attempt:
        """Wait until the password may be sent once.

        Raises:
            AttemptRefused: this host, or LIMIT hosts, refused it before; or the deadline passed.
        """
        with self._changed:
            refused_by = self._refused_by[credential]
            while True:
                if host in refused_by:
                    raise AttemptRefused("it was refused before")
                if len(refused_by) >= LIMIT:
                    raise AttemptRefused(f"{LIMIT} hosts refused it, so it is not sent again")
                if credential in self._proved or len(refused_by) + self._n_trying[credential] < LIMIT:
                    break
                if not self._changed.wait(deadline.left_s()):
                    raise AttemptRefused("another host did not finish trying it in time")
            self._n_trying[credential] += 1
        return Attempt(self, credential, host)

    def end(self, credential: Hashable, host: Hashable, *, accepted: bool | None) -> None:
        """Record the end of one attempt; None: no verdict, so it does not count."""
        with self._changed:
            self._n_trying[credential] -= 1
            if accepted:
                self._proved.add(credential)
            elif accepted is False:
                self._refused_by[credential].add(host)
            self._changed.notify_all()


class Attempt:
    """One attempt with a password; the first verdict counts."""

    def __init__(self, limits: AttemptLimits, credential: Hashable, host: Hashable) -> None:
        self._limits = limits
        self._credential = credential
        self._host = host
        self._open = True

    def accept(self) -> None:
        """Record that the host accepted the password."""
        self._end(accepted=True)

    def refuse(self) -> None:
        """Record that the host refused the password."""
        self._end(accepted=False)

    def close(self) -> None:
        """End the attempt; without a verdict it does not count."""
        self._end(accepted=None)

    def _end(self, *, accepted: bool | None) -> None:
        if self._open:
            self._open = False
            self._limits.end(self._credential, self._host, accepted=accepted)
