"""Whether a host that does not answer a connection is there at all: one ICMP echo, where the system allows it."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any, Final

#: Type, code, checksum, identifier, number. The kernel writes the last three where they are its business; on a raw
#: socket the checksum of IPv4 is ours.
_ECHO: Final = {
    socket.AF_INET: b"\x08\x00\xf7\xff\x00\x00\x00\x00",
    socket.AF_INET6: b"\x80\x00\x00\x00\x00\x00\x00\x00",
}
_REPLY: Final = {socket.AF_INET: 0, socket.AF_INET6: 129}  # RFC 792, RFC 4443


def answers(family: int, address: Any, timeout_s: float) -> bool:
    """Whether an echo came back. False also means: nobody may ask here (net.ipv4.ping_group_range, no root)."""
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    end_s = time.monotonic() + timeout_s
    with contextlib.ExitStack() as stack:
        try:
            kind, sock = _socket(family, protocol)
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


def _socket(family: int, protocol: int) -> tuple[socket.SocketKind, socket.socket]:
    try:
        return socket.SOCK_DGRAM, socket.socket(family, socket.SOCK_DGRAM, protocol)
    except PermissionError:
        return socket.SOCK_RAW, socket.socket(family, socket.SOCK_RAW, protocol)
