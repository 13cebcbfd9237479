"""System V init scripts (Devuan, Debian with sysvinit, CentOS 6): the last resort of detection.

Source: the LSB init script actions; service(8), insserv(8), init(8). The scripts are called without `service`, whose
only addition is a clean environment.
"""

from sshd_keepalive.model import ServiceChoice
from sshd_keepalive.quoting import quote
from sshd_keepalive.services import find_script, find_script_obstacle, find_settings_start, quote_unit, write_script

RANK: int = 90
DETECT: str = "is_init init"
find_obstacle = find_script_obstacle
find_next_start = find_settings_start
find = find_script


def is_active(service: ServiceChoice) -> str:
    """Exit 0 while the daemon runs, 3 when it does not (LSB)."""
    return f"/etc/init.d/{quote_unit(service)} status"


def restart(service: ServiceChoice) -> str:
    """`restart` of a daemon that is not running starts it."""
    return f"/etc/init.d/{quote_unit(service)} restart"


def hook_boot(name: str, command: str) -> str:
    """Write a script of runlevels 2 to 5, before ssh.

    Debian starts only what `update-rc.d` has sorted into its own list (startpar(8)); elsewhere the links are all.
    """
    script = f"/etc/init.d/{quote(name)}"
    header = "### BEGIN INIT INFO|# Provides: NAME|# Required-Start: $local_fs $remote_fs|# Required-Stop:|"
    header += "# X-Start-Before: ssh sshd|# Default-Start: 2 3 4 5|# Default-Stop:|"
    header += "# Short-Description: reverts an unconfirmed change of sshd|### END INIT INFO"
    lines = ("#!/bin/sh", *header.replace("NAME", name).split("|"), f"case $1 in start) {command} ;; esac")
    return (
        f"{write_script(script, lines)} || return 1\n"
        f"if command -v update-rc.d >/dev/null; then update-rc.d {quote(name)} defaults >/dev/null || return 1; else "
        "made=no; for folder in /etc/rc[2345].d /etc/rc.d/rc[2345].d; do "
        f'if test -d "$folder"; then ln -sf {script} "$folder"/S00{quote(name)} || return 1; made=yes; fi; done; '
        f"if test $made = no; then rm -f {script}; return 2; fi; fi\n"
        f"flush {script} /etc/init.d"
    )


def unhook_boot(name: str) -> str:
    """Remove the script and its links."""
    script = f"/etc/init.d/{quote(name)}"
    return (
        f"if test -e {script}; then rm -f {script} /etc/rc[2345].d/S00{quote(name)} "
        f"/etc/rc.d/rc[2345].d/S00{quote(name)}; "
        f"if command -v update-rc.d >/dev/null; then update-rc.d {quote(name)} remove >/dev/null; fi; fi"
    )
