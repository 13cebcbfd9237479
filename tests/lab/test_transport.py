"""Becoming root, passwords, PAM and login shells on real hosts."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from sshd_keepalive.errors import HostError
from sshd_keepalive.model import Become, Completed, Host
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh import throttle
from sshd_keepalive.ssh.connect import connect
from tests.support.cli import keepalive
from tests.support.sshd import make_key, wait_until

from .hosts import Lab, LabHost

KINDS = ("d11", "d12", "d13")  # sudo 1.9.5, 1.9.13, 1.9.16; the last one runs commands in a pty of its own
SUDO = Become(method="sudo")
WITH_PASSWORD = Become(method="sudo", password="env:SUDO_PASSWORD")


@pytest.fixture(scope="module")
def machines(lab: Lab) -> Iterator[dict[str, LabHost]]:
    hosts = lab.boot_all(list(KINDS))
    yield dict(zip(KINDS, hosts, strict=True))
    for host in hosts:
        host.stop()
        lab.hosts.remove(host)


@pytest.fixture(params=KINDS)
def machine(machines: dict[str, LabHost], request: pytest.FixtureRequest) -> Iterator[LabHost]:
    """A host for one test, in the state in which it was booted as far as these tests change it."""
    host = machines[request.param]
    yield host
    if host.run("ls /etc/sudoers.d/test /etc/ssh/sshd_config.d/test.conf", check=False).stdout:
        host.run("rm -f /etc/sudoers.d/test /etc/ssh/sshd_config.d/test.conf")
        host.restart_sshd()


@pytest.fixture(autouse=True)
def passwords(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_PASSWORD", lab.password)
    monkeypatch.setenv("LOGIN_PASSWORD", lab.password)
    monkeypatch.setenv("WRONG_PASSWORD", "not it")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def reach(lab: Lab) -> Callable[..., Host]:
    def reach(machine: LabHost, user: str = "ops", become: Become = SUDO, **settings: object) -> Host:
        return Host(
            **{
                "name": machine.name,
                "address": machine.address,
                "user": user,
                "become": become,
                "identity_file": str(lab.identity_file),
                "known_hosts": str(known_hosts(lab, machine)),
                **settings,
            }
        )

    return reach


def known_hosts(lab: Lab, machine: LabHost) -> Path:
    """A file of its own for each host: the lab's grows, and a process reads each file once."""
    path = lab.folder / f"known_hosts-{machine.name}"
    if not path.exists():
        lines = lab.known_hosts.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if machine.address in line.split()[0].split(",")))
    return path


def run(host: Host, script: str = "id -u", *, secrets: Secrets | None = None, timeout_s: float = 20) -> Completed:
    shell = connect(host, secrets=secrets or Secrets(), timeout_s=timeout_s)
    try:
        return shell.run(script, timeout_s=timeout_s)
    finally:
        shell.close()


def refusal(host: Host, *, secrets: Secrets | None = None, timeout_s: float = 20) -> HostError:
    with pytest.raises(HostError) as caught:
        run(host, "touch /run/it-ran", secrets=secrets, timeout_s=timeout_s)
    assert caught.value.hint
    for secret in (os.environ["SUDO_PASSWORD"], os.environ["WRONG_PASSWORD"]):
        assert secret not in f"{caught.value!r} {caught.value.hint}"
    return caught.value


def journal(machine: LabHost, *, since: str = "") -> str:
    """What the host has logged; complete, because it is written out first."""
    lines = machine.run("journalctl --sync; journalctl -q -o cat").stdout
    return lines.rpartition(since)[2] if since else lines


def mark(machine: LabHost) -> str:
    """Put a line into the host's journal to count from."""
    text = f"mark {time.monotonic_ns()}"
    machine.run(f"logger -t test '{text}'")
    return text


# ----------------------------------------------------------------------------------------------- sudo


def test_root_needs_no_sudo(machine: LabHost, reach: Callable[..., Host]) -> None:
    here = mark(machine)
    assert run(reach(machine, "root")).stdout == b"0\n"
    assert run(reach(machine, "root", WITH_PASSWORD)).stdout == b"0\n"
    assert "COMMAND=" not in journal(machine, since=here)


def test_sudo_without_a_password_logs_no_script(machine: LabHost, reach: Callable[..., Host]) -> None:
    here = mark(machine)
    script = "id -u; cat; ps -eo args; exit 3\n# OUR SCRIPT\n" + "# filler\n" * 50_000
    done = run(reach(machine), script)
    assert (done.status, done.stdout.split(b"\n")[0]) == (3, b"0")
    assert b"OUR SCRIPT" not in done.stdout
    logged = journal(machine, since=here)
    assert logged.count("COMMAND=") == 1
    assert "COMMAND=/usr/bin/sh -s" in logged or "COMMAND=/bin/sh -s" in logged


def test_sudo_with_a_password(machine: LabHost, reach: Callable[..., Host]) -> None:
    here = mark(machine)
    done = run(reach(machine, "pwd", WITH_PASSWORD), "id -u; cat; ps -eo args; env; exit 3\n# OUR SCRIPT")
    assert (done.status, done.stdout.split(b"\n")[0]) == (3, b"0")
    for secret in (os.environ["SUDO_PASSWORD"].encode(), b"OUR SCRIPT"):
        assert secret not in done.stdout + done.noise
    logged = journal(machine, since=here)
    assert os.environ["SUDO_PASSWORD"] not in logged
    assert "authentication failure" not in logged


def test_a_large_script_and_much_output_pass_a_sudo_with_a_password(
    machine: LabHost, reach: Callable[..., Host]
) -> None:
    done = run(reach(machine, "pwd", WITH_PASSWORD), "# filler\n" * 100_000 + "head -c 3000000 /dev/zero")
    assert (done.status, len(done.stdout)) == (0, 3_000_000)


def test_a_password_that_is_not_needed_is_not_sent(machine: LabHost, reach: Callable[..., Host]) -> None:
    become = Become(method="sudo", password="env:NOT_SET_ANYWHERE")  # would fail if it were asked for
    assert run(reach(machine, "ops", become)).stdout == b"0\n"


def test_a_wrong_sudo_password_is_one_failed_attempt_ever(machine: LabHost, reach: Callable[..., Host]) -> None:
    here = mark(machine)
    secrets = Secrets()
    become = Become(method="sudo", password="env:WRONG_PASSWORD")
    for _ in range(3):
        failure = refusal(reach(machine, "pwd", become), secrets=secrets)
        assert (failure.kind, failure.cause) == ("become", "bad-password")
    # sudo logs the attempt when it finds its input closed, after the program has gone.
    wait_until(lambda: "1 incorrect password attempt" in journal(machine, since=here), 60, "sudo to log the attempt")
    logged = journal(machine, since=here)
    assert logged.count("incorrect password attempt") == 1
    assert logged.count("pam_unix(sudo:auth): authentication failure") == 1
    assert not machine.run("ls /run/it-ran", check=False).stdout


def test_a_password_is_missing(machine: LabHost, reach: Callable[..., Host]) -> None:
    failure = refusal(reach(machine, "pwd"))
    assert (failure.kind, failure.cause) == ("become", "need-password")


def test_not_in_sudoers(machine: LabHost, reach: Callable[..., Host]) -> None:
    failure = refusal(reach(machine, "nosudo", WITH_PASSWORD))
    assert (failure.kind, failure.cause) == ("become", "sudo-denied")
    assert "nosudo" in str(failure)


def test_only_another_command_is_allowed(machine: LabHost, reach: Callable[..., Host]) -> None:
    machine.run("echo 'nosudo ALL=(root) NOPASSWD: /usr/bin/true' >/etc/sudoers.d/test")
    assert refusal(reach(machine, "nosudo")).kind == "become"
    assert refusal(reach(machine, "nosudo", WITH_PASSWORD)).cause == "sudo-denied"


def test_the_narrowest_rules_that_work(machine: LabHost, reach: Callable[..., Host]) -> None:
    machine.run("echo 'nosudo ALL=(root) NOPASSWD: /bin/sh -s' >/etc/sudoers.d/test")
    assert run(reach(machine, "nosudo")).stdout == b"0\n"
    machine.run("echo 'nosudo ALL=(root) /bin/sh' >/etc/sudoers.d/test")
    assert run(reach(machine, "nosudo", WITH_PASSWORD)).stdout == b"0\n"


@pytest.mark.parametrize("setting", ["requiretty", "requiretty,use_pty", "requiretty,log_output"])
def test_sudo_that_wants_a_terminal_gets_one_of_its_own(
    machine: LabHost, reach: Callable[..., Host], setting: str
) -> None:
    """Any bytes pass, nothing is echoed, the password is asked for once, and later scripts find the terminal needed."""
    machine.run(f"echo 'Defaults {setting}' >/etc/sudoers.d/test")
    for user, become in (("ops", SUDO), ("pwd", WITH_PASSWORD)):
        here = mark(machine)
        shell = connect(reach(machine, user, become), secrets=Secrets(), timeout_s=30)
        script = r"id -u; cat; printf '\000\003\004\377\r\n'; echo err >&2; exit 3"
        try:
            for _ in range(2):
                done = shell.run(script, timeout_s=30)
                assert (done.stdout, done.status) == (b"0\n\0\3\4\xff\r\nerr\n", 3)
        finally:
            shell.close()
        assert journal(machine, since=here).count("must have a tty") <= 1
    machine.run("mv /usr/bin/script /usr/bin/script.away")
    try:
        failure = refusal(reach(machine, "ops"))
        assert failure.cause == "sudo-tty"
        assert "!requiretty" in str(failure.hint)
    finally:
        machine.run("mv /usr/bin/script.away /usr/bin/script")


def test_a_script_goes_on_without_its_connection_also_when_sudo_has_a_terminal(
    machine: LabHost, reach: Callable[..., Host]
) -> None:
    machine.run("echo 'Defaults requiretty' >/etc/sudoers.d/test; rm -f /root/began /root/alone /root/ended")
    for user, become in (("ops", SUDO), ("pwd", WITH_PASSWORD)):
        shell = connect(reach(machine, user, become), secrets=Secrets(), timeout_s=30)
        script = (
            "trap '' HUP PIPE; touch /root/began; until [ -e /root/alone ]; do sleep 0.1; done; "
            "echo much; touch /root/ended"
        )
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(shell.run, script, timeout_s=30)
            wait_until(lambda: machine.run("ls /root/began", check=False).returncode == 0, 30, "the script")
            shell.close()
            assert not running.result().ended
        machine.run("touch /root/alone")
        wait_until(lambda: machine.run("ls /root/ended", check=False).returncode == 0, 30, "the end of the script")
        machine.run("rm /root/began /root/alone /root/ended")


@pytest.mark.parametrize("setting", ["use_pty", "!use_pty", "log_input,log_output", "lecture=always"])
def test_settings_of_sudo(machine: LabHost, reach: Callable[..., Host], setting: str) -> None:
    machine.run(f"echo 'Defaults {setting}' >/etc/sudoers.d/test")
    for user, become in (("ops", SUDO), ("pwd", WITH_PASSWORD)):
        done = run(reach(machine, user, become), r"id -u; cat; printf '\000\377\r\n'; echo err >&2")
        assert done.stdout == b"0\n\0\xff\r\nerr\n"


def test_without_sudo(machine: LabHost, reach: Callable[..., Host]) -> None:
    machine.run("mv /usr/bin/sudo /usr/bin/sudo.away")
    try:
        for become in (SUDO, WITH_PASSWORD):
            assert refusal(reach(machine, "ops", become)).cause == "sudo-missing"
    finally:
        machine.run("mv /usr/bin/sudo.away /usr/bin/sudo")


# -------------------------------------------------------------------------------------------- the login


def configure(machine: LabHost, text: str) -> None:
    machine.run("cat >/etc/ssh/sshd_config.d/test.conf", stdin=text)
    machine.restart_sshd()


BY_PASSWORD = "PasswordAuthentication yes\nKbdInteractiveAuthentication no\n"
# Until 8.6 the second name switches PAM's questions on; since then both are one.
BY_QUESTION = "PasswordAuthentication no\nKbdInteractiveAuthentication yes\nChallengeResponseAuthentication yes\n"


@pytest.mark.parametrize("configuration", [BY_PASSWORD, BY_QUESTION], ids=["password", "keyboard-interactive"])
def test_login_by_password(machine: LabHost, reach: Callable[..., Host], configuration: str, tmp_path: Path) -> None:
    configure(machine, configuration)
    here = mark(machine)
    host = reach(machine, "pwd", WITH_PASSWORD, identity_file=None, password="env:LOGIN_PASSWORD")
    assert run(host).stdout == b"0\n"
    inventory = tmp_path / "hosts.yaml"
    settings = {"address": host.address, "user": "pwd", "known_hosts": host.known_hosts, "password": host.password}
    become = {"method": "sudo", "password": WITH_PASSWORD.password}
    inventory.write_text(json.dumps({"hosts": {"one": {**settings, "become": become}}}))
    method = "password" if configuration == BY_PASSWORD else "password by keyboard-interactive"
    assert f", login with {method}, " in keepalive("check", "-v", "-i", inventory).stdout
    assert "authentication failure" not in journal(machine, since=here)
    wrong = reach(machine, "pwd", identity_file=None, password="env:WRONG_PASSWORD")
    secrets = Secrets()
    for _ in range(3):
        failure = refusal(wrong, secrets=secrets)
        assert (failure.kind, failure.cause) == ("auth", "auth-failed")
    assert journal(machine, since=here).count("pam_unix(sshd:auth): authentication failure") == 1


def test_key_and_password(machine: LabHost, reach: Callable[..., Host]) -> None:
    configure(machine, "PasswordAuthentication yes\nAuthenticationMethods publickey,password\n")
    assert run(reach(machine, "pwd", WITH_PASSWORD, password="env:LOGIN_PASSWORD")).stdout == b"0\n"
    assert refusal(reach(machine, "ops")).cause == "auth-more"


def test_an_expired_password(machine: LabHost, reach: Callable[..., Host]) -> None:
    configure(machine, BY_QUESTION)
    machine.run("chage -d 0 nosudo")
    try:
        for settings in ({}, {"identity_file": None, "password": "env:LOGIN_PASSWORD"}):
            failure = refusal(reach(machine, "nosudo", Become(method="none"), **settings))
            assert (failure.kind, failure.cause) == ("auth", "password-expired")
    finally:
        machine.run("chage -d $(($(date +%s) / 86400)) nosudo")
    machine.run("su nosudo -c true")


def test_an_expired_account(machine: LabHost, reach: Callable[..., Host]) -> None:
    machine.run("chage -E 0 nosudo")
    try:
        failure = refusal(reach(machine, "nosudo"))
        assert (failure.kind, failure.cause) == ("auth", "account-closed")
    finally:
        machine.run("chage -E -1 nosudo")


@pytest.mark.parametrize("shell", ["dash", "bash", "rbash", "tcsh", "fish", "zsh", "ksh", "nologin"])
def test_login_shells(machine: LabHost, reach: Callable[..., Host], shell: str) -> None:
    path = machine.run(f"PATH=$PATH:/usr/sbin command -v {shell}", check=False).stdout.strip()
    if not path:
        pytest.skip(f"the lab's hosts have no {shell}")
    machine.run(f"usermod -s {path} ops")
    try:
        if shell == "nologin":
            assert refusal(reach(machine)).cause == "no-shell"
        else:
            done = run(reach(machine), "id -u; echo it\\'s $HOME; exit 3")
            assert (done.status, done.stdout) == (3, b"0\nit's /root\n")
    finally:
        machine.run("usermod -s /bin/bash ops")


def test_a_noisy_start_file(machine: LabHost, reach: Callable[..., Host]) -> None:
    """Debian's bash reads ~/.bashrc for commands that sshd runs."""
    bashrc = "/home/ops/.bashrc"
    machine.run(f"mv {bashrc} {bashrc}.away; printf '%s\\n' 'echo hello' 'echo oops >&2' 'printf half' >{bashrc}")
    try:
        done = run(reach(machine))
    finally:
        machine.run(f"mv {bashrc}.away {bashrc}")
    assert done.stdout == b"0\n"
    assert b"hello" in done.noise


def test_an_address_that_is_penalised(lab: Lab, boot: Callable[..., list[LabHost]], tmp_path: Path) -> None:
    (machine,) = boot("d13")  # 9.8 and later
    configure(machine, "PerSourcePenalties authfail:14s min:15s\n")  # the second failure counts, a slow one also
    key = str(make_key(tmp_path / "wrong"))
    host = Host(
        name="p", address=machine.address, user="ops", identity_file=key, known_hosts=str(known_hosts(lab, machine))
    )
    causes: list[str] = []

    def penalised() -> bool:
        with pytest.raises(HostError) as caught:
            connect(host, secrets=Secrets(), timeout_s=60)
        causes.append(caught.value.cause)
        return caught.value.cause == "penalised"

    wait_until(penalised, 60, "the penalty")
    assert set(causes) == {"auth-failed", "penalised"}
    assert causes.count("auth-failed") >= 2


def _is_served(connection: socket.socket) -> bool:
    return connection.recv(100).startswith(b"SSH-")


def test_a_full_server_and_a_bar_look_alike_from_outside(
    boot: Callable[..., list[LabHost]], reach: Callable[..., Host], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """OpenSSH 9.8 and later. Without failures of our own both causes are named, and a patient login tries once more."""
    causes: list[str] = []
    real = throttle.choose_wait_s
    monkeypatch.setattr(throttle, "SLOW_S", (3.0, 3.0))
    monkeypatch.setattr(throttle, "choose_wait_s", lambda error, n: causes.append(error.cause) or real(error, n))
    (machine,) = boot("d13")
    configure(machine, "MaxStartups 1:100:1\nLoginGraceTime 60\nPerSourcePenalties no\n")
    host = reach(machine)
    with ThreadPoolExecutor(1) as pool:
        with ExitStack() as held:
            wait_until(
                lambda: _is_served(held.enter_context(socket.create_connection((machine.address, 22)))), 30, "room"
            )
            assert refusal(host).cause == "turned-away"
            login = pool.submit(connect, host, secrets=Secrets(), timeout_s=30, is_patient=True)
            wait_until(lambda: causes == ["turned-away"], 30, "the refusal")
        login.result().close()
    configure(machine, "PerSourcePenalties authfail:30s min:15s\n")
    options = ("BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")
    words = ["ssh", "-F", "/dev/null", "-i", make_key(tmp_path / "wrong"), f"ops@{machine.address}"]
    words += [word for option in options for word in ("-o", option)]

    def is_barred() -> bool:
        """Somebody else at this address, whom this process knows nothing of."""
        said = subprocess.run([*words, "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False).stderr
        return b"Permission denied" not in said

    wait_until(is_barred, 30, "the bar")
    with pytest.raises(HostError) as caught:
        connect(host, secrets=Secrets(), timeout_s=60)
    assert caught.value.cause == "turned-away"
    assert "PerSourcePenalties" in str(caught.value)


def test_a_frozen_host(boot: Callable[..., list[LabHost]], reach: Callable[..., Host]) -> None:
    """Everything on it stops, nothing says goodbye."""
    (machine,) = boot("d12")
    shell = connect(reach(machine), secrets=Secrets(), timeout_s=60)
    subprocess.run(["nsenter", "-t", str(machine._init_pid), "-n", "ip", "link", "set", "host0", "down"], check=True)
    with pytest.raises(HostError) as caught:
        shell.run("id -u", timeout_s=1)
    assert caught.value.kind == "timeout"
    assert caught.value.cause in ("deadline(channel)", "deadline(exec)")  # the session may have been opened before
    shell.close()
