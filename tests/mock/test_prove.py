"""The silent client against a server that we steer: what is noted, what is answered, how each loss is told."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from sshd_keepalive.probing.proof import IdleResult, Loss
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh import idle as prove
from sshd_keepalive.ssh.connect import connect
from sshd_keepalive.ssh.idle import KEEPALIVE
from tests.support.leaks import nothing_left
from tests.support.mock import FencedServer
from tests.support.sshd import wait_until


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FencedServer]:
    monkeypatch.setattr(prove, "_POLL_S", 0.05)
    with nothing_left(), FencedServer(tmp_path) as server:
        yield server


def held_while(
    server: FencedServer, act: Callable[[paramiko.Transport], None], *, idle_s: float = 30.0, stops: bool = True
) -> IdleResult:
    """Hold a silence; once it has begun, act as the server, and then end it as Ctrl-C does."""
    shell = connect(server.reach(), secrets=Secrets(), timeout_s=30)
    acted = threading.Event()

    def acting() -> None:
        # The client hears later than the command begins that it runs.
        steps = shell._connection.client.steps
        wait_until(lambda: bool(server.processes) and steps.listener is not None, 30, "the silence")
        act(server.transports[0])
        acted.set()

    thread = threading.Thread(target=acting)
    thread.start()
    try:
        return shell.hold(idle_s, stop=lambda: stops and acted.is_set())
    finally:
        thread.join(30)
        shell.close()


def test_keep_alives_are_noted_and_answered(server: FencedServer) -> None:
    n_answered = 0

    def ask(transport: paramiko.Transport) -> None:
        nonlocal n_answered
        for _ in range(3):
            transport.global_request(KEEPALIVE, wait=True)  # returns when the client has answered
            n_answered += 1
        transport.global_request("hostkeys-00@openssh.com", wait=False)  # traffic, but no keep-alive

    held = held_while(server, ask)
    assert len(held.keep_alives_s) == n_answered == 3
    assert (held.loss, held.was_stopped) == (None, True)
    assert server.commands == ["sh -s"]


def test_a_silence_lasts_as_long_as_it_should(server: FencedServer) -> None:
    held = held_while(server, lambda transport: None, idle_s=0.3, stops=False)
    assert (held.loss, held.was_stopped, held.keep_alives_s) == (None, False, ())
    assert held.quiet_s >= 0.3


def test_a_keep_alive_of_the_channel_counts_as_well(server: FencedServer) -> None:
    def ask(transport: paramiko.Transport) -> None:
        (channel,) = transport._channels.values()  # what sshd does: a request on the open session
        message = paramiko.Message()
        message.add_byte(paramiko.common.cMSG_CHANNEL_REQUEST)
        message.add_int(channel.remote_chanid)
        message.add_string(KEEPALIVE)
        message.add_boolean(True)
        transport._send_user_message(message)

    held = held_while(server, ask, stops=False)
    assert len(held.keep_alives_s) == 1
    # It was answered: a paramiko that serves closes a channel when its request is answered with a failure.
    assert held.loss is Loss.CHANNEL


def test_a_clock_that_jumps_ends_no_silence(server: FencedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def jump(transport: paramiko.Transport) -> None:
        monkeypatch.setattr(time, "time", lambda: 4e9)
        transport.global_request(KEEPALIVE, wait=True)
        monkeypatch.setattr(time, "time", lambda: 0.0)
        transport.global_request(KEEPALIVE, wait=True)

    held = held_while(server, jump)
    first_s, second_s = held.keep_alives_s
    assert 0 <= first_s <= second_s <= held.quiet_s < 30
    assert (held.loss, held.was_stopped) == (None, True)


def test_a_server_that_closes_is_noticed_at_once(server: FencedServer) -> None:
    held = held_while(server, lambda transport: transport.close(), stops=False)
    assert held.loss is Loss.CLOSED
    assert held.quiet_s < 20


def test_a_session_that_ends_alone_is_distinguished(server: FencedServer) -> None:
    def end(transport: paramiko.Transport) -> None:
        os.killpg(server.processes[0].pid, signal.SIGKILL)

    held = held_while(server, end, stops=False)
    assert held.loss is Loss.CHANNEL


def test_a_server_that_no_longer_answers_is_noticed_at_the_end(
    server: FencedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prove, "ANSWER_S", 0.3)

    over = threading.Event()

    def nothing() -> tuple[int, paramiko.Message]:
        over.wait(10)
        raise EOFError

    def freeze(transport: paramiko.Transport) -> None:
        transport.packetizer.read_message = nothing  # type: ignore[method-assign]
        transport.global_request(KEEPALIVE, wait=True)  # its answer is the last packet that is read

    try:
        held = held_while(server, freeze)
    finally:
        over.set()
    assert held.loss is Loss.NO_ANSWER


def test_ctrl_c_ends_the_silence(server: FencedServer) -> None:
    held = held_while(server, lambda transport: None)
    assert (held.was_stopped, held.loss) == (True, None)
    assert held.quiet_s < 20
