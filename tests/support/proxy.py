"""What the TCP proxies of the tests share: a listening socket, and a thread that serves it."""

from __future__ import annotations

import selectors
import socket
import threading
from types import TracebackType
from typing import Self

BLOCK_BYTES = 65536


class Proxy:
    """A TCP proxy on loopback. Use it as a context.

    Args:
        target: where connections lead.
        address: where clients connect to; port 0 stands for a free one.
    """

    def __init__(self, target: tuple[str, int], address: tuple[str, int]) -> None:
        self._target = target
        self._server = socket.create_server(address, backlog=64)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Where clients connect to."""
        host, port = self._server.getsockname()[:2]
        return str(host), int(port)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        self._thread.join(5)
        self._close_connections()
        self._server.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._ends.is_set():
            self._serve()

    def _serve(self) -> None:
        """Wait a moment for what is to be done, and do it."""
        raise NotImplementedError

    def _close_connections(self) -> None:
        """Close all connections that are open."""
        raise NotImplementedError
