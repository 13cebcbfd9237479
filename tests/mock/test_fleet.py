"""A pass never raises for a host's trouble, and one bad host never hides another."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from sshd_keepalive import engines
from sshd_keepalive.fleet import one_host as fleet
from sshd_keepalive.fleet.check import check_host
from sshd_keepalive.fleet.one_host import Orders
from sshd_keepalive.model import End, Host, HostReport, State
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh import shell as shells
from tests.support.mock import FencedServer


def orders(timeout_s: float = 30) -> Orders:
    return Orders(run_id="20260131T020000Z-000000", secrets=Secrets(), timeout_s=timeout_s, connect_timeout_s=5)


def test_a_server_that_is_not_openssh_is_left_alone(tmp_path: Path) -> None:
    with FencedServer(tmp_path) as server:
        report = fleet.apply_host(server.reach(), orders())
    assert report.failure is not None
    assert (report.failure.kind, report.failure.cause, report.end) == ("banner", "not-openssh", End.REFUSED)
    assert "paramiko" in report.failure.message
    assert server.commands == []  # not a word was said to it


def test_a_silent_host_costs_its_own_time_only(tmp_path: Path) -> None:
    with FencedServer(tmp_path) as server, socket.create_server(("127.0.0.1", 0)) as silent:
        bad = replace(server.reach(), name="silent", port=silent.getsockname()[1])
        hosts = [bad, *(server.reach(name=f"h{number}") for number in range(5))]
        finished = [
            report.host.name for report in fleet.run(check_host, hosts, orders(6), engines.select("thread"), workers=2)
        ]
    assert sorted(finished) == ["h0", "h1", "h2", "h3", "h4", "silent"]
    assert finished[-1] == "silent"


def test_a_defect_of_ours_is_one_hosts_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(host: Host, orders: Orders) -> shells.Shell:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(fleet, "connect", broken)
    host = Host(name="one", address="192.0.2.1")
    checked: HostReport = check_host(host, orders())
    assert checked.failure is not None
    assert (checked.failure.kind, checked.state, checked.end) == ("internal", State.UNKNOWN, None)
    assert fleet.apply_host(host, orders()).end is End.UNPROVED
