"""A schedule as a systemd service and its timer: system units for root, user units for other accounts.

systemd prevents overlapping runs, ends one that takes too long, makes up for a missed one, and lists them all.
Sources: systemd.exec(5), systemd.service(5), systemd.timer(5), systemd.time(7).
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from platformdirs import user_config_path

from sshd_keepalive.config.program import run_program
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.quoting import quote_unit_path, quote_unit_word

DRIFT: Final = 1
UNREACHED: Final = 3
OVERLAPS: Final = 75  # EX_TEMPFAIL of sysexits.h: another run is in progress
_LIMIT_S: Final = 30.0
_STOP_S: Final = 300  # for the hosts in progress, once the check is stopped
DESCRIPTION: Final = "[Unit]\nDescription=sshd-keepalive: "  # units that do not begin so are not of this program
_JITTER_S: Final = 600
#: Every day at six: before people come, after the night's jobs.
_WORDS: Final = {"hour": "*-*-* *:00:00", "day": "*-*-* 06:00:00", "week": "Mon *-*-* 06:00:00"}

#: Limits that every manager can set. The check opens connections, reads keys and inventories, and writes reports that
#: others read, so it keeps the account's umask.
_SANDBOX: Final = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
"""
#: Limits that need a manager run by root: that of an account would need user namespaces, which many kernels refuse.
#: Root still reads the files of others, such as an inventory in a home directory; it writes only to ReadWritePaths.
_SYSTEM_SANDBOX: Final = """\
CapabilityBoundingSet=CAP_DAC_OVERRIDE
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
RemoveIPC=yes
CacheDirectory=sshd-keepalive
CacheDirectoryMode=0700
Environment=XDG_CACHE_HOME=/var/cache
"""


def is_root() -> bool:
    """Whether schedules are the machine's, not an account's."""
    return os.geteuid() == 0


def is_usable() -> bool:
    """Whether systemd runs this machine and answers this account."""
    if Path("/run/systemd/system").is_dir():
        with suppress(ConfigError):
            _systemctl("show", "--property=Version")
            return True
    return False


def is_installed(name: str) -> bool:
    """Whether a schedule has units."""
    return any(path.exists() for path in list_files(name))


def is_started(name: str) -> bool:
    """Whether the timer of a schedule is enabled and active."""
    return _read_properties(f"{name_unit(name)}.timer", "ActiveState", "UnitFileState") == ("active", "enabled")


def list_files(name: str) -> tuple[Path, Path]:
    """Give the paths of the timer and the service of a schedule."""
    folder = Path("/etc/systemd/system") if is_root() else user_config_path("systemd") / "user"
    return folder / f"{name_unit(name)}.timer", folder / f"{name_unit(name)}.service"


def name_unit(name: str) -> str:
    """Give the name of the units of a schedule, without their suffix."""
    return f"sshd-keepalive-{name}"


def render_service(name: str, script: Path, *, is_system: bool, limit_s: float, writable: tuple[str, ...] = ()) -> str:
    """Render the service that runs a schedule's script once. The unit does not fail because of drift.

    Args:
        limit_s: how long the check may take, seconds.
        writable: directories that the check writes to: its history, its reports.
    """
    network = "Wants=network-online.target\nAfter=network-online.target\n" if is_system else ""
    paths = "".join(f"ReadWritePaths={quote_unit_path('-' + path)}\n" for path in writable)
    return f"""\
{DESCRIPTION}the scheduled check {name}
{network}
[Service]
Type=oneshot
ExecStart=/bin/sh {quote_unit_word(str(script))}
SuccessExitStatus={DRIFT}
# The check alone gets the signal, and finishes the hosts in progress.
KillMode=mixed
TimeoutStopSec={_STOP_S}
# The time of the whole run, since the unit is a oneshot.
TimeoutStartSec={limit_s:.0f}
Environment=LANG=C.UTF-8
{_SANDBOX}{_SYSTEM_SANDBOX + paths if is_system else ""}"""


def render_timer(name: str, every: str) -> str:
    """Render the timer of that service. It makes up for a run that was missed while the machine was down."""
    return f"""\
{DESCRIPTION}when the check {name} runs

[Timer]
OnCalendar={_WORDS.get(every, every).replace("%", "%%")}
Persistent=yes
RandomizedDelaySec={_JITTER_S if every in _WORDS else 0}
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


def check_time(every: str) -> None:
    """Ask systemd whether it understands the time.

    Raises:
        ConfigError: it does not, or the time never comes.
    """
    hint = 'for example --every daily, --every "Mon..Fri 06:00"; see systemd.time(7)'
    argv = ["systemd-analyze", "calendar", "--", _WORDS.get(every, every)]
    try:
        answer = run_program(argv, limit_s=_LIMIT_S, environment={"LC_ALL": "C"})
    except ConfigError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ConfigError(f"--every {every!r}: systemd does not understand it: {reason}", hint=hint) from None
    if b"Next elapse: never" in answer:
        raise ConfigError(f"--every {every!r}: this time never occurs", hint=hint)


def start(name: str) -> None:
    """Load the units and start the timer.

    Raises:
        ConfigError: systemd refuses.
    """
    _systemctl("daemon-reload")
    _systemctl("enable", f"{name_unit(name)}.timer")
    _systemctl("restart", f"{name_unit(name)}.timer")


def remove(name: str) -> None:
    """Stop the timer and remove the units.

    Raises:
        OSError: a file cannot be removed.
    """
    with suppress(ConfigError):  # without its manager the timer does not run either
        _systemctl("disable", "--now", f"{name_unit(name)}.timer")
    for path in list_files(name):
        path.unlink(missing_ok=True)
    with suppress(ConfigError):
        _systemctl("daemon-reload")


def list_timers() -> str:
    """List the timers as systemd does."""
    return _systemctl("list-timers", "--all", "--no-pager", name_unit("*"))


def find_next_run(name: str) -> str:
    """Ask when the timer starts the next run, in systemd's words; empty while a run is in progress."""
    return _read_properties(f"{name_unit(name)}.timer", "NextElapseUSecRealtime")[0]


def run(name: str) -> int:
    """Start the service now and wait for its end; give the exit code of the check, OVERLAPS while it runs.

    The service has the same environment and limits as when the timer starts it.

    Raises:
        ConfigError: systemd cannot start it.
    """
    unit = f"{name_unit(name)}.service"
    if _read_properties(unit, "ActiveState")[0] == "activating":
        return OVERLAPS
    done = subprocess.run(
        ["systemctl", *_choose_manager(), "start", unit], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    result, status = _read_properties(unit, "Result", "ExecMainStatus")
    if result == "timeout":
        return UNREACHED
    if done.returncode and status == "0":  # the program was not started
        raise ConfigError(
            f"{unit} could not be started: {done.stderr.decode('utf-8', 'replace').strip()}",
            hint="install the schedule again: schedule install",
        )
    return int(status) + (128 if result == "signal" else 0)


def show_log_command(name: str) -> str:
    """Give the command that shows what the last run printed."""
    return " ".join(("journalctl", *_choose_manager(), "-u", name_unit(name)))


def _choose_manager() -> tuple[str, ...]:
    return () if is_root() else ("--user",)


def _systemctl(*words: str) -> str:
    return run_program(["systemctl", *_choose_manager(), *words], limit_s=_LIMIT_S).decode("utf-8", "replace")


def _read_properties(unit: str, *properties: str) -> tuple[str, ...]:
    """Give the values of a unit's properties, in this order; empty for those that systemd does not print."""
    lines = _systemctl("show", f"--property={','.join(properties)}", unit).splitlines()
    values = dict(line.partition("=")[::2] for line in lines)
    return tuple(values.get(name, "") for name in properties)
