"""OpenRC (Alpine, Gentoo, Devuan): `restart` checks the configuration first and refuses a broken one.

Source: rc-service(8), openrc-run(8), rc-update(8).
"""

from sshd_keepalive.model import ServiceChoice
from sshd_keepalive.quoting import quote
from sshd_keepalive.services import script_obstacle, settings_start, unit_of

RANK: int = 20
DETECT: str = "test -d /run/openrc && { is_init init || is_init openrc-init; }"
obstacle = script_obstacle
next_start = settings_start


def find(service: ServiceChoice) -> str:
    """The first of the usual names that exists."""
    if service.unit:
        return f"printf '%s' {unit_of(service)}"
    return "for name in sshd ssh; do if rc-service -e $name; then printf '%s' $name; break; fi; done"


def is_active(service: ServiceChoice) -> str:
    """Exit 0 for `started`."""
    return f"rc-service {unit_of(service)} status"


def restart(service: ServiceChoice) -> str:
    """A service that crashed is stopped in name only; `zap` forgets that, so that `start` may run."""
    unit = unit_of(service)
    return f"rc-service {unit} restart || {{ rc-service {unit} zap; rc-service {unit} start; }}"


def at_boot(name: str, command: str) -> str:
    """A service of the default runlevel that comes before sshd."""
    script = f"/etc/init.d/{quote(name)}"
    lines = (
        "#!/sbin/openrc-run",
        "depend() { after localmount mountall; before sshd ssh; }",
        f"start() {{ {command}; }}",
    )
    text = " ".join(quote(line) for line in lines)
    return (
        f"test -d /etc/runlevels/default && printf '%s\\n' {text} >{script} && chmod 0755 {script} && "
        f"ln -sf {script} /etc/runlevels/default/{quote(name)} && flush {script} /etc/runlevels/default"
    )


def not_at_boot(name: str) -> str:
    """Both files away."""
    return f"rm -f /etc/runlevels/default/{quote(name)} /etc/init.d/{quote(name)}"
