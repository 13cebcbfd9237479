"""Record runs, and query them later."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, TypeVar

from sqlalchemy import Column, Connection, Row, Select, Table, delete, insert, select, tuple_

from sshd_keepalive import serialization
from sshd_keepalive.errors import ConfigError, StoreError
from sshd_keepalive.history import outcome
from sshd_keepalive.history.changes import LOG_COMMAND, Recorded, Replaced
from sshd_keepalive.model import End, Host, HostReport, PastRun, Run, Scope, State, Subject
from sshd_keepalive.quoting import printable
from sshd_keepalive.store.address import Address
from sshd_keepalive.store.database import WAIT_S, Database
from sshd_keepalive.store.tables import documents, hosts, replaced, results, runs

_OF_POLICY: Final = runs.c.command != LOG_COMMAND
_MANY: Final = 5000  # values in one statement; SQLite takes 32,766, PostgreSQL 65,535
_INTERRUPTED: Final = 130

_T = TypeVar("_T")


class Store:
    """One history. Nothing is opened before it is needed; every method may raise StoreError.

    A run is written in one transaction, so that it is there as a whole or not at all. "The last" is the one that was
    recorded last, whatever the clocks said; lists are in the order of their start.
    """

    def __init__(
        self, address: Address, *, wait_s: float = WAIT_S, report_wait: Callable[[], None] = lambda: None
    ) -> None:
        self.address = address
        self._database = Database(address, wait_s=wait_s, report_wait=report_wait)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def is_begun(self) -> bool:
        """Whether there is anything to read; does not create a file."""
        return self._database.exists()

    # ---------------------------------------------------------------------------------------- write

    def save(self, run: Run) -> None:
        """Record a run. Hosts that were not begun are left out."""
        reports = tuple(report for report in run.hosts if report.end is not End.NOT_BEGUN)
        names = [printable(report.host.name) for report in reports]
        written = [_write_host(report) for report in reports]
        digests = [blake2b(text.encode("ascii"), digest_size=20).digest() for text in written]
        with self._database.writing() as connection:
            run_id = _insert_run(connection, run, reports)
            host_ids = _find_ids(connection, hosts.c.name, {name: {} for name in names})
            document_ids = _find_ids(
                connection,
                documents.c.digest,
                {digest: {"text": text} for digest, text in zip(digests, written, strict=True)},
            )
            rows = [
                {
                    "host_id": host_ids[name],
                    "state": report.state.value,
                    "seconds_s": report.seconds_s,
                    "document_id": document_ids[digest],
                }
                for report, name, digest in zip(reports, names, digests, strict=True)
            ]
            _insert_rows(connection, results, run_id, rows)
            gone = [
                {
                    "host_id": host_ids[name],
                    "setting": finding.setting,
                    "scope": finding.scope.text,
                    "value": finding.value,
                }
                for report, name in zip(reports, names, strict=True)
                if report.end is End.APPLIED and run.command == "apply"
                for finding in report.replaced
            ]
            _insert_rows(connection, replaced, run_id, gone)

    def prune(self, keep: timedelta, now: datetime) -> int:
        """Delete the runs that started longer ago than `keep`, and give their number.

        Counted from now or from the newest run but one, whichever is earlier: a clock that jumped ahead does not
        take everything along.
        """
        with self._database.writing() as connection:
            newest = connection.scalars(select(runs.c.started_at).order_by(runs.c.started_at.desc()).limit(2)).all()
            before = min(now, newest[-1] if newest else now) - keep
            old = connection.scalars(select(runs.c.id).where(runs.c.started_at < before)).all()
            for some in _split(old):
                named = set(
                    connection.scalars(select(results.c.document_id).distinct().where(results.c.run_id.in_(some)))
                )
                connection.execute(delete(runs).where(runs.c.id.in_(some)))  # its results go with it
                for these in _split(sorted(named)):
                    used = select(results.c.run_id).where(results.c.document_id == documents.c.id).exists()
                    connection.execute(delete(documents).where(documents.c.id.in_(these), ~used))
            return len(old)

    # ----------------------------------------------------------------------------------------- runs

    def list_runs(self, most: int | None = None) -> tuple[PastRun, ...]:
        """List the newest runs, oldest first."""
        with self._database.reading() as connection:
            return _build_past(connection.execute(_PAST.order_by(*_NEWEST).limit(most)))

    def list_previous(
        self, selection: str, *, command: str = "check", before: str | None = None, most: int = 1000
    ) -> tuple[PastRun, ...]:
        """List the earlier runs of a selection that were not interrupted, oldest first.

        Args:
            before: the id of a run; only those recorded before that one.
            most: of the newest.
        """
        wanted = _PAST.where(runs.c.selection == selection, runs.c.command == command, runs.c.exit_code != _INTERRUPTED)
        if before is not None:
            wanted = wanted.where(runs.c.id < select(runs.c.id).where(runs.c.name == before).scalar_subquery())
        with self._database.reading() as connection:
            return _build_past(connection.execute(wanted.order_by(runs.c.id.desc()).limit(most)))

    def find(self, word: str = "") -> str:
        """Find the id of the run that a word means: an id, the beginning of one, or nothing for the last recorded.

        Raises:
            ConfigError: none or several.
        """
        beginning = runs.c.name.startswith(word, autoescape=True)
        with self._database.reading() as connection:
            matches = connection.scalars(select(runs.c.name).where(beginning).order_by(runs.c.id.desc()).limit(2)).all()
        if not matches:
            raise ConfigError(f"no run {word} is recorded" if word else "no run is recorded yet", hint=_HINT_LIST)
        if word and len(matches) > 1 and word not in matches:
            raise ConfigError(f"{word} is the beginning of several runs, {matches[1]} and {matches[0]} among them")
        return word if word in matches else matches[0]

    def has_run(self, word: str) -> bool:
        """Whether a word is the id of a run, or the beginning of one."""
        with self._database.reading() as connection:
            query = select(runs.c.id).where(runs.c.name.startswith(word, autoescape=True)).limit(1)
            return connection.scalar(query) is not None

    def load(self, run_id: str) -> Run:
        """Load a run as it was recorded, with the earlier ones of its selection.

        Raises:
            ConfigError: the run does not exist.
        """
        with self._database.reading() as connection:
            row = connection.execute(select(runs.c.id, runs.c.document).where(runs.c.name == run_id)).first()
            if row is None:
                raise ConfigError(f"no run {run_id} is recorded", hint=_HINT_LIST)
            rows = connection.execute(
                select(documents.c.text, results.c.seconds_s)
                .join_from(results, documents)
                .where(results.c.run_id == row.id)
                .order_by(results.c.position)
            )
            reports = tuple(_read_host(text, seconds_s) for text, seconds_s in rows)
        run = _read_document(row.document, Run)
        return replace(run, hosts=reports, past=self.list_previous(run.selection, command=run.command, before=run_id))

    def compare(self, earlier: str, later: str) -> Iterator[tuple[str, Recorded | None, Recorded | None]]:
        """Give the hosts whose records in two runs differ, by name; None: not among the hosts of that run."""
        with self._database.reading() as connection:
            sides = [
                {row.document_id: row for row in connection.execute(_RECORDED.where(runs.c.name == name))}
                for name in (earlier, later)
            ]
        before, after = (
            {row.host: row for key, row in side.items() if key not in other} for side, other in (sides, reversed(sides))
        )
        for name in sorted({*before, *after}):
            yield name, _build_record_or_none(before.get(name)), _build_record_or_none(after.get(name))

    # ---------------------------------------------------------------------------------------- hosts

    def list_records(self, name: str, most: int | None = None) -> tuple[Recorded, ...]:
        """List the newest records of a host, oldest first."""
        wanted = _RECORDED.where(hosts.c.name == name).order_by(*_NEWEST).limit(most)
        with self._database.reading() as connection:
            rows = connection.execute(wanted).all()
        return tuple(_build_record(row) for row in reversed(rows))

    def list_hosts(self) -> tuple[str, ...]:
        """List all hosts that were ever recorded."""
        with self._database.reading() as connection:
            return tuple(connection.scalars(select(hosts.c.name).order_by(hosts.c.name)))

    def find_last_ok(self, name: str) -> Recorded | None:
        """Find the last record in which a host was compliant."""
        wanted = _RECORDED.where(hosts.c.name == name, results.c.state == State.OK.value, _OF_POLICY)
        with self._database.reading() as connection:
            return _build_record_or_none(connection.execute(wanted.order_by(results.c.run_id.desc()).limit(1)).first())

    def find_last(self, names: Collection[str], *, judged: bool = False) -> dict[str, Recorded]:
        """Find the last record of each host; `judged`: in which it could be judged. Those of `losses` do not count."""
        of_host = (
            select(results.c.run_id).join(runs).where(results.c.host_id == hosts.c.id, _OF_POLICY).correlate(hosts)
        )
        if judged:
            of_host = of_host.where(results.c.state.in_([state.value for state in State if state.is_judged]))
        newest = of_host.order_by(results.c.run_id.desc()).limit(1).scalar_subquery()
        records: dict[str, Recorded] = {}
        with self._database.reading() as connection:
            for some in _split(sorted(names)):
                last = select(hosts.c.id, newest.label("run_id")).where(hosts.c.name.in_(some)).subquery()
                pairs = tuple_(results.c.host_id, results.c.run_id).in_(select(last.c.id, last.c.run_id))
                records |= {row.host: _build_record(row) for row in connection.execute(_RECORDED.where(pairs))}
        return records

    def list_replaced(self, names: Collection[str]) -> dict[str, tuple[Replaced, ...]]:
        """List the values that our changes replaced on each host, oldest change first."""
        wanted = (
            select(hosts.c.name.label("host"), runs.c.name, runs.c.started_at, *list(replaced.c)[3:])
            .select_from(replaced)
            .join(hosts)
            .join(runs)
            .order_by(runs.c.id)
        )
        by_host: dict[str, list[Replaced]] = {}
        with self._database.reading() as connection:
            for some in _split(sorted(names)):
                for row in connection.execute(wanted.where(hosts.c.name.in_(some))):
                    by_host.setdefault(row.host, []).append(
                        Replaced(
                            run_id=row.name,
                            started_at=row.started_at,
                            setting=Subject(row.setting),
                            scope=Scope(text=row.scope),
                            value=row.value,
                        )
                    )
        return {name: tuple(values) for name, values in by_host.items()}


_HINT_LIST: Final = "list the runs: sshd-keepalive history"
_NEWEST: Final = (runs.c.started_at.desc(), runs.c.id.desc())
_PAST: Final[Select[Any]] = select(
    runs.c.name.label("id"),
    runs.c.command,
    runs.c.started_at,
    runs.c.counts,
    runs.c.exit_code,
    runs.c.selection,
)
_RECORDED: Final[Select[Any]] = (
    select(
        hosts.c.name.label("host"),
        runs.c.name.label("run"),
        runs.c.command,
        runs.c.started_at,
        results.c.seconds_s,
        results.c.document_id,
        documents.c.text,
    )
    .select_from(results)
    .join(runs)
    .join(hosts)
    .join(documents)
)


def _build_past(rows: Any) -> tuple[PastRun, ...]:
    return tuple(PastRun(**row) for row in reversed(rows.mappings().all()))


def _build_record(row: Row[Any]) -> Recorded:
    return Recorded(
        run_id=row.run,
        command=row.command,
        started_at=row.started_at,
        report=_read_host(row.text, row.seconds_s),
    )


def _build_record_or_none(row: Row[Any] | None) -> Recorded | None:
    return None if row is None else _build_record(row)


def _insert_run(connection: Connection, run: Run, reports: Sequence[HostReport]) -> int:
    """Insert a run and give its number."""
    row = {
        "name": run.id,
        "command": run.command,
        "selection": run.selection,
        "started_at": run.started_at,
        "exit_code": run.exit_code,
        "counts": outcome.count(replace(run, hosts=tuple(reports))),
        "document": serialization.write(replace(run, hosts=(), past=())),
    }
    number: int = connection.execute(insert(runs).returning(runs.c.id), row).scalar_one()
    return number


def _insert_rows(connection: Connection, into: Table, run_id: int, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows of a run, numbered in their order."""
    if rows:
        numbered = [{"run_id": run_id, "position": position, **row} for position, row in enumerate(rows)]
        connection.execute(insert(into), numbered)


def _find_ids(connection: Connection, key: Column[Any], wanted: dict[Any, dict[str, Any]]) -> dict[Any, int]:
    """Find the number of each key; insert missing ones with their other columns. No other process writes now."""
    numbers = _read_ids(connection, key, list(wanted))
    missing = [name for name in wanted if name not in numbers]
    if missing:
        connection.execute(insert(key.table), [{key.name: name, **wanted[name]} for name in missing])
        numbers |= _read_ids(connection, key, missing)
    return numbers


def _read_ids(connection: Connection, key: Column[Any], names: Sequence[Any]) -> dict[Any, int]:
    numbers: dict[Any, int] = {}
    for some in _split(names):
        rows = connection.execute(select(key, key.table.c.id).where(key.in_(some)))
        numbers.update((name, number) for name, number in rows)
    return numbers


def _split(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (values[at : at + _MANY] for at in range(0, len(values), _MANY))


# ------------------------------------------------------------------------------------- documents


def _write_host(report: HostReport) -> str:
    """Write one host, with the settings that reports show; equal findings give equal texts, without the duration."""
    host = report.host
    shown = Host(
        name=host.name,
        address=host.address,
        port=host.port,
        user=host.user,
        sshd_config=host.sshd_config,
        policy=host.policy,
        waiver=host.waiver,
        groups=host.groups,
        labels=host.labels,
    )
    losses = report.losses and report.losses.without_names()
    return serialization.write(replace(report, host=shown, fingerprint="", losses=losses, seconds_s=0.0))


def _read_host(text: str, seconds_s: float) -> HostReport:
    """Read the report that `_write_host` wrote, without the login settings of the host.

    Raises:
        StoreError: the text is damaged.
    """
    return replace(_read_document(text, HostReport), seconds_s=seconds_s)


def _read_document(text: str, of: type[_T]) -> _T:
    """Read the report of a host, or a run without its hosts.

    Raises:
        StoreError: the text is damaged.
    """
    try:
        return serialization.read(text, of)
    except ValueError:
        raise StoreError(
            f"the history is damaged: a record cannot be read as a {of.__name__}",
            hint="restore a copy of it, or record into a new one: --store PATH",
        ) from None
