"""The texts that make a machine run a schedule: a systemd service and its timer, or an entry of a crontab. Pure.

Sources: systemd.exec(5), systemd.service(5), systemd.timer(5), crontab(5).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.quoting import quote, unit_word
from sshd_keepalive.schedule.calendar import Timetable

#: A name that is one word everywhere: in a unit's name, a path, a crontab.
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

DRIFT: Final = 1
UNREACHED: Final = 3
OVERLAPS: Final = 75  # EX_TEMPFAIL of sysexits.h: somebody else is at it
_STOP_S: Final = 600  # after its limit a check is told to end, then killed; systemd steps in where that fails
_DESCRIPTION: Final = "[Unit]\nDescription=sshd-keepalive: "

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


def unit_name(name: str) -> str:
    """The name of the units of a schedule, without their suffix."""
    return f"sshd-keepalive-{name}"


def checked_name(name: str) -> str:
    """The name, if it can be one.

    Raises:
        ConfigError: it cannot.
    """
    if not NAME.fullmatch(name):
        hint = "letters, digits, '.', '_' and '-', 64 at most, a letter or digit first: for example etl"
        raise ConfigError(f"{name!r} is no name of a schedule", hint=hint)
    return name


def is_ours(unit: str) -> bool:
    """Whether the text of a unit is one of those below, whatever has become of it since."""
    return unit.startswith(_DESCRIPTION)


def service(name: str, argv: Sequence[str], *, is_system: bool, limit_s: float, writable: Sequence[str] = ()) -> str:
    """The service that runs a schedule once.

    Drift is a result and no failure of the unit, and so is a run that found another one at it; what could not be
    judged is a failure.

    Args:
        argv: the command, its first word an absolute path.
        limit_s: how long the check may take, seconds.
        writable: directories that the check writes into: its history, its reports.
    """
    lines = [
        f"{_DESCRIPTION}the scheduled check {name}",
        *(("Wants=network-online.target", "After=network-online.target") if is_system else ()),
        "",
        "[Service]",
        "Type=oneshot",
        f"ExecStart={' '.join(unit_word(text) for text in argv)}",
        f"SuccessExitStatus={DRIFT} {OVERLAPS}",
        "KillMode=mixed",  # the program passes it on; the check is told once and finishes the hosts in flight
        "TimeoutStopSec=5min",
        f"TimeoutStartSec={limit_s + _STOP_S:.0f}",  # of a oneshot unit this is its whole run
        "Environment=LANG=C.UTF-8",
        *_HARDENED,
    ]
    if is_system:
        lines += _HARDENED_SYSTEM
        lines += [f"ReadWritePaths={unit_word('-' + path)}" for path in writable]
    return "\n".join(lines) + "\n"


def timer(name: str, timetable: Timetable) -> str:
    """The timer of that service: a run that was missed while the machine was down is made up for."""
    lines = [
        f"{_DESCRIPTION}when the check {name} runs",
        "",
        "[Timer]",
        *(f"OnCalendar={calendar.replace('%', '%%')}" for calendar in timetable.calendars),
        "Persistent=yes",
        f"RandomizedDelaySec={timetable.jitter_s}",
        "AccuracySec=1s",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return "\n".join(lines) + "\n"


def with_entry(crontab: str, name: str, timetable: Timetable, argv: Sequence[str]) -> str:
    """The crontab with the entry of a schedule, in its old place or at the end; all other bytes as they were.

    Raises:
        ConfigError: cron cannot say when, or somebody has edited the entry.
    """
    if not timetable.cron:
        raise ConfigError(
            f"--every {timetable.text!r} needs systemd, and none steers this machine",
            hint='write it as cron does: --every "0 6 * * 1-5"',
        )
    command = " ".join(quote(text) for text in argv).replace("%", "\\%")  # cron reads a bare % as a line end
    entry = f"{_begin(name)}\n{timetable.cron} {command}\n{_end(name)}\n"
    found = _entry(name).search(crontab)
    if found:
        return crontab[: found.start()] + entry + crontab[found.end() :]
    if is_edited(crontab, name):
        raise ConfigError(
            f"the crontab's entry of {name} is not as it was written: nothing was changed",
            hint="take it out with crontab -e",
        )
    return crontab + ("" if not crontab or crontab.endswith("\n") else "\n") + entry


def without_entry(crontab: str, name: str) -> str:
    """The crontab without the entry of a schedule; all other bytes as they were."""
    return _entry(name).sub("", crontab)


def has_entry(crontab: str, name: str) -> bool:
    """Whether the schedule has its entry."""
    return _entry(name).search(crontab) is not None


def is_edited(crontab: str, name: str) -> bool:
    """Whether there is something of an entry, but not as we wrote it."""
    return not has_entry(crontab, name) and any(f"\n{mark(name)}\n" in f"\n{crontab}\n" for mark in (_begin, _end))


def _begin(name: str) -> str:
    return f"# sshd-keepalive {name}: begin, written by `sshd-keepalive schedule`"


def _end(name: str) -> str:
    return f"# sshd-keepalive {name}: end"


def _entry(name: str) -> re.Pattern[str]:
    # One line between the two: where somebody has put more there, it is not the entry that we wrote.
    return re.compile(rf"^{re.escape(_begin(name))}\n[^\n]*\n{re.escape(_end(name))}\n?", re.MULTILINE)
