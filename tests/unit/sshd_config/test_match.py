"""Criteria of Match lines, and the three answers they can give."""

from __future__ import annotations

import pytest

from sshd_keepalive.model import INTERVAL, Context, Place
from sshd_keepalive.sshd_config import document, match
from sshd_keepalive.sshd_config.match import Block, Criterion
from sshd_keepalive.sshd_config.tree import build_from_files
from sshd_keepalive.sshd_config.version import Version
from tests.support.printed import possible

V = Version.parse
NEW = V("10.0p2")
ROOT = Context(user="root", host="h.example", address="10.0.0.1", local_address="10.0.0.2", local_port=22)


def criteria(text: str, version: Version = NEW) -> tuple[Criterion, ...]:
    (line,) = document.parse("/x", text.encode(), version=version).lines
    return match.parse_criteria(line, version)


def block(text: str, outer: Block | None = None, version: Version = NEW, *, dead: bool = False) -> Block:
    return Block(Place(path="/x", line=1), text, criteria(text, version), outer, dead)


@pytest.mark.parametrize(
    ("text", "context", "expected"),
    [
        ("Match all", Context(), True),
        ("Match User root", Context(), False),
        ("Match User root", ROOT, True),
        ("Match user root host H.*", ROOT, True),
        ("Match user root host other", ROOT, False),
        ("Match Address 10.0.0.0/8 LocalAddress 10.0.0.2 LocalPort 22", ROOT, True),
        ("Match LocalPort 2222", ROOT, False),
        ("Match LocalPort ssh", ROOT, None),
        ("Match LocalPort 22", Context(), False),
        ("Match Group wheel", ROOT, None),
        ("Match Group wheel", Context(), False),
        ("Match Group !wheel", ROOT, False),
        ("Match Group wheel User bob", ROOT, False),
        ("Match RDomain x", ROOT, None),
        ("Match RDomain x", Context(), False),
        ("Match Invalid-User", ROOT, None),
        ("Match Version OpenSSH_10*", Context(), True),
        ("Match Version OpenSSH_9*", ROOT, False),
        ("Match Version *Debian*", ROOT, None),
    ],
)
def test_answers(text: str, context: Context, expected: bool | None) -> None:
    assert match.is_met(block(text), context, NEW) is expected


@pytest.mark.parametrize(
    ("groups", "listed", "expected"),
    [(("wheel",), "wheel", True), (("a", "b"), "!b,*", False), ((), "*", False), (("a",), "b", False)],
)
def test_groups_that_are_known(groups: tuple[str, ...], listed: str, expected: bool) -> None:
    context = Context(user="root", groups=groups)
    assert match.is_met(block(f"Match Group {listed}"), context, NEW) is expected


def test_a_block_inside_another_needs_both() -> None:
    outer = block("Match User root")
    inner = block("Match Address 10.0.0.0/8", outer)
    assert match.is_met(inner, ROOT, NEW) is True
    assert match.is_met(block("Match all", block("Match User bob")), ROOT, NEW) is False
    assert inner.label == "Match User root / Match Address 10.0.0.0/8"


def test_a_block_that_cannot_match_decides_for_no_connection() -> None:
    assert match.is_met(block("Match all", dead=True), ROOT, NEW) is False
    assert match.is_active_at_start(block("Match all", dead=True), NEW) is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Match all", True),
        ("Match User *", False),
        ("Match Version *", True),
        ("Match Version *Debian*", None),
        ("Match Version OpenSSH_9* User root", False),
    ],
)
def test_what_is_active_at_the_start(text: str, expected: bool | None) -> None:
    assert match.is_active_at_start(block(text), NEW) is expected


@pytest.mark.parametrize(
    "text",
    [
        "Match User",
        "Match all User x",
        "Match User x all",
        "Match exec true",
        "Match User a b",
        "Match User #x",
        "Match #x",
        "Match LocalPort 22,23",
        "Match LocalPort 99999",
        "Match LocalPort -1",
        "Match Address 1.2.3.4/8",
        'Match ""',
    ],
)
def test_lines_that_sshd_refuses(text: str) -> None:
    for version in (NEW, V("9.2p1"), V("8.4p1")):
        with pytest.raises(match.BadMatch):
            criteria(text, version)


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ("Match User=root", "9.9p2", "9.9p1"),
        ("Match User = root", "9.8", "9.9p2"),
        ("Match RDomain x", "7.7", "7.6"),
        ("Match Invalid-User", "9.9p2", "9.8"),
        ("Match Version x", "10.0", "9.9p2"),
        ("Match all#x", "8.6", "8.7"),
        ("Match Address 10.0.0.1/8", "8.3", "8.4"),
        ('Match User root "x', "8.6", "8.7"),
    ],
)
def test_where_releases_differ(text: str, good: str, bad: str) -> None:
    assert criteria(text, V(good))
    (line,) = document.parse("/x", text.encode(), version=V(bad)).lines
    if not line.problem:
        with pytest.raises(match.BadMatch):
            match.parse_criteria(line, V(bad))


def test_an_address_that_kills_connections_is_undecided() -> None:
    old = V("8.3p1")
    assert match.is_met(block("Match Address 10.0.0.1/8", version=old), ROOT, old) is None


@pytest.mark.parametrize(
    "text",
    [
        "Match User bob,root",
        "Match User !alice,a*",
        "Match Host *.example.org",
        "Match Address 192.168.0.0/16",
        "Match Address !10.0.0.0,!10.0.0.1,10.0.0.0/8",
        "Match Address 192.168.*",
        "Match LocalPort 2222",
        "Match User a?c Host x* Address 2001:db8::/32 LocalAddress ::/0",
        "Match all",
        "Match Group wheel",
        "Match User **",
    ],
)
def test_a_connection_can_be_made_up(text: str) -> None:
    made = match.find_connection(block(text), NEW)
    assert made is not None
    assert match.is_met(block(text), made, NEW) is True
    assert made.user


def test_a_connection_for_nested_blocks_meets_all_of_them() -> None:
    inner = block("Match User *b*", block("Match User a*"))
    made = match.find_connection(inner, NEW)
    assert made is not None
    assert match.is_met(inner, made, NEW) is True


@pytest.mark.parametrize("text", ["Match RDomain x", "Match User a,!a", "Match Invalid-User", "Match LocalPort ssh"])
def test_where_none_can_be_made_up(text: str) -> None:
    assert match.find_connection(block(text), NEW) is None


def test_only_negations_match_no_connection() -> None:
    assert not match.can_match(block("Match User !bob"))
    assert not match.can_match(block("Match all", block("Match Address !10.0.0.1")))
    assert match.can_match(block("Match User !bob,*"))


def test_text_behind_an_empty_word() -> None:
    for version in ("8.4p1", "9.2p1"):
        with pytest.raises(match.BadMatch):
            criteria("Match User a = = b", V(version))


def test_a_bad_network_offers_no_address() -> None:
    old = V("8.3p1")
    assert match.find_connection(block("Match Address 10.0.0.1/8", version=old), old) is None
    outer = block("Match Address 10.0.0.0/8", version=old)
    assert match.find_connection(block("Match Address 10.0.0.1/8", outer, old), old) is None


def test_a_mask_with_a_sign_is_read_differently_by_each_release() -> None:
    built = build_from_files({"/etc/ssh/sshd_config": b"Match Address 10.0.0.0/+8\nClientAliveInterval 5\n"})
    assert possible(built, Context(user="a", address="10.0.0.1"))[INTERVAL] == (0, 5)
    assert possible(built, Context())[INTERVAL] == (0,)
