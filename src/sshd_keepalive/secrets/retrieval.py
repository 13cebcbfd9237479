"""What secret references stand for, and how often they are asked for.

A reference is resolved when a host asks for the secret, at most once per process, whichever way it went.
"""

from __future__ import annotations

import contextlib
import resource
import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sshd_keepalive.deadline import Deadline
from sshd_keepalive.errors import ConfigError, KeepaliveError
from sshd_keepalive.secrets import redaction
from sshd_keepalive.secrets.attempts import Attempt, Ledger, Spent
from sshd_keepalive.secrets.references import resolve

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Prompt = Callable[[str], str]


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
    """

    def __init__(self, prompt: Prompt | None = None) -> None:
        self.ledger = Ledger()
        self._name = uuid4().hex  # of no meaning but to be the same in every copy of one run's orders
        self._address: tuple[str, bytes] | None = None  # where processes that this one starts ask
        self._prompt = prompt
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

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Values never travel along with a job.

        A process that this one starts asks back for each value, over a socket that only this account can open. On
        another machine the references are resolved anew, with that machine's environment, files and keyring, and
        there is nobody to ask.
        """
        from multiprocessing.context import get_spawning_popen

        if get_spawning_popen() is None:
            return _resolved_here, (self._name,)
        from sshd_keepalive.secrets.server import lend

        with self._lock:
            self._address = self._address or lend(self._answer)
        return _Borrowed, self._address

    def _answer(self, connection: Connection) -> None:
        """Answer one thread of another process, until it is gone; attempts left open then count as not tried."""
        with contextlib.ExitStack() as left_open:
            attempts: list[Attempt] = []
            while True:
                question, *arguments = connection.recv()
                answer: Any = None
                try:
                    if question == "get":
                        answer = self.get(arguments[0], purpose=arguments[1]).reveal()
                    elif question == "can ask":
                        answer = self.can_ask
                    elif question == "attempt":
                        attempts.append(left_open.enter_context(contextlib.closing(self.ledger.attempt(*arguments))))
                        answer = len(attempts) - 1
                    else:
                        getattr(attempts[arguments[0]], question)()
                except KeepaliveError as error:
                    connection.send((type(error), str(error), error.hint))
                except Spent as spent:
                    connection.send((Spent, str(spent), None))
                else:
                    connection.send((None, answer, None))


class _Borrowed(Secrets):
    """The secrets of the process that started this one."""

    def __init__(self, address: str, key: bytes) -> None:
        from sshd_keepalive.secrets.server import Asker

        super().__init__()
        self._asker = Asker(address, key)
        self.ledger = _BorrowedLedger(self.ask_back)

    def ask_back(self, *question: Any) -> Any:
        """Ask, and raise here what was raised there."""
        kind, answer, hint = self._asker(*question)
        if kind is None:
            return answer
        raise kind(answer, hint=hint) if issubclass(kind, KeepaliveError) else kind(answer)

    def get(self, reference: str, *, purpose: str) -> Secret:
        """Ask for it; see Secrets.get."""
        return Secret(self.ask_back("get", reference, purpose))

    @property
    def can_ask(self) -> bool:
        """Whether there is somebody to ask over there."""
        return bool(self.ask_back("can ask"))


class _BorrowedLedger(Ledger):
    """The ledger of the other process: what was refused there is refused here."""

    def __init__(self, ask_back: Callable[..., Any]) -> None:
        self._ask_back = ask_back

    def attempt(self, credential: Hashable, host: Hashable, deadline: Deadline) -> Attempt:
        """Wait for leave; see Ledger.attempt. The monotonic clock is the machine's, so the deadline means the same."""
        return _BorrowedAttempt(self._ask_back, self._ask_back("attempt", credential, host, deadline))


class _BorrowedAttempt(Attempt):
    """One sending of a password, told to the other process."""

    def __init__(self, ask_back: Callable[..., Any], number: int) -> None:
        self._ask_back = ask_back
        self._number = number

    def accepted(self) -> None:
        """The host took it."""
        self._ask_back("accepted", self._number)

    def refused(self) -> None:
        """The host said that it is wrong."""
        self._ask_back("refused", self._number)

    def close(self) -> None:
        """Without a verdict so far it counts as not tried."""
        self._ask_back("close", self._number)


_here: dict[str, Secrets] = {}
_here_lock = threading.Lock()


def _resolved_here(name: str) -> Secrets:
    """The secrets of one run in a process that was sent its job: the same for all its hosts, kept for this run only."""
    with _here_lock:
        if name not in _here:
            _here.clear()
            _here[name] = Secrets()
        return _here[name]


class _Answer:
    __slots__ = ("error", "lock", "value")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.value: Secret | None = None
        self.error: KeepaliveError | None = None
