"""A connection that is made ahead of its use."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from sshd_keepalive.errors import HostError
from sshd_keepalive.model import Host
from sshd_keepalive.ssh import dial
from sshd_keepalive.ssh.dial import DialAhead


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


def dial_ahead(server: socket.socket) -> DialAhead:
    address, port = server.getsockname()
    return DialAhead(Host(name="web1", address=address, port=port), 60, 60)


def test_a_connection_is_given_once(server: socket.socket) -> None:
    ahead = dial_ahead(server)
    sock = ahead.take()
    assert sock is not None
    with sock, server.accept()[0] as accepted:
        assert ahead.take() is None
        ahead.close()
        sock.sendall(b"x")
        assert accepted.recv(1) == b"x"


def test_one_that_is_not_taken_is_closed(server: socket.socket) -> None:
    ahead = dial_ahead(server)
    ahead.close()
    with server.accept()[0] as accepted:
        accepted.settimeout(60)
        assert accepted.recv(1) == b""
    assert ahead.take() is None


def test_one_that_has_waited_for_long_is_closed(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "_FRESH_S", 0.0)
    ahead = dial_ahead(server)
    with server.accept()[0] as accepted:
        accepted.settimeout(60)
        assert accepted.recv(1) == b"", "before anybody asks for it"
    assert ahead.take() is None


def test_why_there_is_none_is_raised(server: socket.socket) -> None:
    server.close()
    with socket.socket() as unused:  # bound and not listening: the port refuses
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(HostError) as caught:
            dial_ahead(unused).take()
    assert caught.value.cause == "refused"
