"""Edits while they are gathered: which lines of which files change, and what the files then hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sshd_keepalive.model import Document, Edit, Line, NewContent, Token
from sshd_keepalive.sshd_config.document import line_ending, render

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
        self.replaced[path, line.number] = (rewritten(line, number), reason)

    def insert(self, path: str, before_line: int, text: bytes, reason: str) -> None:
        """Put a new line before a line (number of lines + 1: at the end); it ends as its neighbour does."""
        lines = self.documents[path].lines
        neighbours = [lines[n - 1].raw for n in (before_line - 1, before_line) if 0 < n <= len(lines)]
        ending = next((line_ending(raw) for raw in neighbours if line_ending(raw)), b"") or _usual_ending(lines)
        if before_line > len(lines) and lines and not line_ending(lines[-1].raw):
            raw, why = self.replaced.get((path, len(lines)), (lines[-1].raw, "the last line gets its line ending"))
            if not line_ending(raw):
                self.replaced[path, len(lines)] = (raw + ending, why)
        self.inserted.setdefault((path, before_line), []).append((text + ending, reason))

    def create(self, path: str, content: bytes, reason: str) -> None:
        """Write a new file."""
        self.created[path] = (content, reason)

    def edits(self) -> tuple[Edit, ...]:
        """All changes, by file and line; insertions before the replacement of the same line."""
        found = [
            Edit(path=path, line=number, before=b"", after=text, reason=reason)
            for (path, number), texts in self.inserted.items()
            for text, reason in texts
        ]
        for (path, number), (raw, reason) in self.replaced.items():
            before = self.documents[path].lines[number - 1].raw
            if raw != before:
                found.append(Edit(path=path, line=number, before=before, after=raw, reason=reason))
        for path, (content, reason) in self.created.items():
            found.append(Edit(path=path, line=1, before=b"", after=content, reason=reason))
        return tuple(sorted(found, key=lambda edit: (edit.path, edit.line, bool(edit.before))))

    def contents(self) -> tuple[NewContent, ...]:
        """The whole new content of every changed file."""
        edits = self.edits()
        return tuple(
            NewContent(path=path, before=self._before(path), after=self._after(path, edits))
            for path in dict.fromkeys(edit.path for edit in edits)
        )

    def _before(self, path: str) -> bytes | None:
        return None if path in self.created else render(self.documents[path])

    def _after(self, path: str, edits: tuple[Edit, ...]) -> bytes:
        if path in self.created:
            return self.created[path][0]
        lines = self.documents[path].lines
        out: list[bytes] = []
        for number in range(1, len(lines) + 2):
            out += [text for text, _ in self.inserted.get((path, number), ())]
            if number <= len(lines):
                out.append(self.replaced.get((path, number), (lines[number - 1].raw, ""))[0])
        return b"".join(out)


def rewritten(line: Line, number: int) -> bytes:
    """The line with another value: quotes around it stay, and a comment glued to it gets its space."""
    token: Token = line.arguments[0]
    old, text = line.raw[token.start : token.end], str(number).encode()
    if len(old) > 1 and old[:1] in _QUOTES and old[-1:] == old[:1] and old.count(old[:1]) == 2:
        text = old[:1] + text + old[:1]
    rest = line.raw[token.end :]
    return line.raw[: token.start] + text + (b" " if rest.startswith(b"#") else b"") + rest


def _usual_ending(lines: tuple[Line, ...]) -> bytes:
    return next((line_ending(line.raw) for line in lines if line_ending(line.raw)), b"\n")
