"""The way to a host: connect, log in, run scripts."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from sshd_keepalive.deadline import Deadline, waiting
from sshd_keepalive.errors import ConnectError, HostError
from sshd_keepalive.model import Completed, Host
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh import throttle
from sshd_keepalive.ssh.auth import prepare
from sshd_keepalive.ssh.channel import Session
from sshd_keepalive.ssh.connection import Connection, log_in
from sshd_keepalive.ssh.dial import DialAhead
from sshd_keepalive.ssh.errors import LoginCause, make_error
from sshd_keepalive.ssh.jump import open_wire
from sshd_keepalive.ssh.shell import Shell

if TYPE_CHECKING:
    from sshd_keepalive.probing.idle_limit import SpacedResult
    from sshd_keepalive.probing.proof import IdleResult


def connect(
    host: Host,
    *,
    secrets: Secrets,
    timeout_s: float,
    connect_timeout_s: float = 10.0,
    is_patient: bool = False,
    ahead: DialAhead | None = None,
) -> Shell:
    """Log in.

    Args:
        timeout_s: for everything from the first packet to the ready Shell, jump hosts included.
        connect_timeout_s: for the TCP connection alone.
        is_patient: try a connection that sshd turned away again, after a while; see ssh.throttle.
        ahead: a connection to the host that was begun already.
    Raises:
        ConnectError: with `kind` and `cause` as ssh.errors lists them.
    """
    try:
        if host.obstacle:
            raise make_error(host, LoginCause.NO_WAY, host.obstacle)
        with waiting():
            for hop in (*host.jump, host):
                prepare(hop, secrets)
        return _log_in(host, secrets, timeout_s, connect_timeout_s, is_patient=is_patient, ahead=ahead)
    except HostError as error:
        raise ConnectError(str(error), kind=error.kind, cause=error.cause, hint=error.hint) from None
    finally:
        if ahead is not None:
            ahead.close()


def _log_in(
    host: Host,
    secrets: Secrets,
    timeout_s: float,
    connect_timeout_s: float,
    *,
    is_patient: bool,
    ahead: DialAhead | None,
) -> SshShell:
    for n_tries in itertools.count(1):
        try:
            with throttle.throttle(host):
                deadline = Deadline(timeout_s)  # neither a person's time to answer nor a queue's is the host's
                dial = partial(open_wire, host, secrets, deadline, connect_timeout_s, ahead)
                connection = log_in(host, dial, secrets, deadline, opens_ahead=True)
                return SshShell(host, timeout_s - deadline.left_s(), connection, secrets)
        except HostError as error:
            wait_s = (
                throttle.choose_wait_s(error, n_tries)
                if is_patient or error.cause == LoginCause.LOST_IN_QUESTION
                else None
            )
            if wait_s is None:
                raise
        with waiting():
            time.sleep(wait_s)
    raise AssertionError


@dataclass(frozen=True)
class SshShell:
    """A login on one host; see ssh.shell.Shell for its members."""

    host: Host
    login_s: float
    _connection: Connection
    _secrets: Secrets

    @property
    def server_version(self) -> str:  # noqa: D102
        return str(self._connection.client.remote_version)

    @property
    def login_method(self) -> str:  # noqa: D102
        return self._connection.login_method

    def run(self, script: str, *, timeout_s: float) -> Completed:  # noqa: D102
        return Session(self.host, self._connection, self._secrets, Deadline(timeout_s)).run(script)

    def open_ahead(self, n_sessions: int) -> None:  # noqa: D102
        self._connection.open_ahead(n_sessions)

    def prepare_login(self, command: str, *, timeout_s: float) -> None:  # noqa: D102
        from sshd_keepalive.ssh.nested import prepare_login

        prepare_login(self.host, self._connection, command, Deadline(timeout_s))

    def login_through(self, command: str, *, timeout_s: float) -> None:  # noqa: D102
        from sshd_keepalive.ssh.nested import login_through

        login_through(self.host, self._connection, self._secrets, command, Deadline(timeout_s))

    def hold(self, idle_s: float, *, stop: Callable[[], bool]) -> IdleResult:  # noqa: D102
        from sshd_keepalive.probing.proof import Loss
        from sshd_keepalive.ssh.idle import hold

        result = hold(self.host, self._connection, idle_s, stop=stop)
        if result.loss in (Loss.CLOSED, Loss.RESET) and self._connection.find_lost_hop() is not None:
            return replace(result, loss=Loss.JUMP_HOST)
        return result

    def pace(self, spacing_s: float, total_s: float, *, stop: Callable[[], bool]) -> SpacedResult:  # noqa: D102
        from sshd_keepalive.ssh.idle import pace

        return pace(self._connection, spacing_s, total_s, stop=stop)

    def rehearse(self, script: str, idle_s: float, *, answers: bool, timeout_s: float) -> IdleResult:  # noqa: D102
        from sshd_keepalive.ssh.idle import rehearse

        deadline = Deadline(timeout_s)
        return rehearse(self.host, self._connection, self._secrets, script, idle_s, answers=answers, deadline=deadline)

    def close(self) -> None:  # noqa: D102
        with contextlib.suppress(Exception):
            self._connection.close()
