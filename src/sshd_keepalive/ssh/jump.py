"""Jump hosts: one connection to each for the whole process, shared by all hosts behind it."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import paramiko

from sshd_keepalive.deadline import REAPER, Alarm, Deadline
from sshd_keepalive.errors import HostError
from sshd_keepalive.model import FailureKind, Host
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.connection import Connection, log_in
from sshd_keepalive.ssh.dial import DialAhead, dial
from sshd_keepalive.ssh.errors import LoginCause, make_error
from sshd_keepalive.ssh.wire import ChannelWire, SocketWire, Wire

IDLE_S: Final = 15.0  # how long an unused connection is kept for the next host
_WINDOW_BYTES: Final = 256 * 1024
#: A refused login is not repeated for the next host behind the same jump host: a thousand hosts would make a ban.
_FINAL_KINDS: Final = frozenset({FailureKind.AUTH, FailureKind.HOST_KEY})
_SETTLE_S: Final = 0.1
_REMEMBER_S: Final = 5.0  # other failures: long enough for the hosts that wait already


def open_wire(
    host: Host, secrets: Secrets, deadline: Deadline, connect_timeout_s: float, ahead: DialAhead | None = None
) -> Wire:
    """Connect to a host, directly or through its jump hosts.

    Args:
        ahead: a direct connection that was begun already.

    Raises:
        HostError: of this host, or of the jump host that failed.
    """
    if not host.jump:
        return SocketWire((ahead.take() if ahead else None) or dial(host, deadline, connect_timeout_s))
    with _lock:
        jump_host = _jump_hosts.setdefault(host.jump, _JumpHost(host.jump))
    return jump_host.open_wire_to(host, secrets, deadline, connect_timeout_s)


class _JumpHost:
    """The connection to the last of some hops."""

    def __init__(self, hops: tuple[Host, ...]) -> None:
        self._hop = hops[-1]
        self._next_hop = replace(hops[-1], jump=hops[:-1])  # as a host that is reached through the hops before it
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._n_users = 0
        self._idle_alarm: Alarm | None = None
        self._failure: tuple[float, HostError] | None = None

    def open_wire_to(self, host: Host, secrets: Secrets, deadline: Deadline, connect_timeout_s: float) -> Wire:
        if not self._lock.acquire(timeout=deadline.left_s()):
            raise make_error(self._hop, LoginCause.DEADLINE, f"while connecting to {host.name}", phase="jump-host")
        try:
            connection = self._connect(secrets, deadline, connect_timeout_s)
            self._n_users += 1
        finally:
            self._lock.release()
        try:
            channel = _forward(connection, self._hop, host, deadline)
        except BaseException:
            self._release()
            raise
        return _SharedWire(channel, connection, self._hop, self._release)

    def close_if_idle(self) -> None:
        """Close the connection unless a wire uses it, or will."""
        # Whoever has the lock may be logging in. The end of an interrupted run does not wait for that.
        if not self._lock.acquire(blocking=False):
            return
        try:
            connection = self._connection if self._n_users == 0 else None
            if connection is not None:
                self._connection = None
                if self._idle_alarm is not None:
                    self._idle_alarm.cancel()
        finally:
            self._lock.release()
        if connection is not None:
            connection.close()

    def _release(self) -> None:
        """Count one user less; close the connection some time after the last one."""
        with self._lock:
            self._n_users -= 1
            if self._n_users == 0 and self._connection is not None:
                self._idle_alarm = REAPER.arm(Deadline(IDLE_S), self._close_elsewhere)

    def _close_elsewhere(self) -> None:
        threading.Thread(target=self.close_if_idle, name="close jump host", daemon=True).start()

    def _connect(self, secrets: Secrets, deadline: Deadline, connect_timeout_s: float) -> Connection:
        if self._idle_alarm is not None:
            self._idle_alarm.cancel()
            self._idle_alarm = None
        if self._connection is not None and self._connection.is_alive:
            return self._connection
        if self._failure is not None:
            at_s, failure = self._failure
            if failure.kind in _FINAL_KINDS or time.monotonic() - at_s < _REMEMBER_S:
                raise HostError(str(failure), kind=failure.kind, cause=failure.cause, hint=failure.hint)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        try:
            dial = partial(open_wire, self._next_hop, secrets, deadline, connect_timeout_s)
            self._connection = log_in(self._hop, dial, secrets, deadline)
        except HostError as error:
            failure = HostError(f"jump host {error}", kind=error.kind, cause=error.cause, hint=error.hint)
            if failure.cause != LoginCause.LOST_IN_QUESTION:  # that one is tried again at once
                self._failure = (time.monotonic(), failure)
            raise failure from None
        self._failure = None
        return self._connection


class _SharedWire(ChannelWire):
    """A channel of the connection to a jump host, which other hosts use as well."""

    def __init__(
        self, channel: paramiko.Channel, connection: Connection, hop: Host, release: Callable[[], None]
    ) -> None:
        super().__init__(channel)
        self._connection = connection
        self._hop = hop
        self._release: Callable[[], None] | None = release

    def find_lost_hop(self) -> Host | None:
        """Find the first jump host on the way whose connection was lost."""
        if self._connection.is_alive:
            self._connection.client.join(_SETTLE_S)  # paramiko ends the channels first, then the connection
        return None if self._connection.is_alive else self._connection.find_lost_hop() or self._hop

    def close(self) -> None:
        """Close the channel, and give the connection back."""
        super().close()
        with self.lock:
            release, self._release = self._release, None
        if release is not None:
            release()


def _forward(connection: Connection, hop: Host, host: Host, deadline: Deadline) -> paramiko.Channel:
    target = (host.address, host.port)
    try:
        return connection.client.open_channel(
            "direct-tcpip", target, ("127.0.0.1", 0), window_size=_WINDOW_BYTES, timeout=deadline.left_s()
        )
    except paramiko.ChannelException as error:
        if error.code == 1:  # administratively prohibited (RFC 4254, 5.1)
            raise make_error(hop, LoginCause.JUMP_HOST_DENIED, f"while connecting to {host.name}") from None
        raise make_error(host, LoginCause.UNREACHABLE, f"from jump host {hop.name}") from None
    except (paramiko.SSHException, EOFError, OSError):
        detail = f"while connecting to {host.name}"
        if deadline.is_over:
            raise make_error(hop, LoginCause.DEADLINE, detail, phase="jump-host") from None
        raise make_error(hop, LoginCause.JUMP_HOST_LOST, detail) from None


_jump_hosts: dict[tuple[Host, ...], _JumpHost] = {}
_lock = threading.Lock()


@atexit.register
def close_idle() -> None:
    """Close all unused connections to jump hosts."""
    with _lock:
        jump_hosts = tuple(_jump_hosts.values())
    for jump_host in jump_hosts:
        jump_host.close_if_idle()
