"""The edits of a plan: which lines change, where a missing setting goes, and the drop-in file of our own.

A missing setting goes into the global part of the main file, never below a Match line. A drop-in is read before every
other place that a setting is in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sshd_keepalive.model import SPELLING, Edit, NewContent, Policy
from sshd_keepalive.planning.owners import is_foreign
from sshd_keepalive.sshd_config import include
from sshd_keepalive.sshd_config.document import Document, Line, find_line_ending, render
from sshd_keepalive.sshd_config.resolve import KEYWORDS
from sshd_keepalive.sshd_config.tokens import Token
from sshd_keepalive.sshd_config.tree import Event, Tree

_QUOTES = (b'"', b"'")


@dataclass(slots=True)
class Draft:
    """Changes to a set of documents; each line is replaced at most once."""

    documents: Mapping[str, Document]
    replaced: dict[tuple[str, int], tuple[bytes, str]] = field(default_factory=dict)
    inserted: dict[tuple[str, int], list[tuple[bytes, str]]] = field(default_factory=dict)
    created: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def rewrite(self, path: str, line: Line, number: int, reason: str) -> None:
        """Put a number in place of the value of a line; every other byte of the line stays."""
        self.replaced[path, line.number] = (replace_value(line, number), reason)

    def insert(self, path: str, before_line: int, text: bytes, reason: str) -> None:
        """Put a new line before a line (number of lines + 1: at the end); it ends as its neighbour does."""
        lines = self.documents[path].lines
        neighbours = [lines[n - 1].raw for n in (before_line - 1, before_line) if 0 < n <= len(lines)]
        raws = (*neighbours, *(line.raw for line in lines))
        ending = next(filter(None, map(find_line_ending, raws)), b"\n")
        if before_line > len(lines) and lines and not find_line_ending(lines[-1].raw):
            raw, why = self.replaced.get((path, len(lines)), (lines[-1].raw, "the last line gets its line ending"))
            if not find_line_ending(raw):
                self.replaced[path, len(lines)] = (raw + ending, why)
        self.inserted.setdefault((path, before_line), []).append((text + ending, reason))

    def create(self, path: str, content: bytes, reason: str) -> None:
        """Write a new file."""
        self.created[path] = (content, reason)

    def list_edits(self) -> tuple[Edit, ...]:
        """List all changes, by file and line; insertions before the replacement of the same line."""
        edits = [
            Edit(path=path, line=number, before=b"", after=text, reason=reason)
            for (path, number), texts in self.inserted.items()
            for text, reason in texts
        ]
        for (path, number), (raw, reason) in self.replaced.items():
            before = self.documents[path].lines[number - 1].raw
            if raw != before:
                edits.append(Edit(path=path, line=number, before=before, after=raw, reason=reason))
        for path, (content, reason) in self.created.items():
            edits.append(Edit(path=path, line=1, before=b"", after=content, reason=reason))
        return tuple(sorted(edits, key=lambda edit: (edit.path, edit.line, bool(edit.before))))

    def list_contents(self) -> tuple[NewContent, ...]:
        """Give the whole new content of every changed file."""
        return tuple(
            NewContent(
                path=path,
                before=None if path in self.created else render(self.documents[path]),
                after=self._render(path),
            )
            for path in dict.fromkeys(edit.path for edit in self.list_edits())
        )

    def _render(self, path: str) -> bytes:
        if path in self.created:
            return self.created[path][0]
        lines = self.documents[path].lines
        out: list[bytes] = []
        for number in range(1, len(lines) + 2):
            out += [text for text, _ in self.inserted.get((path, number), ())]
            if number <= len(lines):
                out.append(self.replaced.get((path, number), (lines[number - 1].raw, ""))[0])
        return b"".join(out)


def replace_value(line: Line, number: int) -> bytes:
    """Put another value into a line; keep quotes around it, and put a space before a comment that touches it."""
    token: Token = line.arguments[0]
    old, text = line.raw[token.start : token.end], str(number).encode()
    if len(old) > 1 and old[:1] in _QUOTES and old[-1:] == old[:1] and old.count(old[:1]) == 2:
        text = old[:1] + text + old[:1]
    rest = line.raw[token.end :]
    return line.raw[: token.start] + text + (b" " if rest.startswith(b"#") else b"") + rest


# A default that was commented out, not a sentence about it nor a line of an indented example.
_COMMENTED: Final = rb"[ \t]*#+ ?%b(?:[ \t]*=[ \t]*|[ \t]+)\"?[0-9]\w*\"?[ \t\r]*(?:#.*)?\n?\Z"


def choose_lines(main: Document, keywords: Sequence[str], events: Sequence[Event]) -> dict[str, int]:
    """Choose, for each missing keyword, the line of the main file it goes before (number of lines + 1: the end).

    Below its commented default; else beside the other keep-alive setting, written or about to be; else before
    the first Match line, above the comment that belongs to it; else at the end.
    """
    limit = next((line.number for line in main.lines if line.keyword == "match"), len(main.lines) + 1)
    own = {keyword: _find_commented_default(main, keyword, limit) for keyword in KEYWORDS}
    spots: dict[str, int] = {}
    for keyword, other in zip(KEYWORDS, reversed(KEYWORDS), strict=True):
        if keyword not in keywords:
            continue
        written = _find_written(main, other, events)
        spot = own[keyword]
        if spot is None and written is not None:
            spot = written + (keyword == KEYWORDS[1])  # the count goes below the interval
        if spot is None and other in keywords:
            spot = spots.get(other, own[other])
        spots[keyword] = spot if spot is not None else _skip_comment(main, limit)
    return spots


def _find_commented_default(main: Document, keyword: str, limit: int) -> int | None:
    """Find the line below the first `#Keyword value` before `limit`."""
    pattern = re.compile(_COMMENTED % keyword.encode(), re.IGNORECASE)
    for line in main.lines[: limit - 1]:
        if not line.keyword and b"#" in line.raw and pattern.match(line.raw):
            return line.number + 1
    return None


def _find_written(main: Document, keyword: str, events: Sequence[Event]) -> int | None:
    places = (event.place for event in events if event.line.keyword == keyword and event.block is None)
    return next((place.line for place in places if place.path == main.path), None)


def _skip_comment(main: Document, limit: int) -> int:
    """`limit`, or where the comment begins that stands directly above it. The end of the file has none."""
    if limit > len(main.lines):
        return limit
    while limit > 1 and main.lines[limit - 2].raw.lstrip(b" \t\r").startswith(b"#"):
        limit -= 1
    return limit


#: In the order of preference; each sorts before the one above it.
DROP_IN_NAMES: Final = ("00-sshd-keepalive.conf", "0-sshd-keepalive.conf", "+00-sshd-keepalive.conf")
_HEADER: Final = "# Written by sshd-keepalive. The first value of a setting wins, so this file must sort first.\n"


def render_drop_in(policy: Policy, *, shield: bool) -> bytes:
    """Write both settings; with `shield` also for every connection that a later Match block would decide for.

    A `Match all` read first beats all later blocks, and it ends with the file.
    """
    settings = [f"{SPELLING[keyword]} {number}\n" for keyword, number in policy.wanted.items()]
    text = _HEADER + "".join(settings)
    if shield:
        text += "Match all\n" + "".join(f"\t{line}" for line in settings)
    return text.encode()


def is_ours(document: Document) -> bool:
    """Whether an earlier run wrote the file."""
    return bool(document.lines) and document.lines[0].raw == _HEADER.encode()


def list_drop_in_paths(tree: Tree) -> Iterator[str]:
    """List where such a file could be: each directory that a global Include of the tree reads, by reading order.

    Whether it wins there is for the caller to prove.
    """
    directories: dict[str, None] = {}
    for event in tree.events():
        if event.line.keyword != "include" or event.block is not None:
            continue
        for pattern in include.list_patterns(event.line, tree.version):
            directory, _, name = pattern.rpartition("/")
            if not directory or not include.is_literal(directory) or is_foreign(directory + "/"):
                continue
            if include.is_match(name, DROP_IN_NAMES[0]) and directory not in directories:
                directories[directory] = None
                yield from (f"{directory}/{own}" for own in DROP_IN_NAMES)
