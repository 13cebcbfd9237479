from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

from sshd_keepalive.hosts.lint import lint
from sshd_keepalive.model import Host, Waiver

TODAY = date(2027, 1, 31)
A = Host(name="a", address="192.0.2.1")


def test_a_plain_inventory_gives_no_warning() -> None:
    other_daemon = replace(A, name="a-admin", sshd_config="/etc/ssh/admin")
    behind_a_jump_host = replace(A, name="far", jump=(Host(name="b", address="192.0.2.9"),))
    assert lint((A, other_daemon, behind_a_jump_host, Host(name="b", address="192.0.2.9")), today=TODAY) == ()


def test_warnings(tmp_path: Path) -> None:
    (tmp_path / "id").touch()
    hosts = (
        replace(A, groups=("web",), identity_file=str(tmp_path / "id"), host_keys="accept-new"),
        replace(A, name="web", known_hosts="/nonexistent/known", host_keys="accept-new", host_key="SHA256:x"),
        replace(A, name="bastion", port=23, waiver=Waiver(reason="r", owner="jo", until=date(2027, 1, 30))),
        replace(A, name="c", port=24, waiver=Waiver(reason="r", owner="jo", until=TODAY)),
        replace(A, name="d", port=25, waiver=Waiver(reason="r", owner="jo", until=date(2027, 3, 1))),
        replace(
            A, name="e", port=26, jump=(Host(name="bastoin", address="bastoin"), Host(name="elsewhere", address="x"))
        ),
    )
    assert lint(hosts, today=TODAY) == (
        "a, web are the same sshd: 192.0.2.1 port 22, /etc/ssh/sshd_config",
        "host_keys is accept-new for a: the first key that a server shows is accepted",
        "web is the name of a host and of a group: --limit web means both",
        "jump bastoin is not a host of the inventory, did you mean 'bastion'?",
        "known_hosts /nonexistent/known of web does not exist",
        "the waiver of bastion ended on 2027-01-30 (owner jo)",
        "the waiver of c ends on 2027-01-31 (owner jo)",
    )


def test_many_names_are_counted() -> None:
    hosts = tuple(replace(A, name=f"h{n}") for n in range(8))
    assert lint(hosts, today=TODAY) == (
        "h0, h1, h2, h3, h4 and 3 more are the same sshd: 192.0.2.1 port 22, /etc/ssh/sshd_config",
    )


def test_a_host_without_a_way_in_is_reported_before_the_run() -> None:
    hosts = (replace(A, obstacle="p"), replace(A, name="b", address="192.0.2.2", obstacle="p"))
    assert lint(hosts, today=TODAY) == ("cannot connect to a, b: p",)
