"""Connections against mockssh, behind our own fenced handler."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import paramiko
import pytest
from paramiko.auth_handler import AuthHandler

from sshd_keepalive.errors import HostError
from sshd_keepalive.model import Become, Host
from sshd_keepalive.scripts.records import read_output
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.connect import connect
from tests.support.leaks import nothing_left
from tests.support.mock import FencedHandler, FencedServer
from tests.support.shell import write_command
from tests.support.sshd import make_key, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FencedServer]:
    with nothing_left(), FencedServer(tmp_path) as server:
        yield server


def run(host: Host, script: str = "echo hello", timeout_s: float = 60, **secrets: object):
    shell = connect(host, secrets=Secrets(**secrets), timeout_s=timeout_s)
    try:
        return shell.run(script, timeout_s=timeout_s)
    finally:
        shell.close()


def refusal(host: Host, **options: object) -> HostError:
    with pytest.raises(HostError) as caught:
        run(host, **options)
    return caught.value


@pytest.mark.parametrize("status", [0, 3, 126, 127])
def test_status_and_both_streams_arrive(server: FencedServer, status: int) -> None:
    done = run(server.reach(), f"echo out; echo err >&2; exit {status}")
    assert (done.status, done.stdout, done.ended) == (status, b"out\nerr\n", True)
    assert server.commands == ["sh -s"]


def test_a_login_serves_many_scripts(server: FencedServer) -> None:
    shell = connect(server.reach(), secrets=Secrets(), timeout_s=30)
    assert [shell.run(f"echo {n}", timeout_s=30).stdout for n in range(3)] == [b"0\n", b"1\n", b"2\n"]
    assert shell.server_version.startswith("SSH-2.0-")
    shell.close()
    shell.close()
    assert len(server.attempts) == 1
    assert server.commands == ["sh -s"]


def test_a_shell_that_died_while_it_waited_is_replaced_and_nothing_runs_twice(server: FencedServer) -> None:
    shell = connect(server.reach(), secrets=Secrets(), timeout_s=30)
    waiting = int(shell.run("echo $$", timeout_s=30).stdout)
    os.kill(waiting, signal.SIGKILL)
    assert shell.run("echo again >>log; cat log", timeout_s=30).stdout == b"again\n"
    shell.close()
    assert server.commands == ["sh -s", "sh -s"]


def test_a_script_that_was_cut_off_is_not_run_again(server: FencedServer) -> None:
    shell = connect(server.reach(), secrets=Secrets(), timeout_s=30)
    shell.run(":", timeout_s=30)
    done = shell.run("echo begun >>log; kill -KILL $$", timeout_s=30)
    assert (done.begun, done.ended) == (True, False)
    assert shell.run("cat log", timeout_s=30).stdout == b"begun\n"
    shell.close()


def test_three_megabytes_pass_on_either_stream(server: FencedServer) -> None:
    done = run(server.reach(), "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2", timeout_s=60)
    assert (len(done.stdout), done.status) == (6_000_000, 0)


def test_standard_error_outside_of_the_markers_is_noise_and_stalls_nothing(server: FencedServer) -> None:
    server.login_shell = ("sh", "-c", 'head -c 600000 /dev/zero >&2; echo "motd, no newline"; eval "$0"')
    done = run(server.reach(), "echo payload", timeout_s=60)
    assert done.stdout == b"payload\n"
    assert len(done.noise) <= 4096


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_output_without_end_is_read_up_to_a_limit(server: FencedServer, stream: str) -> None:
    """A host that never stops would otherwise keep the program busy for its whole time."""
    done = run(server.reach(), f"cat /dev/zero {stream}", timeout_s=600)
    assert (done.begun, done.ended) == (True, False)
    with pytest.raises(HostError) as raised:
        read_output(done)
    assert (raised.value.kind, raised.value.cause) == ("observe", "too_large")


def test_noise_without_end_is_read_up_to_a_limit(server: FencedServer) -> None:
    server.login_shell = ("sh", "-c", "exec cat /dev/zero >&2")
    assert not run(server.reach(), "echo payload", timeout_s=600).ended


def test_any_bytes_arrive_as_they_were(server: FencedServer) -> None:
    done = run(server.reach(), r"printf '\000\377\r\n\nSKA1 END 0 0\nlast'")
    assert done.stdout == b"\0\xff\r\n\nSKA1 END 0 0\nlast"


def test_a_script_of_a_megabyte_that_reads_its_input(server: FencedServer) -> None:
    done = run(server.reach(), "cat\n" + "# it's a \\ comment\n" * 60_000 + "echo end", timeout_s=60)
    assert done.stdout == b"end\n"


def test_a_child_that_keeps_the_output_open_does_not_hold_us(server: FencedServer) -> None:
    done = run(server.reach(), "sleep 300 & echo done $!", timeout_s=120)
    os.kill(int(done.stdout.split()[1]), signal.SIGKILL)  # it lives: nobody waited for it
    assert done.ended


def test_a_script_that_was_killed_has_an_unknown_outcome(server: FencedServer) -> None:
    done = run(server.reach(), "echo first; kill -KILL $$; exit")
    assert (done.begun, done.ended, done.status) == (True, False, None)
    assert done.stdout == b"first\n"


def test_a_script_that_ran_out_of_time_has_an_unknown_outcome(server: FencedServer) -> None:
    shell = connect(server.reach(), secrets=Secrets(), timeout_s=30)
    done = shell.run("echo first; sleep 60", timeout_s=4)
    shell.close()
    assert (done.begun, done.ended, done.stdout) == (True, False, b"first\n")
    assert 3.9 < done.seconds_s < 50


def test_a_shell_that_runs_nothing(server: FencedServer) -> None:
    server.login_shell = ("sh", "-c", "echo This account is currently not available.; exit 1")
    failure = refusal(server.reach())
    assert (failure.kind, failure.cause) == ("shell", "no-shell")
    assert "This account is currently not available." in str(failure)


def test_a_program_that_reads_to_the_end_is_distinguished_from_a_slow_shell(server: FencedServer) -> None:
    server.login_shell = ("sh", "-c", "cat >/dev/null; echo no shell for you; exit 1")
    failure = refusal(server.reach(), timeout_s=30)
    assert failure.cause == "no-shell"
    assert "no shell for you" in str(failure)


def test_an_expired_password_is_no_broken_shell(server: FencedServer) -> None:
    server.login_shell = ("sh", "-c", "echo 'Password change required but no TTY available.' >&2; exit 1")
    assert refusal(server.reach()).cause == "password-expired"


def test_a_shell_killed_before_the_script(server: FencedServer) -> None:
    server.login_shell = ("sh", "-c", "kill -KILL $$")
    failure = refusal(server.reach())
    assert failure.cause == "no-shell"
    assert "KILL" in str(failure)


def test_no_session(server: FencedServer) -> None:
    server.n_sessions_max = 0
    assert refusal(server.reach()).cause == "no-session"


def test_the_wrong_key_is_tried_once(server: FencedServer, tmp_path: Path) -> None:
    failure = refusal(server.reach(identity_file=str(make_key(tmp_path / "other"))))
    assert (failure.kind, failure.cause) == ("auth", "auth-failed")
    assert server.attempts == [("ops", "publickey")]


def test_a_key_is_not_enough(server: FencedServer) -> None:
    server.two_steps = {"ops"}
    server.methods = "publickey,keyboard-interactive"
    assert refusal(server.reach()).cause == "auth-more"


def test_key_and_password(server: FencedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.two_steps = {"ops"}
    server.methods = "publickey,password"
    server.passwords = {"ops": "s3cret"}
    monkeypatch.setenv("PASSWORD", "s3cret")
    assert run(server.reach(password="env:PASSWORD")).status == 0
    assert server.attempts == [("ops", "publickey"), ("ops", "password")]


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_a_password_goes_by_the_method_there_is(
    server: FencedServer, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    server.methods = method
    server.passwords = {"ops": "s3cret"}
    monkeypatch.setenv("PASSWORD", "s3cret")
    assert run(server.reach(identity_file=None, password="env:PASSWORD")).status == 0
    assert server.attempts == [("ops", method)]


def test_no_question_at_all_is_answered_with_nothing(server: FencedServer) -> None:
    server.methods = "keyboard-interactive"
    server.prompts = ()
    assert run(server.reach(identity_file=None, password="prompt"), prompt=lambda _: "x").status == 0


@pytest.mark.parametrize(
    ("prompts", "cause"),
    [
        ((("One-time code: ", False),), "auth-prompt"),
        ((("Password: ", True),), "auth-prompt"),
        ((("Password: ", False), ("Token: ", False)), "auth-prompt"),
        ((("Current password: ", False),), "password-expired"),
    ],
)
def test_other_questions_get_no_password(server: FencedServer, prompts: tuple, cause: str) -> None:
    server.methods = "keyboard-interactive"
    server.prompts = prompts
    failure = refusal(server.reach(identity_file=None, password="prompt"), prompt=lambda _: "s3cret")
    assert failure.cause == cause
    assert "s3cret" not in str(failure)


def test_a_wrong_password_is_sent_once_to_a_host(server: FencedServer) -> None:
    server.methods = "password"
    server.passwords = {"ops": "right"}
    secrets = Secrets(prompt=lambda _: "wrong")
    for _ in range(3):
        with pytest.raises(HostError) as caught:
            connect(server.reach(identity_file=None, password="prompt"), secrets=secrets, timeout_s=30)
        assert caught.value.cause == "auth-failed"
        assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert server.attempts == [("ops", "password")]


def test_a_password_that_is_not_to_be_had(server: FencedServer) -> None:
    server.methods = "password"
    failure = refusal(server.reach(identity_file=None, password="env:NOT_SET_ANYWHERE"))
    assert (failure.kind, failure.cause) == ("auth", "secret")
    assert server.attempts == []


def test_an_unknown_host_key_stops_before_any_proof(server: FencedServer, tmp_path: Path) -> None:
    failure = refusal(server.reach(known_hosts=str(tmp_path / "none")))
    assert (failure.kind, failure.cause) == ("host_key", "hostkey-unknown")
    assert server.host_key.fingerprint in str(failure)
    assert server.attempts == []


def test_the_time_a_person_needs_is_not_the_hosts(server: FencedServer, tmp_path: Path) -> None:
    """Neither for a passphrase before the login nor for a sudo password during a script."""
    write_command(server.fence, "id", "echo 1000")
    write_command(server.fence, "sudo", 'printf %s "$4" >&2; read -r pw; shift 4; [ "$pw" = s3cret ] && exec "$@"')

    def slow(purpose: str) -> str:
        assert purpose == "sudo password of ops"
        time.sleep(9)
        return "s3cret"

    become = Become(method="sudo", password="prompt")
    shell = connect(server.reach(become=become), secrets=Secrets(slow), timeout_s=30)
    assert shell.run("echo fine", timeout_s=8).stdout == b"fine\n"
    assert not shell.run("echo first; sleep 5", timeout_s=0.3).ended
    shell.close()


def test_a_wrong_sudo_password_is_sent_once_to_a_host(server: FencedServer) -> None:
    write_command(server.fence, "id", "echo 1000")
    write_command(
        server.fence,
        "sudo",
        'for n in 1 2 3; do printf %s "$4" >&2; read -r pw || exit 1; echo x >>log; echo "Sorry, try again." >&2; done',
    )
    secrets = Secrets(lambda _: "wrong")
    host = server.reach(become=Become(method="sudo", password="prompt"))
    for _ in range(3):
        shell = connect(host, secrets=secrets, timeout_s=30)
        for _ in range(2):
            with pytest.raises(HostError) as caught:
                shell.run("echo never", timeout_s=30)
            assert (caught.value.kind, caught.value.cause) == ("become", "bad-password")
        shell.close()
    assert (server.folder / "log").read_text() == "x\n"


def test_a_wrong_password_stops_after_three_hosts(tmp_path: Path) -> None:
    secrets = Secrets(lambda _: "wrong")
    with nothing_left(), ExitStack() as stack:
        servers = [stack.enter_context(FencedServer(tmp_path / str(n))) for n in range(5)]
        for server in servers:
            server.methods = "password"
        with ThreadPoolExecutor(5) as pool:
            hosts = [server.reach(identity_file=None, password="prompt") for server in servers]
            causes = list(pool.map(lambda host: refusal_of(host, secrets), hosts))
    assert causes == ["auth-failed"] * 5
    assert sum(len(server.attempts) for server in servers) == 3


def refusal_of(host: Host, secrets: Secrets) -> str:
    with pytest.raises(HostError) as caught:
        connect(host, secrets=secrets, timeout_s=30)
    return caught.value.cause


def test_a_refusal_counts_when_the_server_hangs_up_after_it(
    server: FencedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for the answer may see the end of the connection first."""
    answer, wait = AuthHandler._send_auth_result, AuthHandler.wait_for_response

    def answer_and_leave(self: AuthHandler, username: str, method: str, result: int) -> None:
        answer(self, username, method, result)
        if method != "none":
            self.transport.close()

    def wait_longer(self: AuthHandler, event: threading.Event) -> Any:
        if self.auth_method != "none":
            wait_until(lambda: not self.transport.is_active(), 30, "the end of the connection")
        return wait(self, event)

    monkeypatch.setattr(AuthHandler, "_send_auth_result", answer_and_leave)
    monkeypatch.setattr(AuthHandler, "wait_for_response", wait_longer)
    refused = refusal(server.reach(identity_file=str(make_key(tmp_path / "other"))))
    assert (refused.kind, refused.cause) == ("auth", "auth-failed")
    server.methods = "password"
    server.attempts.clear()
    secrets = Secrets(prompt=lambda _: "wrong")
    for _ in range(2):
        assert refusal_of(server.reach(identity_file=None, password="prompt"), secrets) == "auth-failed"
    assert server.attempts == [("ops", "password")]


class HastyHandler(FencedHandler):
    """Closes the connection when more arrives before it has answered the request for the login service."""

    def __init__(self, server: FencedServer, client_conn: tuple[socket.socket, Any]) -> None:
        super().__init__(server, client_conn)
        transport = self.transport

        class Hasty(AuthHandler):
            def _parse_service_request(self, m: paramiko.Message) -> None:
                if select.select([client_conn[0]], [], [], 2)[0]:
                    transport.close()
                    return
                super()._parse_service_request(m)

        transport.auth_handler = Hasty(transport)


class HastyServer(FencedServer):
    handler_cls = HastyHandler


def test_a_server_that_cannot_take_requests_ahead_is_met_again_the_ordinary_way(tmp_path: Path) -> None:
    with nothing_left(), HastyServer(tmp_path) as server:
        host = server.reach()
        assert run(host, timeout_s=30).stdout == b"hello\n"
        assert (len(server.transports), server.attempts) == (2, [("ops", "publickey")])
        assert run(host, timeout_s=30).stdout == b"hello\n"  # remembered for the run
        assert (len(server.transports), len(server.attempts)) == (3, 2)


def test_a_password_is_never_sent_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with nothing_left(), HastyServer(tmp_path) as server:
        server.methods = "password"
        server.passwords["ops"] = "s3cret"
        host = server.reach(identity_file=None, password="env:LOGIN")
        monkeypatch.setenv("LOGIN", "s3cret")
        assert run(host, timeout_s=30).stdout == b"hello\n"
        assert server.attempts == [("ops", "password")]
