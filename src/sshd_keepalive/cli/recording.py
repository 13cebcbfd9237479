"""`--record`: keep what a run found, and tell what changed since. A history in trouble hides no result."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any, Final

import click

from sshd_keepalive.cli import output, passes
from sshd_keepalive.cli.durations import Duration
from sshd_keepalive.cli.options import Options
from sshd_keepalive.errors import ConfigError, StoreError
from sshd_keepalive.history.changes import Recorded, Replaced, drift
from sshd_keepalive.model import Host, HostReport, PastRun, Run, Verdict
from sshd_keepalive.quoting import printable

if TYPE_CHECKING:
    from sshd_keepalive.secrets.retrieval import Secrets
    from sshd_keepalive.store import Store

_DAY_S: Final = 86400
REFERENCES: Final = ("env:", "file:", "keyring:", "command:")

STORE = click.option(
    "--store",
    metavar="URL",
    default="",
    help="Where history is kept: a file, postgresql://…, or where that is written: env:NAME, file:PATH.",
)
_SHARED = (
    click.option(
        "--record", is_flag=True, help="Keep the result in the history, and tell what changed since the last."
    ),
    STORE,
    click.option(
        "--keep",
        metavar="TIME",
        type=Duration(_DAY_S, 36500 * _DAY_S),
        help="With --record: forget the runs that are older, 400d. Without it nothing is forgotten.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What the options said."""

    record: bool
    store: str
    keep: float | None  # seconds


def recording_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the history; the command gets them as one value, `recording`."""

    @functools.wraps(function)
    def called(**given: Any) -> Any:
        recording = {field.name: given.pop(field.name) for field in fields(Recording)}
        return function(recording=Recording(**recording), **given)

    wrapped: Callable[..., Any] = called
    for option in reversed(_SHARED):
        wrapped = option(wrapped)
    return wrapped


def opened(text: str, secrets: Secrets) -> Store:
    """The history that `--store` names.

    Raises:
        ConfigError: no address, or a reference that leads nowhere.
    """
    from sshd_keepalive import store  # SQLAlchemy, 250 ms

    if text.startswith(REFERENCES):
        text = secrets.get(text, purpose="--store").reveal()
    return store.Store(store.address(text))


def holds_password(text: str) -> bool:
    """Whether `--store` spells a password out instead of referring to it."""
    if text.startswith(REFERENCES) or "://" not in text:
        return False
    from sshd_keepalive import store

    return store.address(text).url.password is not None


def to_read(text: str) -> Store:
    """The history that `--store` names, for a command that only reads.

    Raises:
        ConfigError: also when nothing was recorded there.
    """
    from sshd_keepalive.secrets.retrieval import Secrets

    store = opened(text, Secrets())
    if not store.is_begun():
        raise ConfigError(
            f"nothing is recorded in {store.address} yet", hint="sshd-keepalive check --record, with the hosts to check"
        )
    return store


class Recorder:
    """Records one run; without `--record` it does nothing.

    What was recorded before is read before the first host is contacted. Whatever the history's trouble, the run goes
    on, the trouble is told on standard error, and the exit code is at least 3.
    """

    def __init__(
        self,
        recording: Recording,
        command: str,
        options: Options,
        arguments: Sequence[str],
        hosts: Sequence[Host],
        secrets: Secrets,
    ) -> None:
        self._recording = recording
        self._selection = selection(options, arguments)
        self._store: Store | None = None
        self._has_failed = False
        self._past: tuple[PastRun, ...] = ()
        self._last: dict[str, Recorded] = {}
        self._judged: dict[str, Recorded] = {}
        self._replaced: dict[str, tuple[Replaced, ...]] = {}
        if not recording.record:
            return
        self._store = opened(recording.store, secrets)
        names = [host.name for host in hosts]
        with self._told():
            self._past = self._store.previous(self._selection, command=command)
            self._last = self._store.last(names)
            # Nearly always the same records, and to read them is most of what recording costs.
            judged = {name: last for name, last in self._last.items() if last.report.verdict is not Verdict.UNKNOWN}
            self._judged = judged | self._store.last(self._last.keys() - judged, judged=True)
            self._replaced = self._store.replaced(names)

    def compared(self, report: HostReport) -> HostReport:
        """A report with what changed on its host since it was last recorded."""
        name = report.host.name
        changes = drift(report, self._last.get(name), self._judged.get(name), self._replaced.get(name, ()))
        return replace(report, drift=changes) if changes else report

    def record(self, run: Run) -> Run:
        """Write the run down; gives it with the runs before it, and with the exit code that it ends with."""
        run = replace(run, selection=self._selection, past=self._past)
        if self._store is None:
            return run
        with self._told():
            self._store.save(run)
            if self._recording.keep is not None:
                self._store.prune(timedelta(seconds=self._recording.keep), passes.now())
        self._store.close()
        return replace(run, exit_code=max(run.exit_code, output.UNREACHED)) if self._has_failed else run

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            self._has_failed = True
            sys.stderr.write(printable(f"error: {error}\n" + (f"next: {error.hint}\n" if error.hint else "")))


def selection(options: Options, arguments: Sequence[str]) -> str:
    """The words that chose the hosts, the same from whichever directory they are typed."""
    words = [word for source in options.inventory for word in ("-i", _absolute(source))]
    words += ["--limit", options.limit] if options.limit else []
    return join([*words, *arguments])


def _absolute(source: str) -> str:
    kind, colon, rest = source.partition(":")
    if Path(source).expanduser().exists():
        return str(Path(source).expanduser().absolute())
    if colon and Path(rest).expanduser().exists():
        return f"{kind}:{Path(rest).expanduser().absolute()}"
    return source
