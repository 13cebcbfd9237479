"""From a name to a connected TCP socket, within a time limit."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from typing import Any, Final

from sshd_keepalive.deadline import Deadline
from sshd_keepalive.errors import HostError
from sshd_keepalive.model import Host
from sshd_keepalive.ssh.errors import LoginCause, make_error

_Address = tuple[socket.AddressFamily, Any]
_UNACKNOWLEDGED_MS: Final = 20_000
_PING_S: Final = 0.5
#: How long a connection that was made ahead may wait, while the user is asked for a passphrase for example: since
#: OpenSSH 9.8 sshd turns away addresses whose connections exceed LoginGraceTime, 120 s (PerSourcePenalties).
_FRESH_S: Final = 10.0


class _Lookup:
    """One name being resolved. getaddrinfo(3) has no time limit, so it gets a thread that may be left behind."""

    def __init__(self, name: str, port: int) -> None:
        self._name = name
        self._port = port
        self.addresses: tuple[_Address, ...] = ()
        self.error: OSError | None = None
        self.done = threading.Event()

    def run(self, flags: int = 0) -> None:
        try:
            # Python loads its tables of international names, 6 ms, for a text, and needs none for ASCII.
            name = self._name.encode() if self._name.isascii() else self._name
            rows = socket.getaddrinfo(name, self._port, type=socket.SOCK_STREAM, flags=flags)
            self.addresses = tuple((row[0], row[4]) for row in rows)
        except (OSError, UnicodeError) as error:  # UnicodeError: a label longer than 63 characters
            self.error = error if isinstance(error, OSError) else OSError(str(error))
        finally:
            self.done.set()


_lookups: dict[tuple[str, int], _Lookup] = {}
_lock = threading.Lock()


def dial(host: Host, deadline: Deadline, connect_timeout_s: float) -> socket.socket:
    """Connect to a host, trying its addresses in the system's order.

    Args:
        connect_timeout_s: for all addresses together; each gets an equal share of what is left.
    Raises:
        HostError: unresolved, unreachable, refused; dropped, when the host is up all the same.
    """
    limit = Deadline(deadline.left_s(connect_timeout_s))
    addresses = _resolve(host, limit)
    error: OSError = TimeoutError(errno.ETIMEDOUT, "timed out")
    for n, (family, address) in enumerate(addresses):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(max(0.001, limit.left_s() / (len(addresses) - n)))
            sock.connect(address)
            _tune(sock)
        except OSError as failure:
            sock.close()
            error = failure
        else:
            return sock
    if isinstance(error, TimeoutError):
        if answers_echo(*addresses[0], _PING_S):
            raise make_error(host, LoginCause.DROPPED, f"{connect_timeout_s:g} s")
        raise make_error(host, LoginCause.UNREACHABLE, f"{connect_timeout_s:g} s")
    if error.errno == errno.ECONNREFUSED:
        raise make_error(host, LoginCause.REFUSED)
    raise make_error(host, LoginCause.UNREACHABLE, error.strerror or str(error))


class DialAhead:
    """A connection to a host that a thread makes while this one does something else."""

    def __init__(self, host: Host, timeout_s: float, connect_timeout_s: float) -> None:
        self._lock = threading.Lock()
        self._is_made = threading.Event()
        self._is_ended = threading.Event()  # taken, or not wanted
        self._sock: socket.socket | None = None
        self._error: HostError | None = None
        arguments = (host, Deadline(timeout_s), connect_timeout_s)
        threading.Thread(target=self._run, args=arguments, name=f"dial {host.address}", daemon=True).start()

    def take(self) -> socket.socket | None:
        """Wait for the connection and give it, once; None: it was taken, or was closed because it waited for long.

        Raises:
            HostError: as for `dial`.
        """
        self._is_made.wait()  # `dial` has a time limit
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._remove()

    def close(self) -> None:
        """Close the connection unless it was taken, without waiting for it."""
        self._is_ended.set()

    def _run(self, host: Host, deadline: Deadline, connect_timeout_s: float) -> None:
        try:
            self._sock = dial(host, deadline, connect_timeout_s)
        except HostError as error:
            self._error = error
            return
        finally:
            self._is_made.set()
        self._is_ended.wait(_FRESH_S)
        sock = self._remove()
        if sock is not None:
            sock.close()

    def _remove(self) -> socket.socket | None:
        self._is_ended.set()
        with self._lock:
            sock, self._sock = self._sock, None
        return sock


def _resolve(host: Host, limit: Deadline) -> tuple[_Address, ...]:
    key = (host.address, host.port)
    with _lock:
        lookup = _lookups.get(key)
        if lookup is None:
            # One try of one second for each name server: a dead one costs 1 s instead of 10 (resolv.conf(5)).
            os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:1")
            lookup = _lookups[key] = _Lookup(host.address, host.port)
            lookup.run(socket.AI_NUMERICHOST)  # an address needs neither thread nor resolver
            if lookup.error is not None:
                lookup.error = None
                lookup.done.clear()
                threading.Thread(target=lookup.run, name=f"resolve {host.address}", daemon=True).start()
    if not lookup.done.wait(limit.left_s()):
        raise make_error(host, LoginCause.UNRESOLVED, "the resolver did not answer in time")
    if lookup.error is not None:
        with _lock:
            _lookups.pop(key, None)  # the next pass may have better luck
        raise make_error(host, LoginCause.UNRESOLVED, lookup.error.strerror or str(lookup.error))
    return lookup.addresses


def _tune(sock: socket.socket) -> None:
    """Send small packets at once, and notice a peer that is gone."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)


#: Type, code, checksum, identifier, number. The kernel writes the last three where they are its business; on a raw
#: socket the checksum of IPv4 is ours.
_ECHO: Final = {
    socket.AF_INET: b"\x08\x00\xf7\xff\x00\x00\x00\x00",
    socket.AF_INET6: b"\x80\x00\x00\x00\x00\x00\x00\x00",
}
_REPLY: Final = {socket.AF_INET: 0, socket.AF_INET6: 129}  # RFC 792, RFC 4443


def answers_echo(family: int, address: Any, timeout_s: float) -> bool:
    """Whether an echo came back. False also means: this account may send none (net.ipv4.ping_group_range, no root)."""
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    end_s = time.monotonic() + timeout_s
    with contextlib.ExitStack() as stack:
        try:
            kind, sock = _echo_socket(family, protocol)
            stack.enter_context(sock)
            sock.connect((address[0], 0, *address[2:]))
            sock.send(_ECHO[socket.AddressFamily(family)])
            while (left_s := end_s - time.monotonic()) > 0:
                sock.settimeout(left_s)
                data = sock.recv(1024)
                if kind == socket.SOCK_RAW and family == socket.AF_INET:  # the IP header comes along
                    data = data[(data[0] & 15) * 4 :]
                if data[:1] == bytes([_REPLY[socket.AddressFamily(family)]]):
                    return True
        except OSError:
            return False
    return False


def _echo_socket(family: int, protocol: int) -> tuple[socket.SocketKind, socket.socket]:
    try:
        return socket.SOCK_DGRAM, socket.socket(family, socket.SOCK_DGRAM, protocol)
    except PermissionError:
        return socket.SOCK_RAW, socket.socket(family, socket.SOCK_RAW, protocol)
