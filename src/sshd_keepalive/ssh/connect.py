"""The way to a host: connect, log in, run scripts."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from sshd_keepalive.deadline import Deadline, waiting
from sshd_keepalive.errors import ConnectError, HostError
from sshd_keepalive.model import Completed, Host
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh import throttle as ramp
from sshd_keepalive.ssh.auth import prepare
from sshd_keepalive.ssh.channel import Session
from sshd_keepalive.ssh.connection import Connection, log_in
from sshd_keepalive.ssh.errors import make_error
from sshd_keepalive.ssh.jump import is_lost, open_wire
from sshd_keepalive.ssh.shell import Shell

if TYPE_CHECKING:
    from sshd_keepalive.probing.idle_limit import Paced
    from sshd_keepalive.probing.proof import Held

#: What the end of a jump host's connection looks like from behind it.
_LOOKS_LIKE_LOSS: Final = frozenset({"lost", "busy", "account-closed"})


def connect(
    host: Host,
    *,
    secrets: Secrets,
    timeout_s: float,
    connect_timeout_s: float = 10.0,
    is_patient: bool = False,
) -> Shell:
    """Log in.

    Args:
        timeout_s: for everything from the first packet to the ready Shell, jump hosts included.
        connect_timeout_s: for the TCP connection alone.
        is_patient: try a connection that sshd turned away again, after a while; see ssh.throttle.
    Raises:
        ConnectError: with `kind` and `cause` as ssh.errors lists them.
    """
    try:
        if host.obstacle:
            raise make_error(host, "no-way", host.obstacle)
        with waiting():
            for hop in (*host.jump, host):
                prepare(hop, secrets)
        link, login_s = _log_in(host, secrets, timeout_s, connect_timeout_s, is_patient=is_patient)
    except HostError as error:
        if host.jump and error.cause.partition("(")[0] in _LOOKS_LIKE_LOSS and is_lost(host.jump):
            error = make_error(host.jump[-1], "bastion-lost", f"while connecting to {host.name}")
        raise ConnectError(str(error), kind=error.kind, cause=error.cause, hint=error.hint) from None
    return SshShell(host, link, secrets, login_s)


def _log_in(
    host: Host, secrets: Secrets, timeout_s: float, connect_timeout_s: float, *, is_patient: bool
) -> tuple[Connection, float]:
    for n_tries in itertools.count(1):
        try:
            with ramp.throttle(host):
                deadline = Deadline(timeout_s)  # neither a person's time to answer nor a queue's is the host's
                dial = partial(open_wire, host, secrets, deadline, connect_timeout_s)
                link = log_in(host, dial, secrets, deadline, opens_ahead=True)
                return link, timeout_s - deadline.left_s()
        except HostError as error:
            wait_s = ramp.wait_s(error, n_tries) if is_patient or error.cause == "lost(hostkey)" else None
            if wait_s is None:
                raise
        with waiting():
            time.sleep(wait_s)
    raise AssertionError


class SshShell:
    """A login on one host; see ssh.shell.Shell."""

    def __init__(self, host: Host, link: Connection, secrets: Secrets, login_s: float) -> None:
        self._host = host
        self._link = link
        self._secrets = secrets
        self._login_s = login_s

    @property
    def host(self) -> Host:
        """The host behind it."""
        return self._host

    @property
    def login_s(self) -> float:
        """How long the login took."""
        return self._login_s

    @property
    def server_version(self) -> str:
        """The version line of the server."""
        return str(self._link.client.remote_version)

    @property
    def login_method(self) -> str:
        """What the server accepted; see Shell.login_method."""
        return self._link.login_method

    def run(self, script: str, *, timeout_s: float) -> Completed:
        """Run a script as root; see Shell.run."""
        return Session(self._host, self._link, self._secrets, Deadline(timeout_s)).run(script)

    def open_ahead(self) -> None:
        """Ask for a session; see Shell.open_ahead."""
        self._link.open_ahead()

    def login_through(self, command: str, *, timeout_s: float) -> None:
        """Log in once more through a command of the host; see Shell.login_through."""
        from sshd_keepalive.ssh.nested import login_through

        login_through(self._host, self._link, self._secrets, command, Deadline(timeout_s))

    def hold(self, idle_s: float, *, stop: Callable[[], bool]) -> Held:
        """Hold one quiet session; see Shell.hold."""
        from sshd_keepalive.probing.proof import Loss
        from sshd_keepalive.ssh.idle import hold

        held = hold(self._host, self._link, idle_s, stop=stop)
        if held.loss in (Loss.CLOSED, Loss.RESET) and self._host.jump and is_lost(self._host.jump):
            return replace(held, loss=Loss.BASTION)
        return held

    def pace(self, spacing_s: float, total_s: float, *, stop: Callable[[], bool]) -> Paced:
        """Speak at a spacing; see Shell.pace."""
        from sshd_keepalive.ssh.idle import pace

        return pace(self._link, spacing_s, total_s, stop=stop)

    def rehearse(self, script: str, idle_s: float, *, answers: bool, timeout_s: float) -> Held:
        """Hold a quiet connection to an sshd started for it; see Shell.rehearse."""
        from sshd_keepalive.ssh.idle import rehearse

        deadline = Deadline(timeout_s)
        return rehearse(self._host, self._link, self._secrets, script, idle_s, answers=answers, deadline=deadline)

    def close(self) -> None:
        """End the login."""
        with contextlib.suppress(Exception):
            self._link.close()
