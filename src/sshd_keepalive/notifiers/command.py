"""A program, `command:./page-on-call --severity high`, with the notice on its standard input, written like a mail."""

from __future__ import annotations

import shlex
import shutil
from typing import Final

from sshd_keepalive.config.program import run_program
from sshd_keepalive.errors import ConfigError, NotifyError
from sshd_keepalive.history import notice
from sshd_keepalive.model import Run

SECRET: bool = False

TIMEOUT_S: Final = 60.0
_MOST_BYTES: Final = 1024 * 1024  # of output, which is discarded


def check(target: str) -> None:
    """Check that the program exists; do not run it."""
    _parse_argv(target)


def send(run: Run, target: str) -> None:
    """Run the program without a shell. It reads subject, empty line and body; exit status 0 is success."""
    argv = _parse_argv(target)
    message = notice.compose(run)
    text = f"{message.subject}\n\n{message.body}".encode()
    try:
        run_program(argv, limit_s=TIMEOUT_S, most_bytes=_MOST_BYTES, stdin_bytes=text)
    except ConfigError as error:
        raise NotifyError(str(error)) from None


def _parse_argv(target: str) -> list[str]:
    try:
        argv = shlex.split(target)
    except ValueError as error:
        raise ConfigError(f"--notify command:… {str(error).lower()}") from None
    if not argv:
        raise ConfigError("--notify command: names no program", hint="for example --notify command:./page-on-call")
    if shutil.which(argv[0]) is None:
        raise ConfigError(f"--notify command:{argv[0]}: the program does not exist")
    return argv
