"""Run a program of the user's with limits on time and output."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from tempfile import TemporaryFile
from typing import Final

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.spelling import show

MAX_BYTES: Final = 256 * 1024 * 1024  # 1,000,000 hosts with a few variables each
LIMIT_S: Final = 120.0
_SAID_BYTES: Final = 64 * 1024
_CHUNK_BYTES: Final = 1024 * 1024
_AFTERWARDS_S: Final = 1.0  # for output of its children after the program has ended


def run_program(
    argv: Sequence[str],
    *,
    limit_s: float = LIMIT_S,
    most_bytes: int = MAX_BYTES,
    environment: Mapping[str, str] | None = None,
    given: bytes = b"",
) -> bytes:
    """Run a program without a terminal, `given` on its standard input, and give its standard output.

    Raises:
        ConfigError: it cannot be run, fails, takes longer than `limit_s` or prints more than `most_bytes`. The whole
            process group is killed then.
    """
    name = argv[0]
    try:
        with TemporaryFile() as stdin:  # a file, not a pipe: writing does not wait until the program reads
            stdin.write(given)
            stdin.seek(0)
            process = subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
    except (OSError, ValueError) as error:
        raise ConfigError(f"{name} cannot be run: {getattr(error, 'strerror', None) or error}") from None
    try:
        out, said = _read(process, name, limit_s, most_bytes)
        status = process.wait()
    finally:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()
    if status != 0:
        how = f"was killed by signal {-status}" if status < 0 else f"failed with exit code {status}"
        raise ConfigError(f"{name} {how}{_format_last_line(said)}")
    return out


def _read(process: subprocess.Popen[bytes], name: str, limit_s: float, most_bytes: int) -> tuple[bytes, bytes]:
    out, said = bytearray(), bytearray()
    end_at = time.monotonic() + limit_s
    with selectors.DefaultSelector() as selector:
        for stream, sink in ((process.stdout, out), (process.stderr, said)):
            if stream:
                selector.register(stream.fileno(), selectors.EVENT_READ, sink)
        while selector.get_map():
            left_s = end_at - time.monotonic()
            if left_s <= 0:
                if process.poll() is not None:  # the program ended; a child of it holds the pipe
                    break
                raise ConfigError(
                    f"{name} did not end within {limit_s:g} s{_format_last_line(said)}", hint="run it by hand"
                )
            for key, _ in selector.select(min(left_s, 0.2)):
                chunk = os.read(key.fd, _CHUNK_BYTES)
                if not chunk:
                    selector.unregister(key.fd)
                key.data.extend(chunk)
            del said[:-_SAID_BYTES]
            if len(out) > most_bytes:
                raise ConfigError(f"{name} prints more than {most_bytes // 1024 // 1024} MiB")
            if process.poll() is not None:
                end_at = min(end_at, time.monotonic() + _AFTERWARDS_S)
    if process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, end_at - time.monotonic()))
        if process.poll() is None:
            raise ConfigError(f"{name} closed its output and did not end within {limit_s:g} s")
    return bytes(out), bytes(said)


def _format_last_line(said: bytes | bytearray) -> str:
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    return f": {show(lines[-1], longest=200)}" if lines else ""
