"""What secret references stand for, and how often they are asked for.

A reference is resolved when a host asks for the secret, at most once per process, whichever way it went.
"""

from __future__ import annotations

import contextlib
import resource
import threading
from collections.abc import Callable
from uuid import uuid4

from sshd_keepalive.errors import ConfigError, KeepaliveError
from sshd_keepalive.secrets import redaction
from sshd_keepalive.secrets.attempts import Ledger
from sshd_keepalive.secrets.references import resolve

Prompt = Callable[[str], str]
#: A question to be answered with yes or no, and a text that is as good as yes.
Confirm = Callable[[str, str], bool]


class Secret:
    """A value that no representation shows; `reveal` is for the call that needs it.

    From its making on the value is redacted in all that this process tells.
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
    """From the first secret on this process leaves no core dump: core(5); coredump handlers keep to it too (%c)."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


class Secrets:
    """All secrets of one process. Thread-safe.

    Args:
        prompt: asks the user, given what is asked for ("sudo password of ops"); None: there is nobody to ask.
        confirm: asks the user whether something may be; None: there is nobody to ask.
    """

    def __init__(self, prompt: Prompt | None = None, confirm: Confirm | None = None) -> None:
        self.ledger = Ledger()
        self.name = uuid4().hex  # what an engine sends to other processes in their place
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
        with answer.lock:  # of this reference only: a slow keyring delays nobody who needs another secret
            if answer.value is None and answer.error is None:
                _write_no_core()
                try:
                    answer.value = Secret(self._resolve(reference, purpose))
                except KeepaliveError as error:
                    answer.error = error
        if answer.value is None:
            failure = answer.error or ConfigError(f"{purpose}: nothing was answered")
            raise type(failure)(str(failure), hint=failure.hint) from None
        return answer.value

    def ask(self, purpose: str) -> Secret:
        """Ask for something no reference stands for, a key's passphrase; once per process."""
        return self.get("prompt", purpose=purpose)

    @property
    def can_ask(self) -> bool:
        """Whether there is somebody to ask."""
        return self._prompt is not None

    def confirm(self, question: str, expected: str) -> bool:
        """Ask whether something may be, once per process; without anybody to ask it may not.

        Args:
            expected: a text that is as good as yes.
        """
        if self._confirm is None:
            return False
        with self._asking:
            key = question, expected
            if key not in self._confirmed:
                self._confirmed[key] = self._confirm(question, expected)
            return self._confirmed[key]

    def _resolve(self, reference: str, purpose: str) -> str:
        return self._ask(purpose) if reference == "prompt" else resolve(reference, purpose)

    def _ask(self, purpose: str) -> str:
        if self._prompt is None:
            raise ConfigError(
                f"{purpose}: nobody to ask", hint="run in a terminal, or use env:NAME, file:PATH or command:ARGV"
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
