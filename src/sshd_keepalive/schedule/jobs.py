"""Scheduled checks: one small shell script for each schedule, which systemd or cron starts.

The script `schedules/NAME.sh` in the configuration directory holds the whole command: in /etc/sshd-keepalive for root,
in the account's own configuration directory for others. Every scheduled check is recorded in the history.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
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
_END_S: Final = 60  # between the signal to end and the one that kills
#: Words for a time, in addition to those of the manager → `Schedule.every`.
_WORDS: Final = {word: word for word in ("hour", "day", "week")} | {"hourly": "hour", "daily": "day", "weekly": "week"}
#: A name that is one word everywhere: in a unit's name, a path, a crontab.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HEAD: Final = "# Written by `sshd-keepalive schedule install`; `schedule remove` removes it.\n"
#: cron does not prevent overlapping runs, does not end one that hangs, and mails all output.
_CRON_RUN: Final = """\
exec 9<"$0"
flock -n 9 || exit 75
output=$(timeout -k {end_s} {limit_s} {command} 2>&1)
code=$?
case $code in
0) exit 0 ;;
124 | 137 | 143)
	printf '%s\\n' "$output" 'the check did not finish within {limit_s} s and was killed'
	exit 3 ;;
esac
printf '%s\\n' "$output"
exit "$code"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One scheduled check."""

    name: str
    every: str  # hour, day, week, or as the manager writes it
    directory: str  # working directory of the installation, for relative paths in its options
    state: str  # XDG_STATE_HOME of the account that installed it, so that both use one history
    argv: tuple[str, ...]  # arguments of `check`
    writable: tuple[str, ...] = ()  # directories of its reports
    limit_s: float = _LEAST_LIMIT_S  # how long a check may take; then it is killed


def read_every(text: str) -> str:
    """Read the value of --every: a usual word becomes that of `Schedule`, other text is for the manager."""
    plain = " ".join(text.split())
    return _WORDS.get(plain.lower(), plain)


def compute_limit(n_hosts: int, forks: int, timeout_s: float) -> float:
    """Compute how long a check may take: twice the time that it needs when every host uses its whole time (seconds)."""
    return max(_LEAST_LIMIT_S, 2 * (n_hosts / forks + 1) * timeout_s)


def check_name(name: str) -> None:
    """Refuse what cannot name a schedule.

    Raises:
        ConfigError: it is not a valid name.
    """
    if not _NAME.fullmatch(name):
        hint = "use letters, digits, '.', '_' and '-', 64 at most, a letter or digit first: for example etl"
        raise ConfigError(f"{name!r} is not a valid name of a schedule", hint=hint)


def render_script(schedule: Schedule, *, for_cron: bool) -> str:
    """Render the shell script that runs the check once."""
    words = (*program.argv(), "check", "--record", "--no-progress", *schedule.argv)
    command = " ".join(map(quote, words))
    # Options may name absolute paths, so a missing working directory does not stop the check.
    setup = f"cd {quote(schedule.directory)} || cd /\nexport XDG_STATE_HOME={quote(schedule.state)}\n"
    run = (
        _CRON_RUN.format(end_s=_END_S, limit_s=round(schedule.limit_s), command=command)
        if for_cron
        else f"exec {command}\n"
    )
    return _HEAD + setup + run


def install(schedule: Schedule) -> bool:
    """Install a schedule in place of one of the same name; give whether anything had to change.

    Raises:
        ConfigError: neither systemd nor cron can be used, or they refuse; everything is as it was.
    """
    name, script = schedule.name, _locate(schedule.name)
    if systemd.is_usable():
        _refuse_hidden(schedule)
        systemd.check_time(schedule.every)
        new = _render_systemd_files(schedule, script)
        if systemd.is_started(name) and _read(new) == new:
            return False
        _install(new, lambda: systemd.start(name))
        with suppress(ConfigError):  # there may be no cron; a line is left over from a time without systemd
            _remove_from_crontab(script)
        return True
    _refuse_missing_tools()
    crontab = cron.read()
    new_crontab = cron.add_line(crontab, script, cron.choose_fields(schedule.every, name))
    new = {script: render_script(schedule, for_cron=True)}
    if new_crontab == crontab and _read(new) == new:
        return False
    _install(new, lambda: cron.write(new_crontab))
    return True


def _render_systemd_files(schedule: Schedule, script: Path) -> dict[Path, str]:
    name, history = schedule.name, f"{schedule.state}/sshd-keepalive"
    with suppress(OSError):  # the service may write there, but cannot create it
        Path(history).mkdir(parents=True, exist_ok=True, mode=0o700)
    timer_file, service_file = systemd.list_files(name)
    service = systemd.render_service(
        name,
        script,
        is_system=systemd.is_root(),
        limit_s=schedule.limit_s,
        writable=(history, *schedule.writable),
    )
    return {
        script: render_script(schedule, for_cron=False),
        timer_file: systemd.render_timer(name, schedule.every),
        service_file: service,
    }


def _read(paths: Iterable[Path]) -> dict[Path, str | None]:
    """Read files; None stands for one that does not exist."""
    return {path: path.read_text(errors="surrogateescape") if path.exists() else None for path in paths}


def _install(new: Mapping[Path, str], start: Callable[[], None]) -> None:
    """Write files and start what they describe; on failure bring the old files back.

    Raises:
        ConfigError: a file is not of this program or cannot be written, or `start` failed.
    """
    old = _read(new)
    for path, text in old.items():
        if text is not None and not text.startswith((_HEAD, systemd.DESCRIPTION)):
            hint = "use another --name"
            raise ConfigError(f"{path} was not written by `schedule install`, so it is kept", hint=hint)
    try:
        _write(new)
        start()
    except ConfigError:
        with suppress(ConfigError):
            _write(old)
        raise


def _write(contents: Mapping[Path, str | None]) -> None:
    for path, text in contents.items():
        try:
            if text is None:
                path.unlink(missing_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                files.write(path, text.encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise ConfigError(f"nothing was scheduled: {path} cannot be written: {error.strerror}") from None


def remove(name: str) -> None:
    """Remove a schedule; what its runs recorded stays.

    Raises:
        ConfigError: there is none of this name, or a file cannot be removed.
    """
    script = find(name)
    try:
        if systemd.is_installed(name):
            systemd.remove(name)
        else:
            _remove_from_crontab(script)
        script.unlink()
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be removed: {error.strerror}") from None


def _remove_from_crontab(script: Path) -> None:
    if cron.find_line(script):
        cron.write(cron.remove_line(cron.read(), script))


def find(name: str) -> Path:
    """Find the script of a schedule.

    Raises:
        ConfigError: it is not a valid name, or no schedule has this name.
    """
    check_name(name)
    script = _locate(name)
    if not script.exists():
        names = list_names()
        if not names:
            raise ConfigError(f"schedule {name!r} does not exist: this account has none")
        hint = f"existing schedules: {', '.join(names)}"
        raise ConfigError(f"schedule {name!r} does not exist{did_you_mean(name, names)}", hint=hint)
    return script


def list_names() -> tuple[str, ...]:
    """List the schedules of this account; for root, those of the machine."""
    return tuple(path.stem for path in sorted(_locate("x").parent.glob("*.sh")))


def run(name: str) -> int:
    """Run a schedule's check now as its manager does, and wait for its end.

    Returns:
        The exit code of the check; OVERLAPS while another run is in progress; 3 when it was killed at its limit.
    Raises:
        ConfigError: the schedule does not exist, or systemd cannot start it.
    """
    script = find(name)
    if systemd.is_installed(name):
        return systemd.run(name)
    return subprocess.run(["/bin/sh", script], check=False).returncode


def find_next_run(name: str) -> str:
    """Find when the next run begins: systemd gives the time, a crontab the fields."""
    if systemd.is_installed(name):
        return systemd.find_next_run(name)
    return find_line(name).partition(" /bin/sh ")[0]


def find_line(name: str) -> str:
    """Find a schedule's line in the crontab; empty when there is none."""
    return cron.find_line(_locate(name))


def _locate(name: str) -> Path:
    top = Path("/etc/sshd-keepalive") if systemd.is_root() else user_config_path("sshd-keepalive")
    return top / "schedules" / f"{name}.sh"


def _refuse_hidden(schedule: Schedule) -> None:
    """Refuse paths below /tmp: system services have a /tmp of their own, `PrivateTmp` of systemd.exec(5)."""
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
