"""The status line of a run: a bar on standard error, below everything that is written."""

from __future__ import annotations

import os
import sys
import threading
import time
from bisect import bisect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol, TextIO

#: The rate is that of the last seconds: long enough not to jump, short enough to show a stall.
_RATE_OVER_S: Final = 30.0
_NARROWEST_BAR, _WIDEST_BAR = 10, 40  # columns


class Gauge(Protocol):
    """What the status line shows; its text says the same in words."""

    @property
    def share(self) -> float:
        """How much is done, 0 to 1."""


def count_columns(terminal: TextIO) -> int:
    """Count the columns of the terminal; COLUMNS overrides it."""
    if (columns := os.environ.get("COLUMNS", "")).isdecimal() and int(columns) > 0:
        return int(columns)
    return os.get_terminal_size(terminal.fileno()).columns or 80


class _StatusLine:
    """One line on standard error, below everything that is written."""

    def __init__(self, render: Callable[[int], str]) -> None:
        self._render = render
        self._terminal = sys.stderr
        self._lock = threading.RLock()  # a signal may be handled, and written about, in the middle of a write
        self._is_shown = False
        self._is_free = True  # the cursor is at the beginning of a line: no question is open

    def draw(self) -> None:
        """Draw the line, or draw it again."""
        with self._lock:
            if self._is_free:
                self._terminal.write(f"\r{self._render(count_columns(self._terminal) - 1)}\x1b[K")
                self._terminal.flush()
                self._is_shown = True

    def write_above(self, stream: TextIO, text: str) -> int:
        """Write text to a terminal in place of the line, which the next `draw` shows below it."""
        with self._lock:
            self.erase()
            self._is_free = not text or text.endswith("\n")
            n_written = stream.write(text)
            stream.flush()
            return n_written

    def erase(self) -> None:
        """Remove the line from the terminal."""
        with self._lock:
            if self._is_shown:
                self._terminal.write("\r\x1b[K")
                self._terminal.flush()
                self._is_shown = False


class _Above:
    """A stream whose text goes above the status line."""

    def __init__(self, stream: TextIO, line: _StatusLine) -> None:
        self._stream = stream
        self._line = line

    def write(self, text: str) -> int:
        return self._line.write_above(self._stream, text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def show_status(render: Callable[[int], str], *, every_s: float) -> Iterator[None]:
    """Show a line on standard error during the block.

    Args:
        render: gives the line, no longer than the number of columns it gets; called from another thread.
        every_s: how often it is drawn.
    """
    line = _StatusLine(render)
    ended = threading.Event()

    def redraw() -> None:
        with suppress(OSError):  # the terminal is gone; the run goes on
            line.draw()
            while not ended.wait(every_s):
                line.draw()

    streams = sys.stdout, sys.stderr
    sys.stderr = _Above(sys.stderr, line)
    if sys.stdout.isatty():  # lines for a file or a pipe must arrive there
        sys.stdout = _Above(sys.stdout, line)
    thread = threading.Thread(target=redraw, name="status", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        line.erase()
        sys.stdout, sys.stderr = streams


def draw_bar(label: str, share: float, words: str, columns: int) -> str:
    """Write `check [####....] 3/10, 4 hosts/s`; a narrow terminal has the words without the bar."""
    room = min(_WIDEST_BAR, columns - len(label) - len(words) - len(" [] "))
    bar = f"[{'#' * int(share * room):.<{room}}] " if room >= _NARROWEST_BAR else ""
    return f"{label} {bar}{words}"[:columns]


class Pace:
    """How many hosts have finished, and how fast; any thread may read it."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._began_s = time.monotonic()
        self._ended_s: list[float] = []

    def count(self) -> None:
        """Count a host that has finished."""
        self._ended_s.append(time.monotonic())

    @property
    def share(self) -> float:
        """How much is done, 0 to 1."""
        return len(self._ended_s) / self.total

    def __str__(self) -> str:
        n_done, now_s = len(self._ended_s), time.monotonic()
        since_s = max(self._began_s, now_s - _RATE_OVER_S)
        n_recent = n_done - bisect(self._ended_s, since_s)
        if not n_recent:
            return f"{n_done}/{self.total}"
        per_s = n_recent / max(now_s - since_s, 0.1)
        left_s = round((self.total - n_done) / per_s)
        return f"{n_done}/{self.total}, {left_s // 60}:{left_s % 60:02d} left, {_format_rate(per_s)}"


def _format_rate(per_s: float) -> str:
    """Give `12 hosts/s` or `40 hosts/min`, as whole a number as the rate allows."""
    return f"{per_s:.0f} hosts/s" if per_s >= 3 else f"{per_s * 60:.0f} hosts/min"
