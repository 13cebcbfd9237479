"""The direct driver: a connection without a thread of its own, for logins that only run scripts.

paramiko's loop (`Transport.run`) runs as a greenlet in the thread that uses the connection: whoever waits for
something lets it run until that has come, and before each packet it looks whether it has. That saves a thread and
some ten handovers between threads for each host, a third of the CPU of a check. All of the protocol stays paramiko's.
Whoever needs the connection to live on while nobody waits for it (a jump host, a quiet session, a login through a
command of the host) takes the standard driver, `ssh.transport`.
"""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any, Final, cast

import paramiko
from paramiko.packet import Packetizer

from sshd_keepalive.deadline import Deadline
from sshd_keepalive.model import Host
from sshd_keepalive.ssh.transport import Client, PatientPacketizer, ended_by_peer

LOG: Final = logging.getLogger(__name__)

#: What is overridden or asked for here: class, name, parameters (None: not a method).
NAMES: Final[tuple[tuple[type, str, tuple[str, ...] | None], ...]] = (
    (paramiko.Transport, "start", ("self",)),
    (paramiko.Transport, "run", ("self",)),
    (paramiko.Transport, "close", ("self",)),
    (paramiko.Transport, "auth_publickey", ("self", "username", "key", "event")),
    (paramiko.Transport, "_send_user_message", ("self", "data")),
    (paramiko.Channel, "_wait_for_event", ("self",)),
    (paramiko.Channel, "send_ready", ("self",)),
    (paramiko.auth_handler.AuthHandler, "wait_for_response", ("self", "event")),
    (Packetizer, "read_message", ("self",)),
    (Packetizer, "_check_keepalive", ("self",)),
)


def serves(host: Host) -> bool:
    """Whether the direct driver can log in to a host: straight, with keys, on a paramiko that it knows."""
    return not host.jump and host.password is None and _is_fit()


@cache
def _is_fit() -> bool:
    try:
        from greenlet import getcurrent, greenlet  # noqa: F401 (where they are not, the standard driver serves all)
    except ImportError:
        LOG.info("greenlet is not installed: each connection takes a thread of its own")
        return False
    for owner, name, parameters in NAMES:
        found = getattr(owner, name, None)
        if found is None or tuple(inspect.signature(found).parameters) != parameters:
            LOG.info("paramiko %s is not known: each connection takes a thread of its own", paramiko.__version__)
            return False
    return True


class _TakingTurns(PatientPacketizer):
    """Asks whether somebody's wait is over before each packet, and whenever none came for a second."""

    turn: Callable[[bool], None] = staticmethod(lambda _: None)  # of the connection

    def read_message(self) -> tuple[int, paramiko.Message]:
        """Read the next packet, when it is wanted."""
        self.turn(False)
        return super().read_message()

    def _check_keepalive(self) -> None:
        super()._check_keepalive()  # type: ignore[misc]
        self.turn(True)


class _Awaited(threading.Event):
    """An event that lets the connection go on until it is set."""

    def __init__(self, client: DirectClient) -> None:
        super().__init__()
        self._client = client

    def wait(self, timeout: float | None = None) -> bool:
        self._client.wait_for(self, float("inf") if timeout is None else timeout)
        return self.is_set()


class DirectClient(Client):
    """One SSH connection, used by one thread; see remote.client.Client."""

    _packetizer_class = _TakingTurns

    def __init__(self, wire: Any, deadline: Deadline, host_key_algorithms: tuple[str, ...], **named: Any) -> None:
        from greenlet import getcurrent, greenlet

        self._loop = greenlet(self.run)
        self._current = getcurrent
        self._is_over: Callable[[], bool] = lambda: False
        super().__init__(wire, deadline, host_key_algorithms, **named)
        cast(_TakingTurns, self.packetizer).turn = self._turn

    def start(self) -> None:
        """Start no thread; the first wait starts the loop."""

    def close(self) -> None:
        """Let the loop come to its own end, which is where paramiko forgets the connection."""
        super().close()
        self._is_over = lambda: False
        while self._loop and not self._loop.dead:
            self._loop.switch()

    def wait_for(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait for an event that the connection sets."""
        self._wait_until(event.is_set, timeout_s)
        return event.is_set()

    def receive(self, channel: paramiko.Channel, n_bytes: int, timeout_s: float) -> bytes:
        """Read what is there; waits a second at most, however long the timeout."""
        self._let_run(lambda: channel.recv_ready() or channel.recv_stderr_ready() or ended_by_peer(channel))
        channel.settimeout(0.0)
        return channel.recv(n_bytes)

    def send_all(self, channel: paramiko.Channel, data: bytes, timeout_s: float) -> None:
        """Write all of it."""
        at, end_s = 0, time.monotonic() + timeout_s
        while at < len(data):
            self._wait_until(channel.send_ready, end_s - time.monotonic())
            channel.settimeout(0.0)
            at += channel.send(data[at:])

    def open_session(self, **named: Any) -> paramiko.Channel:  # type: ignore[override]
        """Open a session whose requests wait as everything here does."""
        channel = super().open_session(**named)
        channel.event = _Awaited(self)
        return channel

    def auth_publickey(self, username: str, key: paramiko.PKey, event: threading.Event | None = None) -> list[str]:
        """Offer a key."""
        answered = event or threading.Event()
        super().auth_publickey(username, key, answered)
        if event is not None:
            return []
        self._wait_until(answered.is_set, float("inf"))
        assert self.auth_handler is not None
        return list(self.auth_handler.wait_for_response(answered))

    def _send_user_message(self, data: Any) -> None:
        if self._current() is self._loop:
            super()._send_user_message(data)
            return
        self._wait_until(self.clear_to_send.is_set, float("inf"))  # keys may be exchanged anew just now
        super()._send_user_message(data)
        self._wait_until(lambda: not self.channel_events, float("inf"))  # a channel that is being opened

    # --------------------------------------------------------------------------------------------- turns

    def _wait_until(self, is_over: Callable[[], bool], timeout_s: float) -> None:
        """Let the loop run until something has happened, the connection is over, or the time is up."""
        end_s = time.monotonic() + timeout_s
        while not is_over() and self.is_active() and time.monotonic() < end_s:
            self._let_run(is_over)

    def _let_run(self, is_over: Callable[[], bool]) -> None:
        """The same, but for a second without a packet at most."""
        if not is_over() and not self._loop.dead:
            self._is_over = is_over
            self._loop.switch()

    def _turn(self, is_idle: bool) -> None:
        """Called within the loop: go back to whoever waits."""
        parent = self._loop.parent
        if parent is not None and (is_idle or self._is_over()):
            parent.switch()
