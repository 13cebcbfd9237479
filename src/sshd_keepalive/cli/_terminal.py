"""What a run says: standard output for the report, in colour on a terminal; standard error for progress."""

from __future__ import annotations

import atexit
import os
import re
import select
import shutil
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from sshd_keepalive import files, registry
from sshd_keepalive.cli import ExitCode
from sshd_keepalive.cli._options import Options
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.likeness import is_fine
from sshd_keepalive.model import End, HostReport, Run, State
from sshd_keepalive.reports import text as text_report

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task

#: The rate is that of the last so many seconds: long enough not to jump, short enough to show a stall.
_RATE_OVER_S: Final = 30.0
_REDRAWN_PER_S: Final = 4.0
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

    def stop(self) -> None:
        """End every question, and leave the terminal as it was."""
        self._is_stopped = True
        if self._wake:
            os.write(self._wake[1], b"x")
        self._restore()

    def _ask(self, text: str, *, echo: bool = True) -> str:
        if self._settings is None:
            self._settings, self._wake = termios.tcgetattr(0), os.pipe()
            atexit.register(self._restore)
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
        return line.decode(errors="surrogateescape").rstrip("\r\n")

    def _restore(self) -> None:
        if self._settings is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._settings)


#: The terminal of this process.
PROMPTS: Final = Prompts()


class Output:
    """Prints a run as its options ask."""

    def __init__(self, options: Options, command: str) -> None:
        self.options = options
        self.command = command
        self.is_text = options.format == "text"
        self._report = registry.load("reports", options.format)
        self._outs = tuple(_out(text) for text in options.out)
        self._painted = _wants_color(sys.stdout, options.color)
        self._width = _find_width(sys.stdout)

    def diffs(self, run: Run) -> None:
        """Every different change once, before it is asked about."""
        for diff in text_report.diffs(run, width=self._width):
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
            self.write(text_report.ending(run, shown, verbose=self.options.verbose, width=self._width))
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

    @contextmanager
    def progress(self, total: int, detail: Callable[[], str] = str) -> Iterator[Any]:
        """A bar on a terminal, nothing otherwise; yields a function that is called for each finished host."""
        if self.options.no_progress or not sys.stderr.isatty() or total < 2:
            yield lambda: None
            return
        with _show_bar(self.command, total, detail, self.console()) as advance:
            yield advance

    def console(self) -> Any:
        """Standard error for rich, in colour as standard output would be there."""
        from rich.console import Console

        return Console(file=sys.stderr, no_color=not _wants_color(sys.stderr, self.options.color))

    def say(self, text: str) -> None:
        """A line about the run itself, on standard error."""
        if self.is_text and not self.options.quiet:
            sys.stderr.write(text_report.wrap([text], _find_width(sys.stderr)))

    def next_step(self, text: str) -> None:
        """The next command to type, on standard error so that a pipe stays clean."""
        if self.is_text and not self.options.quiet:
            sys.stderr.write(f"next: {text}\n")


def _find_width(stream: TextIO) -> int | None:
    """The columns of a terminal; None: lines of any length."""
    return max(_NARROWEST, shutil.get_terminal_size().columns) if stream.isatty() else None


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
        raise ConfigError(f"--out {text}: there is no such account") from None
    if file.is_dir():
        raise ConfigError(f"--out {text}: this is a directory")
    if not file.parent.is_dir():
        raise ConfigError(f"--out {text}: there is no such directory")
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


@contextmanager
def _show_bar(command: str, total: int, detail: Callable[[], str], console: Console) -> Iterator[Callable[[], None]]:
    """Show a progress bar on standard error; yields a function to call for each finished host.

    Args:
        detail: asked at every redraw, `wave 2 of 4, 1 failed of 3 allowed`; from another thread.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Words(ProgressColumn):
        """Rate and detail."""

        def render(self, task: Task) -> Text:
            return Text(", ".join(filter(None, (_format_rate(task.finished_speed or task.speed), detail()))))

    columns = (
        TextColumn(command),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        Words(),
    )
    with Progress(
        *columns,
        console=console,
        transient=True,
        refresh_per_second=_REDRAWN_PER_S,
        speed_estimate_period=_RATE_OVER_S,
        # Lines for a terminal are written above the bar; those for a file or a pipe must arrive there.
        redirect_stdout=sys.stdout.isatty(),
    ) as shown:
        task = shown.add_task("", total=total)
        yield lambda: shown.advance(task)


def _format_rate(per_s: float | None) -> str:
    """Give `12 hosts/s` or `40 hosts/min`, as whole a number as the rate allows."""
    if not per_s:
        return ""
    return f"{per_s:.0f} hosts/s" if per_s >= 3 else f"{per_s * 60:.0f} hosts/min"
