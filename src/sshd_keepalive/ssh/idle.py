"""A client that says nothing: hold a session, note every keep-alive that arrives, and see whether it lives.

The library answers keep-alives by itself, with a failure, which is what sshd expects: any answer
counts (RFC 4254, 4; serverloop.c client_alive_check). They are noted where packets are read, before that answer.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Final

import paramiko
from paramiko.common import MSG_GLOBAL_REQUEST

from sshd_keepalive.deadline import REAPER, Deadline
from sshd_keepalive.model import Host
from sshd_keepalive.probing.idle_limit import SpacedResult
from sshd_keepalive.probing.proof import IdleResult, Loss
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.connection import Connection
from sshd_keepalive.ssh.errors import LoginCause, make_error
from sshd_keepalive.ssh.nested import connect_through
from sshd_keepalive.ssh.transport import Client, ended_by_peer

KEEPALIVE: Final = "keepalive@openssh.com"
#: Reads standard input and therefore does nothing, on every login shell; it ends with its channel.
_QUIET_COMMAND: Final = "sh -s"
_POLL_S: Final = 1.0
_OPEN_S: Final = 30.0
#: How long the other side may take to answer at the end. A way that forgot the connection never does.
ANSWER_S: Final = 10.0


class _Watch:
    """The keep-alives that arrived, by the monotonic clock."""

    def __init__(self, *, answers: bool) -> None:
        self.began_s = time.monotonic()
        self.keep_alives_s: list[float] = []
        self._answers = answers

    def note(self, kind: int, message: paramiko.Message) -> bool:
        """Note a request; True lets it be answered."""
        at_s = time.monotonic() - self.began_s
        copy = paramiko.Message(message.asbytes())
        if kind != MSG_GLOBAL_REQUEST:  # sshd sends a channel request where a channel is open
            copy.get_int()
        if copy.get_text() != KEEPALIVE:
            return True
        self.keep_alives_s.append(at_s)
        return self._answers


def hold(host: Host, connection: Connection, idle_s: float, *, stop: Callable[[], bool]) -> IdleResult:
    """Open a session, stay silent, and at the end ask the host whether it is still there.

    Raises:
        HostError: kind shell, no session can be opened.
    """
    deadline = Deadline(_OPEN_S)
    alarm = REAPER.arm(deadline, connection.interrupt)
    try:
        connection.client.wait_until(deadline)
        channel = connection.client.open_session(timeout=deadline.left_s())
        connection.client.execute(channel, _QUIET_COMMAND, b"", deadline.left_s())
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise make_error(host, LoginCause.NO_SESSION, str(error)) from None
    finally:
        alarm.cancel()
    result = _stay_silent(connection, idle_s, stop=stop, channel=channel)
    with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
        channel.close()
    return result


def rehearse(
    host: Host,
    connection: Connection,
    secrets: Secrets,
    script: str,
    idle_s: float,
    *,
    answers: bool,
    deadline: Deadline,
) -> IdleResult:
    """Be a silent client of an sshd that a script starts for this one connection (`sshd -i`).

    Args:
        answers: False: a client that is frozen; it is not asked anything at the end.
    Raises:
        HostError: as for any login; kind shell when the script cannot be run.
    """
    inner = connect_through(host, connection, secrets, script, deadline)
    try:
        return _stay_silent(inner, idle_s, stop=lambda: not connection.is_alive, answers=answers)
    finally:
        inner.close()


def pace(connection: Connection, spacing_s: float, total_s: float, *, stop: Callable[[], bool]) -> SpacedResult:
    """Speak every `spacing_s` seconds, be silent in between, and see whether the server still answers.

    Without a session: nothing is run on the host. Its keep-alives are answered and end the silence.
    """
    client = connection.client
    client.wait_until(Deadline(total_s + _OPEN_S))
    watch = _Watch(answers=True)
    client.steps.listener = watch.note
    proven_s = last_s = 0.0
    loss: Loss | None = None
    while loss is None and last_s + spacing_s <= total_s + _POLL_S:
        end_s = watch.began_s + last_s + spacing_s
        while (left_s := end_s - time.monotonic()) > 0 and client.is_active() and not stop():
            client.join(min(left_s, _POLL_S))
        if stop():
            break
        spoken_s = time.monotonic() - watch.began_s
        traffic = [last_s, *(at_s for at_s in watch.keep_alives_s if last_s < at_s < spoken_s), spoken_s]
        gaps = [later - earlier for earlier, later in pairwise(traffic)]
        loss = ask_back(connection) if client.is_active() else _loss(client)
        # The last gap has no answer yet.
        proven_s = max([proven_s, *(gaps[:-1] if loss is not None else gaps)])
        if loss is not None:
            client.steps.listener = None
            return SpacedResult(spacing_s=spacing_s, proven_s=proven_s, lethal_s=gaps[-1])
        last_s = time.monotonic() - watch.began_s
    client.steps.listener = None
    return SpacedResult(spacing_s=spacing_s, proven_s=proven_s)


def _stay_silent(
    connection: Connection,
    idle_s: float,
    *,
    stop: Callable[[], bool],
    answers: bool = True,
    channel: paramiko.Channel | None = None,
) -> IdleResult:
    client = connection.client
    client.wait_until(Deadline(idle_s + _OPEN_S))  # the server may want new keys meanwhile
    watch = _Watch(answers=answers)
    client.steps.listener = watch.note
    end_s = watch.began_s + idle_s
    was_stopped = is_closed = False
    while (left_s := end_s - time.monotonic()) > 0:
        client.join(min(left_s, _POLL_S))  # returns at once when the connection ends
        is_closed = channel is not None and ended_by_peer(channel)
        was_stopped = stop()
        if not client.is_active() or is_closed or was_stopped:
            break
    quiet_s = time.monotonic() - watch.began_s
    client.steps.listener = None
    loss = None
    if not client.is_active():
        loss = _loss(client)
    elif is_closed:
        loss = Loss.CHANNEL
    elif answers:
        loss = ask_back(connection)
    return IdleResult(
        quiet_s=quiet_s,
        keep_alives_s=tuple(watch.keep_alives_s),
        loss=loss,
        farewell=client.farewell,
        was_stopped=was_stopped and loss is None,
    )


def _loss(client: Client) -> Loss:
    error = client.get_exception()
    if isinstance(error, TimeoutError):
        return Loss.NO_ANSWER
    return Loss.RESET if isinstance(error, OSError) else Loss.CLOSED


def ask_back(connection: Connection) -> Loss | None:
    """Send one keep-alive of ours; a reply of any kind proves the path in both directions."""
    alarm = REAPER.arm(Deadline(ANSWER_S), connection.interrupt)
    try:
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            connection.client.global_request(KEEPALIVE, wait=True)
    finally:
        alarm.cancel()
    if alarm.fired:
        return Loss.NO_ANSWER
    return None if connection.client.is_active() else _loss(connection.client)
