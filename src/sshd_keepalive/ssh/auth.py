"""Authentication: keys, a password, a single question that means the password.

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
from sshd_keepalive.ssh.errors import LoginCause, clean, make_error
from sshd_keepalive.ssh.keys import TRIES_MAX, load_identities
from sshd_keepalive.ssh.transport import Client

_PASSWORD: Final = re.compile(r"passw|passcode|passphrase", re.IGNORECASE)
_CHANGE: Final = re.compile(r"current|new|old|retype|change", re.IGNORECASE)


def choose_user(host: Host) -> str:
    """Give the login name: the inventory's, else that of the account that runs the program."""
    return host.user or getpass.getuser()


class _UnansweredQuestionError(paramiko.SSHException):
    """The server asked a question that this program does not answer."""

    def __init__(self, prompt: str) -> None:
        super().__init__(clean(prompt))
        self.is_change = bool(_CHANGE.search(prompt))


def prepare(host: Host, secrets: Secrets) -> None:
    """Load the host's keys and fetch its password, so that no half-open login waits for a file or for a person.

    Raises:
        HostError: kind `auth`; no login was begun.
    """
    if _tries_keys(host):
        load_identities(host, secrets)
    if host.password is not None:
        _get_password(host, secrets)


def authenticate(client: Client, host: Host, secrets: Secrets, deadline: Deadline) -> str:
    """Log in.

    Returns:
        What the server accepted, for people: `~/.ssh/id_ed25519`, `agent key ops@laptop`, `password`.
    Raises:
        HostError: kind `auth`.
        paramiko.SSHException, EOFError, OSError: the connection failed; the caller finds out why.
    """
    attempt = _Authentication(client, host, secrets, deadline)
    more = attempt.send_keys() if _tries_keys(host) else attempt.list_methods()
    if more and host.password is not None:
        more = attempt.send_password(more)
    if more:
        raise make_error(host, LoginCause.AUTH_MORE, f"accepts {', '.join(more)}")
    return " and ".join(attempt.accepted) or "no authentication"


def _tries_keys(host: Host) -> bool:
    """Say whether to try keys: not where the host has a password and no key of its own."""
    return host.identity_file is not None or host.password is None


def _get_password(host: Host, secrets: Secrets) -> Secret:
    try:
        return secrets.get(host.password or "", purpose=f"login password of {choose_user(host)}")
    except KeepaliveError as error:
        raise make_error(host, LoginCause.SECRET, str(error), hint=error.hint) from None


class _Authentication:
    """One login. `accepted`: what the server accepted, for people."""

    def __init__(self, client: Client, host: Host, secrets: Secrets, deadline: Deadline) -> None:
        self._client = client
        self._host = host
        self._secrets = secrets
        self._deadline = deadline
        self._user = choose_user(host)
        self.accepted: list[str] = []

    def list_methods(self) -> tuple[str, ...]:
        """Ask for the methods; empty: logged in. sshd does not count this question as a failure (auth2.c)."""
        try:
            self._client.auth_none(self._user)
        except paramiko.BadAuthenticationType as error:
            return tuple(error.allowed_types)
        return ()

    def send_keys(self) -> tuple[str, ...]:
        """Offer the keys, one after the other on this connection.

        Returns:
            Methods the server wants in addition; empty: logged in.
        """
        identities = load_identities(self._host, self._secrets)
        # Worth a guess only where this key alone decides. Other servers close a connection that asks before the login.
        decides = len(identities) == 1 and self._host.password is None
        self._client.opens_ahead &= decides and self._client.is_openssh
        for identity in identities:
            try:
                more = tuple(self._client.auth_publickey(self._user, identity.key))
            except paramiko.BadAuthenticationType as error:
                if self._host.password is not None:
                    return tuple(error.allowed_types)
                raise self._make_refusal(f"it accepts {', '.join(error.allowed_types)}") from None
            except paramiko.AuthenticationException:
                if self._is_unanswered():
                    raise
            else:
                self.accepted.append(f"{'certificate of ' if identity.key.public_blob else ''}{identity.source}")
                return more
        if self._host.password is not None:
            return ("password", "keyboard-interactive")
        tried = ", ".join(identity.source for identity in identities)
        hint = f"add this public key to ~/.ssh/authorized_keys of {self._user}, or use another: --private-key FILE"
        if self._host.identity_file is None:
            hint = f"name the right key, --private-key FILE; at most {TRIES_MAX} are tried"
        raise self._make_refusal(f"tried {tried}", hint)

    def send_password(self, methods: tuple[str, ...]) -> tuple[str, ...]:
        """Send the password by the first of the server's methods that takes one; returns as send_keys."""
        method = next((name for name in ("password", "keyboard-interactive") if name in methods), None)
        if method is None:
            raise self._make_refusal(f"it accepts {', '.join(methods)}, not a password")
        reference = self._host.password or ""
        place = (self._host.address, self._host.port)
        secret = _get_password(self._host, self._secrets)
        try:
            attempt = self._secrets.attempts.start((reference, self._user), place, self._deadline)
        except AttemptRefused as error:
            raise self._make_refusal(f"the password was not sent: {error}") from None
        answer = _PasswordAnswer(secret)
        with contextlib.closing(attempt):
            try:
                if method == "password":
                    more = self._client.auth_password(self._user, secret.reveal(), fallback=False)
                else:
                    more = self._client.auth_interactive(self._user, answer)
            except _UnansweredQuestionError as question:
                cause = LoginCause.PASSWORD_EXPIRED if question.is_change else LoginCause.AUTH_PROMPT
                raise make_error(self._host, cause, str(question)) from None
            except paramiko.AuthenticationException:
                if self._is_unanswered():
                    raise
                if method != "password" and not answer.is_given:
                    raise self._make_refusal("it did not ask for the password") from None
                attempt.refuse()
                hint = "type it again" if reference == "prompt" else f"correct the password in {reference}"
                raise self._make_refusal("the password is wrong", hint) from None
            except paramiko.SSHException as error:
                if "Illegal info request" in str(error):  # PASSWD_CHANGEREQ (RFC 4252, 8), misread by paramiko
                    raise make_error(self._host, LoginCause.PASSWORD_EXPIRED) from None
                raise
            attempt.accept()
        self.accepted.append("password" if method == "password" else "password by keyboard-interactive")
        return tuple(more)

    def _is_unanswered(self) -> bool:
        """Whether an attempt ended without the server's answer. paramiko calls the end of its own wait a refusal."""
        return not self._client.was_refused and (self._deadline.is_over or not self._client.is_active())

    def _make_refusal(self, detail: str, hint: str | None = None) -> KeepaliveError:
        return make_error(self._host, LoginCause.AUTH_FAILED, f"user {self._user}, {detail}", hint=hint)


class _PasswordAnswer:
    """A handler for keyboard-interactive: answers one hidden question for a password, once."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self.is_given = False

    def __call__(self, title: str, instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
        if not prompts:
            return []
        prompt, echo = prompts[0]
        if self.is_given or len(prompts) > 1 or echo or not _PASSWORD.search(prompt) or _CHANGE.search(prompt):
            raise _UnansweredQuestionError(f"{instructions} {prompt}")
        self.is_given = True
        return [self._secret.reveal()]
