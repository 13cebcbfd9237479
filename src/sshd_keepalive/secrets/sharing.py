"""Share secrets with worker processes of this machine, which ask the process that started them.

A reference is resolved once, the user is asked once, and refusals of a password are counted for all processes together.
The engine transports the questions, the answers and the errors, and only to processes of this account on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from sshd_keepalive.deadline import Deadline
from sshd_keepalive.secrets.attempts import Attempt, AttemptLimits
from sshd_keepalive.secrets.retrieval import Secret, Secrets

#: Asks the other process: gives what `answer` returns there, or raises what it raises.
Ask = Callable[..., Any]


def answer(secrets: Secrets, question: str, *arguments: Any) -> Any:
    """Answer one question of a worker; this may wait for the user, or for another host's verdict on a password.

    The attempt of a lost worker stays open, so fewer hosts try that password at a time, never more.

    Raises:
        KeepaliveError, AttemptRefused: as the method that the question names.
    """
    match question, arguments:
        case "get", (reference, purpose):
            return secrets.get(reference, purpose=purpose).reveal()
        case "can_ask", ():
            return secrets.can_ask
        case "confirm", (text, expected):
            return secrets.confirm(text, expected)
        case "start", (credential, host, left_s):
            secrets.attempts.start(credential, host, Deadline(left_s))
        case "end", (credential, host, accepted):
            secrets.attempts.end(credential, host, accepted=accepted)
    return None


class SharedSecrets(Secrets):
    """The secrets of the process that started this one."""

    def __init__(self, ask: Ask) -> None:
        super().__init__()
        self._ask_back = ask
        self.attempts = _SharedAttemptLimits(ask)

    def get(self, reference: str, *, purpose: str) -> Secret:
        """Ask for it; see Secrets.get."""
        return Secret(self._ask_back("get", reference, purpose))

    @property
    def can_ask(self) -> bool:
        """Whether the other process can ask the user."""
        return bool(self._ask_back("can_ask"))

    def confirm(self, question: str, expected: str) -> bool:
        """Have the other process ask; see Secrets.confirm."""
        return bool(self._ask_back("confirm", question, expected))


class _SharedAttemptLimits(AttemptLimits):
    """The attempt limits of the other process."""

    def __init__(self, ask: Ask) -> None:
        super().__init__()
        self._ask_back = ask

    def start(self, credential: Hashable, host: Hashable, deadline: Deadline) -> Attempt:
        """Wait for permission; see AttemptLimits.start."""
        self._ask_back("start", credential, host, deadline.left_s())
        return Attempt(self, credential, host)

    def end(self, credential: Hashable, host: Hashable, *, accepted: bool | None) -> None:
        """Report the verdict; see AttemptLimits.end."""
        self._ask_back("end", credential, host, accepted)
