"""The one seam between what we want from a host and how its bytes travel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from sshd_keepalive.model import Completed, Host

if TYPE_CHECKING:  # every command imports this module, and few of them prove anything
    from sshd_keepalive.probing.idle_limit import SpacedResult
    from sshd_keepalive.probing.proof import IdleResult


@runtime_checkable
class Shell(Protocol):
    """One login on one host."""

    @property
    def host(self) -> Host:
        """The host behind it."""

    @property
    def server_version(self) -> str:
        """The version line of the server, `SSH-2.0-OpenSSH_9.2p1 …`."""

    @property
    def login_s(self) -> float:
        """How long the login took, without the wait until it might begin."""

    @property
    def login_method(self) -> str:
        """What the server accepted, for people: `~/.ssh/id_ed25519`, `agent key ops@laptop`, `password`."""

    def run(self, script: str, *, timeout_s: float) -> Completed:
        """Run a POSIX sh script as root (by the host's `become`; with method none as the login user).

        The script travels on standard input, is framed by markers of its own and never reads standard input.
        It may be of any size. One script runs at a time.

        Returns:
            Completed; `stdout` (both streams) holds at most 8 MiB; of more, the rest is not read and `ended` is
            False. `begun` and `ended` both False: the whole script was sent and nothing came back, so it may have
            run all the same.
        Raises:
            HostError: kinds become and shell: it did not run. Any other kind: the connection was lost, and whether it
                ran is not known. When it had begun and its end was not seen, only the loss of a jump host is raised;
                else Completed.ended is False and the caller must find out what happened.
        """

    def open_ahead(self, n_sessions: int) -> None:
        """Ask for the sessions that the next calls will need, so that these do not wait for them."""

    def prepare_login(self, command: str, *, timeout_s: float) -> None:
        """Start what `login_through` will need after the next script, so that it waits once less.

        The command does not run before; a failure is left for `login_through` to find.
        """

    def login_through(self, command: str, *, timeout_s: float) -> None:
        """Log in to the host once more, through a command that speaks SSH there, and disconnect; see ssh.nested.

        Raises:
            HostError: as for any login; kind `shell` when the command cannot be run at all.
        """

    def hold(self, idle_s: float, *, stop: Callable[[], bool]) -> IdleResult:
        """Be a client with one quiet session that answers keep-alives; see ssh.idle.

        Args:
            stop: asked every second; True ends the silence early.
        Raises:
            HostError: kind shell, no session can be opened.
        """

    def pace(self, spacing_s: float, total_s: float, *, stop: Callable[[], bool]) -> SpacedResult:
        """Be a client that speaks every so many seconds and is silent in between; see ssh.idle."""

    def rehearse(self, script: str, idle_s: float, *, answers: bool, timeout_s: float) -> IdleResult:
        """Hold a quiet connection to the sshd that a script starts in this login; see ssh.idle.

        Raises:
            HostError: as for any login; kind shell when the script cannot be run.
        """

    def close(self) -> None:
        """End the login; never raises, never waits long."""
