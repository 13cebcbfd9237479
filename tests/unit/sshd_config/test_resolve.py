"""Who decides, what is hidden, and for whom."""

from __future__ import annotations

import pickle

import pytest

from sshd_keepalive.model import COMMAND_LINE, COUNT_MAX, GLOBAL, INTERVAL, Context, Place
from sshd_keepalive.sshd_config.tree import Tree, build_from_files
from sshd_keepalive.sshd_config.version import Version
from tests.support import readings
from tests.support.printed import possible, resolve_all, values_of
from tests.support.snapshots import MAIN

ROOT = Context(user="root", host="h", address="10.0.0.1", local_address="10.0.0.2", local_port=22)
D = "/etc/ssh/sshd_config.d"


def tree(text: str, version: str = "9.2p1", options: tuple[str, ...] = (), **drop_ins: str) -> Tree:
    files = {MAIN: text.encode(), **{f"{D}/{name}.conf": more.encode() for name, more in drop_ins.items()}}
    return build_from_files(files, version=Version.parse(version), options=options)


def at(line: int, path: str = MAIN) -> Place:
    return Place(path=path, line=line)


def test_defaults_have_no_place() -> None:
    read = readings.resolve(tree(""))
    assert [(s.keyword, s.value, s.place) for s in read.settings] == [(INTERVAL, "0", None), (COUNT_MAX, "3", None)]


def test_the_winner_knows_what_it_hides_and_how_it_was_reached() -> None:
    read = readings.resolve(
        tree(
            f"Include {D}/*.conf\nClientAliveInterval 10\nMatch User root\nClientAliveInterval 20\n",
            a="ClientAliveInterval 5m\nClientAliveInterval 30\n",
        ),
        ROOT,
    )
    setting = read[INTERVAL]
    assert (setting.value, setting.place, setting.scope.text) == ("20", at(4), "Match User root")
    assert setting.hides == (at(1, f"{D}/a.conf"), at(2, f"{D}/a.conf"), at(2))
    everybody = readings.resolve(tree(f"Include {D}/*.conf\n", a="ClientAliveInterval 5m\n"))[INTERVAL]
    assert (everybody.value, everybody.scope, everybody.chain) == ("300", GLOBAL, (at(1),))


def test_options_beat_global_lines_but_not_match() -> None:
    built = tree("ClientAliveInterval 1\nMatch User root\nClientAliveInterval 2\n", options=("ClientAliveInterval=3",))
    everybody = readings.resolve(built)[INTERVAL]
    assert everybody.place == Place(path=COMMAND_LINE, line=0)
    assert str(everybody.place) == COMMAND_LINE
    assert (everybody.value, everybody.hides) == ("3", (at(1),))
    assert readings.resolve(built, ROOT)[INTERVAL].value == "2"


def test_a_line_that_counts_as_not_written_hides_nothing() -> None:
    read = readings.resolve(tree("ClientAliveCountMax -1\nClientAliveCountMax 9\n", "7.4p1"))
    assert (read[COUNT_MAX].value, read[COUNT_MAX].place) == ("9", at(2))


def test_keywords_that_repeat_keep_all_lines_of_their_layer() -> None:
    built = tree("Port 1\nAllowUsers a b\nMatch all\nPort 2\nMatch User root\nAllowUsers c\n")
    assert values_of(resolve_all(built), "allowusers") == ("a", "b")
    assert values_of(resolve_all(built, ROOT), "allowusers") == ("c",)
    assert values_of(resolve_all(built, ROOT), "port") == ("1", "2")
    assert resolve_all(built, ROOT)["allowusers"].hides == (at(2),)


def test_other_keywords_are_printed_as_sshd_prints_them() -> None:
    read = resolve_all(
        tree(
            "PermitRootLogin prohibit-password\nLoginGraceTime 2m\nKeepAlive no\nx11forwarding YES\nMaxSessions 07\n"
            "Banner /etc/issue\nAllowTcpForwarding all\nX11DisplayOffset x\nPort 99999999\nCiphers +x\nUseDNS maybe\n"
            "LoginGraceTime soon\n"
        )
    )
    printed = {s.keyword: s.value for s in read.settings if s.keyword not in (INTERVAL, COUNT_MAX)}
    assert printed == {
        "permitrootlogin": "without-password",
        "logingracetime": "120",
        "tcpkeepalive": "no",
        "x11forwarding": "yes",
        "maxsessions": "7",
        "banner": "/etc/issue",
        "allowtcpforwarding": "yes",
    }
    with pytest.raises(KeyError):
        read["ciphers"]


def test_a_value_the_table_cannot_read_is_not_reported() -> None:
    assert not values_of(resolve_all(tree("LoginGraceTime soon\n")), "logingracetime")
    assert not values_of(resolve_all(tree('Banner ""\n')), "banner")
    assert not values_of(resolve_all(tree("MaxSessions -1\n", "7.4p1")), "maxsessions")


def test_ports_below_an_include_are_lost_in_8_2() -> None:
    assert not values_of(resolve_all(tree(f"Include {D}/*\nPort 77\n", "8.2p1")), "port")
    assert values_of(resolve_all(tree("Port 77\n", "8.2p1")), "port") == ("77",)


def test_a_group_leaves_two_possibilities() -> None:
    built = tree("ClientAliveInterval 1\nMatch Group g\nClientAliveInterval 2\nClientAliveInterval 9\n")
    read = readings.resolve(built, ROOT)
    assert (read[INTERVAL].value, read.undecided) == ("1", (at(2),))
    assert possible(built, ROOT)[INTERVAL] == (1, 2, 9)
    assert possible(built, Context(user="root", groups=("g",)))[INTERVAL] == (2,)
    assert possible(built, ROOT)[COUNT_MAX] == (3,)


def test_a_decided_block_before_an_undecided_one_settles_it() -> None:
    built = tree("Match User root\nClientAliveInterval 1\nMatch Group g\nClientAliveInterval 2\n")
    assert possible(built, ROOT)[INTERVAL] == (1,)


# --------------------------------------------------------------------------------------------- scopes


def scopes(built: Tree) -> list[tuple[str, tuple[str, ...]]]:
    return [(str(each.scope), readings.list_keywords(built, each)) for each in readings.scopes(built)]


def test_every_block_that_decides_for_somebody_is_a_scope() -> None:
    built = tree(
        "Match User root\nX11Forwarding no\nMatch User bob\nClientAliveInterval 1\nClientAliveInterval 2\n"
        "Match Group g\nClientAliveCountMax 2\nClientAliveInterval 5\n"
    )
    both = (INTERVAL, COUNT_MAX)
    assert scopes(built) == [
        ("global", both),
        (f"Match User bob ({MAIN}:3)", (INTERVAL,)),
        (f"Match Group g ({MAIN}:6)", (COUNT_MAX, INTERVAL)),
    ]
    contexts = [each.context for each in readings.scopes(built)]
    assert contexts[1] is not None
    assert contexts[1].user == "bob"
    assert contexts[2] is not None
    assert contexts[2].groups == ("g",)
    for each in readings.scopes(built)[1:]:
        assert each.context is not None
        assert readings.resolve(built, each.context)[INTERVAL].scope == each.scope


@pytest.mark.parametrize(
    "text",
    [
        "Match User !bob\nClientAliveInterval 1\n",
        "Match LocalPort 0\nClientAliveInterval 1\n",
        "Match User bob\n#ClientAliveInterval 1\n",
    ],
)
def test_a_block_that_never_decides_is_none(text: str) -> None:
    assert len(scopes(tree(text))) == 1


def test_lines_that_an_earlier_block_always_beats_are_none() -> None:
    built = tree(
        "Match User a\nClientAliveInterval 1\nMatch User a Host h\nClientAliveInterval 2\n"
        "Match all\nClientAliveInterval 3\nMatch User b\nClientAliveInterval 4\n"
    )
    assert [scope for scope, _ in scopes(built)] == ["global", f"Match User a ({MAIN}:1)", f"Match all ({MAIN}:5)"]


def test_8_2_knows_no_match_in_an_included_file() -> None:
    user, everyone = "Match User root\nClientAliveInterval 1\n", "Match all\nClientAliveInterval 1\n"
    assert len(scopes(tree(f"Include {D}/*\n", "8.2p1", a=user))) == 1
    assert len(scopes(tree(f"Include {D}/*\n", "8.2p1", a=everyone))) == 2  # it still counts at the daemon's start
    assert len(scopes(tree(f"ClientAliveInterval 9\nInclude {D}/*\n", "8.3p1", a=everyone))) == 1
    nested = tree(f"Include {D}/*\n", "8.3p1", a="Match all\nClientAliveInterval 1\nMatch all\nClientAliveInterval 2\n")
    assert len(scopes(nested)) == 2


def test_all_of_it_can_be_pickled() -> None:
    built = tree(f"Include {D}/*.conf\nMatch User root\nClientAliveInterval 1\n", a="Port 22\n")
    read = readings.resolve(pickle.loads(pickle.dumps(built)), ROOT)
    assert pickle.loads(pickle.dumps(read)) == readings.resolve(built, ROOT)
    assert pickle.loads(pickle.dumps(readings.scopes(built))) == readings.scopes(built)


def test_a_block_of_many_conditions_is_beaten_by_its_twin() -> None:
    words = "Match User a User b* User c Host h Address 1.1.1.1 LocalAddress 2.2.2.2 LocalPort 22"
    text = f"{words}\nClientAliveInterval 1\n{words} Group g\nClientAliveInterval 2\n"
    text += "Match User z\nClientAliveInterval 3\n"
    built = build_from_files({"/etc/ssh/sshd_config": text.encode()})
    assert [event.number for event in readings.read_tree(built).overrides] == [1, 3]


def test_a_line_in_a_block_that_counts_as_not_written_decides_for_no_connection() -> None:
    built = tree("Match User bob\nClientAliveCountMax -1\nMatch User amy\nClientAliveCountMax 9\n", "7.4p1")
    assert scopes(built)[1:] == [(f"Match User amy ({MAIN}:3)", (COUNT_MAX,))]
