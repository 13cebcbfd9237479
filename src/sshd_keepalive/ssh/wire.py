"""What the SSH protocol travels on: a TCP socket, or a channel of another connection.

Both give paramiko the few methods it asks of a socket, and us a way to end a wait from another thread.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

from sshd_keepalive.model import Host

if TYPE_CHECKING:
    import paramiko

_READ_BYTES: Final = 32 * 1024
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)  # Linux


class Wire(Protocol):
    """A connected stream of bytes."""

    @property
    def _closed(self) -> bool:
        """Whether it is closed; paramiko asks for this name."""

    def recv(self, n_bytes: int, /) -> bytes:
        """Read up to n bytes; b"" at the end, TimeoutError after the timeout."""

    def send(self, data: bytes, /) -> int:
        """Write some bytes and return how many."""

    def settimeout(self, timeout_s: float | None, /) -> None:
        """Limit each read and write."""

    def shutdown(self) -> None:
        """End both directions and wake every waiter, without waiting; any thread may call it, at any time."""

    def close(self) -> None:
        """Give the descriptor back."""

    def find_lost_hop(self) -> Host | None:
        """Find the jump host whose connection was lost, and this wire with it."""


class SocketWire:
    """A TCP socket that reads ahead.

    paramiko reads a packet in pieces of 16 bytes and the rest; one large read serves many of them. Without
    TCP_QUICKACK, which Linux forgets after every read, each small packet waits for a delayed acknowledgement:
    124 instead of 37 ms for a login and a script on a LAN.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._ahead = b""
        self._at = 0
        self._closed = False

    def recv(self, n_bytes: int, /) -> bytes:
        """Read from what is ahead, else from the socket."""
        if self._at == len(self._ahead):
            self._ahead = self._sock.recv(_READ_BYTES)
            self._at = 0
            if _QUICKACK is not None:
                with contextlib.suppress(OSError):
                    self._sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        piece = self._ahead[self._at : self._at + n_bytes]
        self._at += len(piece)
        return piece

    def send(self, data: bytes, /) -> int:
        """Write some of the data."""
        return self._sock.send(data)

    def settimeout(self, timeout_s: float | None, /) -> None:
        """Limit each read and write."""
        self._sock.settimeout(timeout_s)

    def shutdown(self) -> None:
        """End both directions."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the descriptor back."""
        self._closed = True
        self._sock.close()

    def find_lost_hop(self) -> None:
        """Find none: the connection is direct."""


class ChannelWire:
    """A channel of a connection that other threads use as well: to a host behind it, or to a program on it.

    Data sent after the channel's CLOSE makes sshd end the whole connection to the jump host, and with it every
    other host behind it. So sending and closing exclude each other, and a send never waits for the window while
    it holds the lock.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._closed = False
        self.lock = threading.Lock()
        channel.wire_lock = self.lock  # type: ignore[attr-defined]  # the connection's thread takes it on a close

    def recv(self, n_bytes: int, /) -> bytes:
        """Read from the channel."""
        return self._channel.recv(n_bytes)

    def send(self, data: bytes, /) -> int:
        """Write some of the data; EOFError once closed."""
        with self.lock:
            if self._closed or self._channel.closed:
                raise EOFError
            if self._channel.send_ready():
                return self._channel.send(data)
        time.sleep(0.01)
        raise TimeoutError  # paramiko tries again

    def settimeout(self, timeout_s: float | None, /) -> None:
        """Limit each read."""
        self._channel.settimeout(timeout_s)

    def shutdown(self) -> None:
        """End both directions, for us."""
        self._closed = True
        self._channel.in_buffer.close()  # a reader sees the end; nothing is sent, so nothing can block

    def close(self) -> None:
        """Close the channel; without a word where the connection that it belongs to is gone."""
        with self.lock, contextlib.suppress(Exception):  # paramiko's thread, which calls this, would print it
            self._closed = True
            self._channel.close()

    def find_lost_hop(self) -> Host | None:
        """Find none: the other end is on the host itself."""
        return None
