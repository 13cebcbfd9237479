"""Servers that behave badly, one way each: connections that are never answered, or answered with nonsense."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paramiko

from sshd_keepalive.model import Become, Host
from tests.support.answers import Answer, ScriptServer

VERSION = b"SSH-2.0-OpenSSH_9.9 hostile\r\n"


class HostileServer:
    """A TCP server on loopback that treats every connection the same way. Use it as a context.

    Args:
        treat: gets the connection and an event that is set when the server is left; it runs in a thread.
    """

    def __init__(self, treat: Callable[[socket.socket, threading.Event], None]) -> None:
        self._treat = treat
        self._left = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.n_connections = 0

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def reach(self, **settings: Any) -> Host:
        return Host(
            **{
                "name": "hostile",
                "address": "127.0.0.1",
                "port": self.port,
                "user": "ops",
                "become": Become(method="none"),
                **settings,
            }
        )

    def __enter__(self) -> HostileServer:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(2)
        self._listener.close()

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._left.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.n_connections += 1
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._treat(connection, self._left)


def silence(connection: socket.socket, left: threading.Event) -> None:
    left.wait()


def version_and_silence(connection: socket.socket, left: threading.Event) -> None:
    connection.sendall(VERSION)
    left.wait()


def endless_lines(connection: socket.socket, left: threading.Event) -> None:
    while not left.is_set():
        connection.sendall(b"welcome\r\n" * 2)
        time.sleep(0.02)


def endless_line(connection: socket.socket, left: threading.Event) -> None:
    while not left.is_set():
        connection.sendall(b"x" * 4096)


def one_byte_at_a_time(connection: socket.socket, left: threading.Event) -> None:
    for byte in VERSION:
        connection.sendall(bytes([byte]))
        if left.wait(0.1):
            return


def silence_after_kexinit(connection: socket.socket, left: threading.Event) -> None:
    connection.sendall(VERSION + _kexinit())
    left.wait()


def hangup_after_kexinit(connection: socket.socket, left: threading.Event) -> None:
    connection.sendall(VERSION + _kexinit())
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(4096):
        pass


def a_wrong_guess(connection: socket.socket, left: threading.Event) -> None:
    """Begin a key exchange that was not agreed upon (RFC 4253, 7, first_kex_packet_follows), and wait."""
    connection.sendall(VERSION + _kexinit(guesses=True) + _packet(b"\x1f" + b"\0" * 40))
    left.wait()


def _kexinit(*, guesses: bool = False) -> bytes:
    message = paramiko.Message()
    message.add_byte(b"\x14")
    message.add_bytes(b"\0" * 16)
    for names in ("curve25519-sha256", "ssh-ed25519", *["aes128-ctr"] * 2, *["hmac-sha2-256"] * 2, *["none"] * 2):
        message.add_string(names)
    message.add_string("")
    message.add_string("")
    message.add_boolean(guesses)
    message.add_int(0)
    return _packet(message.asbytes())


def _packet(payload: bytes) -> bytes:
    padding = 8 - (len(payload) + 5) % 8 + 4
    padding += -(len(payload) + 5 + padding) % 8
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + b"\0" * padding


def reset_after_version(connection: socket.socket, left: threading.Event) -> None:
    connection.sendall(VERSION)
    said = b""
    while not said.partition(b"\n")[2]:  # a reset loses what was not read: the key exchange shows that it was
        said += connection.recv(4096)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def saying(text: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Make a server that says something and hangs up."""

    def treat(connection: socket.socket, left: threading.Event) -> None:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(2)
        while connection.recv(4096):  # close without a reset, as sshd does
            pass

    return treat


def after(text: bytes, treat: Callable[[socket.socket, threading.Event], None]) -> Callable[..., None]:
    """Make a server that says something before it does what another one does."""

    def treat_after(connection: socket.socket, left: threading.Event) -> None:
        connection.sendall(text)
        treat(connection, left)

    return treat_after


def http(connection: socket.socket, left: threading.Event) -> None:
    connection.recv(100)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html>no</html>")


class _Deaf(paramiko.ServerInterface):
    """Answers up to a step, and then never again."""

    def __init__(self, step: str, left: threading.Event) -> None:
        self._step = step
        self._left = left

    def _reach(self, step: str) -> None:
        if step == self._step:
            self._left.wait()

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self._reach("auth")
        if self._step == "hangup":
            raise EOFError
        return paramiko.AUTH_SUCCESSFUL

    def check_auth_password(self, username: str, password: str) -> int:
        return self.check_auth_publickey(username, paramiko.PKey())

    def get_allowed_auths(self, username: str) -> str:
        return "publickey,password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        self._reach("channel")
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self._channel = channel  # a dropped one would close itself
        self._reach("exec")
        return self._step != "refuse"


def answering(answer: Answer, host_key: Path) -> Callable[[socket.socket, threading.Event], None]:
    """Make a server that lets everybody in and answers every script."""
    key = paramiko.Ed25519Key(filename=str(host_key))

    def treat(connection: socket.socket, left: threading.Event) -> None:
        transport = paramiko.Transport(connection)
        transport.local_version = "SSH-2.0-OpenSSH_9.6p1"
        transport.add_server_key(key)
        transport.start_server(event=threading.Event(), server=ScriptServer(answer, left))
        while not left.wait(0.2) and transport.is_active():
            pass
        transport.close()
        transport.join(2)

    return treat


def deaf_at(step: str, host_key: Path) -> Callable[[socket.socket, threading.Event], None]:
    """Make a server that logs everybody in but never answers a step: auth, channel, exec, output."""
    key = paramiko.Ed25519Key(filename=str(host_key))

    def treat(connection: socket.socket, left: threading.Event) -> None:
        transport = paramiko.Transport(connection)
        transport.local_version = "SSH-2.0-OpenSSH_9.6p1"  # it is sent ahead what only sshd is sent
        transport.add_server_key(key)
        transport.start_server(event=threading.Event(), server=_Deaf(step, left))
        while not left.wait(0.05) and transport.is_active():
            pass
        transport.close()
        transport.join(2)

    return treat
