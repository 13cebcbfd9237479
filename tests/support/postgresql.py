"""A PostgreSQL server of the tests' own: a cluster in a temporary directory, behind a Unix socket, with a password."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import URL, create_engine, text

#: What a URL, a shell and a log would each like to take apart.
PASSWORD = "s3cret:p@ss/w%rd"
OWNER = "keeper"


def programs() -> Path | None:
    """Where Debian's package puts initdb and pg_ctl, the newest release's."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else None


class Postgresql:
    """Running inside a `with`; `new()` gives the URL of an empty database."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._numbers = count()
        #: PostgreSQL will not be run by root.
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            self._as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self._folder, account.pw_uid, account.pw_gid)

    def __enter__(self) -> Postgresql:
        password = self._folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._run("initdb", "-U", OWNER, "-E", "UTF8", "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync")
        settings = f"-c listen_addresses='' -c unix_socket_directories={self._folder} -c fsync=off"
        self._run("pg_ctl", "-w", "-t", "60", "-l", str(self._folder / "log"), "-o", settings, "start")
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self._run("pg_ctl", "-w", "-m", "immediate", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, name: str, password: str = PASSWORD) -> str:
        """The URL of a database."""
        socket = {"host": str(self._folder)}
        return URL.create(
            "postgresql", username=OWNER, password=password, database=name, query=socket
        ).render_as_string(hide_password=False)

    def new(self) -> str:
        """The URL of an empty database."""
        name = f"history{next(self._numbers)}"
        self.tell("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def tell(self, name: str, statement: str) -> None:
        """Run one statement in a database."""
        url = self.url(name).replace("postgresql://", "postgresql+psycopg://")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()

    def _run(self, program: str, *arguments: str) -> None:
        found = programs()
        assert found is not None
        subprocess.run(
            [str(found / program), "-D", str(self._folder / "data"), *arguments],
            cwd=self._folder,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            **self._as,
        )


def server() -> Iterator[Postgresql]:
    """For a fixture."""
    with Postgresql() as running:
        yield running
