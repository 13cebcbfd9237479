"""Programs that write sshd_config, or run what somebody elsewhere tells them: how a host shows them, and what they do.

`sets` and `change` are for people. Where `sets` is empty, no version that was read touches the two settings by itself;
the program may still be told to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One program, and how it treats ClientAliveInterval and ClientAliveCountMax."""

    name: str
    paths: tuple[str, ...]  # its package installs one of them
    sets: str = ""  # what it writes, and when; empty: nothing by itself
    change: str = ""  # where the values are to be changed instead
    source: str = ""  # where this was read
    dated: date | None = None  # when


_READ: Final = date(2026, 11, 27)

AGENTS: Final = (
    Agent(
        name="openEuler security service",
        paths=("/etc/openEuler_security",),
        sets="applies its rules at the first boot and at every start of openEuler-security.service",
        change="the sshd_config rules of /etc/openEuler_security/usr-security.conf",
        source="openEuler security-tool: security-tool.sh, security.conf",
        dated=_READ,
    ),
    Agent(
        name="secScanner",
        paths=("/etc/secScanner", "/opt/secScanner"),
        sets="appends ClientAliveInterval 900 and ClientAliveCountMax 0 when its level 3 is applied",
        change="/etc/secScanner/secscanner.cfg",
        source="openEuler secScanner",
        dated=_READ,
    ),
    Agent(
        name="WALinuxAgent",
        paths=("/var/lib/waagent",),
        sets="writes ClientAliveInterval, 180 by default, to the main file when the machine is provisioned",
        change="OS.SshClientAliveInterval in /etc/waagent.conf",
        source="https://github.com/Azure/WALinuxAgent README, Configuration",
        dated=_READ,
    ),
    Agent(
        name="OpenSCAP",
        paths=("/usr/share/xml/scap",),
        sets="writes the values of its profile, 300 and 0 by default, when a remediation runs",
        change="the variables sshd_idle_timeout_value and var_sshd_set_keepalive of its profile",
        source="https://github.com/ComplianceAsCode/content rules sshd_set_idle_timeout, sshd_set_keepalive",
        dated=_READ,
    ),
    Agent(
        name="Ubuntu Security Guide",
        paths=("/usr/sbin/usg",),
        sets="writes the values of its profile when usg fix runs",
        change="its tailoring file",
        source="https://github.com/ComplianceAsCode/content, whose Ubuntu rules it applies",
        dated=_READ,
    ),
    Agent(name="Host Security Service", paths=("/usr/local/hostguard",)),
    Agent(name="UniAgent", paths=("/usr/local/uniagentd",)),
    Agent(name="Amazon SSM Agent", paths=("/etc/amazon/ssm", "/snap/amazon-ssm-agent")),
    Agent(
        name="Google guest agent",  # its block in sshd_config holds keys and OS Login only: oslogin.go
        paths=("/etc/default/instance_configs.cfg", "/usr/bin/google_guest_agent"),
    ),
    Agent(name="Landscape", paths=("/etc/landscape/client.conf",)),
    Agent(name="Uyuni", paths=("/etc/venv-salt-minion",)),
    Agent(name="Foreman", paths=("/etc/foreman_scap_client", "/etc/rhsm/facts/katello.facts")),
    Agent(name="cloud-init", paths=("/etc/cloud/cloud.cfg",)),
    Agent(name="Puppet", paths=("/etc/puppetlabs/puppet", "/etc/puppet/puppet.conf")),
    Agent(name="Chef", paths=("/etc/chef", "/etc/cinc")),
    Agent(name="Salt", paths=("/etc/salt/minion",)),
    Agent(name="Ansible", paths=("/etc/ansible/facts.d",)),
    Agent(name="CFEngine", paths=("/var/cfengine",)),
)
_BY_NAME: Final = {agent.name: agent for agent in AGENTS}


def notes(names: Iterable[str]) -> tuple[str, ...]:
    """Sentences for somebody who is about to change a host on which these programs are."""
    found = [_BY_NAME[name] for name in names if name in _BY_NAME]
    told = [
        f"{agent.name} is on this host and sets the values back: it {agent.sets}; change {agent.change} too"
        for agent in found
        if agent.sets
    ]
    if others := [agent.name for agent in found if not agent.sets]:
        told.append(f"if {' or '.join(others)} of this host writes sshd_config, change the values there too")
    return tuple(told)
