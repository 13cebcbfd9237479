"""One database: connections, the one writer at a time, the schema brought up to date, and errors in plain words."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select, table, text
from sqlalchemy import column as named
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from sshd_keepalive.errors import StoreError
from sshd_keepalive.store.address import Address
from sshd_keepalive.store.tables import SCHEMA, VERSION_TABLE

WAIT_S: Final = 30.0  # for another writer, and for a server to answer
_PATIENCE_S: Final = 2.0  # of a person who is not told what the program waits for
_WRITES: Final = "writes"
#: Any number, as long as every release takes the same: who holds it brings the schema up to date.
_LOCK: Final = 0x5373_6864_6B61
_ROUND_S: Final = 0.05


class Database:
    """Opened lazily; `reading` and `writing` give a connection in a transaction, and StoreError for all trouble."""

    def __init__(
        self, address: Address, *, wait_s: float = WAIT_S, report_wait: Callable[[], None] = lambda: None
    ) -> None:
        """Open nothing.

        Args:
            report_wait: called when a file has been locked for two seconds and is waited for.
        """
        self.address = address
        self._wait_s = wait_s
        self._report_wait = report_wait
        self._engine = _create_engine(address, wait_s, report_wait)
        self._is_current = False

    def exists(self) -> bool:
        """Whether the history exists: a file may not have been created yet."""
        return self.address.file is None or self.address.file.exists()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Read in one consistent transaction."""
        with self._translate_errors():
            self._prepare()
            with self._engine.connect() as connection:
                if connection.dialect.name == "postgresql":
                    connection = connection.execution_options(isolation_level="REPEATABLE READ")
                with connection.begin():
                    yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Write in one exclusive transaction; a second writer waits."""
        with self._translate_errors():
            self._prepare()
            with self._lock() as connection:
                if connection.dialect.name == "postgresql":
                    connection.execute(text("LOCK TABLE runs IN SHARE ROW EXCLUSIVE MODE"))
                yield connection

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    @contextmanager
    def _lock(self) -> Iterator[Connection]:
        with self._engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SET LOCAL lock_timeout = {int(self._wait_s * 1000)}"))
            yield connection

    def _prepare(self) -> None:
        """Create the file and the tables, and run missing migrations."""
        if self._is_current:
            return
        if self.address.file is not None:
            _make(self.address.file)
            self._write_ahead()
        with self._engine.connect() as connection, connection.begin():
            version = _read_version(connection)
        if version != SCHEMA:
            with self._lock() as connection:
                if connection.dialect.name == "postgresql":
                    connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
                _migrate(connection, _read_version(connection))
        self._is_current = True

    def _write_ahead(self) -> None:
        """Switch the file to write-ahead logging, so that readers and writers do not wait for each other."""
        until = time.monotonic() + self._wait_s
        while True:
            try:
                with self._engine.connect() as connection:
                    driver: Any = connection.connection.driver_connection  # outside of any transaction
                    mode = _execute_patiently(driver, "PRAGMA journal_mode", self._wait_s, self._report_wait)
                    if mode.fetchone()[0] != "wal":
                        driver.execute("PRAGMA journal_mode = wal")
                return
            except Exception as error:
                if getattr(error, "sqlite_errorname", "") != "SQLITE_BUSY" or time.monotonic() > until:
                    raise
                time.sleep(_ROUND_S)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        import sqlite3

        try:
            yield
        except DBAPIError as error:
            raise _translate_error(error.orig or error, self.address) from None
        except sqlite3.Error as error:
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


def _create_engine(address: Address, wait_s: float, report_wait: Callable[[], None]) -> Engine:
    if address.file is None:
        engine = create_engine(address.url, connect_args={"connect_timeout": max(2, int(wait_s))}, hide_parameters=True)
        return engine
    engine = create_engine(address.url, connect_args={"timeout": wait_s}, hide_parameters=True)

    # The driver begins transactions after the first read, which is too late for consistency, so they begin here.
    # Source: SQLAlchemy, dialects/sqlite, "Serializable isolation / Savepoints / Transactional DDL".
    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = on")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES)
        driver = connection.connection.driver_connection
        _execute_patiently(driver, "BEGIN IMMEDIATE" if writes else "BEGIN", wait_s, report_wait)

    return engine


def _execute_patiently(driver: Any, statement: str, wait_s: float, report_wait: Callable[[], None]) -> Any:
    """Wait for a locked file, and report that when it takes longer than a moment."""
    import sqlite3

    patience_s = min(_PATIENCE_S, wait_s)
    driver.execute(f"PRAGMA busy_timeout = {int(patience_s * 1000)}")
    try:
        return driver.execute(statement)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname != "SQLITE_BUSY":
            raise
        report_wait()
        driver.execute(f"PRAGMA busy_timeout = {int((wait_s - patience_s) * 1000)}")
        return driver.execute(statement)
    finally:
        driver.execute(f"PRAGMA busy_timeout = {int(wait_s * 1000)}")


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


def _translate_error(error: BaseException, address: Address) -> StoreError:
    name = str(getattr(error, "sqlite_errorname", "") or getattr(error, "sqlstate", "") or "")
    message = " ".join(address.scrub(str(error)).split())
    for beginning, (what, hint) in _TROUBLES.items():
        if name.startswith(beginning):
            return StoreError(f"the history {address} {what}: {message}", hint=hint)
    if address.file is None and not name:
        return StoreError(f"the history {address} cannot be reached: {message}", hint="test the URL with psql")
    return StoreError(f"the history {address} cannot be used: {message}", hint="read the log of the database server")
