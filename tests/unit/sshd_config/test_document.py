"""Bytes to lines and back, for every kind of file there is."""

from __future__ import annotations

import time

import pytest

from sshd_keepalive.sshd_config import document
from sshd_keepalive.sshd_config.version import Version

NEW, OLD, ANCIENT = Version.parse("9.2p1"), Version.parse("8.4p1"), Version.parse("7.4p1")
AWKWARD = [
    b"",
    b"\n",
    b"I 300",
    b"I 300\r\n\r\nC 7\r\n",
    b"# caf\xe9\nI 300\n",
    b"\xef\xbb\xbfI 300\n",
    "I 300\n".encode("utf-16"),
    b"# a\0b\nI 300\n",
    b"\0\0\n\0",
    b"#" + b"x" * 100_000 + b"\n",
    b"\x0b\x0c\n\x1a",
    b"a\rb\rc\r",
    b'"\n=\n==\n',
    b"Match\nMatch \nMatch \"\n",
]  # fmt: skip


@pytest.mark.parametrize("content", AWKWARD)
@pytest.mark.parametrize("version", [NEW, OLD, ANCIENT])
def test_nothing_is_lost(content: bytes, version: Version) -> None:
    read = document.parse("/x", content, version=version)
    assert document.render(read) == content
    assert [line.number for line in read.lines] == list(range(1, len(read.lines) + 1))


@pytest.mark.parametrize(
    ("raw", "keyword", "arguments"),
    [
        (b"ClientAliveInterval 300\n", "clientaliveinterval", [b"300"]),
        (b"\t= CLIENTALIVEINTERVAL\t300 \r\n", "clientaliveinterval", [b"300"]),
        (b'"ClientAlive"Interval 300\n', "clientalive", [b"Interval", b"300"]),
        (b"I 300\x0c\n", "i", [b"300"]),
        (b'"I 300\n', "", []),
        (b"==I 300\n", "", []),
        (b'"#I" 300\n', "", []),
        (b"  # I 300\n", "", []),
        (b"\r\n", "", []),
    ],
)
def test_keyword_and_arguments(raw: bytes, keyword: str, arguments: list[bytes]) -> None:
    (line,) = document.parse("/x", raw, version=NEW).lines
    assert line.keyword == keyword
    assert [token.text for token in line.arguments] == arguments
    assert not line.problem


@pytest.mark.parametrize("raw", [b"I\n", b"I =\n", b'I "300\n', b"I: 300\n", b"'I' 300\n", b"\x0c\n", b"\xa0I 300\n"])
def test_what_the_words_alone_make_wrong(raw: bytes) -> None:
    (line,) = document.parse("/x", raw, version=NEW).lines
    assert line.problem


def test_offsets_count_in_the_raw_line() -> None:
    (line,) = document.parse("/x", b"  I = '300' # x\r\n", version=NEW).lines
    (token,) = line.arguments
    assert line.raw[token.start : token.end] == b"'300'"


def test_comments_end_old_lines_everywhere() -> None:
    (line,) = document.parse("/x", b"I 300#x\n", version=OLD).lines
    assert [token.text for token in line.arguments] == [b"300"]
    (line,) = document.parse("/x", b"I 300#x\n", version=NEW).lines
    assert [token.text for token in line.arguments] == [b"300#x"]


def test_a_match_line_keeps_the_old_words_until_9_8() -> None:
    raw = b"Match User=root\n"
    for version, words in ((NEW, [b"User", b"root"]), (Version.parse("10.0p2"), [b"User=root"])):
        (line,) = document.parse("/x", raw, version=version).lines
        assert [token.text for token in line.arguments] == words


def test_a_nul_byte_glues_the_next_line_on() -> None:
    lines = document.parse("/x", b"I 30\0x\n0\n", version=NEW).lines
    assert [token.text for token in lines[0].arguments] == [b"300"]
    assert [line.keyword for line in lines] == ["i", ""]
    lines = document.parse("/x", b"# a\0b\nI 300\n", version=NEW).lines
    assert [line.keyword for line in lines] == ["", ""]
    lines = document.parse("/x", b"# a\0b\nI 300\n", version=OLD).lines
    assert [line.keyword for line in lines] == ["", "i"]


def test_old_releases_have_a_longest_line() -> None:
    fits, too_long = b"#" * 4093 + b"\n", b"#" * 4094 + b"\n"
    assert not document.parse("/x", fits, version=ANCIENT).lines[0].problem
    assert document.parse("/x", too_long, version=ANCIENT).lines[0].problem
    assert not document.parse("/x", too_long, version=NEW).lines[0].problem


@pytest.mark.parametrize(
    "piece",
    [b"#\n", b'Match User "a" Host b\n', b'I "3"0"0" \\ # x\n', b"x" * 1000 + b"\n", b"\0", b'"', b"= ", b"\\"],
)
def test_time_is_linear(piece: bytes) -> None:
    # Both are larger than what `parse` remembers.
    def seconds_per_byte(n_bytes: int) -> float:
        content = piece * (n_bytes // len(piece))
        best = min(_timed(content) for _ in range(2))
        return best / len(content)

    small, large = seconds_per_byte(40_000), seconds_per_byte(320_000)
    assert large < 4 * small + 1e-8  # quadratic would be eight times


def _timed(content: bytes) -> float:
    began = time.process_time()
    document.parse("/x", content, version=NEW)
    return time.process_time() - began
