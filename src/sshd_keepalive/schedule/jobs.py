"""Checks that run by themselves: systemd's timer or cron starts `schedule run NAME`, which runs the check.

A schedule is one small file, `schedules/NAME.json` in the configuration directory: when, where it was installed, and
the words behind `check`. What the last run came to is one more, in the state directory of whoever installed it, beside
the history that its runs are recorded in. Root's schedules are the machine's and defined in /etc/sshd-keepalive,
anybody else's in the account's own directories, and timers are those of the account's own service manager.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from types import FrameType
from typing import Any, Final

from platformdirs import user_config_path

from sshd_keepalive import program
from sshd_keepalive.config.program import output_of
from sshd_keepalive.errors import ConfigError, KeepaliveError, StoreError
from sshd_keepalive.quoting import quote
from sshd_keepalive.schedule import calendar as timetable
from sshd_keepalive.schedule import units as timers
from sshd_keepalive.schedule.calendar import Timetable
from sshd_keepalive.spelling import did_you_mean

OVERLAPS: Final = timers.OVERLAPS
_LEAST_LIMIT_S: Final = 3600.0
_USUAL_LIMIT_S: Final = 6 * 3600.0  # of a schedule that was installed before there was a limit
_END_S: Final = 60.0  # for a check that is told to end, before it is killed
_LIMIT_S: Final = 30.0
_LOOK_S: Final = 1.0  # `status` takes the lock for a moment, to see whether it can
_CRON_DAEMONS: Final = frozenset({"cron", "crond", "fcron"})  # Debian's; cronie's, busybox's and dcron's; fcron's
_NO_CRONTAB: Final = (b"no crontab for", b"can't open")  # cron and cronie; busybox
_KILLED: Final = "2"  # CLD_KILLED, sigaction(2), which ExecMainCode shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One scheduled check."""

    name: str
    every: str  # as the user wrote it
    manager: str  # systemd | cron
    directory: str  # where it was installed: relative paths of its options are meant from there
    state: str  # XDG_STATE_HOME of whoever installed it: who asks for the history finds what was recorded by itself
    argv: tuple[str, ...]  # the words behind `check`
    writable: tuple[str, ...] = ()  # directories that its reports are written into
    limit_s: float = _USUAL_LIMIT_S  # how long a check may take; then it is killed


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """What the last run of a schedule came to; without an end and an exit code it was cut off."""

    started_at: str
    ended_at: str = ""
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What the state directory says of a schedule's runs."""

    last: Last | None = None
    begun_at: str = ""  # of a run without an end: it is at it, or was cut off


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a schedule stands.

    Attributes:
        enabled: the timer or the entry is there and starts runs.
        running: a run is at it now.
        next_at: when; empty when that cannot be told.
    """

    schedule: Schedule
    enabled: bool
    running: bool
    last: Last | None
    next_at: str


class OverdueError(KeepaliveError):
    """A check was killed at its limit, or goes on after it: nobody knows how the hosts are."""


def limit_of(n_hosts: int, forks: int, timeout_s: float) -> float:
    """How long a check of so many hosts may take: twice what it takes when every host uses up its time (seconds)."""
    return max(_LEAST_LIMIT_S, 2 * (n_hosts / forks + 1) * timeout_s)


def install(schedule: Schedule, when: Timetable) -> bool:
    """Put a schedule to work, in place of one of the same name.

    Args:
        schedule: its `manager` is empty: the one that steers this machine.
    Returns:
        Whether anything had to change.
    Raises:
        ConfigError: neither systemd nor cron can be used, or a file cannot be written.
    """
    manager = _manager()
    schedule = replace(schedule, manager=manager)
    # Whatever can be refused is refused before anything is written.
    if manager == "systemd":
        _judge(when)
        _refuse_hidden(schedule)
        _refuse_strangers(schedule.name)
        with _all_or_nothing(schedule.name) as before:
            _put(schedule)
            changed = _timed(schedule, when)
            _take_out_of_crontab(schedule.name)
        return changed or _texts(schedule.name) != before
    crontab = _crontab()
    wanted = timers.with_entry(crontab, schedule.name, when, (*_command(schedule.name), "--quiet"))
    with _all_or_nothing(schedule.name) as before:
        _put(schedule)
        if wanted != crontab:
            _install_crontab(wanted)
    return _texts(schedule.name) != before or wanted != crontab


def _put(schedule: Schedule) -> None:
    _make_private(_result(schedule).parent)
    _write(_definition(schedule.name), _json(asdict(schedule)))


def _timed(schedule: Schedule, when: Timetable) -> bool:
    """Write the two units and let the timer run; whether anything had to change."""
    unit = timers.unit_name(schedule.name)
    writable = (str(_result(schedule).parents[1]), *schedule.writable)
    service = timers.service(
        schedule.name, _command(schedule.name), is_system=_is_root(), limit_s=schedule.limit_s, writable=writable
    )
    before = _texts(schedule.name)
    _write(_units() / f"{unit}.service", service)
    _write(_units() / f"{unit}.timer", timers.timer(schedule.name, when))
    if _texts(schedule.name) == before and _is_enabled(unit):
        return False
    _systemctl("daemon-reload")
    _systemctl("enable", "--now", f"{unit}.timer")
    _systemctl("restart", f"{unit}.timer")
    return True


def remove(name: str) -> None:
    """End a schedule; the results of its runs stay.

    Raises:
        ConfigError: there is none of this name, or a file cannot be removed.
    """
    schedule = find(name)
    unit = timers.unit_name(name)
    files = [file for file in _unit_files(name) if file.exists()]
    if files:
        _refuse_strangers(name)
        with suppress(ConfigError):  # a manager that is gone has no timer either
            _systemctl("disable", "--now", f"{unit}.timer")
        for file in files:
            _unlink(file)
        with suppress(ConfigError):
            _systemctl("daemon-reload")
    _take_out_of_crontab(name)
    _unlink(_definition(name))
    _unlink(_result(schedule))


def listed() -> tuple[Schedule, ...]:
    """All schedules of this account, by name; of root, those of the machine."""
    folder = _definition("x").parent
    return tuple(find(path.stem) for path in sorted(folder.glob("*.json")))


def find(name: str) -> Schedule:
    """The schedule of a name.

    Raises:
        ConfigError: it is no name, there is none of it, or its file cannot be read.
    """
    path = _definition(timers.checked_name(name))
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Schedule(**{**said, "argv": tuple(said["argv"]), "writable": tuple(said["writable"])})
    except FileNotFoundError:
        known = [file.stem for file in sorted(path.parent.glob("*.json"))]
        hint = f"there are {', '.join(known)}" if known else "there are none; make one with schedule install"
        raise ConfigError(f"there is no schedule {name!r}{did_you_mean(name, known)}", hint=hint) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path}: not a schedule: {error}", hint=f"remove it: schedule remove {name}") from None


def start(name: str) -> int:
    """Let the manager run a schedule's check now, and wait for its end; gives its exit code as `run` does.

    systemd gives it the surroundings that the timer gives it, so that what is out of reach there is found out now.
    Without systemd it is run from here.

    Raises:
        ConfigError: there is no such schedule, or systemd cannot start it.
    """
    if find(name).manager != "systemd":
        return run(name)
    unit = f"{timers.unit_name(name)}.service"
    if _shown(unit, "ActiveState") == ("activating",):
        return OVERLAPS
    done = subprocess.run(
        ["systemctl", *_scope(), "start", unit], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    how, status = _shown(unit, "ExecMainCode", "ExecMainStatus")
    if done.returncode and status == "0":  # it never came to the program
        raise ConfigError(
            f"{unit} could not be started: {done.stderr.decode('utf-8', 'replace').strip()}",
            hint="install the schedule again: schedule install",
        )
    return int(status) + (128 if how == _KILLED else 0)


def told_by(name: str) -> str:
    """The command that shows what the last run of a schedule said."""
    if find(name).manager != "systemd":
        return "sshd-keepalive report"
    return " ".join(("journalctl", *_scope(), "-u", timers.unit_name(name)))


def run(name: str, *, quiet: bool = False) -> int:
    """Run the check of a schedule here and keep what it came to; gives its exit code, OVERLAPS while another one runs.

    Args:
        quiet: what the check prints is passed on only when its exit code is not 0: cron sends a mail for every word.
    Raises:
        ConfigError: there is no such schedule.
        OverdueError: the check was killed at its limit, or the one of an earlier run goes on after it.
        StoreError: its results cannot be kept.
    """
    schedule = find(name)
    with _alone(schedule, wait_s=_LOOK_S) as lock:
        if lock is None:
            _refuse_overdue(schedule)
            return OVERLAPS
        begun_at = _now()
        _keep(schedule, replace(_kept(schedule), begun_at=begun_at))
        code = _check(schedule, lock, quiet=quiet)
        kept = timers.UNREACHED if code is None else code
        _keep(schedule, _Kept(last=Last(started_at=begun_at, ended_at=_now(), exit_code=kept)))
    if code is None:
        raise OverdueError(
            f"{name}: the check was not done after {schedule.limit_s:.0f} s and was killed; it recorded nothing",
            hint=f"find the host that holds it: sshd-keepalive check -v {shlex.join(schedule.argv)}",
        )
    return code


def _refuse_overdue(schedule: Schedule) -> None:
    """Tell a run that is in progress from one that nobody will end: its own keeper was killed."""
    kept = _kept(schedule)
    if _is_overdue(schedule, kept):
        lock = _result(schedule).with_suffix(".lock")
        raise OverdueError(
            f"{schedule.name}: the run that began at {kept.begun_at} goes on after its limit, {schedule.limit_s:.0f} s",
            hint=f"see which process holds the lock, and end it: fuser -v {quote(str(lock))}",
        )


def _is_overdue(schedule: Schedule, kept: _Kept) -> bool:
    """Whether a run that has not ended should have been killed long ago."""
    try:
        age_s = (datetime.now(UTC) - datetime.fromisoformat(kept.begun_at)).total_seconds()
    except ValueError:
        return False
    return age_s > schedule.limit_s + 2 * _END_S


def _check(schedule: Schedule, lock: int, *, quiet: bool) -> int | None:
    """The check as a process of its own. It holds the lock too: nothing overlaps with what outlives us.

    Returns:
        Its exit code; None: it was killed at the limit of the schedule.
    """
    argv = [*program.argv(), "check", "--record", "--no-progress", *schedule.argv]
    # With its own directory gone the options may still name absolute paths.
    directory = schedule.directory if os.access(schedule.directory, os.X_OK) else "/"
    with TemporaryFile() as said:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=said if quiet else None,
            stderr=said if quiet else None,
            cwd=directory,
            env={**os.environ, "XDG_STATE_HOME": schedule.state},
            pass_fds=(lock,),
        )
        with _passing_on(child), _killed_after(child, schedule.limit_s) as is_over:
            code = child.wait()
        if quiet and code:
            said.seek(0)
            shutil.copyfileobj(said, sys.stdout.buffer)
    if is_over.is_set():
        return None
    return code if code >= 0 else 128 - code


@contextmanager
def _killed_after(child: subprocess.Popen[bytes], limit_s: float) -> Iterator[threading.Event]:
    """Tell the check to end at its limit, and kill it when it does not; the event is set then."""
    is_over, has_ended = threading.Event(), threading.Event()

    def watch() -> None:
        if not has_ended.wait(limit_s):
            is_over.set()
            child.terminate()
            if not has_ended.wait(_END_S):
                child.kill()

    watcher = threading.Thread(target=watch, name="limit", daemon=True)
    watcher.start()
    try:
        yield is_over
    finally:
        has_ended.set()
        watcher.join()


@contextmanager
def _passing_on(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let the check end well when we are told to. Ctrl-C reaches it by itself, as it does all of a terminal's."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGTERM:
            child.send_signal(number)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _kept(schedule: Schedule) -> _Kept:
    """Nothing where there is none, or nothing that can be understood."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        said = json.loads(_result(schedule).read_text(encoding="utf-8"))
        return _Kept(last=Last(**said["last"]) if said["last"] else None, begun_at=str(said["begun_at"]))
    return _Kept()


def _keep(schedule: Schedule, kept: _Kept) -> None:
    try:
        _write(_result(schedule), _json(asdict(kept)))
    except ConfigError as error:
        raise StoreError(f"what the check came to is not kept: {error}") from None


def status(schedule: Schedule) -> Status:
    """How a schedule stands: whether it will run, when, and what it last came to."""
    running = _is_running(schedule)
    kept = _kept(schedule)
    # The run before one that was cut off is no longer news: its "ok" may not be true any more.
    is_news = kept.begun_at and (not running or _is_overdue(schedule, kept))
    last = Last(started_at=kept.begun_at) if is_news else kept.last
    if schedule.manager == "systemd":
        enabled, next_at = _timer_status(timers.unit_name(schedule.name))
    else:
        enabled, next_at = _cron_status(schedule)
    return Status(schedule=schedule, enabled=enabled, running=running, last=last, next_at=next_at)


def _is_running(schedule: Schedule) -> bool:
    if not _result(schedule).with_suffix(".lock").exists():
        return False
    with _alone(schedule) as lock:
        return lock is None


def lacks_daemon(schedule: Schedule) -> bool:
    """Whether the schedule waits for a cron that does not run; False also where others' processes are hidden."""
    names: set[str] = set()
    for path in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # it ended meanwhile
            names.add(path.read_text(errors="replace").strip())
    sees_others = Path("/proc/1/comm").exists()
    return schedule.manager == "cron" and sees_others and names.isdisjoint(_CRON_DAEMONS)


def needs_lingering() -> bool:
    """Whether systemd ends this account's timers when it logs out."""
    if _is_root() or _manager() != "systemd":
        return False
    try:
        said = output_of(["loginctl", "show-user", str(os.getuid()), "--property=Linger", "--value"], limit_s=_LIMIT_S)
    except ConfigError:
        return True
    return said.strip() != b"yes"


# -------------------------------------------------------------------------------------------- managers


def _is_root() -> bool:
    return os.geteuid() == 0


def _manager() -> str:
    """The manager that can be used here: systemd where it steers the machine and answers this account, else cron."""
    if Path("/run/systemd/system").is_dir():
        try:
            _systemctl("show", "--property=Version")
        except ConfigError:
            pass
        else:
            return "systemd"
    return "cron"


def _scope() -> tuple[str, ...]:
    return () if _is_root() else ("--user",)


def _systemctl(*words: str) -> str:
    return output_of(["systemctl", *_scope(), *words], limit_s=_LIMIT_S).decode("utf-8", "replace")


def _shown(unit: str, *properties: str) -> tuple[str, ...]:
    """The values of a unit's properties, in this order; empty for what systemd does not say."""
    lines = _systemctl("show", f"--property={','.join(properties)}", unit).splitlines()
    said = dict(line.partition("=")[::2] for line in lines)
    return tuple(said.get(name, "") for name in properties)


def _units() -> Path:
    return Path("/etc/systemd/system") if _is_root() else user_config_path("systemd") / "user"


def _judge(when: Timetable) -> None:
    """Ask systemd whether it understands, and whether the time ever comes: one that never does is no mistake to it."""
    hint = 'for example --every day, --every "Mon..Fri 06:00", --every "0 6 * * 1-5"; see systemd.time(7)'
    said = b""
    for calendar in when.calendars:
        try:
            said += output_of(
                ["systemd-analyze", "calendar", "--", calendar], limit_s=_LIMIT_S, environment={"LC_ALL": "C"}
            )
        except ConfigError as error:
            words = str(error).strip().splitlines()[-1]
            raise ConfigError(f"--every {when.text!r}: systemd does not understand it: {words}", hint=hint) from None
    if said.count(b"Next elapse: never") == len(when.calendars):
        raise ConfigError(f"--every {when.text!r}: that time never comes", hint=hint)


def _refuse_hidden(schedule: Schedule) -> None:
    """The machine's units have a /tmp of their own, `PrivateTmp` of systemd.exec(5)."""
    named = [schedule.directory, *schedule.writable, *(word.partition(":")[2] or word for word in schedule.argv)]
    hidden = [path for path in named if f"{path}/".startswith(("/tmp/", "/var/tmp/"))]  # noqa: S108
    if hidden and _is_root():
        raise ConfigError(
            f"{hidden[0]}: systemd gives the check an empty /tmp of its own", hint="keep it elsewhere, in /etc or /srv"
        )


def _is_enabled(unit: str) -> bool:
    return _timer_status(unit)[0]


def _timer_status(unit: str) -> tuple[bool, str]:
    try:
        active, unit_file, next_at = _shown(f"{unit}.timer", "ActiveState", "UnitFileState", "NextElapseUSecRealtime")
    except ConfigError:
        return False, ""
    enabled = (active, unit_file) == ("active", "enabled")
    return enabled, next_at if enabled else ""


def _cron_status(schedule: Schedule) -> tuple[bool, str]:
    try:
        enabled = timers.has_entry(_crontab(), schedule.name) and not lacks_daemon(schedule)
    except ConfigError:
        enabled = False
    if not enabled:
        return False, ""
    cron = timetable.read(schedule.every, schedule.name).cron
    at = timetable.next_run(cron, datetime.now().astimezone())
    return True, at.isoformat(timespec="minutes") if at else ""


def _crontab() -> str:
    """This account's crontab; empty when it has none. Its bytes are kept, whatever they are."""
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


def _take_out_of_crontab(name: str) -> None:
    try:
        crontab = _crontab()
    except ConfigError:  # no cron, no entry
        return
    without = timers.without_entry(crontab, name)
    if without != crontab:
        _install_crontab(without)
    elif timers.is_edited(crontab, name):
        raise ConfigError(f"the crontab's entry of {name} is not as it was written", hint="take it out with crontab -e")


def _install_crontab(text: str) -> None:
    output_of(["crontab", "-"], given=text.encode("utf-8", "surrogateescape"), limit_s=_LIMIT_S)


# ----------------------------------------------------------------------------------------------- files


def _definition(name: str) -> Path:
    top = Path("/etc/sshd-keepalive") if _is_root() else user_config_path("sshd-keepalive")
    return top / "schedules" / f"{name}.json"


def _result(schedule: Schedule) -> Path:
    return Path(schedule.state) / "sshd-keepalive" / "schedules" / f"{schedule.name}.json"


def _command(name: str) -> tuple[str, ...]:
    return (*program.argv(), "schedule", "run", "--here", name)


def _unit_files(name: str) -> tuple[Path, ...]:
    return tuple(_units() / f"{timers.unit_name(name)}.{suffix}" for suffix in ("timer", "service"))


def _texts(name: str) -> tuple[bytes | None, ...]:
    files = (_definition(name), *_unit_files(name))
    return tuple(file.read_bytes() if file.exists() else None for file in files)


@contextmanager
def _all_or_nothing(name: str) -> Iterator[tuple[bytes | None, ...]]:
    """Put the files of a schedule back as they were, should it not come about."""
    before = _texts(name)
    try:
        yield before
    except ConfigError:
        for file, text in zip((_definition(name), *_unit_files(name)), before, strict=True):
            with suppress(OSError):  # where nothing could be written there is nothing to put back
                if text is None:
                    file.unlink(missing_ok=True)
                elif file.read_bytes() != text:
                    file.write_bytes(text)
        raise


def _refuse_strangers(name: str) -> None:
    for file in _unit_files(name):
        if file.exists() and not timers.is_ours(file.read_text(errors="replace")):
            raise ConfigError(
                f"{file}: not written by `schedule install`, it is left alone", hint="take another --name"
            )


@contextmanager
def _alone(schedule: Schedule, wait_s: float = 0) -> Iterator[int | None]:
    """Hold the lock of a schedule; None when another run holds it. It ends with its holders, however they end."""
    end_at = time.monotonic() + wait_s
    path = _result(schedule).with_suffix(".lock")
    _make_private(path.parent)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}", hint="the results of schedules are kept there") from None
    try:
        while not (is_ours := _try(descriptor)) and time.monotonic() < end_at:
            time.sleep(0.05)
        yield descriptor if is_ours else None
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}", hint="the results of schedules are kept there") from None


def _write(path: Path, text: str) -> None:
    """All or nothing, and nothing when it is there already."""
    with suppress(OSError):
        if path.read_text(encoding="utf-8") == text:
            return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written: {error.strerror}", hint="nothing was scheduled") from None


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be removed: {error.strerror}") from None


def _json(said: Mapping[str, Any]) -> str:
    return json.dumps(said, indent=1) + "\n"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
