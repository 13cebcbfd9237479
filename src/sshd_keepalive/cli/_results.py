"""What becomes of a finished run: it is recorded (`--record`) and sent where people look (`--notify`).

A history in trouble, or a sink that is dead, hides no result: it is told on standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sshd_keepalive import registry
from sshd_keepalive.cli import ExitCode
from sshd_keepalive.cli._options import Options, Recording
from sshd_keepalive.errors import ConfigError, KeepaliveError, StoreError
from sshd_keepalive.history import notice
from sshd_keepalive.history.changes import LOG_COMMAND, Recorded, Replaced, find_changes
from sshd_keepalive.model import Host, HostReport, PastRun, Run
from sshd_keepalive.notifiers import Notifier
from sshd_keepalive.quoting import join, printable
from sshd_keepalive.secrets.redaction import redact

if TYPE_CHECKING:
    from sshd_keepalive.secrets.retrieval import Secrets
    from sshd_keepalive.store import Store

REFERENCES: Final = ("env:", "file:", "keyring:", "command:")


def open_store(text: str, secrets: Secrets) -> Store:
    """The history that `--store` names.

    Raises:
        ConfigError: no address, or a reference that leads nowhere.
    """
    from sshd_keepalive import store  # SQLAlchemy, 250 ms

    if text.startswith(REFERENCES):
        text = secrets.get(text, purpose="--store").reveal()
    return store.Store(store.parse_address(text))


def holds_password(text: str) -> bool:
    """Whether `--store` spells a password out instead of referring to it."""
    if text.startswith(REFERENCES) or "://" not in text:
        return False
    from sshd_keepalive import store

    return store.parse_address(text).url.password is not None


def open_to_read(text: str) -> Store:
    """The history that `--store` names, for a command that only reads.

    Raises:
        ConfigError: also when nothing was recorded there.
    """
    from sshd_keepalive.secrets.retrieval import Secrets

    store = open_store(text, Secrets())
    if not store.is_begun():
        raise ConfigError(
            f"no run is recorded in {store.address}", hint="record one: sshd-keepalive check --record -i hosts.yaml"
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
        self._store = open_store(recording.store, secrets)
        names = [host.name for host in hosts]
        with self._told():
            self._past = self._store.list_previous(self._selection, command=command)
            if command == LOG_COMMAND:
                return
            self._last = self._store.find_last(names)
            # Nearly always the same records, and to read them is most of what recording costs.
            judged = {name: last for name, last in self._last.items() if last.report.state.is_judged}
            self._judged = judged | self._store.find_last(self._last.keys() - judged, judged=True)
            self._replaced = self._store.list_replaced(names)

    def compared(self, report: HostReport) -> HostReport:
        """A report with what changed on its host since it was last recorded."""
        name = report.host.name
        changes = find_changes(report, self._last.get(name), self._judged.get(name), self._replaced.get(name, ()))
        return replace(report, changes=changes) if changes else report

    def record(self, run: Run) -> Run:
        """Write the run down; gives it with the runs before it, and with the exit code that it ends with."""
        run = replace(run, selection=self._selection, past=self._past)
        if self._store is None:
            return run
        with self._told():
            self._store.save(run)
            if self._recording.keep is not None:
                self._store.prune(timedelta(seconds=self._recording.keep), datetime.now(UTC).replace(microsecond=0))
        self._store.close()
        return replace(run, exit_code=max(run.exit_code, ExitCode.UNKNOWN)) if self._has_failed else run

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            self._has_failed = True
            sys.stderr.write(printable(f"error: {error}\n" + (f"next: {error.hint}\n" if error.hint else "")))


def selection(options: Options, arguments: Sequence[str]) -> str:
    """The words that chose the hosts, the same from whichever directory they are typed."""
    words = [word for source in options.inventory for word in ("-i", make_absolute(source))]
    words += ["--limit", options.limit] if options.limit else []
    return join([*words, *arguments])


def make_absolute(source: str) -> str:
    """Give an inventory's SOURCE as it is written from any directory."""
    kind, colon, rest = source.partition(":")
    if Path(source).expanduser().exists():
        return str(Path(source).expanduser().absolute())
    if colon and Path(rest).expanduser().exists():
        return f"{kind}:{Path(rest).expanduser().absolute()}"
    return source


@dataclass(frozen=True, slots=True)
class Sink:
    """One `--notify`, ready to be sent to."""

    kind: str
    notifier: Notifier
    target: str = field(repr=False)  # may be a secret


def make_sinks(targets: Sequence[str], secrets: Secrets) -> tuple[Sink, ...]:
    """Resolve and check every `KIND:TARGET`, before any host is contacted.

    Raises:
        ConfigError: an unknown kind, a secret that is not there, a target that can never work.
    """
    return tuple(_make_sink(text, secrets) for text in targets)


def _make_sink(text: str, secrets: Secrets) -> Sink:
    kind, colon, target = text.partition(":")
    if not colon or not target:
        hint = "for example --notify apprise:env:TEAM_CHAT or --notify command:./page-somebody"
        raise ConfigError("--notify: not KIND:TARGET", hint=hint)  # not repeated: it may hold a secret
    notifier: Notifier = registry.load("notifiers", kind)
    if notifier.SECRET:
        target = secrets.get(target, purpose=f"--notify {kind}").reveal()
    notifier.check(target)
    return Sink(kind, notifier, target)


def send_notices(run: Run, to: Sequence[Sink], when: notice.When) -> None:
    """Send a run to every sink, if it is worth a message."""
    if not notice.is_due(run, when):
        return
    for sink in to:
        try:
            sink.notifier.send(run, sink.target)
        except KeepaliveError as error:
            hint = f"; {error.hint}" if error.hint else ""
            sys.stderr.write(printable(redact(f"warning: --notify {sink.kind}: {error}{hint}")) + "\n")
        except Exception as error:  # a stranger's notifier: whatever it raises, the run is as it was
            sys.stderr.write(f"warning: --notify {sink.kind}: {type(error).__name__}\n")
