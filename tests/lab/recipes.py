"""What a root filesystem of each kind is made of, and the key that changes when any of it does."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

ALWAYS = ("openssh-server", "sudo", "iproute2", "passwd", "procps")
SYSTEMD = ("systemd", "systemd-sysv", "dbus")
SHELLS = ("tcsh", "fish", "zsh", "ksh")  # login shells people have; dash, bash and rbash are always there
ACCOUNTS_SCRIPT = Path(__file__).with_name("accounts.sh")
KINDS_FOLDER = Path(__file__).with_name("kinds")

USERS = ("root", "ops", "pwd", "nosudo")
"""Accounts of every host; the lab's client key opens all of them. `root` and `ops` need no password for sudo."""

PASSWORD = "lab secret"  # of `pwd` and `nosudo`; with a space, because passwords have them
"""Password of `pwd` (sudo asks for it) and of `nosudo` (sudo refuses); both may also log in with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A kind of host: debootstrap's suite and packages, or another kind's root plus packages and one command.

    `finish` is shell text run in the root at the very end. `become` is how `ops` becomes root. `init` is the file name
    of the host's process 1, `command` what is run in place of an init, `restart` what its administrator types to bring
    sshd back into the state it boots into, and `booted` succeeds once everything that is started at boot was started.
    """

    suite: str
    packages: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    base: str | None = None
    finish: str = ""
    become: str = "sudo"
    init: str = "systemd"
    command: tuple[str, ...] = ()
    restart: str = "systemctl reset-failed; systemctl restart ssh.service"
    booted: str = "systemctl is-system-running --wait | grep -qE 'running|degraded'"


def _script(*names: str) -> str:
    return "".join((KINDS_FOLDER / f"{name}.sh").read_text() for name in names)


_TRIXIE = Recipe(suite="trixie", packages=(*SYSTEMD, *SHELLS))
_SYSV = Recipe(
    suite="bookworm",
    packages=("sysvinit-core", "sysv-rc"),
    exclude=("systemd", "systemd-sysv"),
    init="init",
    restart="service ssh restart",
    booted="pgrep -x getty",  # inittab(5): started when the run level's scripts have ended
)

RECIPES: dict[str, Recipe] = {
    "d11": Recipe(suite="bullseye", packages=(*SYSTEMD, *SHELLS)),
    "d12": Recipe(suite="bookworm", packages=(*SYSTEMD, *SHELLS)),
    "d13": _TRIXIE,
    "sysv": _SYSV,
    # openrc takes the place of sysv-rc: debootstrap cannot choose between the two, apt can.
    "openrc": replace(_SYSV, packages=("openrc", "busybox"), exclude=(), base="sysv", restart="rc-service ssh restart"),
    "socket": replace(
        _TRIXIE,
        packages=(),
        base="d13",
        finish="systemctl disable ssh.service && systemctl enable ssh.socket",
        restart="systemctl reset-failed; systemctl stop ssh.service; systemctl restart ssh.socket",
    ),
}


_SSHD_UNIT = "systemctl reset-failed; systemctl restart sshd.service"

LAYOUTS: dict[str, Recipe] = {
    "rhel": Recipe(suite="trixie", base="d13", finish=_script("redhat", "rhel"), restart=_SSHD_UNIT),
    "el7": Recipe(
        suite="bullseye",
        base="d11",
        finish=_script("redhat", "el7"),
        restart=_SSHD_UNIT,
        booted="systemctl is-system-running | grep -qE 'running|degraded'",
    ),
    "suse": Recipe(suite="trixie", base="d13", packages=("tcc",), finish=_script("suse"), restart=_SSHD_UNIT),
    "alpine": replace(
        _SYSV,
        packages=("opendoas",),
        exclude=(),
        base="openrc",
        finish=_script("alpine"),
        become="doas",
        restart="rc-service sshd restart",
    ),
    "ubuntu": Recipe(
        suite="trixie",
        base="d13",
        packages=("rust-coreutils", "sudo-rs"),
        finish=_script("ubuntu"),
        restart="systemctl reset-failed; systemctl stop ssh.service; systemctl restart ssh.socket",
    ),
    "sid": replace(_TRIXIE, suite="sid", base="d13", packages=("openssh-server", "openssh-client")),
}
"""Debian dressed as what other people have: their files, units and tools, not their programs."""

_START_SSHD = "mkdir -p /run/sshd; exec /usr/sbin/sshd -D"
_SUPERVISORCTL = "supervisorctl -c /srv/supervisord.conf"
_CONTAINER = replace(
    _SYSV, packages=(), exclude=(), base="sysv", restart="kill -HUP $(cat /run/sshd.pid)", booted="true"
)

CONTAINERS: dict[str, Recipe] = {
    # /etc/init.d/ssh lies on all of these.
    "runit": replace(
        _CONTAINER,
        packages=("runit-init",),
        finish="mkdir -p /etc/sv/ssh; cd /etc/sv/ssh; ln -sf /etc/sv/ssh /etc/service/ssh; "
        f"printf '#!/bin/sh\n{_START_SSHD}\n' >run; chmod 755 run",
        init="runit",
        restart="sv restart ssh",
        booted="sv status ssh | grep -q ^run",
    ),
    "supervisor": replace(
        _CONTAINER,
        packages=("supervisor",),
        finish="mv /etc/supervisor/supervisord.conf /srv/; cd /etc/supervisor/conf.d; "
        f"printf '[program:sshd]\ncommand=/bin/sh -c \"{_START_SSHD}\"\n' >sshd.conf",
        init="python3.11",
        command=("/usr/bin/supervisord", "-nc", "/srv/supervisord.conf"),
        restart=f"{_SUPERVISORCTL} restart sshd",
        booted=f"{_SUPERVISORCTL} status sshd | grep -q RUNNING",
    ),
    "sshd1": replace(_CONTAINER, init="sshd", command=("/bin/sh", "-c", _START_SSHD)),
    "byhand": replace(
        _CONTAINER,
        init="sleep",
        command=("/bin/sh", "-c", "mkdir -p /run/sshd; /usr/sbin/sshd; exec sleep infinity"),
    ),
}
"""Hosts whose process 1 is not systemd, OpenRC or System V init."""


EXTRA_RECIPES: dict[str, Recipe] = {
    # The benchmark's hosts, for Ansible, and controllers: they have Python.
    "d12py": Recipe(suite="bookworm", base="d12", packages=("python3",)),
    "sysvpy": replace(_SYSV, base="sysv", packages=("python3", "cron"), exclude=()),
}
"""Kinds that no test runs over."""


def recipe_of(kind: str) -> Recipe:
    """Give the recipe of a kind, whichever table names it."""
    return (RECIPES | LAYOUTS | CONTAINERS | EXTRA_RECIPES)[kind]


def digest(kind: str, public_key: str) -> str:
    """Give the key of a root: it changes with the recipe, its base, the accounts and the key that opens them."""
    recipe = recipe_of(kind)
    contents = [recipe.suite, recipe.packages, recipe.exclude, recipe.base, recipe.finish]
    parts = [json.dumps(contents), ACCOUNTS_SCRIPT.read_text(), PASSWORD, public_key, *ALWAYS]
    if recipe.base:
        parts.append(digest(recipe.base, public_key))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
