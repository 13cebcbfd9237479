"""The output of a run: the report on standard output, in colour on a terminal; the rest on standard error."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

import click

from sshd_keepalive import files, registry
from sshd_keepalive.cli import ExitCode
from sshd_keepalive.cli.options import Options
from sshd_keepalive.cli.progress import Gauge, Pace, count_columns, draw_bar, show_status
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.likeness import ERROR, NEXT, is_fine
from sshd_keepalive.model import End, HostReport, Run, State
from sshd_keepalive.reports import text as text_report

_REDRAWN_EVERY_S: Final = 0.5
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


class Output:
    """Writes a run in the formats of its options."""

    def __init__(self, options: Options, command: str, *, gauge: Gauge | None = None) -> None:
        self._gauge = gauge  # None: how many hosts have finished
        self.options = options
        self.command = command
        self.is_text = options.format == "text"
        self._report = registry.load("reports", options.format, option="--format")
        self._files = tuple(_parse_output(text) for text in options.out)
        self._has_color = _wants_color(sys.stdout, options.color)
        self._width = _find_width(sys.stdout)

    def show_diffs(self, run: Run) -> None:
        """Show every different change once."""
        for diff in text_report.render_diffs(run, width=self._width):
            if self.is_text:
                self.write(diff)
            else:  # standard output is for the document alone
                sys.stderr.write(diff)

    def show_host(self, report: HostReport) -> None:
        """Show a host that has finished, where the format has one line for each."""
        if self.options.format == "jsonl":
            self.write(self._report.render_line(report))

    def show_run(self, run: Run, *, with_diffs: bool) -> None:
        """Show a run that has ended, and write the reports for files."""
        if self.is_text:
            if with_diffs:
                self.show_diffs(run)
            reports = [report for report in run.hosts if not (self.options.quiet and is_fine(report))]
            self.write(text_report.render_ending(run, reports, verbose=self.options.verbose, width=self._width))
        elif self.options.format != "jsonl":
            self.write(self._report.render(run))
        self.write_files(run, lambda kind: str(registry.load("reports", kind).render(run)))

    def write_files(self, run: Run, render: Callable[[str], str]) -> None:
        """Write the reports for files; `render` gives one of a kind."""
        if [path for kind, path in self._files if not _write_file(path, render(kind))]:
            raise SystemExit(max(run.exit_code, ExitCode.UNKNOWN))

    def write(self, text: str) -> None:
        """Write to standard output, in colour if the options say so."""
        if self._has_color and self.is_text:
            text = "\n".join(map(_paint_line, text.split("\n")))
        sys.stdout.write(text)
        sys.stdout.flush()

    def write_lines(self, lines: Iterable[str]) -> None:
        """Write lines to standard output; a terminal breaks them between words."""
        self.write(text_report.wrap(lines, self._width))

    @contextmanager
    def progress(self, total: int, detail: Callable[[], str] = str) -> Iterator[Any]:
        """Show a bar on a terminal during the block, which calls the function that it gets for each finished host."""
        pace = Pace(total)
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
            sys.stderr.write(wrap_for_stderr(text))

    def suggest(self, text: str) -> None:
        """Write the next command to type, on standard error: standard output may be a pipe."""
        if self.is_text and not self.options.quiet:
            sys.stderr.write(f"next: {text}\n")


def wrap_for_stderr(text: str) -> str:
    """Break lines for standard error between words if it is a terminal; secrets are left out."""
    from sshd_keepalive.secrets.redaction import redact

    return text_report.wrap(redact(text).split("\n"), _find_width(sys.stderr))


def render_error(message: str, hint: str | None) -> str:
    """Render an error and its next step for standard error."""
    return wrap_for_stderr(f"{ERROR}{message}" + (f"\n{NEXT}{hint}" if hint else ""))


def _find_width(stream: TextIO) -> int | None:
    """Find the width of lines; None: no limit."""
    return max(_NARROWEST, count_columns(stream)) if stream.isatty() else None


def _wants_color(stream: TextIO, color: str) -> bool:
    """Decide by `--color`, then NO_COLOR, FORCE_COLOR and a dumb terminal, then by whether it is a terminal."""
    if color != "auto":
        return color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def _parse_output(text: str) -> tuple[str, Path]:
    kind, _, path = text.partition(":")
    if not path:
        raise ConfigError(f"--out {text}: not KIND:FILE", hint="for example --out json:report.json")
    registry.load("reports", kind, option="--out")
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
    """Write all or nothing: on a full disk the old report remains, and standard error has the reason."""
    try:
        files.write(path, content.encode("utf-8", "backslashreplace"))
    except OSError as error:
        sys.stderr.write(f"error: cannot write the report to {path}: {error.strerror}\n")
        return False
    return True


def _paint_line(line: str) -> str:
    """Add a terminal's escape sequences: to the first word of a host, the lines of a diff, titles and totals."""
    if word := _WORD.match(line):
        return click.style(word[1], **_STYLES[word[1]]) + line[word.end(1) :]
    if line.startswith(("--- ", "+++ ")) or _TITLE.match(line):
        return click.style(line, bold=True)
    color = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return click.style(line, fg=color) if color else line
