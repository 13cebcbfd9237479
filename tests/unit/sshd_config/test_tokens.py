"""Words as sshd cuts them: each row is a line and the words it has, with the bytes they were written with."""

from __future__ import annotations

import pytest

from sshd_keepalive.sshd_config import tokens


@pytest.mark.parametrize(
    ("line", "word", "rest"),
    [
        (b"I 300", b"I", b"300"),
        (b"I\t \r300", b"I", b"300"),
        (b"I=300", b"I", b"300"),
        (b"I = 300", b"I", b"300"),
        (b"I == 300", b"I", b"= 300"),
        (b"I==300", b"I", b"=300"),
        (b'"I" 300', b"I", b"300"),
        (b'"I"300', b"I", b"300"),
        (b'C"AM" 7', b"CAM", b"7"),
        (b'"I" = 300', b"I", b"= 300"),
        (b"= I 300", b"", b"I 300"),
        (b"I", b"I", None),
        (b"I ", b"I", b""),
    ],
)
def test_a_word_ends_at_blanks_at_one_equals_sign_and_at_a_closing_quote(
    line: bytes, word: bytes, rest: bytes | None
) -> None:
    found, at = tokens.cut_word(line, 0)
    assert found is not None
    assert found.text == word
    assert (None if at is None else line[at:]) == rest


def test_an_open_quote_gives_no_word() -> None:
    assert tokens.cut_word(b'"I 300', 0) == (None, None)
    assert [word.text for word in tokens.cut_words(b'a "b', 0)] == [b"a"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"300", [b"300"]),
        (b" 300\t# five", [b"300"]),
        (b"300#five", [b"300#five"]),
        (b"'300'", [b"300"]),
        (b"3\"00\"'1'", [b"3001"]),
        (b'"1h 30m"', [b"1h 30m"]),
        (b"a\\ b", [b"a b"]),
        (b'"a\\ b"', [b"a\\ b"]),
        (b"\\\"a\\' \\\\ \\x \\", [b"\"a'", b"\\", b"\\x", b"\\"]),
        (b"'\"#\"' b", [b'"#"', b"b"]),
        (b'""', [b""]),
        (b"a\rb", [b"a\rb"]),
        (b"# x", []),
        (b"", []),
    ],
)
def test_arguments_of_8_7_and_later(line: bytes, words: list[bytes]) -> None:
    found = tokens.split_arguments(line, 0)
    assert found is not None
    assert [word.text for word in found] == words
    for word in found:
        assert line[word.start : word.end].strip(b" \t") == line[word.start : word.end]


@pytest.mark.parametrize("line", [b'"300', b"300 'x", b"\"a'", b'a\\\\"'])
def test_an_open_quote_has_no_arguments(line: bytes) -> None:
    assert tokens.split_arguments(line, 0) is None


def test_offsets_name_the_bytes_with_their_quotes() -> None:
    (first, second) = tokens.split_arguments(b"  'a b' c", 0) or ()
    assert (first.start, first.end) == (2, 7)
    assert (second.start, second.end) == (8, 9)
    word, _ = tokens.cut_word(b'x "60" y', 2)
    assert word is not None
    assert (word.text, word.start, word.end) == (b"60", 2, 6)
