"""OpenRC (Alpine, Gentoo, Devuan): `restart` checks the configuration first and refuses a broken one.

Source: rc-service(8), openrc-run(8), rc-update(8).
"""

from sshd_keepalive.model import ServiceChoice
from sshd_keepalive.quoting import quote
from sshd_keepalive.services import find_script, find_script_obstacle, find_settings_start, quote_unit, write_script

RANK: int = 20
DETECT: str = "test -d /run/openrc && { is_init init || is_init openrc-init; }"
find_obstacle = find_script_obstacle
find_next_start = find_settings_start
find = find_script


def is_active(service: ServiceChoice) -> str:
    """Exit 0 for `started`."""
    return f"rc-service {quote_unit(service)} status"


def restart(service: ServiceChoice) -> str:
    """Restart, and first end a listener that OpenRC takes for stopped: `restart` would only start, beside it.

    No `zap`: it forgets a daemon that runs, and `restart` heals one that crashed. Source: openrc-run.c, svc_restart and
    svc_start_check; start-stop-daemon.c.
    """
    unit = quote_unit(service)
    return (
        "known=''\nfor record in started starting stopping inactive; do\n"
        f"[ ! -e /run/openrc/$record/{unit} ] || known=yes\ndone\n"
        f'[ "$known" ] || end_listener\nrc-service {unit} restart'
    )


def hook_boot(name: str, command: str) -> str:
    """Write a service of the default runlevel that comes before sshd."""
    script = f"/etc/init.d/{quote(name)}"
    lines = (
        "#!/sbin/openrc-run",
        "depend() { after localmount mountall; before sshd ssh; }",
        f"start() {{ {command}; }}",
    )
    return (
        f"test -d /etc/runlevels/default && {write_script(script, lines)} && "
        f"ln -sf {script} /etc/runlevels/default/{quote(name)} && flush {script} /etc/runlevels/default"
    )


def unhook_boot(name: str) -> str:
    """Give shell text that removes both files."""
    return f"rm -f /etc/runlevels/default/{quote(name)} /etc/init.d/{quote(name)}"
