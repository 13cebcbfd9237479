"""A TCP proxy that makes a network path longer, and counts the round trips that a client waits for."""

from __future__ import annotations

import contextlib
import heapq
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.proxy import BLOCK_BYTES, Proxy

_WAIT_S = 0.5


@dataclass(slots=True)
class Path:
    """One connection through the proxy.

    Depths are those of the longest chain of messages that waited for each other: a message of the server is one deeper
    than whatever of the client had reached it, a message of the client as deep as whatever of the server had reached
    the client.
    """

    client: socket.socket
    server: socket.socket | None = None
    opens_s: float = 0.0  # when the server sees the connection; no byte arrives earlier
    depth_at_client: int = 0
    depth_at_server: int = 0
    client_bytes: list[int] = field(default_factory=list)  # per round trip: what the client sent in it

    @property
    def round_trips(self) -> int:
        """How often the client waited for the server, the TCP handshake not counted."""
        return self.depth_at_client


class SlowPath(Proxy):
    """A proxy on loopback in front of a server, with a round-trip time. Use it as a context.

    Args:
        target, address: see Proxy.
        rtt_s: added round-trip time. A TCP handshake takes one of it and a half passes until the server sees the
            connection; then bytes take a half in either direction.
    Attributes:
        paths: one per connection, in the order in which they were made.
    """

    def __init__(self, target: tuple[str, int], rtt_s: float, *, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        super().__init__(target, address)
        self.paths: list[Path] = []
        self._rtt_s = rtt_s
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._n = 0

    @property
    def round_trips(self) -> int:
        """Round trips of all connections, each with its TCP handshake."""
        return sum(1 + path.round_trips for path in self.paths)

    def _close_connections(self) -> None:
        for path in self.paths:
            path.client.close()
            if path.server is not None:
                path.server.close()

    def _serve(self) -> None:
        wait_s = min(_WAIT_S, max(0.0, self._due[0][0] - time.monotonic())) if self._due else _WAIT_S
        for key, _ in self._selector.select(wait_s):
            if key.data is None:
                self._accept()
            else:
                key.data()
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2]()

    def _after(self, at_s: float, act: Callable[[], None]) -> None:
        self._n += 1
        heapq.heappush(self._due, (at_s, self._n, act))

    def _accept(self) -> None:
        client, _ = self._server.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        path = Path(client=client, opens_s=time.monotonic() + 1.5 * self._rtt_s)
        self.paths.append(path)
        self._selector.register(client, selectors.EVENT_READ, lambda: self._from_client(path))
        self._after(path.opens_s, lambda: self._connect(path))

    def _connect(self, path: Path) -> None:
        server = socket.create_connection(self._target)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        path.server = server
        self._selector.register(server, selectors.EVENT_READ, lambda: self._from_server(path))

    def _from_client(self, path: Path) -> None:
        data = self._read(path.client)
        depth = path.depth_at_client
        path.client_bytes += [0] * (depth + 1 - len(path.client_bytes))
        path.client_bytes[depth] += len(data)
        arrives_s = max(time.monotonic() + self._rtt_s / 2, path.opens_s)

        def deliver() -> None:
            path.depth_at_server = max(path.depth_at_server, depth)
            self._write(path.server, data)

        self._after(arrives_s, deliver)

    def _from_server(self, path: Path) -> None:
        assert path.server is not None
        data = self._read(path.server)
        depth = path.depth_at_server + 1

        def deliver() -> None:
            if data:
                path.depth_at_client = max(path.depth_at_client, depth)
            self._write(path.client, data)

        self._after(time.monotonic() + self._rtt_s / 2, deliver)

    def _read(self, end: socket.socket) -> bytes:
        data = b""
        with contextlib.suppress(OSError):
            data = end.recv(BLOCK_BYTES)
        if not data:
            self._selector.unregister(end)
        return data

    @staticmethod
    def _write(end: socket.socket | None, data: bytes) -> None:
        if end is None:
            return
        with contextlib.suppress(OSError):
            end.sendall(data) if data else end.shutdown(socket.SHUT_WR)
