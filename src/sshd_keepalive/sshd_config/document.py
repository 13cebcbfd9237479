"""Files as bytes, and the same files as the lines one OpenSSH release makes of them.

Nothing is lost and nothing is decoded: joining `Line.raw` gives the file back. What a
line means to its neighbours (Match, Include, first wins) is `resolve`'s business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from sshd_keepalive.sshd_config import tokens
from sshd_keepalive.sshd_config.tokens import Token
from sshd_keepalive.sshd_config.version import NEWEST, Tokeniser, Version

_PHYSICAL: Final = re.compile(rb"[^\n]*\n|[^\n]+")
_COMMENT: Final = re.compile(rb"[ \t\r]*(?:#|\n?\Z)")
_LEADING: Final = b" \t\r"
_TRAILING: Final = b" \t\r\n"
# Every keyword of every release and known vendor is a word of these; anything else sshd refuses.
_KEYWORD: Final = re.compile(rb"[A-Za-z0-9]+\Z")
# Fleets hold the same stock file thousands of times: small files are read once. Large ones are not kept.
_REMEMBERED_BYTES: Final = 8 * 1024

NO_ARGUMENT: Final = "no argument after the keyword"
OPEN_QUOTE: Final = "a quote is not closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One physical line as one OpenSSH release reads it. Blank, comment and ignored lines have no keyword."""

    number: int  # 1-based
    raw: bytes  # with its line ending, if it has one
    keyword: str = ""  # folded
    arguments: tuple[Token, ...] = ()
    problem: str = ""  # why sshd would refuse the line, as far as the line itself shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One file without loss: the joined `raw` of all lines is the file."""

    path: str
    lines: tuple[Line, ...]


def parse(path: str, content: bytes, *, version: Version = NEWEST) -> Document:
    """Read a file as `version` would. Never raises; time is linear in the number of bytes.

    Lines that this release would refuse for their words alone carry a `problem`; unknown keywords are kept.
    """
    if len(content) <= _REMEMBERED_BYTES:
        return Document(path=path, lines=_remembered(content, version))
    return Document(path=path, lines=_read(content, version))


def split_lines(content: bytes) -> list[bytes]:
    """Split at line feeds alone, as sshd does; the lines keep them."""
    return _PHYSICAL.findall(content)


def render(document: Document) -> bytes:
    """Give the file back, byte for byte."""
    return b"".join([line.raw for line in document.lines])


def find_line_ending(raw: bytes) -> bytes:
    """Give the line ending of a line: CR LF, LF, or nothing."""
    if raw.endswith(b"\r\n"):
        return b"\r\n"
    return b"\n" if raw.endswith(b"\n") else b""


def _read(content: bytes, version: Version) -> tuple[Line, ...]:
    if b"\0" in content:
        return _read_with_nul(content, version)
    blank = _COMMENT.match if version.max_line_bytes is None else _never
    return tuple(
        Line(number=number, raw=raw) if blank(raw) else tokenise(number, raw, version)
        for number, raw in enumerate(split_lines(content), 1)
    )


def _never(raw: bytes) -> None:
    """Skip no line unseen where even a comment can be too long."""


_remembered = lru_cache(maxsize=32)(_read)


def _read_with_nul(content: bytes, version: Version) -> tuple[Line, ...]:
    """Read a file with NUL bytes: sshd cuts a line there and loses its newline, so the next line is glued on.

    The words of a glued line belong to its first physical line; the others are kept without meaning.
    Source: servconf.c, load_server_config (getline, then strlen). Up to 8.6 a `#` gives the newline back.
    """
    lines: list[Line] = []
    pending: list[bytes] = []
    glued: list[bytes] = []  # what sshd sees of the pending lines

    def flush() -> None:
        if pending:
            first = tokenise(len(lines) + 1, b"".join(glued), version)
            lines.append(Line(number=first.number, raw=pending[0], keyword=first.keyword, problem=first.problem,
                              arguments=first.arguments))  # fmt: skip
            lines.extend(Line(number=first.number + n, raw=raw) for n, raw in enumerate(pending[1:], 1))
        pending.clear()
        glued.clear()

    for raw in split_lines(content):
        visible = raw.split(b"\0", 1)[0]
        if version.tokeniser is Tokeniser.DELIMITED and b"#" in visible:
            visible = visible.split(b"#", 1)[0] + b"\n"
        glued.append(visible.lstrip(_LEADING) if pending else visible)
        pending.append(raw)
        if visible.endswith(b"\n"):
            flush()
    flush()
    return tuple(lines)


def tokenise(number: int, raw: bytes, version: Version) -> Line:
    """Cut one line into keyword and arguments; offsets of the tokens count in `raw`."""
    limit = version.max_line_bytes
    if limit is not None and len(raw) - raw.endswith(b"\n") > limit:
        return Line(number=number, raw=raw, keyword="?", problem=f"the line is longer than {limit} bytes")
    body = raw
    if version.tokeniser is Tokeniser.DELIMITED:
        body = raw.partition(b"#")[0]
    body = body.removesuffix(b"\n")
    start = len(body) - len(body.lstrip(_LEADING))
    if start < len(body):  # the first byte of the line is never stripped from its end
        trailing = _TRAILING + b"\f" if version.at_least(7, 5) else _TRAILING
        body = body[: start + 1] + body[start + 1 :].rstrip(trailing)
    keyword, at = tokens.cut_word(body, start)
    if keyword is not None and not keyword.text and at is not None:
        keyword, at = tokens.cut_word(body, at)
    if keyword is None or not keyword.text or keyword.text.startswith(b"#"):
        return Line(number=number, raw=raw)
    folded = keyword.text.decode("latin-1").lower()
    if _KEYWORD.match(keyword.text) is None:
        return Line(number=number, raw=raw, keyword=folded, problem="not a valid sshd_config keyword")
    if at is None or at >= len(body):
        # Up to 8.6 a removed keyword may have no argument; the code that reads the other keywords checks theirs.
        return Line(number=number, raw=raw, keyword=folded, problem=NO_ARGUMENT if version.at_least(8, 7) else "")
    arguments, closed = _arguments(folded, body, at, version)
    return Line(number=number, raw=raw, keyword=folded, arguments=arguments, problem="" if closed else OPEN_QUOTE)


def _arguments(keyword: str, body: bytes, at: int, version: Version) -> tuple[tuple[Token, ...], bool]:
    if version.tokeniser is Tokeniser.DELIMITED:
        # An open quote just ends the list here; a keyword that wants a word finds none and refuses.
        return tokens.cut_words(body, at), True
    split = tokens.split_arguments(body, at)
    if split is None:
        return (), False
    if keyword == "match" and version.match_tokeniser is Tokeniser.DELIMITED:
        return tokens.cut_words(body, at), True
    return split, True
