"""The place of a history: a file, or the URL of a database. A password in it is never shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from sshd_keepalive.errors import ConfigError, require_extra

_POSTGRESQL: Final = "postgresql+psycopg"
_DRIVERS: Final = {
    "sqlite": "sqlite",
    "postgresql+psycopg": _POSTGRESQL,
    "postgresql": _POSTGRESQL,
    "postgres": _POSTGRESQL,
}
_SCHEME: Final = re.compile(r"[A-Za-z][\w+.-]*:/")


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed URL and how it may be shown."""

    url: URL = field(repr=False)

    @property
    def file(self) -> Path | None:
        """The SQLite file; None for a server."""
        return Path(self.url.database or "") if self.url.drivername == "sqlite" else None

    def __str__(self) -> str:
        return str(self.file or self.url.set(query={}).render_as_string(hide_password=True))

    def scrub(self, text: str) -> str:
        """Remove the password from a driver's words, if they repeat it."""
        password = str(self.url.password or "")
        for spelling in {password, quote(password, safe=""), quote_plus(password)} - {""}:
            text = text.replace(spelling, "***")
        return text


def parse_address(text: str = "") -> Address:
    """Read `--store`: a path, or `sqlite:///PATH`, `postgresql://USER@HOST/NAME`. Empty: the account's own file.

    Raises:
        ConfigError: no URL of a kind that is known. The text is not repeated: it may hold a password.
        ExtensionError: PostgreSQL without its driver.
    """
    if not text:
        from platformdirs import user_state_path

        return _parse_file(user_state_path("sshd-keepalive") / "history.db")
    if not _SCHEME.match(text):
        return _parse_file(Path(text).expanduser())
    try:
        url = make_url(text)
        driver = _DRIVERS.get(url.drivername, "")
    except (ArgumentError, ValueError):
        driver = ""
    if not driver:
        raise ConfigError(
            "--store: neither a path nor a URL of a known kind", hint="write PATH or postgresql://USER@HOST/NAME"
        )
    if driver == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ConfigError("--store: the URL names no file", hint="write sqlite:////absolute/path/history.db")
        return _parse_file(Path(url.database))
    with require_extra("postgres"):
        import_module("psycopg")
    if password := url.query.get("password"):  # libpq takes it there, too
        url = url.set(password=str(password)).difference_update_query(["password"])
    return Address(url.set(drivername=driver))


def _parse_file(path: Path) -> Address:
    return Address(URL.create("sqlite", database=str(path.absolute())))
