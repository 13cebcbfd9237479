"""The tables after the newest migration. docs/reference/store.md describes them.

The report of a host is a document, and equal documents are stored once: a fleet that does not change adds a row of
some 60 bytes per host and run. So a million results are a small file, and two runs differ where their rows name
different documents.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.engine import Dialect

from sshd_keepalive.quoting import printable

#: The newest migration. A history that names another one was written by a newer release.
SCHEMA: Final = "0001"
VERSION_TABLE: Final = "history_schema"


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime; SQLite keeps no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text from a host or a command line, made printable: databases refuse the surrogates of undecodable bytes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else printable(value)


#: SQLite counts rows up in an INTEGER only.
Number = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

runs = Table(
    "runs",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),  # in the order of recording, whatever clocks say
    Column("name", Text, nullable=False, unique=True),  # the run id that people see
    Column("command", Text, nullable=False),
    Column("selection", Words, nullable=False),
    Column("started_at", Moment, nullable=False, index=True),
    Column("exit_code", Integer, nullable=False),
    Column("counts", JSON, nullable=False),  # hosts by State and by End
    Column("document", Text, nullable=False),  # the run without its hosts, JSON
    Index(None, "selection", "id"),
    sqlite_autoincrement=True,  # a number is never given twice, also after retention took the last run
)

hosts = Table(
    "hosts",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("name", Words, nullable=False, unique=True),
)

documents = Table(
    "documents",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("digest", LargeBinary, nullable=False, unique=True),  # of the text, BLAKE2b, 20 bytes
    Column("text", Text, nullable=False),  # one host's report, JSON
)

results = Table(
    "results",
    metadata,
    Column("run_id", Number, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),  # in the order of the inventory
    Column("host_id", Number, ForeignKey("hosts.id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("seconds_s", Float, nullable=False),
    Column("document_id", Number, ForeignKey("documents.id"), nullable=False, index=True),
    Index(None, "host_id", "run_id"),
    sqlite_with_rowid=False,
)

replaced = Table(
    "replaced",
    metadata,
    Column("run_id", Number, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("host_id", Number, ForeignKey("hosts.id"), nullable=False, index=True),
    Column("setting", Words, nullable=False),
    Column("scope", Words, nullable=False),  # without its place, since a line moves; empty: everybody
    Column("value", Words, nullable=False),
)
