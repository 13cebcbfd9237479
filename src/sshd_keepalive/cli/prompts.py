"""Questions on the terminal."""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from sshd_keepalive.errors import ConfigError


class Prompts:
    """Asks on the terminal, from any thread; an interruption ends every question at once."""

    def __init__(self) -> None:
        self._settings: list[Any] | None = None  # of the terminal, before the first question
        self._wake: tuple[int, int] | None = None  # a pipe: reading, writing
        self._is_stopped = False

    def ask_secret(self, purpose: str) -> str:
        """Ask for a password, without showing what is typed.

        Raises:
            ConfigError: the run was interrupted.
        """
        try:
            return self._ask(f"{purpose}: ", echo=False)
        finally:
            sys.stderr.write("\n")

    def confirm_key(self, question: str, expected: str) -> bool:
        """Ask as ssh(1) asks about a host key: yes, no, or the fingerprint from a trusted source.

        Raises:
            ConfigError: the run was interrupted.
        """
        answer = self._ask(f"{question}\naccept it and write it to known_hosts (yes/no/fingerprint)? ").strip()
        while answer != expected and answer.lower() not in ("yes", "no"):
            answer = self._ask("type yes, no, or the fingerprint: ").strip()
        return answer.lower() != "no"

    def confirm(self, question: str) -> bool:
        """Ask a yes/no question on the main thread; an empty answer is no.

        Raises:
            KeyboardInterrupt: Ctrl-C or Ctrl-D.
        """
        answers = {"y": True, "yes": True, "n": False, "no": False, "": False}
        while (answer := self._ask(f"{question} [y/N]: ").strip().lower()) not in answers:
            sys.stderr.write("type y or n\n")
        return answers[answer]

    @contextmanager
    def _waking(self) -> Iterator[None]:
        """Let a signal end the main thread's wait for an answer, also one that arrives before the wait has begun.

        A handler runs between two bytecodes of the main thread: what blocks after the last look for signals is not
        interrupted by one that came before it (signal, set_wakeup_fd).
        """
        assert self._wake is not None
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.set_wakeup_fd(self._wake[1])
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            self._drain()

    def _drain(self) -> None:
        assert self._wake is not None
        with suppress(BlockingIOError):
            os.read(self._wake[0], 4096)

    def stop(self) -> None:
        """End every question, and leave the terminal as it was."""
        self._is_stopped = True
        if self._wake:
            os.write(self._wake[1], b"x")
        self._restore()

    def _ask(self, text: str, *, echo: bool = True) -> str:
        self._prepare()
        assert self._settings is not None
        assert self._wake is not None
        settings = list(self._settings)
        settings[3] = settings[3] | termios.ECHO if echo else settings[3] & ~termios.ECHO
        # Input from before the question for a password was shown, and is not the answer.
        termios.tcsetattr(0, termios.TCSADRAIN if echo else termios.TCSAFLUSH, settings)
        sys.stderr.write(text)
        sys.stderr.flush()
        line = b""
        try:
            with self._waking():
                while not line.endswith(b"\n"):
                    if self._is_stopped:
                        raise ConfigError("interrupted")
                    readable, _, _ = select.select([0, self._wake[0]], [], [])
                    if 0 not in readable:  # stopped, or a signal whose handler runs before the next wait
                        self._drain()
                        continue
                    piece = os.read(0, 4096)
                    if not piece:  # Ctrl-D means the same as Ctrl-C
                        os.kill(os.getpid(), signal.SIGINT)
                        raise ConfigError("interrupted")
                    line += piece
        finally:
            self._restore()
        if echo:
            sys.stderr.write("")  # the terminal has shown the line end: a status line may stand there again
        return line.decode(errors="surrogateescape").rstrip("\r\n")

    def _prepare(self) -> None:
        if self._settings is None:
            self._settings, self._wake = termios.tcgetattr(0), os.pipe()
            for end in self._wake:
                os.set_blocking(end, False)
            atexit.register(self._restore)

    def _restore(self) -> None:
        if self._settings is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._settings)


#: The terminal of this process.
PROMPTS: Final = Prompts()
