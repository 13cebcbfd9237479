"""What a run says: standard output for the report, in colour on a terminal; standard error for progress."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from sshd_keepalive import files, registry
from sshd_keepalive.cli import ExitCode
from sshd_keepalive.cli._options import Options
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.history import outcome
from sshd_keepalive.model import HostReport, Run
from sshd_keepalive.reports import text as text_report

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task

#: The rate is that of the last so many seconds: long enough not to jump, short enough to show a stall.
_RATE_OVER_S: Final = 30.0
_REDRAWN_PER_S: Final = 4.0
_STYLES: Final = {
    "ok": "green",
    "applied": "green",
    "waived": "yellow",
    "drift": "yellow",
    "refused": "red",
    "unreachable": "red",
    "rolled_back": "magenta",
    "not_begun": "yellow",
    "unknown": "red",
    "unproved": "bold red",
}
_WORD: Final = re.compile(rf"({'|'.join(_STYLES)}) +\S")


class Output:
    """Prints a run as its options ask."""

    def __init__(self, options: Options, command: str) -> None:
        self.options = options
        self.command = command
        self.is_text = options.format == "text"
        self._report = registry.load("reports", options.format)
        self._outs = tuple(_out(text) for text in options.out)
        self._painted = _wants_color(sys.stdout, options.color)

    def diffs(self, run: Run) -> None:
        """Every different change once, before it is asked about."""
        for diff in text_report.diffs(run):
            if self.is_text:
                self.write(diff)
            else:  # standard output is for the document alone
                sys.stderr.write(diff)

    def host(self, report: HostReport) -> None:
        """One host has finished: said at once when it is fine, kept for the end when it is not."""
        if self.options.format == "jsonl":
            self.write(self._report.line(report))
        elif self.is_text and text_report.is_fine(report) and not self.options.quiet:
            self.write(text_report.host(report, steps=self.options.verbose > 0))

    def run(self, run: Run, *, with_diffs: bool) -> None:
        """The end of a run: what was kept, the totals, the reports for files."""
        if self.is_text:
            for diff in text_report.diffs(run) if with_diffs else ():
                self.write(diff)
            for report in sorted(run.hosts, key=outcome.rank):
                if not text_report.is_fine(report) and (text_report.needs_telling(report) or self.options.verbose):
                    self.write(text_report.host(report, steps=self.options.verbose > 0))
            self.write(text_report.totals(run))
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
        """A bar on a terminal, nothing otherwise; yields a function that is called for each finished host.

        Without a terminal the hosts' own lines tell how far the run is.
        """
        if self.options.no_progress or self.options.quiet or not sys.stderr.isatty() or total < 2:
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
            sys.stderr.write(f"{text}\n")

    def next_step(self, text: str) -> None:
        """The next command to type, on standard error so that a pipe stays clean."""
        if self.is_text and not self.options.quiet:
            sys.stderr.write(f"next: {text}\n")


def _wants_color(stream: TextIO, color: str) -> bool:
    """`--color`, then NO_COLOR and a dumb terminal, then whether it is one."""
    if color != "auto":
        return color == "always"
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _out(text: str) -> tuple[str, Path]:
    kind, colon, path = text.partition(":")
    if not colon or not path:
        raise ConfigError(f"--out {text}: not KIND:FILE", hint="for example --out json:report.json")
    registry.load("reports", kind)
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
    return kind, file


def _write_file(path: Path, content: str) -> bool:
    """All or nothing: a full disk leaves the old report as it was, and is said."""
    try:
        files.write(path, content.encode("utf-8", "backslashreplace"))
    except OSError as error:
        sys.stderr.write(f"error: cannot write the report to {path}: {error.strerror}\n")
        return False
    return True


def _paint(text: str) -> str:
    """Add a terminal's escape sequences: to the first word of a host and to the lines of a diff."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=100_000, highlight=False)
    out = Text()
    for line in text.splitlines(keepends=True):
        word = _WORD.match(line)
        if word:
            out.append(word[1], _STYLES[word[1]]).append(line[len(word[1]) :])
        else:
            out.append(line, _diff_style(line))
    with console.capture() as captured:
        console.print(out, end="", soft_wrap=True)
    return captured.get()


def _diff_style(line: str) -> str:
    if line.startswith(("--- ", "+++ ")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")


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
