"""A schedule as one line of the account's crontab, between two comments that name it. Source: crontab(5)."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final
from zlib import crc32

from sshd_keepalive.config.program import run_program
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.quoting import quote

_LIMIT_S: Final = 30.0
_HOUR: Final = 6
_FIELDS: Final = re.compile(r"(?:[0-9A-Za-z*,/-]+\s+){4}[0-9A-Za-z*,/-]+|@[a-z]+")
_DAEMONS: Final = frozenset({"cron", "crond", "fcron"})  # Debian's; cronie's, busybox's and dcron's; fcron's
_NO_CRONTAB: Final = (b"no crontab for", b"can't open")  # cron and cronie; busybox


def fields(every: str, name: str) -> str:
    """When, as cron writes it.

    Args:
        name: of the schedule; it settles the minute, so that not everybody runs at once.
    Raises:
        ConfigError: neither a word nor five fields; whether fields are right is cron's to judge.
    """
    minute = crc32(name.encode()) % 60
    words = {"hour": f"{minute} * * * *", "day": f"{minute} {_HOUR} * * *", "week": f"{minute} {_HOUR} * * 1"}
    if every in words:
        return words[every]
    if not _FIELDS.fullmatch(every):
        raise ConfigError(
            f"--every {every!r}: not a time of cron, and systemd does not run this machine",
            hint='for example --every day, --every "0 6 * * 1-5"; see crontab(5)',
        )
    return every


def with_entry(crontab: str, name: str, every: str, script: Path) -> str:
    """The crontab with the entry of a schedule, in its old place or at the end; all other bytes as they were.

    Raises:
        ConfigError: cron cannot say when, or somebody has edited the entry.
    """
    command = f"/bin/sh {quote(str(script))}".replace("%", "\\%")  # cron reads a bare % as a line end
    entry = f"{_begin(name)}\n{fields(every, name)} {command}\n{_end(name)}\n"
    found = _entry(name).search(crontab)
    if found:
        return crontab[: found.start()] + entry + crontab[found.end() :]
    _refuse_edited(crontab, name)
    return crontab + ("" if not crontab or crontab.endswith("\n") else "\n") + entry


def without_entry(crontab: str, name: str) -> str:
    """The crontab without the entry of a schedule; all other bytes as they were.

    Raises:
        ConfigError: somebody has edited the entry.
    """
    if not _entry(name).search(crontab):
        _refuse_edited(crontab, name)
    return _entry(name).sub("", crontab)


def read() -> str:
    """This account's crontab; empty when it has none. Its bytes are kept, whatever they are.

    Raises:
        ConfigError: there is no cron here, or it does not answer.
    """
    try:
        done = subprocess.run(
            ["crontab", "-l"], capture_output=True, timeout=_LIMIT_S, env={**os.environ, "LC_ALL": "C"}
        )
    except FileNotFoundError:
        raise ConfigError(
            "neither systemd nor cron can be used here",
            hint="install cron, or let your own scheduler call check --record",
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"crontab -l does not answer: {error}") from None
    if done.returncode and not any(words in done.stderr for words in _NO_CRONTAB):
        raise ConfigError(f"crontab -l failed: {done.stderr.decode('utf-8', 'replace').strip()}")
    return done.stdout.decode("utf-8", "surrogateescape") if not done.returncode else ""


def take_out(name: str) -> None:
    """Remove the entry of a schedule, if there is one and a cron.

    Raises:
        ConfigError: somebody has edited the entry, or cron does not take the new crontab.
    """
    try:
        crontab = read()
    except ConfigError:
        return
    if (without := without_entry(crontab, name)) != crontab:
        write(without)


def write(crontab: str) -> None:
    """Let cron check and install a crontab.

    Raises:
        ConfigError: it refuses, and keeps the old one.
    """
    run_program(["crontab", "-"], given=crontab.encode("utf-8", "surrogateescape"), limit_s=_LIMIT_S)


def entry(name: str) -> str:
    """The line of a schedule; empty when there is none, or no cron."""
    with suppress(ConfigError):
        if found := _entry(name).search(read()):
            return found[1]
    return ""


def is_running() -> bool:
    """Whether a cron runs; True also where others' processes are hidden."""
    names: set[str] = set()
    for path in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # it ended meanwhile
            names.add(path.read_text(errors="replace").strip())
    return not names.isdisjoint(_DAEMONS) or not Path("/proc/1/comm").exists()


def _begin(name: str) -> str:
    return f"# sshd-keepalive {name}: begin, written by `sshd-keepalive schedule`"


def _end(name: str) -> str:
    return f"# sshd-keepalive {name}: end"


def _entry(name: str) -> re.Pattern[str]:
    # One line between the two: where somebody has put more there, it is not the entry that we wrote.
    return re.compile(rf"^{re.escape(_begin(name))}\n([^\n]*)\n{re.escape(_end(name))}\n?", re.MULTILINE)


def _refuse_edited(crontab: str, name: str) -> None:
    if any(f"\n{mark(name)}\n" in f"\n{crontab}\n" for mark in (_begin, _end)):
        raise ConfigError(
            f"the crontab's entry of {name} is not as it was written: nothing was changed",
            hint="take it out with crontab -e",
        )
