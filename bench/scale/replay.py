"""A whole `check` without a server: one real session is recorded, and its bytes are played back to many clients.

The client does all its work anew, key exchange, signatures, decryption and judgement included; that the old answers
fit is because its two random choices, cookie and ephemeral key, are the recorded ones. So the controller alone is
measured, as if servers cost nothing: the only way to see what a second core brings on a machine that also has to be
the server.
"""

from __future__ import annotations

import os
import threading
import types
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from sshd_keepalive.fleet.check import check_host
from sshd_keepalive.fleet.one_host import Orders
from sshd_keepalive.model import Host, HostReport, State
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh import channel as session
from sshd_keepalive.ssh import connect as ssh
from sshd_keepalive.ssh.jump import open_wire
from sshd_keepalive.ssh.wire import SocketWire

_PRIVATE = bytes(range(32))


@dataclass(frozen=True)
class Recording:
    """What the server said, each piece after so many bytes of ours."""

    pieces: tuple[tuple[int, bytes], ...]


class _Recorder(SocketWire):
    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self.n_sent = 0
        self.pieces: list[tuple[int, bytes]] = []
        self._lock = threading.Lock()  # an answer may be here before the request is counted

    def send(self, data: bytes, /) -> int:
        with self._lock:
            n = super().send(data)
            self.n_sent += n
        return n

    def recv(self, n_bytes: int, /) -> bytes:
        data = super().recv(n_bytes)
        if data:
            with self._lock:
                self.pieces.append((self.n_sent, data))
        return data


class _Player:
    """The same as a wire of its own."""

    def __init__(self, recording: Recording) -> None:
        self._pieces = iter(recording.pieces)
        self._next: tuple[int, bytes] | None = next(self._pieces)
        self._n_sent = 0
        self._timeout_s: float | None = None
        self._closed = False
        self._changed = threading.Condition()

    def recv(self, n_bytes: int, /) -> bytes:
        with self._changed:
            if not self._changed.wait_for(self._is_ready, self._timeout_s):
                raise TimeoutError
            if self._closed or self._next is None:
                return b""
            data = self._next[1]
            if len(data) > n_bytes:
                self._next = (0, data[n_bytes:])
                return data[:n_bytes]
            self._next = next(self._pieces, None)
            return data

    def _is_ready(self) -> bool:
        return self._closed or (self._next is not None and self._n_sent >= self._next[0])

    def send(self, data: bytes, /) -> int:
        with self._changed:
            self._n_sent += len(data)
            self._changed.notify_all()
        return len(data)

    def settimeout(self, timeout_s: float | None, /) -> None:
        self._timeout_s = timeout_s

    def shutdown(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def close(self) -> None:
        self.shutdown()


def record(host: Host) -> Recording:
    """Check a real host once."""
    wires: list[_Recorder] = []

    def recorded(*arguments: Any) -> _Recorder:
        wires.append(_Recorder(open_wire(*arguments)._sock))  # type: ignore[union-attr]
        return wires[-1]

    _fix_chance()
    ssh.open_wire = recorded  # type: ignore[assignment]
    assert check_host(host, _orders()).state is State.OK
    return Recording(tuple(wires[0].pieces))


def check(host: Host, *, recording: Recording) -> HostReport:
    """Run the job for an engine."""
    _fix_chance()
    ssh.open_wire = lambda *_: _Player(recording)  # type: ignore[assignment]
    report = check_host(host, _orders())
    assert report.state is State.OK, report
    return report


def _orders() -> Orders:
    return Orders(run_id="replayed", secrets=Secrets())


def _fix_chance() -> None:
    import paramiko.kex_curve25519
    import paramiko.transport

    fixed: Any = types.SimpleNamespace(
        generate=lambda: X25519PrivateKey.from_private_bytes(_PRIVATE),
        from_private_bytes=X25519PrivateKey.from_private_bytes,
    )
    paramiko.kex_curve25519.X25519PrivateKey = fixed  # type: ignore[misc]
    paramiko.transport.os = types.SimpleNamespace(**{**vars(os), "urandom": lambda n: b"\7" * n})  # type: ignore[assignment]
    session.randomness = types.SimpleNamespace(token_hex=lambda n: "00" * n)  # type: ignore[assignment]
