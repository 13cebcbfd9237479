"""A login within a login: SSH spoken to a program of the host, over the standard input and output of a channel.

`sshd -i` serves one connection that way, without a port and without touching the service (sshd(8), "-i"). So a
configuration can be tried with a whole handshake, host key and login before it is installed.
"""

from __future__ import annotations

import re
import secrets as randomness
from typing import Final

import paramiko

from sshd_keepalive.deadline import REAPER, Deadline
from sshd_keepalive.errors import HostError, KeepaliveError
from sshd_keepalive.model import Host
from sshd_keepalive.secrets.attempts import Spent
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.auth import user_of
from sshd_keepalive.ssh.connection import Link, open_link
from sshd_keepalive.ssh.errors import trouble
from sshd_keepalive.ssh.wire import ChannelWire

#: The login shell sees the command as it is: nothing that any shell would read otherwise.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./+-]+( [A-Za-z0-9_./+-]+)*")
_WINDOW_BYTES: Final = 256 * 1024
_READ_BYTES: Final = 4096
READY: Final = b"SKA1 READY"


def login_through(host: Host, link: Link, secrets: Secrets, command: str, deadline: Deadline) -> None:
    """Log in to the host once more, through `command` run there as root, and hang up; see link_through."""
    link_through(host, link, secrets, command, deadline).close()


def link_through(
    host: Host, link: Link, secrets: Secrets, command: str, deadline: Deadline, *, script: str = ""
) -> Link:
    """Log in to the host once more, through `command` run there as root.

    Args:
        command: speaks SSH on its standard input and output; has written READY to standard error before.
        script: is sent to the command, a shell, and then says READY and speaks SSH in its stead. A shell may
            read ahead, but nothing follows the script until it has said READY.
    Raises:
        HostError: as for any login; kind `shell` when the command cannot be run at all.
    """
    if not _PLAIN.fullmatch(command):
        raise HostError("the command holds what a login shell may read otherwise", kind="shell", cause="quoting")
    alarm = REAPER.arm(deadline, link.interrupt)
    try:
        link.client.wait_until(deadline)
        channel = link.client.open_session(window_size=_WINDOW_BYTES, timeout=deadline.left_s())
        prompt = f"SKA1-PASSWORD-{randomness.token_hex(8)}"
        channel.exec_command(_as_root(host, command, prompt))
        if host.become.method != "none" and host.become.password is not None:
            _prove(host, secrets, channel, prompt.encode(), deadline)
        if script:
            channel.sendall(script.encode())
            _wait_until_ready(host, channel, deadline)
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise trouble(host, "no-session", str(error)) from None
    finally:
        alarm.cancel()
    wire = ChannelWire(channel)
    channel.wire_lock = wire.lock  # type: ignore[attr-defined]  # read by client._on_channel_close
    return open_link(host, wire, secrets, deadline)


def _wait_until_ready(host: Host, channel: paramiko.Channel, deadline: Deadline) -> None:
    heard = b""
    while READY not in heard:
        channel.settimeout(max(0.001, deadline.left_s()))
        data = channel.recv_stderr(_READ_BYTES)
        if not data:
            raise trouble(host, "no-session", heard.decode("utf-8", "replace").strip())
        heard += data


def _as_root(host: Host, command: str, prompt: str) -> str:
    if host.become.method == "none" or user_of(host) == "root":
        return command
    if host.become.password is not None:
        return f"sudo -S -k -p {prompt} {command}"  # -k: neither uses nor leaves a ticket
    return f"{host.become.method} -n {command}"


def _prove(host: Host, secrets: Secrets, channel: paramiko.Channel, prompt: bytes, deadline: Deadline) -> None:
    """Answer sudo's prompt once; what follows belongs to the command, which says READY first."""
    if user_of(host) == "root":
        return
    reference, user = host.become.password or "", user_of(host)
    attempt = None
    heard = b""
    try:
        while READY not in heard:
            channel.settimeout(max(0.001, deadline.left_s()))
            data = channel.recv_stderr(_READ_BYTES)
            if not data:
                raise trouble(host, "sudo-broken", heard.decode("utf-8", "replace"))
            heard += data
            if prompt in heard and attempt is None:
                heard = heard.replace(prompt, b"")
                secret = secrets.get(reference, purpose=f"sudo password of {user}")
                attempt = secrets.ledger.attempt((reference, user), (host.address, host.port, "sudo"), deadline)
                channel.sendall(secret.reveal().encode() + b"\n")
            elif prompt in heard and attempt is not None:
                attempt.refused()
                raise trouble(host, "bad-password")
        if attempt is not None:
            attempt.accepted()
    except Spent as spent:
        raise trouble(host, "bad-password", f"not sent: {spent}") from None
    except HostError:
        raise
    except KeepaliveError as error:
        raise trouble(host, "become-secret", str(error), hint=error.hint) from None
    finally:
        if attempt is not None:
            attempt.close()
