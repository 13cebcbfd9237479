"""Retrieve secrets, each at most once.

An inventory names a secret and never holds one: `env:NAME`, `file:PATH`, `keyring:SERVICE/USER`, `command:ARGV`,
`prompt`. A reference is resolved when the first host needs it, and once per process, whether that succeeds or fails.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shlex
import stat
import subprocess
import threading
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Final
from uuid import uuid4

from sshd_keepalive.config.values import REFERENCES
from sshd_keepalive.errors import ConfigError, KeepaliveError
from sshd_keepalive.program import suggest_extra
from sshd_keepalive.quoting import join, quote
from sshd_keepalive.secrets import redaction
from sshd_keepalive.secrets.attempts import AttemptLimits

COMMAND_TIMEOUT_S: Final = 60.0
SIZE_MAX_BYTES: Final = 64 * 1024

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
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._answers: dict[tuple[str, str], Secret | KeepaliveError] = {}

    def get(self, reference: str, *, purpose: str) -> Secret:
        """Resolve a reference.

        Args:
            purpose: what the secret is, in words; `prompt` shows it and asks once for each purpose.
        Raises:
            ConfigError: the reference does not lead to a value; asked again, the same error at once.
        """
        key = (reference, purpose if reference == "prompt" else "")
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:  # one lock per reference, so a slow keyring does not delay other secrets
            if key not in self._answers:
                _write_no_core()
                try:
                    value = self._ask(purpose) if reference == "prompt" else _resolve(reference, purpose)
                    self._answers[key] = Secret(value)
                except KeepaliveError as error:
                    self._answers[key] = error
        answer = self._answers[key]
        if isinstance(answer, KeepaliveError):
            raise copy(answer) from None
        return answer

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


def _resolve(reference: str, purpose: str) -> str:
    """Resolve a reference to its value.

    Args:
        purpose: what the secret is, in words.
    Raises:
        ConfigError: the reference does not lead to a value.
    """
    kind, _, argument = reference.partition(":")
    read = {"env": _read_environment, "file": _read_file, "keyring": _read_keyring, "command": _run_command}.get(kind)
    if read is not None and argument:
        return read(argument)
    # The text is not repeated: it may be the secret itself instead of its reference.
    raise ConfigError(f"{purpose}: not a secret reference", hint=f"write {REFERENCES}")


def _read_environment(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise ConfigError(f"env:{name}: not set", hint=f"export {name} before the run")
    return _check_line(value, f"env:{name}")


def _read_file(argument: str) -> str:
    """Read a file under the rules of ssh(1) for private keys: refuse our own file when others may read it.

    Files of another owner are accepted (authfile.c, sshkey_perm_ok), such as secrets that an orchestrator mounts.
    """
    path = Path(argument).expanduser()
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid() and status.st_mode & 0o077:
                hint = f"make it private: chmod 600 {quote(str(path))}"
                raise ConfigError(f"file:{argument}: others may read it", hint=hint)
            content = file.read(SIZE_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"file:{argument}: {error.strerror or error}") from None
    return _decode(content, f"file:{argument}")


def _read_keyring(argument: str) -> str:
    service, _, user = argument.rpartition("/")
    if not service or not user:
        raise ConfigError(f"keyring:{argument}: write keyring:SERVICE/USER")
    try:
        import keyring
        import keyring.errors
    except ImportError as error:  # the worker of an engine may be another machine
        message = f"keyring:{argument}: {error.name} is not installed on {os.uname().nodename}"
        raise ConfigError(message, hint=suggest_extra("keyring")) from None
    try:
        value = keyring.get_password(service, user)
    except keyring.errors.KeyringError as error:
        raise ConfigError(f"keyring:{argument}: {error}") from None
    if value is None:
        hint = f"store it: {join(('keyring', 'set', service, user))}"
        raise ConfigError(f"keyring:{argument}: the entry does not exist", hint=hint)
    return str(value)


def _run_command(argument: str) -> str:
    """Run a command, without a shell and without input; its standard output is the secret."""
    try:
        argv = shlex.split(argument)
    except ValueError as error:
        raise ConfigError(f"command:… {error}") from None
    name = f"command:{argv[0]}"  # the arguments may be confidential
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{name}: no answer in {COMMAND_TIMEOUT_S:.0f} s") from None
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror or error}") from None
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ConfigError(f"{name}: exit status {done.returncode}" + (f", {lines[-1][:200]}" if lines else ""))
    return _decode(done.stdout, name)


def _decode(content: bytes, name: str) -> str:
    """Decode a secret; one final newline is not part of it."""
    if len(content) > SIZE_MAX_BYTES:
        raise ConfigError(f"{name}: longer than {SIZE_MAX_BYTES} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{name}: not UTF-8") from None
    return _check_line(text.removesuffix("\n").removesuffix("\r"), name)


def _check_line(text: str, name: str) -> str:
    """Refuse a text that cannot be typed at a password prompt."""
    if not text:
        raise ConfigError(f"{name}: empty")
    if "\n" in text or "\0" in text:
        raise ConfigError(f"{name}: more than one line")
    return text
