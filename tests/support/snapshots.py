"""Snapshots of hosts that never were: files, and an sshd that reads them as we do unless told otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sshd_keepalive.errors import ParseError
from sshd_keepalive.model import Context, Dump, Glob, Host, Policy, RemoteFile, Snapshot
from sshd_keepalive.sshd_config import include
from sshd_keepalive.sshd_config.reading import read, read_files
from sshd_keepalive.sshd_config.tree import find_missing_globs
from sshd_keepalive.sshd_config.version import Version

MAIN = "/etc/ssh/sshd_config"
EVERYBODY = Context()
USUAL = Policy()
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def dump(
    files: Mapping[str, bytes],
    version: str,
    context: Context = EVERYBODY,
    main: str = MAIN,
    options: tuple[str, ...] = (),
) -> Dump:
    """What an sshd that reads as we do prints for the two settings, or refuses to."""
    reading = read_files(files, main=main, version=Version.parse(version), options=options)
    try:
        effective = reading.resolve(context)
    except ParseError as error:
        return Dump(context=context, error=f"{error.path} line {error.line}: {error.reason}")
    return Dump(context=context, settings=tuple((s.keyword, s.value) for s in effective.settings))


def look(
    files: Mapping[str, str | bytes],
    *,
    version: str = "9.2p1",
    policy: Policy = USUAL,
    globs: tuple[Glob, ...] | None = None,
    dumps: tuple[Dump, ...] | None = None,
    **more: Any,
) -> Snapshot:
    """One look at a host. Without `globs` every pattern was looked up; without `dumps` sshd agrees with us."""
    contents = {path: text if isinstance(text, bytes) else text.encode() for path, text in files.items()}
    main = MAIN if MAIN in contents or not contents else next(iter(contents))
    options = more["daemon"].options if more.get("daemon") else ()
    found = Snapshot(
        host=Host(name="h", address="192.0.2.7", sshd_config=main, policy=policy),
        taken_at=NOON,
        version=version,
        files=tuple(RemoteFile(path=path, content=content) for path, content in contents.items()),
        globs=globs or (),
        dumps=(dump(contents, version, main=main, options=options),) if dumps is None else dumps,
        **({"daemon": None} | more),
    )
    while globs is None and (missing := find_missing_globs(read(found).tree)):
        looked_up = tuple(Glob(pattern=pattern, paths=include.expand(pattern, contents)) for pattern in missing)
        found = replace(found, globs=found.globs + looked_up)
    return found
