"""Questions of the processes that this one starts: over a Unix socket that only they can use.

The socket is in a directory of this account alone, and asks for a key that only a started process is given. What is
answered stands in no file and in no argument.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, Final

from sshd_keepalive.errors import ConfigError

_KEY_BYTES: Final = 32


def lend(serve: Callable[[Connection], None]) -> tuple[str, bytes]:
    """Have `serve` answer every connection, each in a thread; gives what `Asker` needs."""
    key = os.urandom(_KEY_BYTES)
    listener = Listener(family="AF_UNIX", authkey=key)

    def answer(connection: Connection) -> None:
        with connection, contextlib.suppress(EOFError, OSError):  # its process is gone
            serve(connection)

    def accept() -> None:
        while True:
            try:
                connection = listener.accept()
            except Exception:  # noqa: S112 (a process that died in mid-handshake, or a stranger without the key)
                continue
            threading.Thread(target=answer, args=(connection,), name="broker", daemon=True).start()

    threading.Thread(target=accept, name="broker", daemon=True).start()
    return str(listener.address), key


class Asker:
    """The asking side; each thread has a connection of its own, since an answer may take a person's time."""

    def __init__(self, address: str, key: bytes) -> None:
        self._address = address
        self._key = key
        self._of_thread = threading.local()

    def __call__(self, *question: Any) -> Any:
        """Ask, and wait for the answer.

        Raises:
            ConfigError: there is nobody any more.
        """
        try:
            connection: Connection | None = getattr(self._of_thread, "connection", None)
            if connection is None:
                connection = self._of_thread.connection = Client(self._address, "AF_UNIX", authkey=self._key)
            connection.send(question)
            return connection.recv()
        except (EOFError, OSError):
            raise ConfigError("the process that keeps the secrets is gone") from None
