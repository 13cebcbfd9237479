"""A login through the new files comes before they are installed: on every OpenSSH and way to become root of the lab."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Ran, keepalive

from .faults import CONFIG, LITTER
from .hosts import Lab, LabHost

SECURITY = Path(__file__).parents[2] / "SECURITY.md"
KINDS = ("d11", "d12", "d13", "socket")  # OpenSSH 8.4, 9.2, 10.0, and 10.0 with its socket in systemd's hands


@pytest.fixture(scope="module")
def hosts(lab: Lab) -> Iterator[dict[str, LabHost]]:
    booted = lab.boot_all(list(KINDS))
    yield {host.kind: host for host in booted}
    for host in booted:
        host.stop()
        lab.hosts.remove(host)


def applied(lab: Lab, host: LabHost, user: str, folder: Path, *, password: bool = False) -> Ran:
    text = lab.inventory(user=user)
    if password:
        (folder / "secret").write_text(lab.password)
        (folder / "secret").chmod(0o600)
        text = text.replace("become: sudo", f"become: {{method: sudo, password: 'file:{folder}/secret'}}")
    inventory = folder / "hosts.yaml"
    inventory.write_text(text)
    return keepalive("apply", "--yes", "-i", inventory, "--limit", host.name, "--format", "json")


def rehearsal(ran: Ran) -> str:
    assert (ran.status, ran.host()["change"]) == (0, "applied"), ran.stdout
    return next(step["detail"] for step in ran.host()["steps"] if step["name"] == "rehearse")


@pytest.mark.parametrize("user", ["root", "ops", "pwd"])
@pytest.mark.parametrize("kind", KINDS)
def test_rehearsed_as_root_through_sudo_and_with_a_password(
    lab: Lab, hosts: dict[str, LabHost], kind: str, user: str, tmp_path: Path
) -> None:
    hosts[kind].reset()
    ran = applied(lab, hosts[kind], user, tmp_path, password=user == "pwd")
    assert rehearsal(ran).startswith("a login through the new files works")


def test_a_password_that_sudo_refuses_in_the_rehearsal_stops_the_change(
    lab: Lab, hosts: dict[str, LabHost], tmp_path: Path
) -> None:
    """It expires while the guard is armed: sudo would refuse it from the login that is to confirm, too."""
    host = hosts["d12"]
    host.reset()
    trap = host.files / "usr/local/sbin/systemd-run"
    trap.write_text('#!/bin/sh\necho pwd:another | chpasswd\nexec /usr/bin/systemd-run "$@"\n')
    trap.chmod(0o755)
    before = host.run(f"cat {CONFIG}; cat /run/sshd.pid").stdout
    try:
        ran = applied(lab, host, "pwd", tmp_path, password=True)
    finally:
        trap.unlink()
        host.run("chpasswd", stdin=f"pwd:{lab.password}\n")
    found = ran.host()
    assert (ran.status, found["change"]) == (3, "refused"), ran.stdout
    assert (found["failure"]["kind"], found["failure"]["cause"]) == ("become", "bad-password")
    assert [step["name"] for step in found["steps"] if not step["ok"]] == ["rehearse"]
    assert host.run(f"cat {CONFIG}; cat /run/sshd.pid").stdout == before
    assert host.run(LITTER, check=False).stdout == ""


@pytest.mark.parametrize("password", [False, True])
@pytest.mark.parametrize("kind", ["d11", "socket"])
def test_the_smallest_sudoers_file_is_enough(
    lab: Lab, hosts: dict[str, LabHost], kind: str, password: bool, tmp_path: Path
) -> None:
    """The very text of SECURITY.md, and an account that has nothing else."""
    host = hosts[kind]
    (rules,) = re.findall(r"```\n(# /etc/sudoers\.d/.*?)```", SECURITY.read_text(), re.DOTALL)
    if password:
        (with_password,) = re.findall(r"With a password, write `(.*?)`", SECURITY.read_text())
        rules = re.sub(r"keepalive ALL=.*", with_password, rules)
    host.reset()
    host.run(
        "id keepalive >/dev/null 2>&1 || useradd --create-home keepalive; cp -a /home/ops/.ssh /home/keepalive/; "
        "chown -R keepalive: /home/keepalive/.ssh"
    )
    host.run("chpasswd", stdin=f"keepalive:{lab.password}\n")
    host.run("cat >/etc/sudoers.d/sshd-keepalive; visudo -c -f /etc/sudoers.d/sshd-keepalive", stdin=rules)
    try:
        ran = applied(lab, host, "keepalive", tmp_path, password=password)
        assert rehearsal(ran).startswith("a login through the new files works")
    finally:
        host.run("rm /etc/sudoers.d/sshd-keepalive")


def test_rehearsed_where_sudo_wants_a_terminal(lab: Lab, hosts: dict[str, LabHost], tmp_path: Path) -> None:
    for kind, user in (("d11", "ops"), ("d13", "pwd")):
        host = hosts[kind]
        host.reset()
        host.run("echo 'Defaults requiretty' >/etc/sudoers.d/test")
        try:
            ran = applied(lab, host, user, tmp_path, password=user == "pwd")
            assert rehearsal(ran).startswith("a login through the new files works")
        finally:
            host.run("rm /etc/sudoers.d/test")


#: Lets scripts through, and shows every command that it is given, as wrappers that keep an audit trail do.
WRAPPER = """\
#!/bin/bash
echo "audit: $SSH_ORIGINAL_COMMAND" >&2
case $SSH_ORIGINAL_COMMAND in
"sh -s") tee -a /home/pwd/seen | sh -s ;;
*) tee -a /home/pwd/taken | sh -c "$SSH_ORIGINAL_COMMAND" ;;
esac
"""


def test_a_wrapper_that_shows_commands_is_not_taken_for_sudo(
    lab: Lab, hosts: dict[str, LabHost], tmp_path: Path
) -> None:
    """It sees the password on its way to sudo, as it must, and never for anything else."""
    host = hosts["d12"]
    host.reset()
    host.run("rm -f /home/pwd/seen /home/pwd/taken; cat >/home/pwd/wrapper; chmod 755 /home/pwd/wrapper", stdin=WRAPPER)
    host.run("cat >>/etc/ssh/sshd_config", stdin="Match User pwd\n  ForceCommand /home/pwd/wrapper\n")
    host.restart_sshd()
    try:
        ran = applied(lab, host, "pwd", tmp_path, password=True)
        assert rehearsal(ran).startswith("a login through the new files works")
        assert host.run("ls /home/pwd/taken", check=False).returncode != 0
        # One for the login at work, one for the rehearsal, one for the login that proves the change.
        assert host.run(f"grep -a -c -x '{lab.password}' /home/pwd/seen").stdout == "3\n"
    finally:
        host.reset()


def test_probe_fast_where_sudo_wants_a_password(lab: Lab, hosts: dict[str, LabHost], tmp_path: Path) -> None:
    host = hosts["d12"]
    host.reset()
    (tmp_path / "secret").write_text(lab.password)
    (tmp_path / "secret").chmod(0o600)
    text = lab.inventory(user="pwd")
    text = text.replace("become: sudo", f"become: {{method: sudo, password: 'file:{tmp_path}/secret'}}")
    (tmp_path / "hosts.yaml").write_text(text)
    ran = keepalive("probe", "--fast", "-i", tmp_path / "hosts.yaml", "--limit", host.name, "--format", "json")
    assert ran.host()["failure"] is None, ran
