"""Secret references, and what they stand for.

An inventory names a secret, it never holds one: `env:NAME`, `file:PATH`, `keyring:SERVICE/USER`, `command:ARGV`,
`prompt`. A reference is resolved when a host asks for the secret, at most once per process, whichever way it went.
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
from pathlib import Path
from typing import Final

from sshd_keepalive.errors import ConfigError, ExtensionError, KeepaliveError
from sshd_keepalive.remote.ledger import Ledger

COMMAND_TIMEOUT_S: Final = 60.0
SIZE_MAX_BYTES: Final = 64 * 1024

Prompt = Callable[[str], str]


class Secret:
    """A value that no representation shows; `reveal` is for the call that needs it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

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
        kind, _, argument = reference.partition(":")
        if reference == "prompt":
            return self._ask(purpose)
        if kind == "env" and argument:
            return _from_environment(argument)
        if kind == "file" and argument:
            return _from_file(argument)
        if kind == "keyring" and argument:
            return _from_keyring(argument)
        if kind == "command" and argument:
            return _from_command(argument)
        # The text is not repeated: it may be the secret itself, written where its reference belongs.
        raise ConfigError(
            f"{purpose}: not a secret reference",
            hint="write env:NAME, file:PATH, keyring:SERVICE/USER, command:ARGV or prompt",
        )

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
        raise TypeError("secrets do not leave their process; make new ones from the references")


class _Answer:
    __slots__ = ("error", "lock", "value")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.value: Secret | None = None
        self.error: KeepaliveError | None = None


def _from_environment(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise ConfigError(f"env:{name}: not set", hint=f"export {name} before the run")
    return _one_line(value, f"env:{name}")


def _from_file(argument: str) -> str:
    """Read a file as ssh(1) would read a private key: refused when it is ours and others may read it.

    The owner rule (authfile.c, sshkey_perm_ok) lets secrets through that an orchestrator mounts as another user.
    """
    path = Path(argument).expanduser()
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid() and status.st_mode & 0o077:
                raise ConfigError(f"file:{argument}: others may read it", hint=f"chmod 600 {argument}")
            content = file.read(SIZE_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"file:{argument}: {error.strerror or error}") from None
    return _text(content, f"file:{argument}")


def _from_keyring(argument: str) -> str:
    service, _, user = argument.rpartition("/")
    if not service or not user:
        raise ConfigError(f"keyring:{argument}: write keyring:SERVICE/USER")
    try:
        import keyring
        import keyring.errors
    except ImportError:
        raise ExtensionError("keyring: not installed", hint="pip install 'sshd-keepalive[keyring]'") from None
    try:
        value = keyring.get_password(service, user)
    except keyring.errors.KeyringError as error:
        raise ConfigError(f"keyring:{argument}: {error}") from None
    if value is None:
        raise ConfigError(f"keyring:{argument}: no such entry", hint=f"keyring set {service} {user}")
    return str(value)


def _from_command(argument: str) -> str:
    """Run a command, without a shell and without input; its standard output is the secret."""
    try:
        argv = shlex.split(argument)
    except ValueError as error:
        raise ConfigError(f"command:… {error}") from None
    name = f"command:{argv[0]}"  # the arguments may be nobody's business
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{name}: no answer in {COMMAND_TIMEOUT_S:.0f} s") from None
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror or error}") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ConfigError(f"{name}: exit status {done.returncode}" + (f", {said[-1][:200]}" if said else ""))
    return _text(done.stdout, name)


def _text(content: bytes, name: str) -> str:
    """Decode; one final newline is the editor's, not the secret's."""
    if len(content) > SIZE_MAX_BYTES:
        raise ConfigError(f"{name}: longer than {SIZE_MAX_BYTES} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{name}: not UTF-8") from None
    return _one_line(text.removesuffix("\n").removesuffix("\r"), name)


def _one_line(text: str, name: str) -> str:
    """Refuse what no password prompt could take."""
    if not text:
        raise ConfigError(f"{name}: empty")
    if "\n" in text or "\0" in text:
        raise ConfigError(f"{name}: more than one line")
    return text
