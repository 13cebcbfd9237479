"""A login within a login: SSH spoken to a program of the host, over the standard input and output of a channel.

`sshd -i` serves one connection that way, without a port and without touching the service (sshd(8), "-i"). So a
configuration can be tried with a whole handshake, host key and login before it is installed.
"""

from __future__ import annotations

import secrets as randomness
from functools import partial
from typing import Final

import paramiko

from sshd_keepalive.deadline import Deadline, Limit
from sshd_keepalive.model import Host
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.connection import Connection, open_connection
from sshd_keepalive.ssh.errors import make_error, make_shell_error
from sshd_keepalive.ssh.sudo import Dialogue, SudoPassword, build_root_shell
from sshd_keepalive.ssh.wire import ChannelWire

_READ_BYTES: Final = 4096
_KEPT_BYTES: Final = 8 * 1024
READY: Final = b"SKA1 READY\n"


def login_through(host: Host, connection: Connection, secrets: Secrets, command: str, deadline: Deadline) -> None:
    """Log in to the host once more, through `command` run there as root, and hang up; see connect_through."""
    connect_through(host, connection, secrets, f"exec {command}\n", deadline).close()


def connect_through(
    host: Host, connection: Connection, secrets: Secrets, script: str, deadline: Deadline
) -> Connection:
    """Log in to the host once more, through a script run there as root.

    Args:
        script: writes READY to standard error, then speaks SSH on its standard input and output. The shell that
            reads it may read ahead, but nothing follows until it has said READY.
    Raises:
        HostError: as for any login; kinds `shell` and `become` when the script cannot be run at all.
    """
    limit = Limit(deadline, connection.interrupt)
    try:
        connection.client.wait_until(deadline)
        channel = connection.client.open_session(timeout=deadline.left_s())
        if host.become.method == "none":
            _start(connection, channel, script, deadline)
            output = b"\n"
        else:
            output = _run_as_root(host, connection, secrets, channel, script, limit, deadline)
        _wait_until_ready(host, channel, output, deadline)
    except (paramiko.SSHException, EOFError, OSError) as error:
        if deadline.is_over:
            raise make_error(host, "deadline", phase="channel") from None
        raise make_error(host, "no-session", str(error)) from None
    finally:
        limit.cancel()
    return open_connection(
        host, partial(ChannelWire, channel), secrets, deadline, sends_ahead=connection.client.sends_ahead
    )


def _start(connection: Connection, channel: paramiko.Channel, text: str, deadline: Deadline) -> None:
    data = text.encode("utf-8", "surrogateescape")
    channel.sendall(data[connection.client.execute(channel, "sh -s", data, deadline.left_s()) :])


def _run_as_root(
    host: Host,
    connection: Connection,
    secrets: Secrets,
    channel: paramiko.Channel,
    script: str,
    limit: Limit,
    deadline: Deadline,
) -> bytes:
    """Have a login of root, or a shell of root, run the script; gives the last of its standard error."""
    nonce = randomness.token_hex(8)
    has_password = host.become.password is not None and host.become.method == "sudo"
    is_sudo, terminal = host.become.method == "sudo", connection.sudo_needs_terminal
    text = build_root_shell(nonce, password=has_password, terminal=terminal, sudo=is_sudo, script=script)
    dialogue = Dialogue(nonce)
    password = SudoPassword(host, secrets, deadline, dialogue)
    output = b"\n"
    try:
        _start(connection, channel, text, deadline)
        while not (dialogue.is_ready or (dialogue.has_met_sudo and not has_password)):
            data = _read_stderr(channel, deadline)
            output = (output + data)[-_KEPT_BYTES:]
            if b"\n" + READY in output:
                return output
            dialogue.feed(data)
            password.record_verdict()
            if dialogue.rejected or not data:
                raise password.explain_end(output, ended="it ended")
            if dialogue.asks:
                channel.sendall(password.fetch(limit).encode() + b"\n")
    finally:
        password.close()
    channel.sendall(script.encode("utf-8", "surrogateescape"))
    return output


def _wait_until_ready(host: Host, channel: paramiko.Channel, output: bytes, deadline: Deadline) -> None:
    while b"\n" + READY not in output:
        data = _read_stderr(channel, deadline)
        if not data:
            raise make_shell_error(host, output, ended="it ended", became=host.become.method != "none")
        output = (output + data)[-_KEPT_BYTES:]


def _read_stderr(channel: paramiko.Channel, deadline: Deadline) -> bytes:
    channel.settimeout(max(0.001, deadline.left_s()))
    return channel.recv_stderr(_READ_BYTES)
