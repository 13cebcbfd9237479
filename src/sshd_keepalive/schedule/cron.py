"""A schedule as one line of the account's crontab: the line that runs its script. Source: crontab(5)."""

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


def choose_fields(every: str, name: str) -> str:
    """Give the time as cron writes it.

    Args:
        name: of the schedule; it determines the minute, so that not all schedules run at once.
    Raises:
        ConfigError: neither a word nor five fields; cron itself checks the fields.
    """
    minute = crc32(name.encode()) % 60
    words = {"hour": f"{minute} * * * *", "day": f"{minute} {_HOUR} * * *", "week": f"{minute} {_HOUR} * * 1"}
    if every in words:
        return words[every]
    if not _FIELDS.fullmatch(every):
        raise ConfigError(
            f"--every {every!r}: not a time of cron, and systemd does not run this machine",
            hint='for example --every daily, --every "0 6 * * 1-5"; see crontab(5)',
        )
    return every


def add_line(crontab: str, script: Path, fields: str) -> str:
    """Give the crontab with a line that runs the script, in place of an earlier one or at the end.

    All other bytes stay as they were.
    """
    line = f"{fields} {_command(script)}\n"
    if _match_line(script).search(crontab):
        return _match_line(script).sub(lambda _: line, crontab, count=1)
    return crontab + ("" if not crontab or crontab.endswith("\n") else "\n") + line


def remove_line(crontab: str, script: Path) -> str:
    """Give the crontab without the lines that run the script. All other bytes stay as they were."""
    return _match_line(script).sub("", crontab)


def find_line(script: Path) -> str:
    """Find the line that runs the script; empty when there is none, or no cron."""
    with suppress(ConfigError):
        if match := _match_line(script).search(read()):
            return match[0].rstrip("\n")
    return ""


def read() -> str:
    """Read this account's crontab; empty when it has none. Undecodable bytes are kept as surrogate escapes.

    Raises:
        ConfigError: cron is not installed, or it does not answer.
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
    if done.returncode and not any(text in done.stderr for text in _NO_CRONTAB):
        raise ConfigError(f"crontab -l failed: {done.stderr.decode('utf-8', 'replace').strip()}")
    return done.stdout.decode("utf-8", "surrogateescape") if not done.returncode else ""


def write(crontab: str) -> None:
    """Let cron check and install a crontab.

    Raises:
        ConfigError: it refuses, and keeps the old one.
    """
    run_program(["crontab", "-"], stdin_bytes=crontab.encode("utf-8", "surrogateescape"), limit_s=_LIMIT_S)


def is_running() -> bool:
    """Whether a cron runs; True also where the processes of other accounts are hidden."""
    names: set[str] = set()
    for path in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # the process has ended
            names.add(path.read_text(errors="replace").strip())
    return not names.isdisjoint(_DAEMONS) or not Path("/proc/1/comm").exists()


def _command(script: Path) -> str:
    return f"/bin/sh {quote(str(script))}".replace("%", "\\%")  # cron reads a bare % as a line end


def _match_line(script: Path) -> re.Pattern[str]:
    return re.compile(rf"^[^#\n]*{re.escape(_command(script))}[^\n]*(?:\n|\Z)", re.MULTILINE)
