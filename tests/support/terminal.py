"""The program on a terminal: what it shows there, and what a person answers."""

from __future__ import annotations

import os
import pty
import re
import select
import termios
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.cli import PROGRAM

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal:
    """One run of `sshd-keepalive`, or of another program, on a terminal of its own. Use it as a context."""

    def __init__(
        self,
        *words: str,
        stdout: Path | None = None,
        program: Sequence[str] = PROGRAM,
        **environment: str,
    ) -> None:
        self._stdout = stdout  # a file, as after `>`; standard error stays on the terminal
        self._words = [*program, *words]
        self._environment = {**os.environ, "TERM": "xterm", **environment}
        self._raw = b""
        self._status: int | None = None

    def __enter__(self) -> Terminal:
        self._pid, self._fd = pty.fork()
        if self._pid == 0:  # the child
            if self._stdout is not None:
                os.dup2(os.open(self._stdout, os.O_WRONLY | os.O_CREAT), 1)
            os.execve(self._words[0], self._words, self._environment)
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is None:
            os.kill(self._pid, 9)
            os.waitpid(self._pid, 0)
        os.close(self._fd)

    @property
    def shown(self) -> str:
        """All that was shown so far, without colours and cursor movements."""
        return _ESCAPES.sub("", self.raw)

    @property
    def raw(self) -> str:
        """All that was shown so far, escape sequences included."""
        return self._raw.decode(errors="replace")

    @property
    def shows_what_is_typed(self) -> bool:
        return bool(termios.tcgetattr(self._fd)[3] & termios.ECHO)

    def wait_for(self, text: str, timeout_s: float = 120) -> None:
        """Read until a text was shown."""
        end = time.monotonic() + timeout_s
        while text not in self.shown:
            assert self._read(end), f"{text!r} was not shown: {self.shown}"

    def answer(self, line: str) -> None:
        """Type a line."""
        os.write(self._fd, line.encode() + b"\n")

    def press(self, keys: str) -> None:
        """Type keys, without a line end."""
        os.write(self._fd, keys.encode())

    def read_now(self) -> None:
        """Read what is there, without waiting."""
        while select.select([self._fd], [], [], 0)[0] and self._read(time.monotonic() + 1):
            pass

    def end(self, timeout_s: float = 120) -> int:
        """Read to the end and give the exit code."""
        end = time.monotonic() + timeout_s
        while self._read(end):
            pass
        _, status = os.waitpid(self._pid, 0)
        self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def _read(self, end: float) -> bool:
        ready, _, _ = select.select([self._fd], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"nothing more was shown after: {self.shown}"
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # Linux: the other side has gone
            return False
        self._raw += data
        return bool(data)
