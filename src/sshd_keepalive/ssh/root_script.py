"""Run a script that speaks SSH on its standard input and output in a shell of root."""

from __future__ import annotations

import contextlib
import secrets as randomness
from typing import Final

import paramiko

from sshd_keepalive.deadline import Deadline, Limit
from sshd_keepalive.model import Host
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.errors import make_shell_error
from sshd_keepalive.ssh.sudo import Dialogue, SudoPassword, build_root_shell
from sshd_keepalive.ssh.transport import Client

_READ_BYTES: Final = 4096
_KEPT_BYTES: Final = 8 * 1024
READY: Final = b"SKA1 READY\n"
#: Holds a script back until a line arrives. `read` takes nothing behind that line (POSIX), and nothing runs without it.
#: In braces, so that the shell has read the whole script by then.
_HELD: Final = "{{\necho 'SKA1 READY' >&2; read -r line || exit\n{script}}}\n"


class RootScript:
    """A script that was sent to a shell of root on a channel of its own.

    Args:
        terminal: sudo gets a terminal of its own, see `ssh.sudo`.
        is_early: it must not run before `finish`.
    """

    def __init__(
        self,
        host: Host,
        client: Client,
        channel: paramiko.Channel,
        script: str,
        deadline: Deadline,
        *,
        terminal: bool,
        is_early: bool = False,
    ) -> None:
        self.channel = channel
        self.script = script
        self._host = host
        self._client = client
        self._is_held = is_early
        self._nonce = randomness.token_hex(8)
        self._has_password = host.become.password is not None and host.become.method == "sudo"
        text = _HELD.format(script=script) if is_early else script
        if host.become.method != "none":
            is_sudo = host.become.method == "sudo"
            text = build_root_shell(
                self._nonce, password=self._has_password, terminal=terminal, sudo=is_sudo, script=text
            )
        data = text.encode("utf-8", "surrogateescape")
        n_sent = client.request(channel, "sh -s", data, deadline.left_s())
        self._n_sent, self._rest = n_sent, data[n_sent:]

    def finish(self, secrets: Secrets, limit: Limit, deadline: Deadline) -> None:
        """Let the script run, and wait until it is ready to speak SSH."""
        self._client.await_start(self.channel, self._n_sent)
        self.channel.settimeout(max(0.001, deadline.left_s()))
        self.channel.sendall(self._rest)
        output = b"\n"
        if self._host.become.method != "none":
            output = self._become_root(secrets, limit, deadline)
        while b"\n" + READY not in output:
            data = _read_stderr(self.channel, deadline)
            if not data:
                became = self._host.become.method != "none"
                raise make_shell_error(self._host, output, ended="it ended", became=became)
            output = (output + data)[-_KEPT_BYTES:]
        if self._is_held:
            self.channel.sendall(b"\n")

    def _become_root(self, secrets: Secrets, limit: Limit, deadline: Deadline) -> bytes:
        """Have a login of root, or a shell of root, run the script; gives the last of its standard error."""
        dialogue = Dialogue(self._nonce)
        password = SudoPassword(self._host, secrets, deadline, dialogue)
        output = b"\n"
        with contextlib.closing(password):
            while not (dialogue.is_ready or (dialogue.has_met_sudo and not self._has_password)):
                data = _read_stderr(self.channel, deadline)
                output = (output + data)[-_KEPT_BYTES:]
                if b"\n" + READY in output:
                    return output
                dialogue.feed(data)
                password.record_verdict()
                if dialogue.rejected or not data:
                    raise password.explain_end(output, ended="it ended")
                if dialogue.asks:
                    self.channel.sendall(password.fetch(limit).encode() + b"\n")
        self.channel.sendall(self.script.encode("utf-8", "surrogateescape"))
        self._is_held = False
        return output


def _read_stderr(channel: paramiko.Channel, deadline: Deadline) -> bytes:
    channel.settimeout(max(0.001, deadline.left_s()))
    return channel.recv_stderr(_READ_BYTES)
