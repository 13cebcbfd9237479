"""Resolve secret references.

An inventory names a secret and never holds one: `env:NAME`, `file:PATH`, `keyring:SERVICE/USER`, `command:ARGV`,
`prompt`. All but `prompt` are resolved here.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from pathlib import Path
from typing import Final

from sshd_keepalive.config.values import REFERENCES
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.program import suggest_extra
from sshd_keepalive.quoting import join, quote

COMMAND_TIMEOUT_S: Final = 60.0
SIZE_MAX_BYTES: Final = 64 * 1024


def resolve(reference: str, purpose: str) -> str:
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
