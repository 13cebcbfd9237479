"""paramiko's Transport with our settings: what is offered, how long is waited, what is remembered.

Everything here overrides a class attribute or a method of paramiko 5; tests/unit/ssh/test_transport.py holds the
names against the installed release.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.common import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_REQUEST,
    MSG_GLOBAL_REQUEST,
    OPEN_FAILED_RESOURCE_SHORTAGE,
    cMSG_CHANNEL_OPEN,
    cMSG_CHANNEL_REQUEST,
)
from paramiko.compress import ZlibCompressor, ZlibDecompressor
from paramiko.kex_curve25519 import KexCurve25519
from paramiko.packet import Packetizer

from sshd_keepalive.deadline import Deadline
from sshd_keepalive.model import SshRules
from sshd_keepalive.ssh.wire import Wire

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_VERSION_BYTES: Final = 64 * 1024  # what a server may say before its version
_DISCONNECT_BYTES: Final = 200
#: The window of a session: what the host may send before we have read anything.
SESSION_WINDOW_BYTES: Final = 256 * 1024
_PACKET_BYTES: Final = 32 * 1024
#: What a session is sent before its window is known to be open; sshd's is 2 MiB (channels.h, CHAN_SES_WINDOW_DEFAULT).
_GRANTED_BYTES: Final = 256 * 1024
#: Of one packet, decompressed: more than any server of ours sends, and nothing to a controller.
_INFLATED_BYTES: Final = 2 * _PACKET_BYTES
#: For the scripts 1 % larger than 6, zlib's default, in three quarters of its time; 4 is 4 % larger, and the guard then
#: takes another round trip.
_DEFLATE_LEVEL: Final = 5
_REAP_S: Final = 2.0
_REAP_POLL_S: Final = 0.05
_REQUESTS: Final = (MSG_GLOBAL_REQUEST, MSG_CHANNEL_REQUEST)

logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # otherwise 21 lines of traceback for a failed host


class PatientPacketizer(Packetizer):
    """Keeps one deadline for the handshake instead of a timer thread, and what came before the version.

    Attributes:
        lines: what the server sent instead of, or before, its version.
        n_early_bytes: how much arrived before the version was complete.
        listener: called for every global and channel request before paramiko answers it; one for which it
            returns False is not answered at all, as if the client were frozen.
    """

    deadline: Deadline | None = None
    listener: Callable[[int, paramiko.Message], bool] | None = None

    def __init__(self, socket: Any) -> None:
        super().__init__(socket)
        self.lines: list[str] = []
        self.n_early_bytes = 0
        self._shaking_hands = False

    def start_handshake(self, timeout: float) -> None:
        """Start no timer thread: a failed handshake would leave it behind for the whole timeout."""
        self._shaking_hands = True

    def handshake_timed_out(self) -> bool:
        """Tell whether the deadline passed during the handshake."""
        return self._shaking_hands and self.deadline is not None and self.deadline.is_over

    def complete_handshake(self) -> None:
        """Stop applying the deadline of the login."""
        self._shaking_hands = False

    def read_message(self) -> tuple[int, paramiko.Message]:
        """Read the next packet that is to be acted upon."""
        while True:
            kind, message = super().read_message()
            if self.listener is None or kind not in _REQUESTS or self.listener(kind, message):
                return kind, message

    def readline(self, timeout: float) -> str:
        """Read a line of what comes before the key exchange."""
        # paramiko allows 2 s for each line after the first; the deadline is the only limit that counts.
        line = super().readline(self.deadline.left_s() if self.deadline else timeout)
        if not line.startswith("SSH-"):
            self.lines.append(line)
        return line

    def _read_timeout(self, timeout: float) -> bytes:
        data = cast(bytes, super()._read_timeout(timeout))  # type: ignore[misc]
        self.n_early_bytes += len(data)
        if self.n_early_bytes > _VERSION_BYTES:
            raise EOFError
        return data


class Deflate(ZlibCompressor):
    """Compresses packets by what earlier ones held; paramiko's forgets them, and a guard is half as long again."""

    def __init__(self) -> None:
        self.z = zlib.compressobj(_DEFLATE_LEVEL)

    def __call__(self, data: ReadableBuffer) -> bytes:
        """Compress one packet."""
        return self.z.compress(data) + self.z.flush(zlib.Z_PARTIAL_FLUSH)


class Inflate(ZlibDecompressor):
    """Decompresses packets, none of them to more than _INFLATED_BYTES."""

    def __call__(self, data: ReadableBuffer) -> bytes:
        """Decompress one packet."""
        try:
            packet = self.z.decompress(data, _INFLATED_BYTES)
        except zlib.error as error:
            raise paramiko.SSHException(f"cannot decompress a packet: {error}") from None
        if self.z.unconsumed_tail:
            raise paramiko.SSHException("a packet is too large when it is decompressed")
        return packet


# paramiko knows the name of the draft only; a server may list just that of RFC 8731.
_KEX: Final = {**paramiko.Transport._kex_info, "curve25519-sha256": KexCurve25519}  # type: ignore[attr-defined]


def _on_channel_request(channel: Any, message: paramiko.Message) -> None:
    """Remember `exit-signal`, which paramiko drops; the message is parsed from a copy."""
    copy = paramiko.Message(message.asbytes())
    copy.get_int()
    if copy.get_text() == "exit-signal":
        copy.get_boolean()
        channel.exit_signal = copy.get_text()
    channel._handle_request(message)


def _on_channel_close(channel: Any, message: paramiko.Message) -> None:
    """Remember who closed, and let no sender stand between its check and its packet (see ChannelWire)."""
    channel.ended_by_peer = True  # paramiko's own marks look the same when the connection is lost
    lock: threading.Lock | None = getattr(channel, "wire_lock", None)
    if lock is None:
        channel._handle_close(message)
        return
    # During a re-exchange of keys a sender waits for this very thread, hence the limit.
    is_locked = lock.acquire(timeout=0.5)
    try:
        channel._handle_close(message)
    finally:
        if is_locked:
            lock.release()


def ended_by_peer(channel: paramiko.Channel) -> bool:
    """Tell whether the other side has ended the channel, so that nothing it said can be missing."""
    return bool(channel.eof_received) or getattr(channel, "ended_by_peer", False)


class AheadAuthHandler(AuthHandler):
    """Sends a login request behind the request for the service, without waiting for its acceptance.

    RFC 4252 asks no client to wait, and a server handles both in order: one round trip less. A password waits all the
    same: a server that cannot take requests ahead closes the connection, and the password must not be sent again then.
    """

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.is_accepted = False  # the server has answered the request for the service
        self._client = client
        self._sent = threading.Lock()  # never released: the thread that gets it sends the login request

    def _request_auth(self) -> None:
        super()._request_auth()  # type: ignore[misc]
        key = self.private_key if self.auth_method == "publickey" else None
        # The signature algorithm of an RSA key depends on EXT_INFO, which follows NEWKEYS in the same flight.
        if key is not None and ("rsa" not in key.get_name() or self._client.has_extensions):
            self.send_request()

    def send_request(self) -> None:
        """Send the login request, unless it was sent."""
        if self._sent.acquire(blocking=False):
            accepted = paramiko.Message()
            accepted.add_string("ssh-userauth")
            accepted.rewind()
            super()._parse_service_accept(accepted)  # type: ignore[misc]
            if self.auth_method == "publickey" and self._client.opens_ahead:
                self._client.opens_ahead = False
                self._client.open_ahead(1)

    def _parse_service_accept(self, m: paramiko.Message) -> None:
        self.is_accepted = True
        self.send_request()


class Client(paramiko.Transport):
    """One SSH connection.

    Args:
        sends_ahead: send the first login request with the request for its service.
        opens_ahead: send the request for the first session with the login request as well. A server that refuses the
            login answers it with UNIMPLEMENTED (sshd: dispatch_protocol_error), and it counts for nothing.

    Attributes:
        farewell: the text of the server's DISCONNECT.
    """

    _preferred_ciphers = (
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "aes128-ctr",
        "aes192-ctr",
        "aes256-ctr",
    )
    _preferred_macs = (
        "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512-etm@openssh.com",
        "hmac-sha2-256",
        "hmac-sha2-512",
    )
    # A script is three times as long without it, and then takes another round trip (RFC 6928: ten segments at once).
    # From the login on: bytes of an unknown peer are not decompressed (`delayed`; sshd_config(5), Compression).
    _preferred_compression = ("zlib@openssh.com", "none")
    _compression_info = {"zlib@openssh.com": (Deflate, Inflate), "none": (None, None)}  # noqa: RUF012
    _kex_info = _KEX
    _preferred_kex = tuple(
        name
        for name in (
            "mlkem768x25519-sha256",  # where cryptography has it
            "curve25519-sha256",
            "curve25519-sha256@libssh.org",
            "ecdh-sha2-nistp256",
            "ecdh-sha2-nistp384",
            "ecdh-sha2-nistp521",
            "diffie-hellman-group14-sha256",
            "diffie-hellman-group16-sha512",
            "diffie-hellman-group-exchange-sha256",
        )
        if name in _KEX
    )
    _channel_handler_table = {  # noqa: RUF012
        **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined]
        MSG_CHANNEL_REQUEST: _on_channel_request,
        MSG_CHANNEL_CLOSE: _on_channel_close,
    }
    # How often an idle connection wakes up. Ten times a second, paramiko's choice, triples the cost of 200
    # connections; once means that every close must be preceded by a shutdown of the wire.
    _active_check_timeout = 1.0

    def __init__(
        self,
        wire: Wire,
        deadline: Deadline,
        host_key_algorithms: tuple[str, ...],
        *,
        sends_ahead: bool = False,
        opens_ahead: bool = False,
    ) -> None:
        self._host_key_algorithms = host_key_algorithms
        self.sends_ahead = sends_ahead
        self.opens_ahead = opens_ahead
        self._ahead: deque[tuple[paramiko.Channel, threading.Event]] = deque()  # asked for, and not yet taken
        self._deflate: Deflate | None = None  # what was sent behind a login request that has no answer yet
        self._login = threading.Lock()  # the login succeeds before or after something is sent behind its request
        super().__init__(cast(socket.socket, wire), packetizer_class=PatientPacketizer)
        self.farewell = ""
        self._left: tuple[paramiko.Channel, bool] | None = None
        self._n_sessions = 0
        self.wait_until(deadline)

    def limit(self, rules: SshRules) -> str:
        """Offer only what an ssh_config leaves of our algorithms; gives the kind of which none is left, or nothing."""
        for name, wanted in (("ciphers", rules.ciphers), ("macs", rules.macs), ("kex", rules.kex)):
            left = tuple(one for one in getattr(self, f"_preferred_{name}") if wanted is None or one in wanted)
            if not left:
                return name
            setattr(self, f"_preferred_{name}", left)
        return ""

    def forget_packets(self) -> None:
        """Free what compression remembers: an ended connection stays in memory until Python looks for cycles."""
        self._deflate = None
        self.packetizer.set_outbound_compressor(None)  # type: ignore[arg-type]
        self.packetizer.set_inbound_compressor(None)  # type: ignore[arg-type]

    def wait_until(self, deadline: Deadline) -> None:
        """Bound every wait of paramiko by a new deadline."""
        self.steps.deadline = deadline
        left_s = max(0.001, deadline.left_s())
        self.banner_timeout = self.handshake_timeout = self.auth_timeout = self.channel_timeout = left_s

    def leave(self, channel: paramiko.Channel, *, rests: bool) -> None:
        """Keep a channel that has served; it closes with the connection, which costs nothing.

        Args:
            rests: its shell waits for another script.
        """
        self._left = channel, rests

    def resume(self) -> paramiko.Channel | None:
        """Take the channel whose shell waits for another script, when it still lives."""
        channel, rests = self._left or (None, False)
        if channel is None or not rests or channel.closed or channel.eof_sent or ended_by_peer(channel):
            return None
        self._left = None
        return channel

    def open_ahead(self, n_sessions: int) -> None:
        """Ask for sessions that the next calls of open_session give, without waiting for them."""
        for _ in range(n_sessions - len(self._ahead)):
            self._open_session_ahead()

    def _open_session_ahead(self) -> None:
        # Without paramiko's lock, which is held while a login is sent: one thread opens the sessions of a connection.
        number = self._next_channel()  # type: ignore[attr-defined]
        channel = paramiko.Channel(number)
        self._channels.put(number, channel)  # type: ignore[attr-defined]
        self.channels_seen[number] = True
        self.channel_events[number] = answered = threading.Event()
        channel._set_transport(self)  # type: ignore[attr-defined]
        channel._set_window(SESSION_WINDOW_BYTES, _PACKET_BYTES)  # type: ignore[attr-defined]
        self._ahead.append((channel, answered))
        if not self.is_active():  # nothing else would set it any more
            answered.set()
        request = paramiko.Message()
        request.add_byte(cMSG_CHANNEL_OPEN)
        request.add_string("session")
        request.add_int(number)
        request.add_int(SESSION_WINDOW_BYTES)
        request.add_int(_PACKET_BYTES)
        with self._login:
            if not self.authenticated:
                self._send_behind_login(request)
                return
        self._send_user_message(request)  # type: ignore[attr-defined]

    def _send_behind_login(self, request: paramiko.Message) -> None:
        """Also send what the login decides about, without waiting; compressed, as after its success."""
        if self.local_compression == "zlib@openssh.com":
            self._deflate = Deflate()
            self.packetizer.set_outbound_compressor(self._deflate)
        self._send_message(request)  # type: ignore[attr-defined]
        self.packetizer.set_outbound_compressor(None)  # type: ignore[arg-type]

    def _auth_trigger(self) -> None:
        with self._login:
            super()._auth_trigger()  # type: ignore[misc]
            if self._deflate is not None:
                self.packetizer.set_outbound_compressor(self._deflate)

    def open_session(self, *, timeout: float) -> paramiko.Channel:  # type: ignore[override]
        """Open a session. Where few are allowed, one that was left makes room, and sshd has to notice that it did."""
        self._n_sessions += 1
        patience = Deadline(min(timeout, _REAP_S) if self._n_sessions > 1 else 0)
        while True:
            try:
                if self._ahead:
                    return self._await_session(timeout)
                return super().open_session(window_size=SESSION_WINDOW_BYTES, timeout=timeout)
            except paramiko.ChannelException:
                left, self._left = self._left, None
                if left is not None:
                    left[0].close()
                elif patience.is_over:
                    raise
                time.sleep(_REAP_POLL_S)

    def take_session(self) -> paramiko.Channel | None:
        """Give a session that was asked for ahead, and that the server has opened already."""
        while self._ahead and self._ahead[0][1].is_set():
            channel, _ = self._ahead.popleft()
            if channel.active:
                self._n_sessions += 1
                return channel
            self.get_exception()  # it was refused; the next one that is opened raises the error
        return None

    def _await_session(self, timeout_s: float) -> paramiko.Channel:
        """Give the session that was asked for ahead."""
        channel, answered = self._ahead.popleft()
        if answered.wait(timeout_s) and channel.active:
            return channel
        lost = self.get_exception()
        if lost is None and answered.is_set() and self.is_active():  # paramiko keeps the last of several refusals
            raise paramiko.ChannelException(OPEN_FAILED_RESOURCE_SHORTAGE, "open failed")
        raise lost or paramiko.SSHException("no session was opened")

    def execute(self, channel: paramiko.Channel, command: str, data: bytes, timeout_s: float) -> int:
        """Run a command, and send it the beginning of its input in the same flight; see request and await_start."""
        n_sent = self.request(channel, command, data, timeout_s)
        self.await_start(channel, n_sent)
        return n_sent

    def request(self, channel: paramiko.Channel, command: str, data: bytes, timeout_s: float) -> int:
        """Request a command, and send it the beginning of its input without waiting.

        sshd opens the window of a session while it starts the command (session.c, session_set_fds), before it reads
        what follows the request, so it is sent nothing that it would not take. Another server gets the input when it
        has opened its window.

        Returns:
            How many bytes of the input were sent.
        Raises:
            paramiko.SSHException: the connection was lost.
            TimeoutError.
        """
        request = paramiko.Message()
        request.add_byte(cMSG_CHANNEL_REQUEST)
        request.add_int(channel.remote_chanid)
        request.add_string("exec")
        request.add_boolean(True)
        request.add_string(command)
        channel._event_pending()  # type: ignore[attr-defined]
        if not self.is_active():  # then nothing sets the event any more, and nothing would end the wait for it
            raise self.get_exception() or paramiko.SSHException("the connection was lost")
        self._send_user_message(request)  # type: ignore[attr-defined]
        early = data[: _GRANTED_BYTES if self.sends_ahead and self.is_openssh else 0]
        with channel.lock:
            channel.out_window_size += len(early)
        channel.settimeout(timeout_s)
        try:
            channel.sendall(early)
        except TimeoutError:
            raise
        except OSError:
            pass  # it was refused meanwhile
        return len(early)

    def await_start(self, channel: paramiko.Channel, n_sent_bytes: int) -> None:
        """Wait for the answer to a request, which sent so many bytes of input.

        Raises:
            paramiko.SSHException: the command was refused, or the connection was lost.
        """
        channel._wait_for_event()  # type: ignore[attr-defined]
        with channel.lock:
            channel.out_window_size -= n_sent_bytes

    @property
    def awaits_what_was_sent_ahead(self) -> bool:
        """Whether the server has not yet answered the request for the login service."""
        handler = self.auth_handler
        return isinstance(handler, AheadAuthHandler) and not handler.is_accepted

    @property
    def is_openssh(self) -> bool:
        """Whether the server says that it is OpenSSH."""
        return str(self.remote_version).startswith("SSH-2.0-OpenSSH")

    @property
    def was_refused(self) -> bool:
        """Whether the server has refused the last login request; it may have closed the connection right after."""
        handler = self.auth_handler
        # Of a refused request paramiko forgets the user. sshd says this instead where it takes no further request.
        return "Too many authentication failures" in self.farewell or (handler is not None and handler.username is None)

    @property
    def has_extensions(self) -> bool:
        """Whether the server's EXT_INFO has arrived."""
        return bool(self.server_extensions)  # type: ignore[attr-defined]

    @property
    def auth_handler(self) -> AuthHandler | None:
        """What paramiko creates for each login attempt."""
        return self._auth_handler

    @auth_handler.setter
    def auth_handler(self, handler: AuthHandler | None) -> None:
        self._deflate = None  # all that was sent behind another request was refused with it
        is_new = handler is not None and self.sends_ahead
        self._auth_handler = AheadAuthHandler(self) if is_new else handler

    def _parse_ext_info(self, msg: paramiko.Message) -> None:
        super()._parse_ext_info(msg)  # type: ignore[misc]
        handler = self.auth_handler
        if isinstance(handler, AheadAuthHandler) and handler.auth_method == "publickey":
            handler.send_request()

    def get_exception(self) -> Exception | None:
        """Give what ended the connection, once; what a server's nonsense leads to is an SSHException like all else."""
        error = super().get_exception()
        is_known = error is None or isinstance(error, (paramiko.SSHException, EOFError, OSError))
        return error if is_known else paramiko.SSHException(str(error))

    @property
    def steps(self) -> PatientPacketizer:
        """The packetizer, by its real type."""
        return cast(PatientPacketizer, self.packetizer)

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """Host key algorithms in our order; paramiko would put all certificates last."""
        return self._host_key_algorithms

    def _parse_disconnect(self, m: paramiko.Message) -> None:
        m.get_int()
        self.farewell = m.get_string().decode("utf-8", "replace")[:_DISCONNECT_BYTES]

    def _parse_debug(self, m: paramiko.Message) -> None:
        """Drop it; paramiko would format every byte for a log that is not kept."""

    def _log(self, level: int, msg: Any, *args: Any) -> None:
        if self.logger.isEnabledFor(level):
            super()._log(level, msg, *args)  # type: ignore[misc]
