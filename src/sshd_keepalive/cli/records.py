"""Records: what `--record` keeps of a run, and the stores that `--store` names."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sshd_keepalive.cli import ExitCode
from sshd_keepalive.cli.options import Options
from sshd_keepalive.cli.output import render_error
from sshd_keepalive.config.values import is_reference
from sshd_keepalive.errors import ConfigError, StoreError
from sshd_keepalive.history.changes import LOG_COMMAND, Recorded, Replaced, find_changes
from sshd_keepalive.model import Host, HostReport, PastRun, Run
from sshd_keepalive.quoting import join, printable

if TYPE_CHECKING:
    from sshd_keepalive.secrets.retrieval import Secrets
    from sshd_keepalive.store import Store


def open_store(text: str, secrets: Secrets) -> Store:
    """Open the history that `--store` names.

    Raises:
        ConfigError: no address, or a reference that cannot be resolved.
    """
    from sshd_keepalive import store  # SQLAlchemy, 250 ms

    if is_reference(text):
        text = secrets.get(text, purpose="--store").reveal()
    address = store.parse_address(text)

    def report_wait() -> None:
        sys.stderr.write(printable(f"waiting for the history {address}: another program has locked it\n"))

    return store.Store(address, report_wait=report_wait)


def holds_password(text: str) -> bool:
    """Whether the text of `--store` has a password in it."""
    if is_reference(text) or "://" not in text:
        return False
    from sshd_keepalive import store

    return store.parse_address(text).url.password is not None


def open_to_read(text: str) -> Store:
    """Open the history that `--store` names, for a command that only reads.

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

    It reads earlier records before the first host is contacted. If the history fails, the run goes on, standard error
    has the reason, and the exit code is at least 3.
    """

    def __init__(self, command: str, options: Options, hosts: Sequence[Host], secrets: Secrets) -> None:
        self._keep_s = options.keep
        self._selection = describe_selection(options)
        self._store: Store | None = None
        self._failure = ""  # why the history could not be read or written
        self._past: tuple[PastRun, ...] = ()
        self._last: dict[str, Recorded] = {}
        self._judged: dict[str, Recorded] = {}
        self._replaced: dict[str, tuple[Replaced, ...]] = {}
        if not options.record:
            return
        self._store = open_store(options.store, secrets)
        names = [host.name for host in hosts]
        with self._report_failure():
            self._past = self._store.list_previous(self._selection, command=command)
            if command == LOG_COMMAND:
                return
            self._last = self._store.find_last(names)
            # They are nearly always the same records, and reading them is most of the cost of recording.
            judged = {name: last for name, last in self._last.items() if last.report.state.is_judged}
            self._judged = judged | self._store.find_last(self._last.keys() - judged, judged=True)
            self._replaced = self._store.list_replaced(names)

    def add_changes(self, report: HostReport) -> HostReport:
        """Add what changed on the host since it was last recorded."""
        name = report.host.name
        changes = find_changes(report, self._last.get(name), self._judged.get(name), self._replaced.get(name, ()))
        return replace(report, changes=changes) if changes else report

    def record(self, run: Run) -> Run:
        """Record the run; give it with the runs before it and its exit code."""
        run = replace(run, selection=self._selection, past=self._past)
        if self._store is None:
            return run
        with self._report_failure():
            self._store.save(run)
            if self._keep_s is not None:
                self._store.prune(timedelta(seconds=self._keep_s), datetime.now(UTC).replace(microsecond=0))
        self._store.close()
        return replace(run, exit_code=max(run.exit_code, ExitCode.UNKNOWN)) if self._failure else run

    @contextmanager
    def _report_failure(self) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            if str(error) != self._failure:  # reading and writing mostly fail alike
                sys.stderr.write(render_error(str(error), error.hint))
            self._failure = str(error)


def describe_selection(options: Options) -> str:
    """Write the words that chose the hosts, the same from every directory."""
    words = [word for source in options.inventory for word in ("-i", make_absolute(source))]
    words += ["--limit", options.limit] if options.limit else []
    return join([*words, *options.hosts])


def make_absolute(source: str) -> str:
    """Write the SOURCE of an inventory so that it is valid in every directory."""
    kind, colon, rest = source.partition(":")
    if Path(source).expanduser().exists():
        return str(Path(source).expanduser().absolute())
    if colon and Path(rest).expanduser().exists():
        return f"{kind}:{Path(rest).expanduser().absolute()}"
    return source
