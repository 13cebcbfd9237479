"""Jump hosts: one connection to each for the whole process, shared by all hosts behind it."""

from __future__ import annotations

import atexit
import threading
import time
from functools import partial
from typing import Final

import paramiko

from sshd_keepalive.deadline import REAPER, Alarm, Deadline
from sshd_keepalive.errors import HostError
from sshd_keepalive.model import FailureKind, Host
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.connection import Connection, log_in
from sshd_keepalive.ssh.dial import dial
from sshd_keepalive.ssh.errors import make_error
from sshd_keepalive.ssh.wire import ChannelWire, SocketWire, Wire

IDLE_S: Final = 15.0  # how long a connection that nobody uses is kept for the next host
_WINDOW_BYTES: Final = 256 * 1024
#: A refused login is not repeated for the next host behind the same bastion: a thousand hosts would make a ban.
_FINAL_KINDS: Final = frozenset({FailureKind.AUTH, FailureKind.HOST_KEY})
_SETTLE_S: Final = 0.1
_REMEMBER_S: Final = 5.0  # other failures: long enough for those who wait already


def open_wire(host: Host, secrets: Secrets, deadline: Deadline, connect_timeout_s: float) -> Wire:
    """Connect to a host, directly or through its jump hosts.

    Raises:
        HostError: of this host, or of the jump host that failed.
    """
    if not host.jump:
        return SocketWire(dial(host, deadline, connect_timeout_s))
    with _lock:
        bastion = _bastions.setdefault(host.jump, _JumpHost(host.jump))
    return bastion.wire_to(host, secrets, deadline, connect_timeout_s)


def is_lost(hops: tuple[Host, ...]) -> bool:
    """Tell whether the connection to the last of some hops is gone, and with it everything that went through it."""
    with _lock:
        bastion = _bastions.get(hops)
    return bastion is not None and bastion.is_lost()


class _JumpHost:
    """The last of some hops, with what it takes to get there."""

    def __init__(self, hops: tuple[Host, ...]) -> None:
        self._hops = hops
        self._lock = threading.Lock()
        self._link: Connection | None = None
        self._n_users = 0
        self._idle: Alarm | None = None
        self._failure: tuple[float, HostError] | None = None

    def wire_to(self, host: Host, secrets: Secrets, deadline: Deadline, connect_timeout_s: float) -> Wire:
        if not self._lock.acquire(timeout=deadline.left_s()):
            raise make_error(self._hops[-1], "deadline(bastion)", f"while connecting to {host.name}")
        try:
            link = self._ready(secrets, deadline, connect_timeout_s)
            self._n_users += 1
        finally:
            self._lock.release()
        try:
            return _SharedWire(_forward(link, self._hops[-1], host, deadline), self)
        except BaseException:
            self.release()
            raise

    def is_lost(self) -> bool:
        link = self._link
        if link is not None and link.is_alive:
            link.client.join(_SETTLE_S)  # paramiko ends the channels first, then the connection
        return link is None or not link.is_alive

    def release(self) -> None:
        """One user less; the last one starts the clock."""
        with self._lock:
            self._n_users -= 1
            if self._n_users == 0 and self._link is not None:
                self._idle = REAPER.arm(Deadline(IDLE_S), self._close_elsewhere)

    def close_if_idle(self) -> None:
        """Close the connection unless somebody uses it."""
        with self._lock:
            link = self._link if self._n_users == 0 else None
            if link is not None:
                self._link = None
                if self._idle is not None:
                    self._idle.cancel()
        if link is not None:
            link.close()

    def _close_elsewhere(self) -> None:
        threading.Thread(target=self.close_if_idle, name="close jump host", daemon=True).start()

    def _ready(self, secrets: Secrets, deadline: Deadline, connect_timeout_s: float) -> Connection:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._link is not None and self._link.is_alive:
            return self._link
        if self._failure is not None:
            at_s, failure = self._failure
            if failure.kind in _FINAL_KINDS or time.monotonic() - at_s < _REMEMBER_S:
                raise _copy(failure)
        if self._link is not None:
            self._link.close()
            self._link = None
        hop = self._hops[-1]
        try:
            before = _find_next_hop(hop, self._hops[:-1])
            dial = partial(open_wire, before, secrets, deadline, connect_timeout_s)
            self._link = log_in(hop, dial, secrets, deadline)
        except HostError as error:
            failure = HostError(f"jump host {error}", kind=error.kind, cause=error.cause, hint=error.hint)
            if failure.cause != "lost(hostkey)":  # that one is tried again at once
                self._failure = (time.monotonic(), failure)
            raise failure from None
        self._failure = None
        return self._link


class _SharedWire(ChannelWire):
    """A channel that gives its share of the bastion back when it is closed."""

    def __init__(self, channel: paramiko.Channel, bastion: _JumpHost) -> None:
        super().__init__(channel)
        channel.wire_lock = self.lock  # type: ignore[attr-defined]  # read by client._on_channel_close
        self._bastion: _JumpHost | None = bastion

    def close(self) -> None:
        super().close()
        with self.lock:
            bastion, self._bastion = self._bastion, None
        if bastion is not None:
            bastion.release()


def _forward(link: Connection, hop: Host, host: Host, deadline: Deadline) -> paramiko.Channel:
    target = (host.address, host.port)
    try:
        channel = link.client.open_channel(
            "direct-tcpip", target, ("127.0.0.1", 0), window_size=_WINDOW_BYTES, timeout=deadline.left_s()
        )
    except paramiko.ChannelException as error:
        if error.code == 1:  # administratively prohibited (RFC 4254, 5.1)
            raise make_error(hop, "bastion-denied", f"while connecting to {host.name}") from None
        raise make_error(host, "unreachable", f"from jump host {hop.name}") from None
    except (paramiko.SSHException, EOFError, OSError):
        cause = "deadline(bastion)" if deadline.is_over else "bastion-lost"
        raise make_error(hop, cause, f"while connecting to {host.name}") from None
    return channel


def _find_next_hop(hop: Host, hops: tuple[Host, ...]) -> Host:
    """Give the hop as a host that is reached through the hops before it."""
    from dataclasses import replace

    return replace(hop, jump=hops)


def _copy(error: HostError) -> HostError:
    return HostError(str(error), kind=error.kind, cause=error.cause, hint=error.hint)


_bastions: dict[tuple[Host, ...], _JumpHost] = {}
_lock = threading.Lock()


@atexit.register
def close_idle() -> None:
    """Close all connections to jump hosts that nobody uses."""
    with _lock:
        bastions = tuple(_bastions.values())
    for bastion in bastions:
        bastion.close_if_idle()
