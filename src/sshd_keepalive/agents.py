"""Programs that write sshd_config, or run orders from another machine: how to recognise them, and what they write.

`sets` and `change` are for people. Where `sets` is empty, no version that was read changes the two settings unless a
user configures it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One program, and how it treats ClientAliveInterval and ClientAliveCountMax."""

    name: str
    paths: tuple[str, ...]  # it installs or reads one of them
    source: str  # where this was read, on 2026-11-27: an address, or repository and path
    sets: str = ""  # what it writes, and when; a clause with a verb; empty: nothing by itself
    change: str = ""  # where to change the values instead


AGENTS: Final = (
    Agent(
        name="openEuler security service",
        paths=("/etc/openEuler_security",),
        sets="writes ClientAliveCountMax 0 to the main file at its first start, and its own rules at every start",
        change="the sshd_config rules of /etc/openEuler_security/usr-security.conf",
        source="https://github.com/gitee2github/security-tool security.conf rule 111, openEuler-security.service",
    ),
    Agent(
        name="secScanner",
        paths=("/etc/secScanner", "/opt/secScanner"),
        sets="writes ClientAliveInterval 900 and ClientAliveCountMax 0 to the main file when its level 3 is applied",
        change="/etc/secScanner/secscanner.cfg",
        source="https://github.com/openeuler-mirror/secscanner secscanner.cfg, level3/set/S122_sshLoginTMOUT.py",
    ),
    Agent(
        name="WALinuxAgent",
        paths=("/var/lib/waagent",),
        sets="writes ClientAliveInterval, 180 by default, to the main file when the machine is provisioned",
        change="OS.SshClientAliveInterval in /etc/waagent.conf",
        source="https://github.com/Azure/WALinuxAgent README.md, azurelinuxagent/common/conf.py",
    ),
    Agent(
        name="OpenSCAP",
        paths=("/usr/share/xml/scap",),
        sets="writes the values of its profile, 300 and 0 by default, when a remediation runs",
        change="the variables sshd_idle_timeout_value and var_sshd_set_keepalive of its profile",
        source="https://github.com/ComplianceAsCode/content linux_os/guide/services/ssh/*.var",
    ),
    Agent(
        name="Host Security Service",
        paths=("/usr/local/hostguard",),
        source="https://support.huaweicloud.com/intl/en-us/usermanual-hss2.0/hss_01_0386.html",
    ),
    Agent(
        name="UniAgent",
        paths=("/usr/local/uniagentd",),
        source="https://support.huaweicloud.com/usermanual-aom2/agent_01_0002.html; the path in "
        "https://github.com/opentelekomcloud-docs/application-operations-management-2 managing_uniagents.rst",
    ),
    Agent(
        name="Amazon SSM Agent",
        paths=("/etc/amazon/ssm",),
        source="https://github.com/aws/amazon-ssm-agent agent/appconfig/constants_unix.go",
    ),
    Agent(
        name="Google guest agent",  # its block in sshd_config holds keys and OS Login only
        paths=("/etc/default/instance_configs.cfg", "/usr/bin/google_guest_agent"),
        source="https://github.com/GoogleCloudPlatform/guest-agent google_guest_agent/cfg/cfg.go, oslogin.go",
    ),
    Agent(
        name="Landscape",
        paths=("/etc/landscape/client.conf",),
        source="https://documentation.ubuntu.com/landscape/explanation/features/remote-script-execution",
    ),
    Agent(
        name="Uyuni",
        paths=("/etc/venv-salt-minion",),
        source="https://github.com/uyuni-project/uyuni susemanager-utils/susemanager-sls/salt/bootstrap/init.sls",
    ),
    Agent(
        name="Foreman",
        paths=("/etc/foreman_scap_client", "/etc/rhsm/facts/katello.facts"),
        source="https://github.com/theforeman/foreman_scap_client README.md, "
        "https://github.com/Katello/katello-client-bootstrap bootstrap.py",
    ),
    Agent(
        name="cloud-init",  # of sshd_config it writes PasswordAuthentication only
        paths=("/etc/cloud/cloud.cfg",),
        source="https://github.com/canonical/cloud-init cloudinit/settings.py, config/cc_set_passwords.py",
    ),
    Agent(
        name="Puppet",
        paths=("/etc/puppetlabs/puppet",),
        source="https://github.com/puppetlabs/puppet lib/puppet/util/run_mode.rb",
    ),
    Agent(
        name="Chef",
        paths=("/etc/chef",),
        source="https://github.com/chef/chef chef-config/lib/chef-config/config.rb",
    ),
    Agent(
        name="Salt",
        paths=("/etc/salt/minion",),
        source="https://github.com/saltstack/salt salt/syspaths.py",
    ),
    Agent(
        name="Ansible",
        paths=("/etc/ansible/facts.d",),
        source="https://github.com/ansible/ansible lib/ansible/modules/setup.py",
    ),
    Agent(
        name="CFEngine",
        paths=("/var/cfengine",),
        source="https://github.com/cfengine/core configure.ac",
    ),
)
_BY_NAME: Final = {agent.name: agent for agent in AGENTS}


def list_notes(names: Iterable[str]) -> tuple[str, ...]:
    """List the notes of a plan for a host with these programs."""
    agents = [_BY_NAME[name] for name in names if name in _BY_NAME]
    notes = [
        f"{agent.name} on this host {agent.sets}: change {agent.change} too, or the old values come back"
        for agent in agents
        if agent.sets
    ]
    if others := [agent.name for agent in agents if not agent.sets]:
        notes.append(f"{' or '.join(others)} on this host may write sshd_config: if so, change the values there too")
    return tuple(notes)
