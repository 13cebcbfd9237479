"""Proving who we are: keys, a password, a single question that means the password.

OpenSSH 9.8 blocks an address after a few refused logins, so no login is tried by guess:
a key that the inventory names is the only key, and a password is sent once and never again after a refusal.
"""

from __future__ import annotations

import contextlib
import getpass
import re
from typing import Final

import paramiko

from sshd_keepalive.deadline import Deadline
from sshd_keepalive.errors import KeepaliveError
from sshd_keepalive.model import Host
from sshd_keepalive.secrets.attempts import AttemptRefused
from sshd_keepalive.secrets.retrieval import Secret, Secrets
from sshd_keepalive.ssh.errors import make_error, printable
from sshd_keepalive.ssh.keys import TRIES_MAX, identities
from sshd_keepalive.ssh.transport import Client

_PASSWORD: Final = re.compile(r"passw|passcode|passphrase", re.IGNORECASE)
_CHANGE: Final = re.compile(r"current|new|old|retype|change", re.IGNORECASE)


def choose_user(host: Host) -> str:
    """Give the login name: the inventory's, else that of the account that runs the program."""
    return host.user or getpass.getuser()


class _Asked(paramiko.SSHException):
    """The server asked something that is not answered."""

    def __init__(self, prompt: str) -> None:
        super().__init__(printable(prompt))
        self.is_change = bool(_CHANGE.search(prompt))


def prepare(host: Host, secrets: Secrets) -> None:
    """Load the host's keys and fetch its password, so that no half-open login waits for a file or for a person.

    Raises:
        HostError: kind `auth`; the host was not contacted.
    """
    if _tries_keys(host):
        identities(host, secrets)
    if host.password is not None:
        _password(host, secrets)


def authenticate(client: Client, host: Host, secrets: Secrets, deadline: Deadline) -> str:
    """Log in.

    Returns:
        What the server accepted, for people: `~/.ssh/id_ed25519`, `agent key ops@laptop`, `password`.
    Raises:
        HostError: kind `auth`.
        paramiko.SSHException, EOFError, OSError: the connection failed; the caller finds out why.
    """
    proof = _Proof(client, host, secrets, deadline)
    more: tuple[str, ...] | None = None
    if _tries_keys(host):
        more = proof.by_key()
        if more == ():
            return proof.accepted
    if host.password is None:
        raise make_error(host, "auth-more", f"accepts {', '.join(more or ())}")
    more = proof.by_password(more if more is not None else proof.methods())
    if more:
        raise make_error(host, "auth-more", f"accepts {', '.join(more)}")
    return proof.accepted


def _tries_keys(host: Host) -> bool:
    """A host with a password and without a key of its own gets the password only."""
    return host.identity_file is not None or host.password is None


def _password(host: Host, secrets: Secrets) -> Secret:
    try:
        return secrets.get(host.password or "", purpose=f"login password of {choose_user(host)}")
    except KeepaliveError as error:
        raise make_error(host, "secret", str(error), hint=error.hint) from None


class _Proof:
    def __init__(self, client: Client, host: Host, secrets: Secrets, deadline: Deadline) -> None:
        self._client = client
        self._host = host
        self._secrets = secrets
        self._deadline = deadline
        self._user = choose_user(host)
        self._accepted: list[str] = []

    @property
    def accepted(self) -> str:
        """What the server accepted."""
        return " and ".join(self._accepted) or "no authentication"

    def methods(self) -> tuple[str, ...]:
        """Ask which methods there are; sshd does not count this question as a failure (auth2.c)."""
        try:
            self._client.auth_none(self._user)
        except paramiko.BadAuthenticationType as error:
            return tuple(error.allowed_types)
        return ()

    def by_key(self) -> tuple[str, ...]:
        """Offer the keys, one after the other on this connection.

        Returns:
            Methods the server wants in addition; empty: logged in.
        """
        found = identities(self._host, self._secrets)
        # Worth a guess only where this key alone decides. Other servers hang up on whoever asks before the login.
        decides = len(found) == 1 and self._host.password is None
        self._client.opens_ahead &= decides and self._client.is_openssh
        for identity in found:
            try:
                more = tuple(self._client.auth_publickey(self._user, identity.key))
            except paramiko.BadAuthenticationType as error:
                if self._host.password is not None:
                    return tuple(error.allowed_types)
                raise self._refused(f"it accepts {', '.join(error.allowed_types)}") from None
            except paramiko.AuthenticationException:
                if not self._client.is_active() and not self._client.was_refused:
                    raise
            else:
                self._accepted.append(f"{'certificate of ' if identity.key.public_blob else ''}{identity.source}")
                return more
        if self._host.password is not None:
            return ("password", "keyboard-interactive")
        tried = ", ".join(identity.source for identity in found)
        hint = f"put its public half into ~/.ssh/authorized_keys of {self._user}, or name another: --private-key FILE"
        if self._host.identity_file is None:
            hint = f"name the right key, --private-key FILE; at most {TRIES_MAX} are tried"
        raise self._refused(f"tried {tried}", hint)

    def by_password(self, methods: tuple[str, ...]) -> tuple[str, ...]:
        """Send the password by the first of the server's methods that takes one; returns as by_key."""
        if not methods:
            return ()
        method = next((name for name in ("password", "keyboard-interactive") if name in methods), None)
        if method is None:
            raise self._refused(f"it accepts {', '.join(methods)}, not a password")
        reference = self._host.password or ""
        place = (self._host.address, self._host.port)
        secret = _password(self._host, self._secrets)
        try:
            attempt = self._secrets.attempts.start((reference, self._user), place, self._deadline)
        except AttemptRefused as spent:
            raise self._refused(f"the password was not sent: {spent}") from None
        question = _Question(secret)
        with contextlib.closing(attempt):
            try:
                if method == "password":
                    more = self._client.auth_password(self._user, secret.reveal(), fallback=False)
                else:
                    more = self._client.auth_interactive(self._user, question)
            except _Asked as asked:
                cause = "password-expired" if asked.is_change else "auth-prompt"
                raise make_error(self._host, cause, str(asked)) from None
            except paramiko.AuthenticationException:
                if not self._client.is_active() and not self._client.was_refused:
                    raise
                if method != "password" and not question.is_answered:
                    raise self._refused("it did not ask for the password") from None
                attempt.refuse()
                hint = "type it again" if reference == "prompt" else f"correct the password in {reference}"
                raise self._refused("the password is wrong", hint) from None
            except paramiko.SSHException as error:
                if "Illegal info request" in str(error):  # PASSWD_CHANGEREQ (RFC 4252, 8), misread by paramiko
                    raise make_error(self._host, "password-expired") from None
                raise
            attempt.accept()
        self._accepted.append("password" if method == "password" else "password by keyboard-interactive")
        return tuple(more)

    def _refused(self, detail: str, hint: str | None = None) -> KeepaliveError:
        return make_error(self._host, "auth-failed", f"user {self._user}, {detail}", hint=hint)


class _Question:
    """A handler for keyboard-interactive that answers one hidden question for a password, once."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self.is_answered = False

    def __call__(self, title: str, instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
        if not prompts:
            return []
        prompt, echo = prompts[0]
        if self.is_answered or len(prompts) > 1 or echo or not _PASSWORD.search(prompt) or _CHANGE.search(prompt):
            raise _Asked(f"{instructions} {prompt}")
        self.is_answered = True
        return [self._secret.reveal()]
