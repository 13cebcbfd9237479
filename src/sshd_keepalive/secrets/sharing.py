"""Share secrets with worker processes of this machine, which ask the process that started them.

A reference is resolved once, the user is asked once, and refusals of a password are counted for all processes together.
The engine transports the questions, and only to processes of this account on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final

from sshd_keepalive.deadline import Deadline
from sshd_keepalive.errors import ConfigError, ExtensionError, KeepaliveError
from sshd_keepalive.secrets.attempts import Attempt, AttemptLimits, AttemptRefused
from sshd_keepalive.secrets.retrieval import Secret, Secrets

#: An answer: the name of an error or empty, the value or the error's text, the error's hint.
Reply = tuple[str, Any, str]
Ask = Callable[..., Reply]

_ERRORS: Final[dict[str, type[KeepaliveError]]] = {one.__name__: one for one in (ConfigError, ExtensionError)}


def answer(secrets: Secrets, question: str, *arguments: Any) -> Reply:
    """Answer one question of a worker; this may wait for the user, or for another host's verdict on a password.

    The attempt of a lost worker stays open, so fewer hosts try that password at a time, never more.
    """
    try:
        if question == "get":
            return "", secrets.get(arguments[0], purpose=arguments[1]).reveal(), ""
        if question == "can ask":
            return "", secrets.can_ask, ""
        if question == "confirm":
            return "", secrets.confirm(*arguments), ""
        if question == "attempt":
            credential, host, left_s = arguments
            secrets.attempts.start(credential, host, Deadline(left_s))
            return "", None, ""
        credential, host, accepted = arguments
        secrets.attempts.end(credential, host, accepted=accepted)
    except AttemptRefused as error:
        return "AttemptRefused", str(error), ""
    except KeepaliveError as error:
        return type(error).__name__, str(error), error.hint or ""
    return "", None, ""


class SharedSecrets(Secrets):
    """The secrets of the process that started this one."""

    def __init__(self, ask: Ask) -> None:
        super().__init__()
        self._ask_back = ask
        self.attempts = _SharedAttemptLimits(ask)

    def get(self, reference: str, *, purpose: str) -> Secret:
        """Ask for it; see Secrets.get."""
        return Secret(_unwrap(self._ask_back("get", reference, purpose)))

    @property
    def can_ask(self) -> bool:
        """Whether the other process can ask the user."""
        return bool(_unwrap(self._ask_back("can ask")))

    def confirm(self, question: str, expected: str) -> bool:
        """Have the other process ask; see Secrets.confirm."""
        return bool(_unwrap(self._ask_back("confirm", question, expected)))


class _SharedAttemptLimits(AttemptLimits):
    """The attempt limits of the other process."""

    def __init__(self, ask: Ask) -> None:
        super().__init__()
        self._ask_back = ask

    def start(self, credential: Hashable, host: Hashable, deadline: Deadline) -> Attempt:
        """Wait for permission; see AttemptLimits.start."""
        _unwrap(self._ask_back("attempt", credential, host, deadline.left_s()))
        return Attempt(self, credential, host)

    def end(self, credential: Hashable, host: Hashable, *, accepted: bool | None) -> None:
        """Report the verdict; see AttemptLimits.end."""
        _unwrap(self._ask_back("end", credential, host, accepted))


def _unwrap(reply: Reply) -> Any:
    """Give the value, or raise the error of the other process."""
    error, value, hint = reply
    if not error:
        return value
    if error == "AttemptRefused":
        raise AttemptRefused(value)
    raise _ERRORS.get(error, ConfigError)(value, hint=hint or None)
