"""Where a missing setting goes in the main file: always in its global part, never below a Match line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sshd_keepalive.model import Document, Line
from sshd_keepalive.sshd_config.resolve import KEYWORDS
from sshd_keepalive.sshd_config.tree import Event

# A default that was commented out, not a sentence about it nor a line of an indented example.
_COMMENTED: Final = rb"[ \t]*#+ ?%b(?:[ \t]*=[ \t]*|[ \t]+)\"?[0-9]\w*\"?[ \t\r]*(?:#.*)?\n?\Z"


def spots(main: Document, keywords: Sequence[str], events: Sequence[Event]) -> dict[str, int]:
    """For each missing keyword, the line of the main file it goes before (number of lines + 1: the end).

    Below its commented default; else beside the other keep-alive setting, written or about to be; else before
    the first Match line, above the comment that belongs to it; else at the end.
    """
    limit = next((line.number for line in main.lines if line.keyword == "match"), len(main.lines) + 1)
    own = {keyword: _commented_default(main, keyword, limit) for keyword in KEYWORDS}
    found: dict[str, int] = {}
    for keyword, other in zip(KEYWORDS, reversed(KEYWORDS), strict=True):
        if keyword not in keywords:
            continue
        written = _written(main, other, events)
        spot = own[keyword]
        if spot is None and written is not None:
            spot = written + (keyword == KEYWORDS[1])  # the count goes below the interval
        if spot is None and other in keywords:
            spot = found.get(other, own[other])
        found[keyword] = spot if spot is not None else _above_comment(main, limit)
    return found


def _commented_default(main: Document, keyword: str, limit: int) -> int | None:
    """The line below the first `#Keyword value` before `limit`."""
    pattern = re.compile(_COMMENTED % keyword.encode(), re.IGNORECASE)
    for line in main.lines[: limit - 1]:
        if not line.keyword and b"#" in line.raw and pattern.match(line.raw):
            return line.number + 1
    return None


def _written(main: Document, keyword: str, events: Sequence[Event]) -> int | None:
    return next(
        (e.place.line for e in events if e.line.keyword == keyword and e.block is None and e.place.path == main.path),
        None,
    )


def _above_comment(main: Document, limit: int) -> int:
    """`limit`, or where the comment begins that stands directly above it. The end of the file has none."""
    if limit > len(main.lines):
        return limit
    while limit > 1 and _is_comment(main.lines[limit - 2]):
        limit -= 1
    return limit


def _is_comment(line: Line) -> bool:
    return line.raw.lstrip(b" \t\r").startswith(b"#")
