"""A schedule as a systemd service and its timer: the machine's for root, else those of the account's own manager.

systemd keeps two runs from overlapping, ends one that takes too long, makes up for a missed one, and lists them all.
Sources: systemd.exec(5), systemd.service(5), systemd.timer(5), systemd.time(7).
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from platformdirs import user_config_path

from sshd_keepalive import files
from sshd_keepalive.config.program import run_program
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.quoting import unit_path, unit_word

DRIFT: Final = 1
UNREACHED: Final = 3
OVERLAPS: Final = 75  # EX_TEMPFAIL of sysexits.h: another run is in progress
_LIMIT_S: Final = 30.0
_STOP_S: Final = 300  # for the hosts in flight, once the check is told to end
_DESCRIPTION: Final = "[Unit]\nDescription=sshd-keepalive: "
_JITTER_S: Final = 600
#: "Every morning" is at six: before people come, after the night's jobs.
_WORDS: Final = {"hour": "*-*-* *:00:00", "day": "*-*-* 06:00:00", "week": "Mon *-*-* 06:00:00"}

#: What every manager can hold a check to. It opens connections, reads keys and inventories, writes reports; those are
#: for others to read, a web server or a collector of metrics, so the mask of new files stays what it is.
_HARDENED: Final = (
    "NoNewPrivileges=yes",
    "LockPersonality=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "RestrictNamespaces=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
    "SystemCallErrorNumber=EPERM",
)
#: What needs a manager that is root: a user's own would need user namespaces, which many kernels refuse.
#: Root still reads what belongs to others, an inventory in somebody's home; it writes only where it is let.
_HARDENED_SYSTEM: Final = (
    "CapabilityBoundingSet=CAP_DAC_OVERRIDE",
    "AmbientCapabilities=",
    "ProtectSystem=strict",
    "ProtectHome=read-only",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "ProcSubset=pid",
    "RemoveIPC=yes",
    "CacheDirectory=sshd-keepalive",
    "CacheDirectoryMode=0700",
    "Environment=XDG_CACHE_HOME=/var/cache",
)


def is_root() -> bool:
    """Whether schedules are the machine's."""
    return os.geteuid() == 0


def is_usable() -> bool:
    """Whether systemd runs this machine and answers this account."""
    if Path("/run/systemd/system").is_dir():
        with suppress(ConfigError):
            _systemctl("show", "--property=Version")
            return True
    return False


def unit_name(name: str) -> str:
    """The name of the units of a schedule, without their suffix."""
    return f"sshd-keepalive-{name}"


def service(name: str, script: Path, *, is_system: bool, limit_s: float, writable: tuple[str, ...] = ()) -> str:
    """The service that runs a schedule's script once. Drift is a result and no failure of the unit.

    Args:
        limit_s: how long the check may take, seconds.
        writable: directories that the check writes into: its history, its reports.
    """
    lines = [
        f"{_DESCRIPTION}the scheduled check {name}",
        *(("Wants=network-online.target", "After=network-online.target") if is_system else ()),
        "",
        "[Service]",
        "Type=oneshot",
        f"ExecStart=/bin/sh {unit_word(str(script))}",
        f"SuccessExitStatus={DRIFT}",
        "KillMode=mixed",  # the check is told once and finishes the hosts in flight
        f"TimeoutStopSec={_STOP_S}",
        f"TimeoutStartSec={limit_s:.0f}",  # of a oneshot unit this is its whole run
        "Environment=LANG=C.UTF-8",
        *_HARDENED,
    ]
    if is_system:
        lines += _HARDENED_SYSTEM
        lines += [f"ReadWritePaths={unit_path('-' + path)}" for path in writable]
    return "\n".join(lines) + "\n"


def timer(name: str, every: str) -> str:
    """The timer of that service: a run that was missed while the machine was down is made up for."""
    lines = [
        f"{_DESCRIPTION}when the check {name} runs",
        "",
        "[Timer]",
        f"OnCalendar={_calendar(every).replace('%', '%%')}",
        "Persistent=yes",
        # So that not everybody runs at once; a time that was written out is kept.
        f"RandomizedDelaySec={_JITTER_S if every in _WORDS else 0}",
        "AccuracySec=1s",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return "\n".join(lines) + "\n"


def check(name: str, every: str) -> None:
    """Ask systemd whether it understands the time; refuse units that `install` did not write.

    Raises:
        ConfigError: it does not, or the time never comes, or the units are somebody else's.
    """
    hint = 'for example --every day, --every "Mon..Fri 06:00"; see systemd.time(7)'
    words = ["systemd-analyze", "calendar", "--", _calendar(every)]
    try:
        answer = run_program(words, limit_s=_LIMIT_S, environment={"LC_ALL": "C"})
    except ConfigError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ConfigError(f"--every {every!r}: systemd does not understand it: {reason}", hint=hint) from None
    if b"Next elapse: never" in answer:
        raise ConfigError(f"--every {every!r}: that time never comes", hint=hint)
    for file in _files(name):
        if file.exists() and not file.read_text(errors="replace").startswith(_DESCRIPTION):
            raise ConfigError(
                f"{file}: not written by `schedule install`, it is left alone", hint="take another --name"
            )


def install(name: str, service_text: str, timer_text: str) -> None:
    """Write the two units and start the timer.

    Raises:
        ConfigError: a file cannot be written, or systemd refuses; no unit is left that was not there before.
    """
    before = {file: file.read_bytes() if file.exists() else None for file in _files(name)}
    try:
        for file, text in zip(_files(name), (timer_text, service_text), strict=True):
            file.parent.mkdir(parents=True, exist_ok=True)
            files.write(file, text.encode("utf-8", "surrogateescape"))
        _systemctl("daemon-reload")
        _systemctl("enable", f"{unit_name(name)}.timer")
        _systemctl("restart", f"{unit_name(name)}.timer")
    except (ConfigError, OSError) as error:
        for written, content in before.items():
            with suppress(OSError):
                written.unlink(missing_ok=True) if content is None else files.write(written, content)
        if isinstance(error, OSError):
            raise ConfigError(f"{file} cannot be written: {error.strerror}", hint="nothing was scheduled") from None
        raise


def remove(name: str) -> bool:
    """Remove the units; whether there were any."""
    found = [file for file in _files(name) if file.exists()]
    if not found:
        return False
    with suppress(ConfigError):  # a manager that is gone has no timer either
        _systemctl("disable", "--now", f"{unit_name(name)}.timer")
    for file in found:
        try:
            file.unlink()
        except OSError as error:
            raise ConfigError(f"{file} cannot be removed: {error.strerror}") from None
    with suppress(ConfigError):
        _systemctl("daemon-reload")
    return True


def texts(name: str) -> tuple[str, ...]:
    """What is in the unit files of a schedule; those that are missing are left out."""
    return tuple(file.read_text(errors="replace") for file in _files(name) if file.exists())


def listing() -> str:
    """The timers as systemd lists them."""
    return _systemctl("list-timers", "--all", "--no-pager", unit_name("*"))


def is_enabled(name: str) -> bool:
    """Whether the timer starts runs."""
    return _shown(f"{unit_name(name)}.timer", "ActiveState", "UnitFileState") == ("active", "enabled")


def next_run(name: str) -> str:
    """When the timer starts the next run, in systemd's words; empty while a run is in progress."""
    return _shown(f"{unit_name(name)}.timer", "NextElapseUSecRealtime")[0]


def run(name: str) -> int:
    """Start the service now and wait for its end; give the exit code of the check, OVERLAPS while it runs.

    It has the surroundings that the timer gives it, so that what is out of reach there is found out now.

    Raises:
        ConfigError: systemd cannot start it.
    """
    unit = f"{unit_name(name)}.service"
    if _shown(unit, "ActiveState")[0] == "activating":
        return OVERLAPS
    done = subprocess.run(
        ["systemctl", *_scope(), "start", unit], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    result, status = _shown(unit, "Result", "ExecMainStatus")
    if result == "timeout":
        return UNREACHED
    if done.returncode and status == "0":  # it never came to the program
        raise ConfigError(
            f"{unit} could not be started: {done.stderr.decode('utf-8', 'replace').strip()}",
            hint="install the schedule again: schedule install",
        )
    return int(status) + (128 if result == "signal" else 0)


def log_command(name: str) -> str:
    """The command that shows what the last run printed."""
    return " ".join(("journalctl", *_scope(), "-u", unit_name(name)))


def _calendar(every: str) -> str:
    return _WORDS.get(every, every)


def _files(name: str) -> tuple[Path, Path]:
    folder = Path("/etc/systemd/system") if is_root() else user_config_path("systemd") / "user"
    return folder / f"{unit_name(name)}.timer", folder / f"{unit_name(name)}.service"


def _scope() -> tuple[str, ...]:
    return () if is_root() else ("--user",)


def _systemctl(*words: str) -> str:
    return run_program(["systemctl", *_scope(), *words], limit_s=_LIMIT_S).decode("utf-8", "replace")


def _shown(unit: str, *properties: str) -> tuple[str, ...]:
    """The values of a unit's properties, in this order; empty for what systemd does not say."""
    lines = _systemctl("show", f"--property={','.join(properties)}", unit).splitlines()
    said = dict(line.partition("=")[::2] for line in lines)
    return tuple(said.get(name, "") for name in properties)
