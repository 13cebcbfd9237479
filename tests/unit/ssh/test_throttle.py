"""The login throttle: how many logins may be in progress, and what each end means for the next ones."""

from __future__ import annotations

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from sshd_keepalive.errors import HostError
from sshd_keepalive.model import Host
from sshd_keepalive.ssh import dial
from sshd_keepalive.ssh import throttle as throttling
from sshd_keepalive.ssh.errors import LoginCause, make_error
from sshd_keepalive.ssh.throttle import (
    JUMP_MAX,
    SERVER_MAX,
    START,
    LoginThrottle,
    choose_wait_s,
    find_network,
    throttle,
)

HOST = Host(name="h", address="192.0.2.1")


def visit(one: LoginThrottle, cause: str = "") -> None:
    try:
        with one.step():
            if cause:
                raise make_error(HOST, LoginCause(cause))
    except HostError:
        pass


def test_it_grows_while_logins_succeed_and_halves_when_a_host_refuses() -> None:
    one = LoginThrottle(4)
    for _ in range(6):
        visit(one)
    assert one.limit == 10
    visit(one, "unreachable")
    assert one.limit == 11
    for cause in ("busy", "penalised", "dropped"):
        visit(one, cause)
    assert one.limit == 11 / 8
    for _ in range(9):
        visit(one, "busy")
    assert one.limit == 1


def test_no_more_than_the_limit_are_in_at_a_time() -> None:
    lock = threading.Lock()
    n_in = peak = 0

    def login(n: int) -> None:
        nonlocal n_in, peak
        with throttle(replace(HOST, name=f"h{n}")):
            with lock:
                n_in += 1
                peak = max(peak, n_in)
            threading.Event().wait(0.005)
            with lock:
                n_in -= 1

    with ThreadPoolExecutor(40) as pool:
        list(pool.map(login, range(80)))
    assert 2 <= peak <= SERVER_MAX


def test_a_jump_host_has_a_limit_of_its_own_that_never_grows() -> None:
    hosts = [Host(name=f"h{n}", address=f"198.51.100.{n}", jump=(HOST,)) for n in range(30)]
    entered = threading.Semaphore(0)
    leave = threading.Event()

    def login(host: Host) -> None:
        with throttle(host):
            entered.release()
            leave.wait(10)

    with ThreadPoolExecutor(30) as pool:
        for host in hosts:
            pool.submit(login, host)
        for _ in range(JUMP_MAX):
            assert entered.acquire(timeout=10)
        assert not entered.acquire(timeout=0.1)
        leave.set()


def test_a_network_begins_small_and_servers_are_not_remembered() -> None:
    throttling._throttles.clear()
    for n in range(1, 100):
        with throttle(Host(name=f"h{n}", address=f"203.0.113.{n}")):
            pass
    assert {key: one.limit for key, one in throttling._throttles.items()} == {("network", "203.0.113.0/24"): START + 99}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("web1.Example.com", "example.com"),
        ("web1", "web1"),
    ],
)
def test_what_counts_as_one_network(address: str, expected: str) -> None:
    assert find_network(address) == expected


def test_only_a_connection_that_was_turned_away_is_tried_again_and_not_for_ever() -> None:
    for cause in ("auth-failed", "penalised", "dropped", "refused", "unreachable", "account-closed"):
        assert choose_wait_s(make_error(HOST, LoginCause(cause)), 1) is None
    assert choose_wait_s(make_error(HOST, LoginCause.LOST, phase="kex"), 1) is None
    lost_in_question = make_error(HOST, LoginCause.LOST_IN_QUESTION)
    assert lost_in_question.cause == "lost(hostkey)"
    assert [choose_wait_s(lost_in_question, n) for n in (1, 2)] == [0.0, None]
    waits = [[choose_wait_s(make_error(HOST, LoginCause.BUSY), n) for _ in range(20)] for n in (1, 2)]
    for some, (least, most) in zip(waits, throttling.WAITS_S, strict=True):
        assert all(least <= (one or 0) <= most for one in some)
        assert len(set(some)) > 1
    assert choose_wait_s(make_error(HOST, LoginCause.BUSY), 3) is None


def _may_ping() -> bool:
    low, high = (int(word) for word in Path("/proc/sys/net/ipv4/ping_group_range").read_text().split())
    return os.geteuid() == 0 or low <= os.getegid() <= high


@pytest.mark.skipif(not _may_ping(), reason="needs root or a group of net.ipv4.ping_group_range")
def test_an_echo_shows_which_host_is_up() -> None:
    assert dial.answers_echo(socket.AF_INET, ("127.0.0.1", 22), 2)
    assert not dial.answers_echo(socket.AF_INET, ("240.0.0.1", 22), 0.05)
