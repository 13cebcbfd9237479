"""The end of a run that is interrupted: which hosts are not begun, and which are finished."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sshd_keepalive.errors import HostError
from sshd_keepalive.model import FailureKind


class Stop(threading.Event):
    """Set when no further host may be begun; an interruption also lets go of hosts that are not being changed yet.

    In another process a copy is never set: the workers of a cluster finish what they have.
    """

    def __init__(self) -> None:
        super().__init__()
        self._changing: set[str] = set()
        self._lock = threading.RLock()  # a signal may arrive while its own thread holds it
        self.is_interrupted = False

    def interrupt(self) -> tuple[str, ...]:
        """Set it on request; give the names of the hosts that are being changed."""
        self.set()
        with self._lock:
            self.is_interrupted = True
            return tuple(sorted(self._changing))

    def lets_go(self, name: str) -> bool:
        """Whether a host in progress is let go: nothing has been changed there, and nothing will be."""
        with self._lock:
            return self.is_interrupted and name not in self._changing

    @contextmanager
    def changing(self, name: str) -> Iterator[None]:
        """Change a host inside the block.

        Raises:
            HostError: kind `not_begun`, the run was interrupted before.
        """
        with self._lock:
            if self.is_interrupted:
                message = "the run was interrupted before anything was changed"
                raise HostError(message, kind=FailureKind.NOT_BEGUN, cause="interrupted")
            self._changing.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._changing.discard(name)

    def __reduce__(self) -> tuple[type[Stop], tuple[()]]:
        return Stop, ()
