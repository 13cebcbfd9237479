"""The lab itself: its hosts are what their kinds say, and keep apart."""

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .faults import Victim
from .hosts import Lab, LabError, LabHost
from .recipes import RECIPES

Boot = Callable[..., list[LabHost]]

RELEASES = {"d11": "11", "d12": "12", "d13": "13", "sysv": "12", "openrc": "12", "socket": "13"}


def log_in(lab: Lab, host: LabHost, user: str, command: str, *, stdin: str = "") -> subprocess.CompletedProcess[str]:
    options = [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={lab.known_hosts}",
        "IdentitiesOnly=yes",
    ]
    flags = [word for option in options for word in ("-o", option)]
    argv = ["ssh", "-F", "none", *flags, "-i", str(lab.identity_file), f"{user}@{host.address}", command]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("kind", RECIPES)
def test_host_is_what_its_kind_says(lab: Lab, boot: Boot, kind: str) -> None:
    (host,) = boot(kind)
    assert host.run("cat /proc/1/comm").stdout.strip() == RECIPES[kind].init
    assert host.run(". /etc/os-release; echo $VERSION_ID").stdout.strip() == RELEASES[kind]
    assert host.run("hostname").stdout.strip() == host.name
    assert host.sshd_values()["clientaliveinterval"] == "0"
    host.run("dpkg --verify openssh-server && cmp /usr/share/openssh/sshd_config /etc/ssh/sshd_config")
    for user in lab.users:
        assert log_in(lab, host, user, "id -un").stdout.strip() == user
    host.restart_sshd()


@pytest.mark.parametrize(
    ("kind", "script", "answer"),
    [
        ("d12", "systemctl is-active ssh.service; systemctl is-system-running", ["active", "running"]),
        (
            "socket",
            "systemctl is-active ssh.socket; systemctl is-enabled ssh.service ssh.socket",
            ["active", "disabled", "enabled"],
        ),
        (
            "openrc",
            "rc-status default | tr -d ' ' | grep ssh; test -d /run/openrc && echo yes",
            ["ssh[started]", "yes"],
        ),
        (
            "sysv",
            "service ssh status; test -e /run/openrc -o -e /run/systemd || echo neither",
            ["sshd is running.", "neither"],
        ),
    ],
)
def test_service_manager_runs_sshd(boot: Boot, kind: str, script: str, answer: list[str]) -> None:
    (host,) = boot(kind)
    assert host.run(script, check=False).stdout.splitlines() == answer


def test_sudo_needs_what_the_account_says(lab: Lab, boot: Boot) -> None:
    (host,) = boot("d12")
    assert log_in(lab, host, "ops", "sudo -n id -un").stdout == "root\n"
    assert log_in(lab, host, "pwd", "sudo -n id -un").returncode == 1
    assert log_in(lab, host, "pwd", "sudo -S -p '' id -un", stdin=f"{lab.password}\n").stdout == "root\n"
    assert log_in(lab, host, "nosudo", "sudo -S -p '' id -un", stdin=f"{lab.password}\n").returncode == 1


def test_files_survive_a_reboot_and_no_root_is_written_to(boot: Boot) -> None:
    (host,) = boot("d12")
    host.run("echo yes >/etc/kept")
    starts = [host.run("cut -d ' ' -f 22 /proc/1/stat").stdout]  # proc(5): when the process started
    for orderly in (True, False):
        host.reboot(orderly=orderly)
        assert host.run("cat /etc/kept").stdout == "yes\n"
        starts.append(host.run("cut -d ' ' -f 22 /proc/1/stat").stdout)
    assert len(set(starts)) == len(starts)
    assert not (host.root / "etc/kept").exists()


def test_reset_brings_the_stock_configuration_back(boot: Boot) -> None:
    (host,) = boot("d12")
    host.run("echo ClientAliveInterval 7 >/etc/ssh/sshd_config.d/x.conf; rm /etc/ssh/moduli")
    assert host.sshd_values()["clientaliveinterval"] == "7"
    host.reset()
    assert host.sshd_values()["clientaliveinterval"] == "0"
    host.run("test -e /etc/ssh/moduli")


def test_neighbours_do_not_share_a_control_group(boot: Boot) -> None:
    first, second = boot("d12", count=2)
    unit = "systemd-run --unit=same --quiet -p KillMode=control-group sleep 1000"
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda host: host.run(unit), (first, second)))
    first.run("systemctl stop same", timeout_s=20)
    assert second.run("systemctl is-active same").stdout == "active\n"


def test_hosts_reach_each_other_by_address(boot: Boot) -> None:
    first, second = boot("d12", count=2)
    assert "OpenSSH" in first.run(f"ssh-keyscan -T 5 {second.address} 2>&1").stdout


def test_a_failed_script_reports_what_it_printed(boot: Boot) -> None:
    (host,) = boot("d12")
    with pytest.raises(LabError, match="no such thing"):
        host.run("echo no such thing >&2; exit 3")


def test_a_host_that_a_failed_test_has_spoiled_is_replaced(lab: Lab, tmp_path: Path) -> None:
    (host,) = lab.boot("d12")
    victim = Victim(lab, host, tmp_path)
    with pytest.raises(LabError), victim.attempt():
        victim.host.run("ip link set host0 down; mv /usr/sbin/sshd /usr/sbin/sshd.away; exit 3")
    with victim.attempt():
        assert log_in(lab, victim.host, "ops", "id -un").stdout == "ops\n"
    victim.stop()
