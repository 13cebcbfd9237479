"""A box on the way that forgets quiet connections, as NAT gateways and firewalls do, in seconds instead of minutes."""

import selectors
import socket
import struct
import sys
import time

from tests.support.proxy import BLOCK_BYTES, Proxy

_TICK_S = 0.05
_RST_ON_CLOSE = struct.pack("ii", 1, 0)


class Middlebox(Proxy):
    """A TCP proxy with an idle limit. Use it as a context.

    Args:
        target: where connections lead.
        limit_s: a connection over which nothing went for so long, in either direction, is forgotten.
        resets: both sides get a RST at the limit; else whatever comes after it vanishes, and nobody is told.
        most: connections after so many are closed at once.
    Attributes:
        forgotten: for each connection that was forgotten, its age in seconds.
    """

    def __init__(
        self,
        target: tuple[str, int],
        limit_s: float,
        *,
        resets: bool,
        address: str = "127.0.0.1",
        most: int = sys.maxsize,
    ) -> None:
        super().__init__(target, (address, 0))
        self.limit_s = limit_s
        self._n_left = most
        self.forgotten: list[float] = []
        self._resets = resets
        self._pairs: dict[socket.socket, _Flow] = {}

    def _close_connections(self) -> None:
        for end in list(self._pairs):
            end.close()

    def _serve(self) -> None:
        for key, _ in self._selector.select(_TICK_S):
            if key.fileobj is self._server:
                self._accept()
            else:
                self._carry(key.fileobj)  # type: ignore[arg-type]
        now = time.monotonic()
        for flow in {id(flow): flow for flow in self._pairs.values()}.values():
            if not flow.is_forgotten and now - flow.last_s >= self.limit_s:
                self._forget(flow, now)

    def _accept(self) -> None:
        client, _ = self._server.accept()
        self._n_left -= 1
        if self._n_left < 0:
            client.close()
            return
        try:
            host = socket.create_connection(self._target, timeout=5)
        except OSError:
            client.close()
            return
        flow = _Flow(client, host)
        for end in (client, host):
            self._pairs[end] = flow
            self._selector.register(end, selectors.EVENT_READ)

    def _carry(self, end: socket.socket) -> None:
        flow = self._pairs.get(end)
        if flow is None:
            return
        other = flow.host if end is flow.client else flow.client
        try:
            data = end.recv(BLOCK_BYTES)
            if data and not flow.is_forgotten:
                flow.last_s = time.monotonic()
                other.sendall(data)
        except OSError:
            data = b""
        if not data:
            self._drop(flow)

    def _forget(self, flow: "_Flow", now: float) -> None:
        flow.is_forgotten = True
        self.forgotten.append(now - flow.began_s)
        if self._resets:
            for end in (flow.client, flow.host):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
            self._drop(flow)

    def _drop(self, flow: "_Flow") -> None:
        for end in (flow.client, flow.host):
            if self._pairs.pop(end, None) is not None:
                self._selector.unregister(end)
                end.close()


class _Flow:
    """One connection through the box."""

    def __init__(self, client: socket.socket, host: socket.socket) -> None:
        self.client = client
        self.host = host
        self.began_s = self.last_s = time.monotonic()
        self.is_forgotten = False
