"""What a table of processes and sockets says of the sessions of a host, for several OpenSSH generations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sshd_keepalive.scripts import sessions


def record(kind: str, value: str) -> bytes:
    return b"%s %d\n%s\n" % (kind.encode(), len(value.encode()), value.encode())


def told(*, network: str, monitor: str = "sshd: ops [priv]") -> bytes:
    """A listener, ops by 9.2 with its two processes, root by 9.8 with one, somebody who has not logged in yet."""
    table = (
        "1 0 1 systemd\n10 1 100 sshd\n20 10 5000 sshd\n21 20 5001 sshd\n22 21 5002 bash\n23 22 5003 sleep\n"
        "30 10 9000 sshd-session\n31 30 9001 sh\n40 10 9500 sshd-session\n50 1 300 agetty\n"
    )
    servers = {
        10: ("sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", "100"),
        20: (monitor, "200"),
        21: ("sshd: ops@pts/0", "200"),
        30: ("sshd-session: root@notty", "300"),
        40: ("sshd-session: [accepted]", "400"),
    }
    out = record("clock", "1700000100.5") + record("uptime", "100.50") + record("hertz", "100") + record("self", "31")
    out += record("processes", table)
    for pid, (title, inode) in servers.items():
        out += record("server", str(pid)) + record("title", title) + record("sockets", inode)
    for pid, parent, command in ((22, 21, "-bash "), (31, 30, "sh -s ")):
        out += record("child", f"{pid} {parent}") + record("command", command)
    return out + record("network", network)


V4 = "01 0B0200C0:0016 090200C0:C418 200\n"
NETWORK = V4 + "01 0000000000000000FFFF00000B0200C0:08AE 0000000000000000FFFF0000090200C0:C419 300"


def test_sessions_are_reported_with_user_peer_age_and_command() -> None:
    ops, root = sessions.parse(told(network=NETWORK))
    assert (ops.user, ops.line, ops.peer, ops.commands) == ("ops", "pts/0", "192.0.2.9:50200", ("-bash",))
    assert (root.user, root.line, root.peer) == ("root", "notty", "192.0.2.9:50201")
    assert (ops.age_s, root.age_s) == (50.5, 10.5)
    assert (ops.is_ours, root.is_ours) == (False, True)
    assert ops.began_at == datetime.fromtimestamp(1700000050, UTC)
    assert ops.is_older(ops.began_at + timedelta(seconds=1))
    assert not ops.is_older(ops.began_at + timedelta(seconds=0.2))
    assert not ops.is_older(None)


def test_the_monitor_of_10_5_and_its_session_are_one() -> None:
    ops, _ = sessions.parse(told(network=NETWORK, monitor="sshd-session: ops [postauth]"))
    assert (ops.pid, ops.user, ops.line) == (20, "ops", "pts/0")


def test_those_of_one_daemon_are_distinguished_by_its_ports() -> None:
    listens = "0A 00000000:0016 00000000:0000 100\n"
    (ops,) = sessions.parse(told(network=listens + NETWORK), daemon=10)
    assert ops.user == "ops"
    assert len(sessions.parse(told(network=listens + NETWORK))) == 2
    assert len(sessions.parse(told(network=NETWORK), daemon=10)) == 2, "not known where it listens"


def test_who_has_logged_in_is_counted() -> None:
    titles = ("sshd: ops [priv]", "sshd-session: root@notty", "sshd: [accepted]", "sshd: unknown [priv]", "sshd -D")
    assert [sessions.count_logged_in(titles[at:]) for at in (0, 1, 2)] == [2, 1, 0]


def test_what_the_kernel_does_not_tell_is_left_out() -> None:
    ops, root = sessions.parse(told(network=""))
    assert (ops.peer, root.peer) == ("", "")


def test_ipv6_is_bracketed() -> None:
    network = "01 B80D0120000000000000000009000000:0016 B80D0120000000000000000008000000:C418 200"
    (ops,) = sessions.parse(told(network=network))
    assert ops.peer == "[2001:db8::8]:50200"


def test_a_session_whose_connection_is_closing_is_none() -> None:
    (root,) = sessions.parse(told(network=NETWORK.removeprefix(V4)))
    assert root.user == "root"


def test_a_session_that_is_about_to_end_belongs_to_no_daemon() -> None:
    """It has closed its sockets already; those of a listener are read by whoever may read these, too."""
    ending = told(network="0A 00000000:0016 00000000:0000 100\n" + NETWORK.removeprefix(V4))
    ending = ending.replace(record("sockets", "200"), record("sockets", ""))
    assert sessions.parse(ending, daemon=10) == ()
    assert len(sessions.parse(ending)) == 2, "whose it is was not asked"


def test_what_cannot_be_read_or_is_gone_is_left_out() -> None:
    usual = told(network=NETWORK)
    odd = record("child", "77 1") + record("command", "ghost ") + record("title", "ghost") + record("sockets", "9")
    assert sessions.parse(usual + odd) == sessions.parse(usual)
    table = usual.replace(b"1 0 1 systemd\n", b"a b c systemd\n")
    assert len(sessions.parse(table.replace(b"10 1 100 sshd", b"10 9 100 sshd"))) == len(sessions.parse(usual))


def test_how_long_a_client_is_silent_is_reported_where_it_is_asked() -> None:
    ops, root = sessions.parse(told(network=NETWORK) + record("silent", "200 61500\n"))
    assert (ops.silent_s, root.silent_s) == (61.5, None)
