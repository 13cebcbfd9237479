"""Whatever a server does or does not do: an end at the deadline, the right class, nothing left behind."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sshd_keepalive.deadline import REAPER, Limit
from sshd_keepalive.errors import HostError
from sshd_keepalive.model import Completed, Host
from sshd_keepalive.scripts.records import read_output
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.connect import connect
from tests.support import answers, hostile
from tests.support.hostile import HostileServer
from tests.support.leaks import nothing_left
from tests.support.sshd import make_key

pytestmark = pytest.mark.slow

TIMEOUT_S = 0.8
LOGIN_TIMEOUT_S = 4.0  # a busy machine must come as far as an obstacle behind the key exchange
LATE_S = 10.0  # idle it is 0.1 s; paramiko's own timers, which must not be what ends it, run for 15 s and more
AT_ONCE_S = 20.0  # far from the deadline of a login that meets no obstacle, which is three times that

Treatment = Callable[[socket.socket, threading.Event], None]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory.mktemp("keys") / "key")


def attempt(treat: Treatment, key: Path, timeout_s: float, **login: str) -> tuple[HostError | Completed, float]:
    """One login, with the key unless `login` says otherwise, and one script; the result, and after how many seconds."""
    with nothing_left(), HostileServer(treat) as server:
        started_s = time.monotonic()
        return _run(server, key, timeout_s, login or {"identity_file": str(key)}), time.monotonic() - started_s


def _run(server: HostileServer, key: Path, timeout_s: float, login: dict[str, str]) -> HostError | Completed:
    # A file of its own: each is read once per process.
    known = key.with_name(f"known_hosts_{server.port}")
    host = server.reach(**login, known_hosts=str(known))
    known.write_text(f"[127.0.0.1]:{host.port} {Path(f'{key}.pub').read_text()}")
    try:
        shell = connect(host, secrets=Secrets(), timeout_s=timeout_s)
    except HostError as error:
        return error
    try:
        return shell.run("echo never", timeout_s=timeout_s)
    except HostError as error:
        return error
    finally:
        shell.close()


@pytest.mark.parametrize(
    ("treat", "cause"),
    [
        (hostile.silence, "deadline(version)"),
        (hostile.endless_lines, "deadline(version)"),
        (hostile.one_byte_at_a_time, "deadline(version)"),
        (hostile.version_and_silence, "deadline(kex)"),
        (hostile.silence_after_kexinit, "deadline(kex)"),
        ("auth", "deadline(auth)"),
        ("channel", "deadline(channel)"),
        ("exec", "deadline(exec)"),
    ],
)
def test_no_answer_ends_at_the_deadline(treat: Treatment | str, cause: str, key: Path) -> None:
    timeout_s = LOGIN_TIMEOUT_S if isinstance(treat, str) else TIMEOUT_S
    found, after_s = attempt(hostile.deaf_at(treat, key) if isinstance(treat, str) else treat, key, timeout_s)
    assert isinstance(found, HostError)
    assert (found.kind, found.cause) == ("timeout", cause)
    assert timeout_s - 0.05 <= after_s <= timeout_s + LATE_S


def test_a_password_without_an_answer_is_not_called_wrong(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine paramiko's own time limit ends the login before ours does."""
    monkeypatch.setattr(Limit, "__init__", lambda self, deadline, _: setattr(self, "_alarm", REAPER.arm(deadline, int)))
    monkeypatch.setenv("KEEPALIVE_TEST_PASSWORD", "open sesame")
    for login in ({"identity_file": str(key)}, {"password": "env:KEEPALIVE_TEST_PASSWORD"}):
        found, _ = attempt(hostile.deaf_at("auth", key), key, LOGIN_TIMEOUT_S, **login)
        assert isinstance(found, HostError)
        assert (found.kind, found.cause) == ("timeout", "deadline(auth)")


def test_a_script_without_output_ends_at_the_deadline_with_an_unknown_outcome(key: Path) -> None:
    found, after_s = attempt(hostile.deaf_at("output", key), key, LOGIN_TIMEOUT_S)
    assert isinstance(found, Completed)
    assert (found.begun, found.ended, found.is_late) == (False, False, True)
    with pytest.raises(HostError) as raised:
        read_output(found)
    assert (raised.value.kind, raised.value.cause) == ("timeout", "deadline(read)")
    assert after_s <= LOGIN_TIMEOUT_S + LATE_S


@pytest.mark.parametrize(
    ("treat", "kind", "cause"),
    [
        (hostile.http, "banner", "not-ssh"),
        (hostile.endless_line, "banner", "not-ssh"),
        (hostile.saying(b"\x15\x03\x01\x00\x02\x02\x46"), "banner", "not-ssh"),
        (hostile.saying(b"220 mail.example ESMTP\r\n"), "banner", "not-ssh"),
        (hostile.saying(b"SSH-1.5-OpenSSH_1.2\r\n"), "banner", "incompatible"),
        (hostile.saying(b"SSH-1.5-Cisco-1.25\r\n"), "banner", "not-openssh"),
        (hostile.saying(b"SSH-2.0-tinyssh_20230101-1 SRObEbz4\r\n"), "banner", "not-openssh"),
        (hostile.saying(b""), "banned", "busy"),
        (hostile.saying(b"Exceeded MaxStartups\r\n"), "banned", "busy"),
        (hostile.saying(b"Not allowed at this time\r\n"), "banned", "turned-away"),
        (hostile.reset_after_version, "tcp", "lost(kex)"),
        (hostile.hangup_after_kexinit, "tcp", "lost(kex)"),
        (hostile.a_wrong_guess, "tcp", "lost(kex)"),
        (hostile.after(b"welcome\r\n" * 8000, hostile.silence), "banner", "not-ssh"),
        ("hangup", "auth", "account-closed"),
        ("refuse", "shell", "no-session"),
    ],
)
def test_nonsense_has_a_class_at_once(treat: Treatment | str, kind: str, cause: str, key: Path) -> None:
    found, after_s = attempt(hostile.deaf_at(treat, key) if isinstance(treat, str) else treat, key, 3 * AT_ONCE_S)
    assert isinstance(found, HostError)
    assert (found.kind, found.cause) == (kind, cause)
    assert found.hint
    assert "127.0.0.1" in str(found)
    assert "\n" not in str(found)
    assert after_s < AT_ONCE_S


def test_sixty_kilobytes_before_the_version_are_read(key: Path) -> None:
    treat = hostile.after((b"welcome " * 125 + b"\r\n") * 60, hostile.answering(answers.saying(b"hello"), key))
    with HostileServer(treat) as server:
        found = _run(server, key, 30, {"identity_file": str(key)})
    assert isinstance(found, Completed), found
    assert found.stdout == b"hello"


def reach(port: int, key: Path) -> Host:
    return Host(name="x", address="127.0.0.1", port=port, identity_file=str(key))


def test_a_port_without_a_listener(key: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # so that nobody else gets the port meanwhile
        host = reach(taken.getsockname()[1], key)
        with nothing_left(), pytest.raises(HostError) as caught:
            connect(host, secrets=Secrets(), timeout_s=20)
    assert (caught.value.kind, caught.value.cause) == ("tcp", "refused")


@pytest.mark.parametrize(("is_up", "expected"), [(False, ("tcp", "unreachable")), (True, ("banned", "dropped"))])
def test_a_full_backlog_is_unreachable_or_a_bar(
    key: Path, monkeypatch: pytest.MonkeyPatch, is_up: bool, expected: tuple[str, str]
) -> None:
    """A listener that accepts nothing drops further SYNs, as a firewall would; an echo tells whether the host is up."""
    monkeypatch.setattr("sshd_keepalive.ssh.dial.answers_echo", lambda *_: is_up)
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listener,
        socket.socket() as first,
        socket.socket() as second,
    ):
        first.connect(listener.getsockname())
        second.setblocking(False)
        second.connect_ex(listener.getsockname())
        host = reach(listener.getsockname()[1], key)
        started_s = time.monotonic()
        with nothing_left(), pytest.raises(HostError) as caught:
            connect(host, secrets=Secrets(), timeout_s=3 * AT_ONCE_S, connect_timeout_s=0.3)
    assert (caught.value.kind, caught.value.cause) == expected
    assert time.monotonic() - started_s < AT_ONCE_S  # not the time of the whole login


def test_a_name_without_an_address(key: Path) -> None:
    with pytest.raises(HostError) as caught:
        connect(replace(reach(22, key), address="a..invalid"), secrets=Secrets(), timeout_s=5)
    assert caught.value.kind == "dns"
