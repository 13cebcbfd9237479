"""The sudo password on its way to one prompt of one host: fetched, sent at most once, and what became of it."""

from __future__ import annotations

from sshd_keepalive.deadline import Deadline, Limit
from sshd_keepalive.errors import HostError, KeepaliveError
from sshd_keepalive.model import Host
from sshd_keepalive.secrets.attempts import Attempt, AttemptRefused
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.auth import choose_user
from sshd_keepalive.ssh.errors import make_error, make_timeout_error
from sshd_keepalive.ssh.sudo import Dialogue

#: sudo said something else about the account or itself after it had taken the password.
_NOT_THE_PASSWORD = frozenset({"sudo-denied", "sudo-broken", "sudo-tty", "password-expired"})


class RootPassword:
    """One sending of the sudo password."""

    def __init__(self, host: Host, secrets: Secrets, deadline: Deadline) -> None:
        self._host = host
        self._secrets = secrets
        self._deadline = deadline
        self._attempt: Attempt | None = None

    def fetch(self, limit: Limit) -> str:
        """Give the password for the one prompt.

        Raises:
            HostError: it cannot be read, or it was refused before and must not be sent.
        """
        reference, user = self._host.become.password or "", choose_user(self._host)
        place = (self._host.address, self._host.port, "sudo")
        try:
            with limit.paused():  # a person may have to type it
                secret = self._secrets.get(reference, purpose=f"sudo password of {user}")
            self._attempt = self._secrets.attempts.start((reference, user), place, self._deadline)
        except AttemptRefused as spent:
            raise make_error(self._host, "bad-password", f"not sent: {spent}") from None
        except KeepaliveError as error:
            raise make_error(self._host, "become-secret", str(error), hint=error.hint) from None
        return secret.reveal()

    def settle(self, dialogue: Dialogue) -> None:
        """Note what sudo made of it, as soon as it is known."""
        if self._attempt is not None and dialogue.accepted:
            self._attempt.accept()
        elif self._attempt is not None and dialogue.rejected:
            self._attempt.refuse()

    def silence(self, dialogue: Dialogue, noise: bytes, *, ended: str) -> HostError:
        """Say why the shell behind sudo never came, from what was printed instead.

        Whoever took the password and gave no shell gets it no second time.
        """
        if dialogue.rejected:
            failure = make_error(self._host, "bad-password")
        elif dialogue.is_missing:
            failure = make_error(self._host, "sudo-missing")
        else:
            failure = make_timeout_error(
                self._host, noise, ended=ended, became=self._host.become.method in ("sudo", "doas")
            )
        if self._attempt is not None and failure.cause not in _NOT_THE_PASSWORD:
            self._attempt.refuse()
        return failure

    def close(self) -> None:
        """End the attempt; without a verdict so far it counts as not tried."""
        if self._attempt is not None:
            self._attempt.close()
