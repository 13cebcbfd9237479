"""One database: connections, the one writer at a time, the schema brought up to date, and errors in plain words."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select, table
from sqlalchemy import column as named
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from sshd_keepalive.errors import StoreError
from sshd_keepalive.store.address import Address
from sshd_keepalive.store.tables import SCHEMA, VERSION_TABLE, metadata

WAIT_S: Final = 30.0  # for another writer, and for a server to answer
#: For one attempt to get a lock; then the wait is reported. PostgreSQL ends its own maintenance for us within a second.
_ATTEMPT_S: Final = 2.0
_ROUND_S: Final = 0.05

#: Statements that begin a transaction, for each database. SQLite reads at once, so that all that is read is of one
#: moment. PostgreSQL gets all locks at once: so it is known what is waited for.
_Begin = Mapping[str, tuple[str, ...]]
_TABLES: Final = ", ".join(metadata.tables)
_LOOK: Final[_Begin] = {"sqlite": ("BEGIN", "SELECT 1 FROM sqlite_master LIMIT 1"), "postgresql": ()}
_READ: Final[_Begin] = {
    "sqlite": _LOOK["sqlite"],
    "postgresql": (
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        f"LOCK TABLE {_TABLES} IN ACCESS SHARE MODE",
    ),
}
_WRITE: Final[_Begin] = {
    "sqlite": ("BEGIN IMMEDIATE",),
    "postgresql": (
        "LOCK TABLE runs IN SHARE ROW EXCLUSIVE MODE",  # one writer
        f"LOCK TABLE {_TABLES} IN ROW EXCLUSIVE MODE",
    ),
}
#: The number is any one that every release takes: who holds it brings the schema up to date.
_MIGRATE: Final[_Begin] = {
    "sqlite": ("BEGIN IMMEDIATE",),
    "postgresql": ("SELECT pg_advisory_xact_lock(91755137756001)",),
}


class Database:
    """Opened lazily; `reading` and `writing` give a connection in a transaction, and StoreError for all trouble."""

    def __init__(
        self, address: Address, *, wait_s: float = WAIT_S, report_wait: Callable[[], None] = lambda: None
    ) -> None:
        """Open nothing.

        Args:
            report_wait: called when another program has locked the history for two seconds.
        """
        self.address = address
        self._wait_s = wait_s
        self._report_wait = report_wait
        self._engine = self._create_engine()
        self._is_current = False

    def exists(self) -> bool:
        """Whether the history exists: a file may not have been created yet."""
        return self.address.file is None or self.address.file.exists()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Read in one consistent transaction."""
        with self._translate_errors():
            self._prepare()
            with self._transaction(_READ) as connection:
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Write in one exclusive transaction; a second writer waits."""
        with self._translate_errors():
            self._prepare()
            with self._transaction(_WRITE) as connection:
                yield connection

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _create_engine(self) -> Engine:
        if self.address.file is None:
            limits: dict[str, Any] = {"connect_timeout": max(2, int(self._wait_s))}
            return create_engine(self.address.url, connect_args=limits, hide_parameters=True)
        engine = create_engine(self.address.url, connect_args={"timeout": _ATTEMPT_S}, hide_parameters=True)

        @event.listens_for(engine, "connect")
        def connected(driver: Any, _: Any) -> None:
            driver.isolation_level = None  # the driver would begin transactions too late: after the first read
            driver.execute("PRAGMA foreign_keys = on")
            # Readers and writers do not wait for each other then. A locked file refuses the switch without waiting.
            self._wait_for_lock(driver, lambda: driver.execute("PRAGMA journal_mode = wal"))

        return engine

    @contextmanager
    def _transaction(self, begin: _Begin) -> Iterator[Connection]:
        with self._engine.connect() as connection, connection.begin():

            def attempt() -> None:
                if connection.dialect.name == "postgresql":
                    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_ATTEMPT_S}s'")
                for statement in begin[connection.dialect.name]:
                    connection.exec_driver_sql(statement)

            self._wait_for_lock(connection.connection, attempt)
            yield connection

    def _wait_for_lock(self, driver: Any, attempt: Callable[[], object]) -> None:
        """Repeat what needs a lock until it succeeds; report once that another program holds it."""
        started_s, is_reported = time.monotonic(), False
        while True:
            try:
                attempt()
                return
            except Exception as error:
                waited_s = time.monotonic() - started_s
                if not _name_error(error).startswith(("SQLITE_BUSY", "55P03")) or waited_s > self._wait_s:
                    raise
            driver.rollback()
            if waited_s >= _ATTEMPT_S and not is_reported:
                is_reported = True
                self._report_wait()
            time.sleep(_ROUND_S)

    def _prepare(self) -> None:
        """Create the file and the tables, and run missing migrations."""
        if self._is_current:
            return
        if self.address.file is not None:
            _make(self.address.file)
        with self._transaction(_LOOK) as connection:
            version = _read_version(connection)
        if version != SCHEMA:
            with self._transaction(_MIGRATE) as connection:
                _migrate(connection, _read_version(connection))
        self._is_current = True

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise _translate_error(error, self.address) from None
        except OSError as error:
            raise StoreError(
                f"the history {self.address} cannot be opened: {error.strerror}",
                hint="name another place: --store PATH",
            ) from None
        except SQLAlchemyError as error:  # a value of a wrong type: the file is damaged
            raise StoreError(
                f"the history {self.address} is damaged ({type(error).__name__})", hint=_HINT_DAMAGED
            ) from None


def _make(path: Path) -> None:
    """Create the file and its directory for this account only; SQLite gives its other files the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _read_version(connection: Connection) -> str | None:
    """Read the name of the last migration; None before the first."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.scalar(select(named("version_num")).select_from(table(VERSION_TABLE)))


def _migrate(connection: Connection, version: str | None) -> None:
    """Run the missing migrations in the open transaction.

    Raises:
        StoreError: the history was written by a newer release.
    """
    if version == SCHEMA:  # another process has run them
        return
    if version is not None and version > SCHEMA:
        raise StoreError(
            f"the history has schema {version}, this release knows {SCHEMA} and older ones",
            hint="update sshd-keepalive, or record into another history: --store PATH",
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "sshd_keepalive.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, SCHEMA)


_HINT_DAMAGED: Final = "restore a copy of it, or move it away to begin a new one"
_HINT_LOCKED: Final = "another program uses it; run the command again when that has ended"
_HINT_READ_ONLY: Final = "let this account write there, or name another place: --store PATH"
_HINT_FULL: Final = "free disk space, or keep less: --keep 90d"
#: Prefix of an error's name or code, of SQLite and of PostgreSQL (appendix A of its manual) → our message.
_TROUBLES: Final = {
    "SQLITE_BUSY": ("is locked", _HINT_LOCKED),
    "SQLITE_LOCKED": ("is locked", _HINT_LOCKED),
    "SQLITE_CORRUPT": ("is damaged", _HINT_DAMAGED),
    "SQLITE_NOTADB": ("is damaged, or is not a history", _HINT_DAMAGED),
    "SQLITE_READONLY": ("cannot be written", _HINT_READ_ONLY),
    "SQLITE_CANTOPEN": ("cannot be opened", _HINT_READ_ONLY),
    "SQLITE_PERM": ("cannot be opened", _HINT_READ_ONLY),
    "SQLITE_FULL": ("cannot be written, the disk is full", _HINT_FULL),
    "55P03": ("is locked", _HINT_LOCKED),
    "40": ("is locked", _HINT_LOCKED),
    "25006": ("cannot be written", _HINT_READ_ONLY),
    "42501": ("cannot be written", _HINT_READ_ONLY),
    "53100": ("cannot be written, the disk is full", _HINT_FULL),
    "XX001": ("is damaged", _HINT_DAMAGED),
    "XX002": ("is damaged", _HINT_DAMAGED),
}


def _translate_error(error: DBAPIError, address: Address) -> StoreError:
    name = _name_error(error)
    message = " ".join(address.scrub(str(error.orig or error)).split())
    for beginning, (what, hint) in _TROUBLES.items():
        if name.startswith(beginning):
            return StoreError(f"the history {address} {what}: {message}", hint=hint)
    if address.file is None and not name:
        return StoreError(f"the history {address} cannot be reached: {message}", hint="test the URL with psql")
    return StoreError(f"the history {address} cannot be used: {message}", hint="read the log of the database server")


def _name_error(error: Exception) -> str:
    """Name an error of SQLite, or give its code of PostgreSQL; empty: it is not of a database."""
    cause = getattr(error, "orig", error)
    return str(getattr(cause, "sqlite_errorname", "") or getattr(cause, "sqlstate", "") or "")
