"""A login within a login: SSH spoken to a program of the host, over the standard input and output of a channel.

`sshd -i` serves one connection that way, without a port and without touching the service (sshd(8), "-i"). So a
configuration can be tried with a whole handshake, host key and login before it is installed.
"""

from __future__ import annotations

import contextlib
from functools import partial

import paramiko

from sshd_keepalive.deadline import Deadline, Limit
from sshd_keepalive.model import Host
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.connection import Connection, open_connection
from sshd_keepalive.ssh.errors import LoginCause, make_error
from sshd_keepalive.ssh.root_script import RootScript
from sshd_keepalive.ssh.wire import ChannelWire


def prepare_login(host: Host, connection: Connection, command: str, deadline: Deadline) -> None:
    """Do what login_through needs as far as nothing has to be waited for; it finds out what does not work.

    A host that may ask for a password gets a session only: sudo does not wait for the answer without limit.
    """
    channel = None if host.become.password else connection.client.take_session()
    if channel is None:
        connection.open_ahead(1)
        return
    script, terminal = _build_script(command), connection.sudo_needs_terminal
    with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
        connection.started = RootScript(
            host, connection.client, channel, script, deadline, terminal=terminal, is_early=True
        )


def login_through(host: Host, connection: Connection, secrets: Secrets, command: str, deadline: Deadline) -> None:
    """Log in to the host once more, through `command` run there as root, and disconnect; see connect_through."""
    connect_through(host, connection, secrets, _build_script(command), deadline).close()


def _build_script(command: str) -> str:
    return f"exec {command}\n"


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
    client, terminal = connection.client, connection.sudo_needs_terminal
    started, connection.started = connection.started, None
    try:
        client.wait_until(deadline)
        if started is None or started.script != script or started.channel.closed:  # its shell may have a time limit
            channel = client.open_session(timeout=deadline.left_s())
            started = RootScript(host, client, channel, script, deadline, terminal=terminal)
        started.finish(secrets, limit, deadline)
    except (paramiko.SSHException, EOFError, OSError) as error:
        if deadline.is_over:
            raise make_error(host, LoginCause.DEADLINE, phase="channel") from None
        raise make_error(host, LoginCause.NO_SESSION, str(error)) from None
    finally:
        limit.cancel()
    dial = partial(ChannelWire, started.channel)
    return open_connection(host, dial, secrets, deadline, sends_ahead=client.sends_ahead)
