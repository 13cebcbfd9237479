"""One script on a channel of a connection, bounded by the reaper, and what came of it."""

from __future__ import annotations

import contextlib
import secrets as randomness
import time
from typing import Final

import paramiko

from sshd_keepalive.deadline import Deadline, Limit
from sshd_keepalive.errors import HostError
from sshd_keepalive.model import Completed, Host
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.connection import Connection
from sshd_keepalive.ssh.errors import LoginCause, Stage, make_error
from sshd_keepalive.ssh.framing import Exchange, Way
from sshd_keepalive.ssh.sudo import SudoPassword
from sshd_keepalive.ssh.transport import ended_by_peer

_READ_BYTES: Final = 32 * 1024
_POLL_S: Final = 1.0
_BUSY_POLL_S: Final = 0.02  # while data arrives on standard error, which ends no wait
_GRACE_S: Final = 2.0  # how long output may stay open after its command ended: a background child holds it
_COMMAND: Final = "sh -s"  # survives every login shell: tcsh, fish and rbash included


class Session:
    """A single use; the login survives it unless the deadline cuts it off."""

    def __init__(self, host: Host, connection: Connection, secrets: Secrets, deadline: Deadline) -> None:
        self._host = host
        self._connection = connection
        self._secrets = secrets
        self._deadline = deadline

    def run(self, script: str) -> Completed:
        """Run a script; see Shell.run."""
        resting = self._connection.client.resume()
        if resting is not None and (completed := self._run(script, resting)) is not None:
            return completed
        try:
            completed = self._run(script, None)
        except HostError as error:
            if error.cause != LoginCause.SUDO_TTY or self._connection.sudo_needs_terminal:
                raise
            self._connection.sudo_needs_terminal = True  # sudo refused before it asked for anything
            completed = self._run(script, None)
        assert completed is not None
        return completed

    def _run(self, script: str, resting: paramiko.Channel | None) -> Completed | None:
        """Run it in a shell that waits for it, or a new one; None: the one that waited was gone, and nothing ran."""
        self._phase: Stage = "channel"
        way = _choose_way(self._host) if resting is None else Way.RESUMED
        nonce = randomness.token_hex(8)
        exchange = Exchange(script, way=way, nonce=nonce, terminal=self._connection.sudo_needs_terminal)
        self._password = SudoPassword(self._host, self._secrets, self._deadline, exchange.dialogue)
        started_s = time.monotonic()
        self._limit = Limit(self._deadline, self._connection.interrupt)
        channel = resting
        lost: Exception | None = None
        try:
            try:
                self._connection.client.wait_until(self._deadline)
                if channel is None:
                    channel = self._open()
                    self._converse(channel, exchange, self._start(channel, exchange.start()))
                else:
                    self._converse(channel, exchange, exchange.start())
            except (paramiko.SSHException, EOFError, OSError) as error:
                lost = error
            if resting is not None and not exchange.begun and lost is None and ended_by_peer(resting):
                return None
            return self._judge(exchange, channel, lost, time.monotonic() - started_s)
        finally:
            self._limit.cancel()
            self._password.close()
            if channel is not None and exchange.done:
                self._connection.client.leave(channel, rests=exchange.rests)
            elif channel is not None:
                _close(channel)

    def _open(self) -> paramiko.Channel:
        try:
            return self._connection.client.open_session(timeout=self._deadline.left_s())
        except paramiko.ChannelException as error:
            raise make_error(self._host, LoginCause.NO_SESSION, str(error.text)) from None

    def _start(self, channel: paramiko.Channel, opening: bytes) -> bytes:
        """Start the shell; give what is still to be sent of the opening."""
        self._phase = "exec"
        try:
            # Has no time limit of its own; the reaper has.
            n_sent = self._connection.client.execute(channel, _COMMAND, opening, self._deadline.left_s())
        except paramiko.SSHException:
            # A refusal makes paramiko say EOF and CLOSE; a lost connection leaves it silent.
            if channel.eof_sent:
                raise make_error(self._host, LoginCause.NO_SESSION, "it refused to start sh") from None
            raise
        return opening[n_sent:]

    def _converse(self, channel: paramiko.Channel, exchange: Exchange, opening: bytes) -> None:
        self._send(channel, exchange, opening)
        grace = Deadline(float("inf"))
        patience = Deadline(_POLL_S)
        poll_s = _POLL_S
        while not (exchange.done or exchange.overflow):
            try:
                channel.settimeout(self._deadline.left_s(poll_s))
                data = channel.recv(_READ_BYTES)
            except TimeoutError:
                data = None
            poll_s = _POLL_S
            # It shares the window: unread, it would stall standard output.
            while channel.recv_stderr_ready() and not exchange.overflow:
                exchange.feed_stderr(channel.recv_stderr(_READ_BYTES))
                poll_s = _BUSY_POLL_S
            if data:
                if reply := exchange.feed(data):
                    self._send(channel, exchange, reply)
                    patience = Deadline(_POLL_S)
                if exchange.dialogue.asks:
                    self._send(channel, exchange, self._password.fetch(self._limit).encode() + b"\n")
                elif not exchange.sends_more and not exchange.sent and not channel.eof_sent:
                    channel.shutdown_write()
                self._password.record_verdict()
            elif data is None and exchange.sent and not exchange.begun and patience.is_over and not channel.eof_sent:
                channel.shutdown_write()  # the program that reads may not be a shell, and wait for the end
            elif data == b"" or grace.is_over or self._deadline.is_over:
                break
            elif channel.status_event.is_set() and grace.at_s == float("inf"):
                grace = Deadline(_GRACE_S)
        if not exchange.begun:
            channel.status_event.wait(self._deadline.left_s(_GRACE_S))  # the status may come after the end of output

    def _send(self, channel: paramiko.Channel, exchange: Exchange, data: bytes) -> None:
        self._phase = "stdin"
        try:
            channel.settimeout(max(0.001, self._deadline.left_s()))
            channel.sendall(data)
        except TimeoutError:
            raise
        except OSError:
            # The shell ended without reading on. Its output is still to be read, and says why.
            if not self._connection.client.is_active():
                raise
        self._phase = "read"

    def _judge(
        self, exchange: Exchange, channel: paramiko.Channel | None, lost: Exception | None, seconds_s: float
    ) -> Completed:
        """Turn what was seen into a result; an error where it surely did not run, or a jump host was lost."""
        is_ended = channel is not None and ended_by_peer(channel)
        is_cut = not (is_ended or exchange.done or exchange.overflow or self._deadline.is_over)
        if is_cut and (hop := self._connection.find_lost_hop()) is not None:
            raise make_error(hop, LoginCause.JUMP_HOST_LOST, f"while a script ran on {self._host.name}")
        if not exchange.begun and lost is None and is_ended:
            raise self._explain_end(exchange, channel)
        if not exchange.begun and not (exchange.sent and self._phase == "read"):
            if exchange.dialogue.rejected:
                raise self._explain_end(exchange, channel)
            if self._deadline.is_over and exchange.sends_more and exchange.dialogue.has_met_sudo:
                raise make_error(self._host, LoginCause.SUDO_PROMPT, exchange.noise.decode("utf-8", "replace")[-200:])
            raise make_error(
                self._host, LoginCause.DEADLINE if self._deadline.is_over else LoginCause.LOST, phase=self._phase
            )
        return Completed(
            status=exchange.status,
            stdout=exchange.stdout,
            noise=exchange.noise,
            begun=exchange.begun,
            ended=exchange.done and not exchange.overflow,
            is_late=not exchange.done and self._deadline.is_over,
            seconds_s=seconds_s,
        )

    def _explain_end(self, exchange: Exchange, channel: paramiko.Channel | None) -> HostError:
        if exchange.is_missing_sudo:
            return make_error(self._host, LoginCause.SUDO_MISSING)
        return self._password.explain_end(exchange.noise, ended=_describe_end(channel))


def _choose_way(host: Host) -> Way:
    if host.become.method == "none":
        return Way.PLAIN
    if host.become.method == "doas":
        return Way.DOAS
    return Way.PASSWORD if host.become.password else Way.ROOT


def _describe_end(channel: paramiko.Channel | None) -> str:
    """Say how the command ended."""
    if channel is not None and channel.exit_status >= 0:
        return f"exit status {channel.exit_status}"
    name = getattr(channel, "exit_signal", "")
    return f"killed by SIG{name}" if name else "ended without a status"


def _close(channel: paramiko.Channel) -> None:
    with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
        channel.close()
