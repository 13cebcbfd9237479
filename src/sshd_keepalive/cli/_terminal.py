"""What a run says: standard output for the report, in colour on a terminal; standard error for progress."""

from __future__ import annotations

import atexit
import os
import re
import select
import signal
import sys
import termios
import threading
import time
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

import click

from sshd_keepalive import files, registry
from sshd_keepalive.cli import ExitCode
from sshd_keepalive.cli._options import Options
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.likeness import is_fine
from sshd_keepalive.model import End, HostReport, Run, State
from sshd_keepalive.reports import text as text_report

#: The rate is that of the last so many seconds: long enough not to jump, short enough to show a stall.
_RATE_OVER_S: Final = 30.0
_REDRAWN_EVERY_S: Final = 0.5
_NARROWEST_BAR, _WIDEST_BAR = 10, 40  # columns
_NARROWEST: Final = 40  # columns
_STYLES: Final[dict[str, dict[str, Any]]] = {
    State.OK: {"fg": "green"},
    End.APPLIED: {"fg": "green"},
    State.WAIVED: {"fg": "yellow"},
    State.DRIFT: {"fg": "yellow"},
    End.NOT_BEGUN: {"fg": "yellow"},
    End.REFUSED: {"fg": "red"},
    State.UNKNOWN: {"fg": "red"},
    State.UNREACHABLE: {"fg": "red"},
    End.ROLLED_BACK: {"fg": "magenta"},
    End.UNPROVED: {"fg": "red", "bold": True},
}
_WORD: Final = re.compile(rf"({'|'.join(_STYLES)}) +\S")
_TITLE: Final = re.compile(r"(\d+ hosts?: |no hosts)")


class Prompts:
    """Asks on the terminal, from whichever thread; an interruption ends every question at once."""

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
        """Ask as ssh(1) asks about a host key: yes, no, or the fingerprint that somebody trustworthy has given.

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
        with self._waking():
            while (answer := self._ask(f"{question} [y/N]: ").strip().lower()) not in answers:
                sys.stderr.write("type y or n\n")
        return answers[answer]

    @contextmanager
    def _waking(self) -> Iterator[None]:
        """Let a signal end the wait for an answer, also one that arrives before the wait has begun.

        A handler runs between two bytecodes of the main thread: what blocks after the last look for signals is not
        interrupted by one that came before it (signal, set_wakeup_fd).
        """
        self._prepare()
        assert self._wake is not None
        before = signal.set_wakeup_fd(self._wake[1])
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
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
        # What was typed before a password is asked for was shown, and is not the answer.
        termios.tcsetattr(0, termios.TCSADRAIN if echo else termios.TCSAFLUSH, settings)
        sys.stderr.write(text)
        sys.stderr.flush()
        line = b""
        try:
            while not line.endswith(b"\n"):
                readable, _, _ = select.select([0, self._wake[0]], [], [])
                piece = b"" if self._is_stopped or 0 not in readable else os.read(0, 4096)
                if not piece and not self._is_stopped:  # Ctrl-D means the same as Ctrl-C
                    os.kill(os.getpid(), signal.SIGINT)
                if not piece:
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


class Gauge(Protocol):
    """What the status line shows; its text says the same in words."""

    @property
    def share(self) -> float:
        """How much is done, 0 to 1."""


class Output:
    """Prints a run as its options ask."""

    def __init__(self, options: Options, command: str, *, gauge: Gauge | None = None) -> None:
        self._gauge = gauge  # None: how many hosts have finished
        self.options = options
        self.command = command
        self.is_text = options.format == "text"
        self._report = registry.load("reports", options.format)
        self._outs = tuple(_out(text) for text in options.out)
        self._painted = _wants_color(sys.stdout, options.color)
        self._width = _find_width(sys.stdout)

    def diffs(self, run: Run) -> None:
        """Every different change once, before it is asked about."""
        for diff in text_report.render_diffs(run, width=self._width):
            if self.is_text:
                self.write(diff)
            else:  # standard output is for the document alone
                sys.stderr.write(diff)

    def host(self, report: HostReport) -> None:
        """One host has finished."""
        if self.options.format == "jsonl":
            self.write(self._report.render_line(report))

    def run(self, run: Run, *, with_diffs: bool) -> None:
        """The end of a run: the hosts, the totals, the reports for files."""
        if self.is_text:
            if with_diffs:
                self.diffs(run)
            shown = [report for report in run.hosts if not (self.options.quiet and is_fine(report))]
            self.write(text_report.render_ending(run, shown, verbose=self.options.verbose, width=self._width))
        elif self.options.format != "jsonl":
            self.write(self._report.render(run))
        self.files(run, lambda kind: str(registry.load("reports", kind).render(run)))

    def files(self, run: Run, render: Callable[[str], str]) -> None:
        """The reports for files; `render` gives one of a kind."""
        written = [_write_file(path, render(kind)) for kind, path in self._outs]
        if not all(written):  # the run came to what it came to, but somebody waits for that file
            raise SystemExit(max(run.exit_code, ExitCode.UNKNOWN))

    def write(self, text: str) -> None:
        """Text for standard output, in colour where that is wanted."""
        if self._painted and self.is_text:
            text = _paint(text)
        sys.stdout.write(text)
        sys.stdout.flush()

    def write_lines(self, lines: Iterable[str]) -> None:
        """Lines for standard output, broken between words where it is a terminal."""
        self.write(text_report.wrap(lines, self._width))

    @contextmanager
    def progress(self, total: int, detail: Callable[[], str] = str) -> Iterator[Any]:
        """A bar on a terminal, nothing otherwise; yields a function that is called for each finished host."""
        pace = _Pace(total)
        gauge = self._gauge or pace
        is_dumb = os.environ.get("TERM") == "dumb" or not sys.stderr.isatty()
        if self.options.no_progress or is_dumb or (gauge is pace and total < 2):
            yield lambda: None
            return

        def render(columns: int) -> str:
            return draw_bar(self.command, gauge.share, ", ".join(filter(None, (str(gauge), detail()))), columns)

        with show_status(render, every_s=_REDRAWN_EVERY_S):
            yield pace.count

    def say(self, text: str, *, always: bool = False) -> None:
        """Write a line about the run itself on standard error; with -q, or beside a document, only if `always`."""
        if always or (self.is_text and not self.options.quiet):
            sys.stderr.write(text_report.wrap([text], _find_width(sys.stderr)))

    def next_step(self, text: str) -> None:
        """The next command to type, on standard error so that a pipe stays clean."""
        if self.is_text and not self.options.quiet:
            sys.stderr.write(f"next: {text}\n")


def _find_width(stream: TextIO) -> int | None:
    """How wide lines may be; None: they may have any length."""
    return max(_NARROWEST, _count_columns(stream)) if stream.isatty() else None


def _count_columns(terminal: TextIO) -> int:
    if (columns := os.environ.get("COLUMNS", "")).isdecimal() and int(columns) > 0:
        return int(columns)
    return os.get_terminal_size(terminal.fileno()).columns or 80


def _wants_color(stream: TextIO, color: str) -> bool:
    """`--color`, then NO_COLOR, FORCE_COLOR and a dumb terminal, then whether it is one."""
    if color != "auto":
        return color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def _out(text: str) -> tuple[str, Path]:
    kind, colon, path = text.partition(":")
    if not colon or not path:
        raise ConfigError(f"--out {text}: not KIND:FILE", hint="for example --out json:report.json")
    registry.load("reports", kind)
    return kind, check_output(text, path)


def check_output(text: str, path: str) -> Path:
    """Give the file that an --out names.

    Args:
        text: the whole value of the option.
    Raises:
        ConfigError: nothing could be written there.
    """
    try:
        file = Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"--out {text}: the account does not exist") from None
    if file.is_dir():
        raise ConfigError(f"--out {text}: this is a directory")
    if not file.parent.is_dir():
        raise ConfigError(f"--out {text}: the directory does not exist")
    place = file if files.is_written_through(file) else file.parent
    if not os.access(place, os.W_OK):
        raise ConfigError(f"--out {text}: no permission to write to {place}")
    return file


def _write_file(path: Path, content: str) -> bool:
    """All or nothing: a full disk leaves the old report as it was, and is said."""
    try:
        files.write(path, content.encode("utf-8", "backslashreplace"))
    except OSError as error:
        sys.stderr.write(f"error: cannot write the report to {path}: {error.strerror}\n")
        return False
    return True


def _paint(text: str) -> str:
    """Add a terminal's escape sequences: to the first word of a host, the lines of a diff, titles and totals."""
    return "\n".join(map(_paint_line, text.split("\n")))


def _paint_line(line: str) -> str:
    if word := _WORD.match(line):
        return click.style(word[1], **_STYLES[word[1]]) + line[word.end(1) :]
    if line.startswith(("--- ", "+++ ")) or _TITLE.match(line):
        return click.style(line, bold=True)
    color = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return click.style(line, fg=color) if color else line


class _StatusLine:
    """One line on standard error below all that is written meanwhile."""

    def __init__(self, render: Callable[[int], str]) -> None:
        self._render = render
        self._terminal = sys.stderr
        self._lock = threading.RLock()  # a signal may be handled, and written about, in the middle of a write
        self._is_shown = False
        self._is_free = True  # the cursor is at the beginning of a line: nobody is being asked there

    def draw(self) -> None:
        """Draw the line, or draw it again."""
        with self._lock:
            if self._is_free:
                self._terminal.write(f"\r{self._render(_count_columns(self._terminal) - 1)}\x1b[K")
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

    before = sys.stdout, sys.stderr
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
        sys.stdout, sys.stderr = before


def draw_bar(label: str, share: float, words: str, columns: int) -> str:
    """Give `check [####....] 3/10, 4 hosts/s`; on a narrow terminal the bar gives way, not the words."""
    room = min(_WIDEST_BAR, columns - len(label) - len(words) - len(" [] "))
    bar = f"[{'#' * int(share * room):.<{room}}] " if room >= _NARROWEST_BAR else ""
    return f"{label} {bar}{words}"[:columns]


class _Pace:
    """How many hosts have finished, and how fast; any thread may ask."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._began_s = time.monotonic()
        self._ended_s: list[float] = []

    def count(self) -> None:
        """One host has finished."""
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
