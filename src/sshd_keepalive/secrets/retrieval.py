"""Retrieve secrets, each at most once.

A reference is resolved when the first host needs it, and once per process, whether that succeeds or fails.
"""

from __future__ import annotations

import contextlib
import resource
import threading
from collections.abc import Callable
from copy import copy
from uuid import uuid4

from sshd_keepalive.errors import ConfigError, KeepaliveError
from sshd_keepalive.secrets import redaction
from sshd_keepalive.secrets.attempts import AttemptLimits
from sshd_keepalive.secrets.references import resolve

Prompt = Callable[[str], str]
#: Asks a question for yes or no; the second argument is a text that also means yes.
Confirm = Callable[[str, str], bool]


class Secret:
    """A value that no representation shows; `reveal` is for the call that needs it.

    From its creation on the value is redacted in all output of this process.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        redaction.remember(value)

    def reveal(self) -> str:
        """Return the value itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        raise TypeError("a secret does not leave its process")


def _write_no_core() -> None:
    """Disable core dumps of this process, core(5), before it holds a secret; dump handlers respect the limit (%c)."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


class Secrets:
    """All secrets of one process. Thread-safe.

    Args:
        prompt: asks the user for a secret, by its purpose ("sudo password of ops"); None: no user is present.
        confirm: asks the user for permission; None: no user is present.
    """

    def __init__(self, prompt: Prompt | None = None, confirm: Confirm | None = None) -> None:
        self.attempts = AttemptLimits()
        self.name = uuid4().hex  # engines send it to other processes instead of the secrets
        self._prompt = prompt
        self._confirm = confirm
        self._confirmed: dict[tuple[str, str], bool] = {}
        self._asking = threading.Lock()  # one question at a time on the terminal
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, str], _Answer] = {}

    def get(self, reference: str, *, purpose: str) -> Secret:
        """Resolve a reference.

        Args:
            purpose: what the secret is, in words; `prompt` shows it and asks once for each purpose.
        Raises:
            ConfigError: the reference does not lead to a value; asked again, the same error at once.
        """
        key = (reference, purpose if reference == "prompt" else "")
        with self._lock:
            answer = self._answers.setdefault(key, _Answer())
        with answer.lock:  # one lock per reference, so a slow keyring does not delay other secrets
            if answer.value is None and answer.error is None:
                _write_no_core()
                try:
                    value = self._ask(purpose) if reference == "prompt" else resolve(reference, purpose)
                    answer.value = Secret(value)
                except KeepaliveError as error:
                    answer.error = error
        if answer.value is None:
            failure = answer.error or ConfigError(f"{purpose}: nothing was answered")
            raise copy(failure) from None
        return answer.value

    def ask(self, purpose: str) -> Secret:
        """Ask for a secret without a reference, such as a key's passphrase; once per process."""
        return self.get("prompt", purpose=purpose)

    @property
    def can_ask(self) -> bool:
        """Whether there is a user to ask."""
        return self._prompt is not None

    def confirm(self, question: str, expected: str) -> bool:
        """Ask for permission, once per process; without a user the answer is no.

        Args:
            expected: a text that also means yes.
        """
        if self._confirm is None:
            return False
        with self._asking:
            key = question, expected
            if key not in self._confirmed:
                self._confirmed[key] = self._confirm(question, expected)
            return self._confirmed[key]

    def _ask(self, purpose: str) -> str:
        if self._prompt is None:
            raise ConfigError(
                f"{purpose}: cannot ask without a terminal",
                hint="run in a terminal, or use env:NAME, file:PATH or command:ARGV",
            )
        with self._asking:
            return self._prompt(purpose)

    def __repr__(self) -> str:
        return f"Secrets({len(self._answers)} resolved)"

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        raise TypeError("secrets do not leave their process")


class _Answer:
    __slots__ = ("error", "lock", "value")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.value: Secret | None = None
        self.error: KeepaliveError | None = None
