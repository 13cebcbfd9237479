"""Run a program of the user's with limits on time and output."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from tempfile import TemporaryFile
from typing import IO, Final

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.spelling import show

MAX_BYTES: Final = 256 * 1024 * 1024  # 1,000,000 hosts with a few variables each
LIMIT_S: Final = 120.0
_ERROR_BYTES: Final = 64 * 1024
_LOOK_S: Final = 0.2  # how often the size of the output is looked at

_Files = tuple[IO[bytes], ...]


def run_program(
    argv: Sequence[str],
    *,
    limit_s: float = LIMIT_S,
    most_bytes: int = MAX_BYTES,
    environment: Mapping[str, str] | None = None,
    stdin_bytes: bytes = b"",
) -> bytes:
    """Run a program without a terminal, `stdin_bytes` on its standard input, and give its standard output.

    Raises:
        ConfigError: it cannot be run, fails, takes longer than `limit_s` or prints more than `most_bytes`. The whole
            process group is killed then.
    """
    name = argv[0]
    # Files, not pipes: a child that outlives the program keeps no pipe open.
    with TemporaryFile() as stdin, TemporaryFile() as output, TemporaryFile() as errors:
        stdin.write(stdin_bytes)
        stdin.seek(0)
        try:
            process = subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=output,
                stderr=errors,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        except (OSError, ValueError) as error:
            raise ConfigError(f"{name} cannot be run: {getattr(error, 'strerror', None) or error}") from None
        try:
            status = _wait(process, limit_s, (output, errors), most_bytes)
        finally:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        last_line = _read_last_line(errors)
        if _is_flooded((output, errors), most_bytes):
            raise ConfigError(f"{name} prints more than {most_bytes // 1024 // 1024} MiB")
        if status is None:
            raise ConfigError(f"{name} did not end within {limit_s:g} s{last_line}", hint="run it by hand")
        if status != 0:
            how = f"was killed by signal {-status}" if status < 0 else f"failed with exit code {status}"
            raise ConfigError(f"{name} {how}{last_line}")
        output.seek(0)
        return output.read()


def _wait(process: subprocess.Popen[bytes], limit_s: float, outputs: _Files, most_bytes: int) -> int | None:
    """Wait for the exit status; None: the program printed too much, or did not end in time."""
    end_at = time.monotonic() + limit_s
    while (left_s := end_at - time.monotonic()) > 0 and not _is_flooded(outputs, most_bytes):
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(min(left_s, _LOOK_S))
    return None


def _is_flooded(outputs: _Files, most_bytes: int) -> bool:
    return any(_measure(file) > most_bytes for file in outputs)


def _measure(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _read_last_line(errors: IO[bytes]) -> str:
    errors.seek(max(0, _measure(errors) - _ERROR_BYTES))
    lines = [line.strip() for line in errors.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return f": {show(lines[-1], longest=200)}" if lines else ""
