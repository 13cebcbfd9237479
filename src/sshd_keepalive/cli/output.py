"""What a run says: standard output for the report, standard error for progress; and the one table of exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from sshd_keepalive import files, registry
from sshd_keepalive.cli import ExitCode
from sshd_keepalive.cli.options import Options
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.history import outcome
from sshd_keepalive.model import End, HostReport, Phase, Run, Verdict
from sshd_keepalive.reports import text as text_report

OK, DRIFT, USAGE, UNREACHED, ROLLED_BACK, UNKNOWN, DEFECT, INTERRUPTED = ExitCode

_BY_END = {End.REFUSED: UNREACHED, End.UNREACHABLE: UNREACHED, End.ROLLED_BACK: ROLLED_BACK, End.UNKNOWN: UNKNOWN}
_BY_VERDICT = {Verdict.PASS: OK, Verdict.WAIVED: OK, Verdict.FAIL: DRIFT, Verdict.UNKNOWN: UNREACHED}


def exit_code(reports: Iterable[HostReport], command: str) -> int:
    """The worst host decides. `plan` asks whether there is something to do, the others how the host is."""
    return max((_code(report, command) for report in reports), default=OK)


def _code(report: HostReport, command: str) -> int:
    if command == "undo" and report.end in (End.APPLIED, End.UNCHANGED) and report.failure is None:
        return OK  # what is there is what was asked for, whatever a policy says
    if report.end in _BY_END:
        return _BY_END[report.end]
    if report.failure is not None:
        return UNREACHED
    if command == "plan":
        if report.diff or report.restarts:
            return DRIFT
        return UNREACHED if report.verdict is Verdict.UNKNOWN else OK
    return _BY_VERDICT[report.verdict]


class Output:
    """Prints a run as its options ask."""

    def __init__(self, options: Options, command: str) -> None:
        self.options = options
        self.command = command
        self.is_text = options.format == "text"
        self._report = registry.load("reports", options.format)
        self._outs = tuple(_out(text) for text in options.out)
        self._painted = _wants_color(sys.stdout, options.color)

    def diffs(self, reports: Iterable[HostReport], run_id: str, started_at: datetime) -> None:
        """Every different change once, before it is asked about."""
        run = _run(run_id, self.command, started_at, tuple(reports), 0)
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
            raise SystemExit(max(run.exit_code, UNREACHED))

    def write(self, text: str) -> None:
        """Text for standard output, in colour where that is wanted."""
        if self._painted and self.is_text:
            from sshd_keepalive.cli.paint import painted

            text = painted(text)
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
        from sshd_keepalive.cli.progress import bar

        with bar(self.command, total, detail, self.console()) as advance:
            yield advance

    def confirm_step(self, reports: Iterable[HostReport], selection: str) -> bool:
        """Say what confirms the changes that wait for it; gives whether there are any."""
        waits = any(report.failure and report.pending and report.pending.phase is Phase.WAITING for report in reports)
        if waits:
            self.next_step(f"sshd-keepalive confirm {selection}")
        return waits

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


def _run(run_id: str, command: str, started_at: datetime, reports: tuple[HostReport, ...], code: int) -> Run:
    return Run(
        id=run_id, command=command, started_at=started_at, ended_at=datetime.now(UTC), exit_code=code, hosts=reports
    )


finished = _run


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
