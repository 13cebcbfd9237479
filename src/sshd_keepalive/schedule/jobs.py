"""Checks that run by themselves: one small shell script for each schedule, which systemd or cron starts.

The script `schedules/NAME.sh` in the configuration directory holds the whole command. Root's schedules are the
machine's and stand in /etc/sshd-keepalive, anybody else's in the account's own directories. What a run came to is in
the history, since every scheduled check is recorded.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from platformdirs import user_config_path

from sshd_keepalive import files, program
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.quoting import quote
from sshd_keepalive.schedule import cron, systemd
from sshd_keepalive.spelling import did_you_mean

OVERLAPS: Final = systemd.OVERLAPS
_LEAST_LIMIT_S: Final = 3600.0
_END_S: Final = 60  # for a check that is told to end, before it is killed
#: What people call a time, beside what a manager calls it → `Schedule.every`.
_WORDS: Final = {word: word for word in ("hour", "day", "week")} | {"hourly": "hour", "daily": "day", "weekly": "week"}
#: A name that is one word everywhere: in a unit's name, a path, a crontab.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HEAD: Final = "# Written by `sshd-keepalive schedule install`; `schedule remove` removes it.\n"
#: cron does not keep two runs apart, does not end one that hangs, and mails every word.
_CRON_RUN: Final = """\
exec 9<"$0"
flock -n 9 || exit 75
said=$(timeout -k {end_s} {limit_s} {command} 2>&1)
code=$?
case $code in
0) exit 0 ;;
124 | 137 | 143)
	printf '%s\\n' "$said" 'the check was not done after {limit_s} s and was killed'
	exit 3 ;;
esac
printf '%s\\n' "$said"
exit "$code"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One scheduled check."""

    name: str
    every: str  # hour, day, week, or as the manager writes it
    directory: str  # where it was installed: relative paths of its options are meant from there
    state: str  # XDG_STATE_HOME of whoever installed it: who asks for the history finds what was recorded by itself
    argv: tuple[str, ...]  # the words behind `check`
    writable: tuple[str, ...] = ()  # directories that its reports are written into
    limit_s: float = _LEAST_LIMIT_S  # how long a check may take; then it is killed


def read_every(text: str) -> str:
    """Give when a schedule runs: of the usual words the one that `Schedule` knows, else what the manager may know."""
    plain = " ".join(text.split())
    return _WORDS.get(plain.lower(), plain)


def limit_of(n_hosts: int, forks: int, timeout_s: float) -> float:
    """How long a check of so many hosts may take: twice what it takes when every host uses up its time (seconds)."""
    return max(_LEAST_LIMIT_S, 2 * (n_hosts / forks + 1) * timeout_s)


def checked_name(name: str) -> str:
    """The name, if it can be one.

    Raises:
        ConfigError: it cannot.
    """
    if not _NAME.fullmatch(name):
        hint = "letters, digits, '.', '_' and '-', 64 at most, a letter or digit first: for example etl"
        raise ConfigError(f"{name!r} is not a valid name of a schedule", hint=hint)
    return name


def script(schedule: Schedule, *, for_cron: bool) -> str:
    """The shell script that runs the check once."""
    words = (*program.argv(), "check", "--record", "--no-progress", *schedule.argv)
    command = " ".join(map(quote, words))
    # With its own directory gone the options may still name absolute paths.
    begin = f"cd {quote(schedule.directory)} || cd /\nexport XDG_STATE_HOME={quote(schedule.state)}\n"
    run = (
        _CRON_RUN.format(end_s=_END_S, limit_s=round(schedule.limit_s), command=command)
        if for_cron
        else f"exec {command}\n"
    )
    return _HEAD + begin + run


def install(schedule: Schedule) -> bool:
    """Put a schedule to work, in place of one of the same name; give whether anything had to change.

    Raises:
        ConfigError: neither systemd nor cron can be used, or they refuse; everything is as it was.
    """
    name, path = schedule.name, _path(schedule.name)
    by_systemd = systemd.is_usable()
    text = script(schedule, for_cron=not by_systemd)
    old = path.read_text() if path.exists() else None
    if by_systemd:
        _refuse_hidden(schedule)
        systemd.check(name, schedule.every)
        history = f"{schedule.state}/sshd-keepalive"
        with suppress(OSError):  # the unit may write there, but not make it
            Path(history).mkdir(parents=True, exist_ok=True, mode=0o700)
        service = systemd.service(
            name,
            path,
            is_system=systemd.is_root(),
            limit_s=schedule.limit_s,
            writable=(history, *schedule.writable),
        )
        timer = systemd.timer(name, schedule.every)
        if old == text and systemd.texts(name) == (timer, service) and systemd.is_enabled(name):
            return False
    else:
        _refuse_missing_tools()
        crontab = cron.read()
        wanted = cron.with_entry(crontab, name, schedule.every, path)
        if old == text and wanted == crontab:
            return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", hint="nothing was scheduled") from None
    try:
        if by_systemd:
            systemd.install(name, service, timer)
            cron.take_out(name)  # of a time when systemd did not run this machine
        else:
            cron.write(wanted)
    except ConfigError:
        path.unlink() if old is None else files.write(path, old.encode("utf-8", "surrogateescape"))
        raise
    return True


def remove(name: str) -> None:
    """End a schedule; what its runs recorded stays.

    Raises:
        ConfigError: there is none of this name, or a file cannot be removed.
    """
    path = find(name)
    if not systemd.remove(name):
        cron.take_out(name)
    try:
        path.unlink()
    except OSError as error:
        raise ConfigError(f"{path} cannot be removed: {error.strerror}") from None


def find(name: str) -> Path:
    """The script of a schedule.

    Raises:
        ConfigError: it is not a name, or there is none of it.
    """
    path = _path(checked_name(name))
    if not path.exists():
        known = names()
        hint = f"there are {', '.join(known)}" if known else "there are none; make one with schedule install"
        raise ConfigError(f"there is no schedule {name!r}{did_you_mean(name, known)}", hint=hint)
    return path


def names() -> tuple[str, ...]:
    """The schedules of this account; of root, those of the machine."""
    return tuple(path.stem for path in sorted(_path("x").parent.glob("*.sh")))


def run(name: str) -> int:
    """Run a schedule's check now as its manager does, and wait for its end.

    Returns:
        The exit code of the check; OVERLAPS while another run is in progress; 3 when it was killed at its limit.
    Raises:
        ConfigError: there is no such schedule, or systemd cannot start it.
    """
    path = find(name)
    return systemd.run(name) if systemd.texts(name) else subprocess.run(["/bin/sh", path], check=False).returncode


def next_run(name: str) -> str:
    """When the next run begins: systemd says the time, a crontab the fields."""
    return systemd.next_run(name) if systemd.texts(name) else cron.entry(name).partition(" /bin/sh ")[0]


def _path(name: str) -> Path:
    top = Path("/etc/sshd-keepalive") if systemd.is_root() else user_config_path("sshd-keepalive")
    return top / "schedules" / f"{name}.sh"


def _refuse_hidden(schedule: Schedule) -> None:
    """The machine's units have a /tmp of their own, `PrivateTmp` of systemd.exec(5)."""
    named = [schedule.directory, *schedule.writable, *(word.partition(":")[2] or word for word in schedule.argv)]
    hidden = [path for path in named if f"{path}/".startswith(("/tmp/", "/var/tmp/"))]  # noqa: S108
    if hidden and systemd.is_root():
        raise ConfigError(
            f"{hidden[0]}: systemd gives the check an empty /tmp of its own", hint="keep it elsewhere, in /etc or /srv"
        )


def _refuse_missing_tools() -> None:
    for tool in ("flock", "timeout"):
        if shutil.which(tool) is None:
            raise ConfigError(
                f"a check that cron starts needs the program {tool}", hint="install util-linux, coreutils"
            )
