"""Any program, `command:./page-somebody --severity high`: the notice on its standard input, as a mail is written."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from typing import Final

from sshd_keepalive.core import notice
from sshd_keepalive.errors import ConfigError, NotifyError
from sshd_keepalive.model import Run

SECRET: bool = False

TIMEOUT_S: Final = 60.0


def check(target: str) -> None:
    """The program must be there; it is not run."""
    _argv(target)


def send(run: Run, target: str) -> None:
    """Run the program without a shell: the subject, an empty line and the body go in, exit status 0 is success."""
    argv = _argv(target)
    message = notice.compose(run)
    text = f"{message.subject}\n\n{message.body}".encode()
    try:
        done = subprocess.run(argv, input=text, capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise NotifyError(f"{argv[0]}: did not end in {TIMEOUT_S:.0f} s") from None
    except OSError as error:
        raise NotifyError(f"{argv[0]}: {error.strerror or error}") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise NotifyError(f"{argv[0]}: exit status {done.returncode}" + (f", {said[-1][:200]}" if said else ""))


def _argv(target: str) -> list[str]:
    try:
        argv = shlex.split(target)
    except ValueError as error:
        raise ConfigError(f"--notify command:… {str(error).lower()}") from None
    if not argv:
        raise ConfigError("--notify command: names no program", hint="for example --notify command:./page-somebody")
    if shutil.which(argv[0]) is None:
        raise ConfigError(f"--notify command:{argv[0]}: there is no such program")
    return argv
