"""One logged-in SSH connection, from a fresh wire to the point where channels can be opened."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import paramiko

from sshd_keepalive.deadline import Deadline, Limit
from sshd_keepalive.errors import HostError
from sshd_keepalive.model import FailureKind, Host
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.auth import authenticate, choose_user
from sshd_keepalive.ssh.errors import LoginCause, Stage, make_error
from sshd_keepalive.ssh.host_keys import HostKeyVerifier
from sshd_keepalive.ssh.transport import Client
from sshd_keepalive.ssh.wire import Wire

if TYPE_CHECKING:
    from sshd_keepalive.ssh.root_script import RootScript

_JOIN_S: Final = 1.0
#: Servers that cannot take what is sent ahead, with the way to them; known for the life of the process.
_ORDINARY: Final[set[tuple[object, ...]]] = set()
#: Servers at which a login of this process failed, which sshd may count: the account or the host key was wrong.
_PENALISING: Final[set[tuple[object, ...]]] = set()


class Connection:
    """A connection over a wire, which it owns; `log_in` gives those that are logged in."""

    def __init__(self, wire: Wire, client: Client) -> None:
        self._wire = wire
        self.client = client
        self.login_method = ""  # what the server accepted, for people
        self.sudo_needs_terminal = False  # sudo said so; known for all that follows over this connection
        self.started: RootScript | None = None  # what the next login through a command will use

    @property
    def is_alive(self) -> bool:
        """Whether channels can still be opened."""
        return self.client.is_active()

    def find_lost_hop(self) -> Host | None:
        """Find the jump host whose connection was lost, and this one with it; waits a moment."""
        return self._wire.find_lost_hop()

    def open_ahead(self, n_sessions: int) -> None:
        """Ask for sessions, without waiting for them; taking one raises the error of a lost connection."""
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            self.client.open_ahead(n_sessions)

    def interrupt(self) -> None:
        """End every wait on this connection; any thread may call it."""
        self._wire.shutdown()

    def close(self) -> None:
        """End the connection; leaves no thread and no descriptor behind."""
        # The shutdown wakes paramiko's thread from its read; a Transport that is only dropped is never freed.
        self._wire.shutdown()
        self.client.close()
        if self.client.is_alive():
            self.client.join(_JOIN_S)
        self.client.forget_packets()
        self._wire.close()


class SentTooEarlyError(HostError):
    """The server closed the connection before it had answered what was sent ahead; see Client."""


def _identify(host: Host) -> tuple[object, ...]:
    """Identify a server, with the way to it."""
    return (host.address, host.port, *((hop.address, hop.port) for hop in host.jump))


def log_in(
    host: Host,
    dial: Callable[[], Wire],
    secrets: Secrets,
    deadline: Deadline,
    *,
    opens_ahead: bool = False,
) -> Connection:
    """Log in over a new wire; once more, the ordinary way, where the server cannot take what is sent ahead.

    Args:
        dial: makes a wire to the host.
        opens_ahead: a session will be opened.

    Raises:
        HostError: as for open_connection.
    """
    server = _identify(host)
    if server not in _ORDINARY:
        try:
            return open_connection(host, dial, secrets, deadline, sends_ahead=True, opens_ahead=opens_ahead)
        except SentTooEarlyError:
            _ORDINARY.add(server)
    return open_connection(host, dial, secrets, deadline)


def open_connection(
    host: Host,
    dial: Callable[[], Wire],
    secrets: Secrets,
    deadline: Deadline,
    *,
    sends_ahead: bool = False,
    opens_ahead: bool = False,
) -> Connection:
    """Exchange keys, verify the host key, log in.

    Args:
        sends_ahead, opens_ahead: see Client.

    Raises:
        SentTooEarlyError: try again without `sends_ahead`.
        HostError: of `dial`; or with the phase in which the deadline passed or the connection was lost.
    """
    verifier = HostKeyVerifier(host)
    algorithms = verifier.offer()
    wire = dial()
    limit = Limit(deadline, wire.shutdown)
    client = Client(wire, deadline, algorithms, sends_ahead=sends_ahead, opens_ahead=opens_ahead)
    connection = Connection(wire, client)

    def confirm(question: str, expected: str) -> bool:
        with limit.paused():
            return secrets.confirm(question, expected)

    phase: Stage = "version"
    try:
        if missing := client.limit(host.ssh_rules):
            raise make_error(
                host, LoginCause.INCOMPATIBLE, f"the ssh_config allows no {missing} that this program supports"
            )
        _exchange_keys(client, deadline)
        phase = "hostkey"
        key = client.get_remote_server_key()
        certificate = key.public_blob.key_blob if key.public_blob else None
        verifier.check(key.get_name(), key.asbytes(), certificate, confirm)
        phase = "auth"
        connection.login_method = authenticate(client, host, secrets, deadline)
    except (paramiko.SSHException, EOFError, OSError) as error:
        failure = _explain(host, connection, phase, error, deadline)
        if verifier.was_confirmed and failure.kind is not FailureKind.TIMEOUT:
            # sshd waits LoginGraceTime for a login, and a person may take longer.
            failure = make_error(host, LoginCause.LOST_IN_QUESTION)
        elif failure.cause != LoginCause.JUMP_HOST_LOST and _was_too_early(client, error, deadline):
            failure = SentTooEarlyError(str(failure), kind=failure.kind, cause=failure.cause, hint=failure.hint)
        connection.close()
        raise failure from None
    except BaseException as error:
        if isinstance(error, HostError) and error.kind in (FailureKind.AUTH, FailureKind.HOST_KEY):
            _PENALISING.add(_identify(host))
        connection.close()
        raise
    finally:
        limit.cancel()
    return connection


def _exchange_keys(client: Client, deadline: Deadline) -> None:
    # start_client(timeout=…) returns silently when the time is up; an event of ours does not.
    done = threading.Event()
    client.start_client(event=done)
    done.wait(deadline.left_s())
    if not (client.is_active() and client.initial_kex_done):
        raise client.get_exception() or EOFError()


def _was_too_early(client: Client, error: Exception, deadline: Deadline) -> bool:
    # A connection that is gone before the first answer: EOF, a reset, or what paramiko then calls a failed
    # authentication. Where it still stands, that is one: no algorithm in common for the signature.
    if deadline.is_over or (isinstance(error, paramiko.AuthenticationException) and client.is_active()):
        return False
    return client.awaits_what_was_sent_ahead


def _explain(host: Host, connection: Connection, phase: Stage, error: Exception, deadline: Deadline) -> HostError:
    """Find the cause of a failed login from the state of the connection, not from paramiko's messages."""
    client = connection.client
    steps = client.steps
    if not deadline.is_over and (hop := connection.find_lost_hop()) is not None:
        return make_error(hop, LoginCause.JUMP_HOST_LOST, f"while connecting to {host.name}")
    if phase == "version" and client.remote_version:
        phase = "kex"
    if phase == "version":
        refusal = " ".join(steps.lines)
        if "Exceeded MaxStartups" in refusal:
            return make_error(host, LoginCause.BUSY, refusal)
        if "Not allowed at this time" in refusal:  # since 9.8 also for a connection beyond MaxStartups
            is_penalty = _identify(host) in _PENALISING
            return make_error(host, LoginCause.PENALISED if is_penalty else LoginCause.TURNED_AWAY, refusal)
        if deadline.is_over:
            detail = "its answer is not SSH" if steps.n_early_bytes else ""
            return make_error(host, LoginCause.DEADLINE, detail, phase=phase)
        if steps.n_early_bytes:
            return make_error(host, LoginCause.NOT_SSH, refusal)
        return make_error(host, LoginCause.BUSY)
    if deadline.is_over:
        return make_error(host, LoginCause.DEADLINE, phase=phase)
    software = client.remote_version.split("-", 2)[-1].partition(" ")[0]
    if phase == "kex" and software and not software.startswith("OpenSSH"):
        return make_error(host, LoginCause.NOT_OPENSSH, f"it is {software}")
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        reason = str(error).partition("(")[2].rstrip(")")  # "no acceptable kex algorithm"
        return make_error(host, LoginCause.INCOMPATIBLE, f"{reason}; {software}")
    if phase == "auth":
        detail = client.farewell or f"user {choose_user(host)}"
        return make_error(
            host, LoginCause.AUTH_FAILED if "oo many" in client.farewell else LoginCause.ACCOUNT_CLOSED, detail
        )
    return make_error(host, LoginCause.LOST, client.farewell or str(error), phase=phase)
