"""The program aimed at one sshd of a host that has several, or no init: what it finds, refuses and leaves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.support.cli import Ran, keepalive

from .faults import CONFIG, STATE
from .hosts import LabHost
from .recipes import recipe_of
from .roots import IDENTITY_FILE

#: What a refused run may not leave anywhere.
LITTER = (
    "find /etc/ssh /etc/ssh2 -name '.sshd-keepalive*' 2>/dev/null; find /etc/systemd /etc/init.d /etc/rc?.d "
    "/etc/runlevels /etc/sv -name '*sshd-keepalive*' 2>/dev/null; "
    f"ls {STATE}/../*/ 2>/dev/null | grep -v -E '^[0-9]{{8}}T|:|^$|taken_back'"
)
#: Every listening sshd with the moment of its start: nothing was restarted, and nothing more was started.
DAEMONS = (
    "for p in /proc/[0-9]*; do case $(tr '\\0' ' ' <$p/cmdline) in sshd:*listener]*) "
    "echo ${p#/proc/} $(cut -d ' ' -f 22 $p/stat) ;; esac; done 2>/dev/null | sort"
)

#: The files of a second sshd, and its start.
SECOND_FILES = (
    f"mkdir -p /etc/ssh2 /run/sshd; {{ echo 'Port 2222'; echo 'PidFile /run/second.pid'; cat {CONFIG}; }} "
    ">/etc/ssh2/sshd_config"
)
#: It writes its number before it listens under the title that DAEMONS looks for.
SECOND = (
    f"{SECOND_FILES}; /usr/sbin/sshd -f /etc/ssh2/sshd_config; "
    "until grep -aqs 'listener]' /proc/$(cat /run/second.pid)/cmdline; do sleep 0.1; done"
)


def end(pid_file: str) -> str:
    """Build shell text that ends the process of a PID file and waits until it has gone, its port with it."""
    return f"p=$(cat {pid_file}); kill $p; while kill -0 $p 2>/dev/null; do sleep 0.05; done"


class Aimed:
    """The program aimed at one sshd of a host."""

    def __init__(self, host: LabHost, folder: Path, **settings: Any) -> None:
        self.host = host
        self._path = folder / "hosts.yaml"
        self._settings = {
            "address": host.address,
            "user": "ops",
            "become": recipe_of(host.kind).become,
            "identity_file": str(IDENTITY_FILE),
            "known_hosts": str(folder / "known"),
            "host_keys": "accept-new",
        }
        self.set(**settings)

    def set(self, **settings: Any) -> None:
        self._settings |= settings
        self._path.write_text(yaml.safe_dump({"hosts": {self.host.name: self._settings}}))

    def __call__(self, command: str, *words: str) -> Ran:
        yes = ("--yes", "--confirm-timeout", "120") if command in ("apply", "undo") else ()
        return keepalive(command, *yes, "-i", self._path, "--format", "json", *words)

    def litter(self) -> str:
        return self.host.run(LITTER, check=False).stdout

    def obey(self, hint: str) -> None:
        """Do what a hint says of the inventory."""
        said = re.search(r"service: (\{.*\})", hint)
        assert said is not None, hint
        self.set(service=yaml.safe_load(said[1]))


def steps(ran: Ran) -> dict[str, dict[str, Any]]:
    return {step["name"]: step for step in ran.host()["steps"]}


def refused(aimed: Aimed, cause: str, *words: str) -> dict[str, Any]:
    """An apply that is refused and changes nothing; gives its failure."""
    look = f"cksum {CONFIG} /etc/ssh2/sshd_config 2>/dev/null; {DAEMONS}"
    before = aimed.host.run(look, check=False).stdout
    ran = aimed("apply", *words)
    found = ran.host()
    assert (ran.status, found["change"]) == (3, "refused"), found
    assert found["failure"]["cause"] == cause, found["failure"]
    assert aimed.host.run(look, check=False).stdout == before
    assert aimed.litter() == ""
    failure: dict[str, Any] = found["failure"]
    return failure
