"""Words of a line, exactly as sshd cuts them, with the bytes each was written with.

Two ways of cutting exist. Both are kept as they are, odd corners included, because a reading that differs
from sshd's is worse than none. Sources: OpenSSH misc.c, functions strdelim and argv_split; compared with real
servers in tests/sshd.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_DELIMITER: Final = re.compile(rb'[ \t\r\n"=]')
_BLANKS: Final = re.compile(rb"[ \t\r\n]*")
_SPECIAL: Final = re.compile(rb"[\"'\\#]")
_PLAIN_WORD: Final = re.compile(rb"[^ \t]+")
_ESCAPABLE: Final = b"'\"\\"


def encode(text: str) -> bytes:
    """Encode text of a host as the bytes that sshd and the kernel see; see `decode`."""
    return text.encode("utf-8", "surrogateescape")


def decode(raw: bytes) -> str:
    """Decode bytes of a host; those that are not UTF-8 survive as surrogate escapes."""
    return raw.decode("utf-8", "surrogateescape")


class Token(NamedTuple):
    """One word of a line without quotes and escapes, and its bytes in `Line.raw`."""

    text: bytes
    start: int  # offset of the first byte in Line.raw, an opening quote included
    end: int  # offset after the last byte, a closing quote included


def cut_word(line: bytes, at: int) -> tuple[Token | None, int | None]:
    """Cut one word from `line` at offset `at`.

    A word ends at a blank, at `=`, or at the closing of a double quote anywhere in it. Blanks after it are
    skipped, and one `=` with the blanks around it; after a quoted word `=` is not skipped.

    Returns:
        The word, and where the next begins (None: the line is used up). No word when a quote stays open;
        an empty word when `at` is the end or stands on a delimiter.
    """
    match = _DELIMITER.search(line, at)
    if match is None:
        return Token(line[at:], at, len(line)), None
    stop = match.start()
    if line[stop] == 0x22:
        close = line.find(b'"', stop + 1)
        if close < 0:
            return None, None
        return Token(line[at:stop] + line[stop + 1 : close], at, close + 1), _skip_blanks(line, close + 1)
    following = _skip_blanks(line, stop + 1)
    if line[stop] != 0x3D and line[following : following + 1] == b"=":
        following = _skip_blanks(line, following + 1)
    return Token(line[at:stop], at, stop), following


def cut_words(line: bytes, at: int | None) -> tuple[Token, ...]:
    """Cut the rest of a line with `cut_word`: all words, empty ones included, up to a quote that stays open."""
    words: list[Token] = []
    while at is not None:
        word, at = cut_word(line, at)
        if word is None:
            break
        words.append(word)
    return tuple(words)


def split_arguments(line: bytes, at: int) -> tuple[Token, ...] | None:
    r"""Split the rest of a line into arguments as OpenSSH 8.7 and later do.

    Blanks are space and tab only. Single and double quotes group; `\'`, `\"`, `\\` and, outside quotes, `\ `
    stand for their second character; `#` at the start of a word ends the line.

    Returns:
        The arguments, or None when a quote stays open.
    """
    if _SPECIAL.search(line, at) is None:
        return tuple(Token(word.group(), word.start(), word.end()) for word in _PLAIN_WORD.finditer(line, at))
    words: list[Token] = []
    end = len(line)
    while at < end:
        if line[at] in b" \t":
            at += 1
            continue
        if line[at] == 0x23:
            break
        word = _cut_argument(line, at)
        if word is None:
            return None
        words.append(word)
        at = word.end
    return tuple(words)


def _cut_argument(line: bytes, start: int) -> Token | None:
    text = bytearray()
    quote = 0
    at, end = start, len(line)
    while at < end:
        byte = line[at]
        following = line[at + 1 : at + 2]
        if byte == 0x5C and following and (following in _ESCAPABLE or (not quote and following == b" ")):
            at += 1
            text += following
        elif not quote and byte in b" \t":
            break
        elif not quote and byte in b"\"'":
            quote = byte
        elif quote and byte == quote:
            quote = 0
        else:
            text.append(byte)
        at += 1
    return None if quote else Token(bytes(text), start, at)


def _skip_blanks(line: bytes, at: int) -> int:
    match = _BLANKS.match(line, at)
    return at if match is None else match.end()
