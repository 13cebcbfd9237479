"""The main job on hosts laid out as other systems are; what is emulated, and how, stands in tests/lab/kinds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .hosts import Lab, LabHost
from .recipes import LAYOUTS

#: Kind → shell text that succeeds where the host is what its recipe says.
CLAIMS = {
    "rhel": """
        ! ls -d /etc/debian_version /usr/bin/apt* /usr/bin/dpkg /etc/default/ssh /etc/init.d/ssh
        systemctl is-active sshd.service && ! systemctl cat ssh.service
        ! grep ExecStartPre /usr/lib/systemd/system/sshd.service
        [ "$(stat -c %a /etc/ssh/sshd_config /etc/ssh/sshd_config.d | tr '\\n' ' ')" = '600 700 ' ]
        grep -qx 'Include /etc/ssh/sshd_config.d/\\*.conf' /etc/ssh/sshd_config
        sshd -T | grep -qx 'requiredrsasize 2048'
        tr '\\0' ' ' </proc/$(cat /run/sshd.pid)/cmdline | grep -q oCiphers=aes256""",
    "el7": """
        systemctl is-active sshd.service && ! grep -i include /etc/ssh/sshd_config
        systemctl show --property=EnvironmentFiles sshd.service | grep -q '^EnvironmentFile=/etc/sysconfig/sshd (ignore'
        ! systemctl show --property=MainPID --value sshd.service && ! journalctl --sync
        su pwd -c 'sudo -n true </dev/null' 2>&1 | grep -q tty && su ops -c 'sudo -n true </dev/null'""",
    "suse": """
        systemctl is-active sshd.service && ! [ -e /etc/ssh/sshd_config ] && ! sshd -T -f /etc/ssh/sshd_config
        sshd -T | grep -qx 'ciphers aes256-gcm@openssh.com,aes256-ctr'
        echo 'Ciphers aes256-ctr' >/etc/ssh/sshd_config.d/x.conf && sshd -T | grep -qx 'ciphers aes256-ctr'
        echo 'PidFile none' >/etc/ssh/sshd_config && sshd -T | grep -qx 'pidfile none'
        rm /etc/ssh/sshd_config /etc/ssh/sshd_config.d/x.conf""",
    "alpine": """
        ls --help 2>&1 | grep -q BusyBox && sh --help 2>&1 | grep -q BusyBox && ! ls -q /
        ! command -v bash ss ip getconf sudo dpkg && [ "$(su ops -c 'doas id -u')" = 0 ]
        rc-service sshd status && ! rc-service -e ssh""",
    "ubuntu": """
        systemctl is-active ssh.socket && ls --version | grep -q ^ls.0 && sudo --version 2>&1 | grep -q sudo-rs
        echo 'Port 2222' >/etc/ssh/sshd_config.d/port.conf && systemctl daemon-reload
        systemctl show --property=Listen ssh.socket | grep -q 0.0.0.0:2222
        rm /etc/ssh/sshd_config.d/port.conf && systemctl daemon-reload""",
    "sid": """
        sshd -V 2>&1 | grep -qE 'OpenSSH_(1[1-9]|10\\.([6-9]|[1-9][0-9]))'
        sshd -T | grep -q ^ClientAliveInterval""",
}


@pytest.fixture(scope="module", params=LAYOUTS)
def host(lab: Lab, request: pytest.FixtureRequest) -> Iterator[LabHost]:
    with lab.borrow(request.param) as (host,):
        yield host


def test_host_is_what_its_kind_says(host: LabHost) -> None:
    for claim in CLAIMS[host.kind].strip().splitlines():
        host.run(f"set -x; {claim.strip()}")
