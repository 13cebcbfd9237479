"""Render changes as text: a unified diff of the files, and the values of each scope before and after.

The text is safe to print: bytes that are not UTF-8 and control characters are escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sshd_keepalive.model import GLOBAL, SPELLING, Edit, NewContent, Plan
from sshd_keepalive.quoting import printable
from sshd_keepalive.sshd_config.document import split_lines
from sshd_keepalive.sshd_config.resolve import KEYWORDS
from sshd_keepalive.sshd_config.tokens import decode

_CONTEXT = 3
_MOST_PAIRS = 200_000  # of lines to compare; difflib takes quadratic time and more
_NO_NEWLINE = "\\ No newline at end of file\n"


class _Change(NamedTuple):
    """Lines of the old file, counted from 0, and what stands there in the new one."""

    start: int
    end: int  # after the last one
    added: Sequence[bytes]


def render_diff(plan: Plan) -> str:
    """Render the unified diff of all files of a plan, in time linear in their size."""
    return "".join(
        part
        for content in plan.contents
        for part in _render(content, [edit for edit in plan.edits if edit.path == content.path])
    )


def _render(content: NewContent, edits: Sequence[Edit]) -> list[str]:
    """Render one file; without edits, as for an undo, its contents are compared."""
    old, new = split_lines(content.before or b""), split_lines(content.after)
    hunks = [*_render_hunks(old, [*map(_read_edit, edits)] if edits else _compare(old, new))]
    if not hunks and content.before is not None and not content.gone:
        return []
    path = printable(content.path).replace("\n", "\\n")  # a name must not look like another line
    return [
        f"--- {'/dev/null' if content.before is None else path}\n",
        f"+++ {'/dev/null' if content.gone else path}\n",
        *hunks,
    ]


def _read_edit(edit: Edit) -> _Change:
    return _Change(edit.line - 1, edit.line - 1 + bool(edit.before), split_lines(edit.after))


def _compare(old: Sequence[bytes], new: Sequence[bytes]) -> list[_Change]:
    """Compare line by line, or give all between the common begin and end of large files as one change."""
    if len(old) * len(new) <= _MOST_PAIRS:
        from difflib import SequenceMatcher  # 9 ms, and only an undo needs it

        opcodes = SequenceMatcher(None, old, new).get_opcodes()
        return [_Change(start, end, new[first:last]) for tag, start, end, first, last in opcodes if tag != "equal"]
    shorter = min(len(old), len(new))
    head = next((n for n in range(shorter) if old[n] != new[n]), shorter)
    tail = next((n for n in range(shorter - head) if old[-1 - n] != new[-1 - n]), shorter - head)
    change = _Change(head, len(old) - tail, new[head : len(new) - tail])
    return [change] if old != new else []


def _render_hunks(old: Sequence[bytes], changes: Iterable[_Change]) -> Iterator[str]:
    """Render changes in the order of their lines; those close to each other share a hunk."""
    groups: list[list[_Change]] = []
    for change in changes:
        if groups and change.start - groups[-1][-1].end <= 2 * _CONTEXT:
            groups[-1].append(change)
        else:
            groups.append([change])
    grown = 0  # how many lines the file has gained so far
    for group in groups:
        first = at = max(0, group[0].start - _CONTEXT)
        last = min(len(old), group[-1].end + _CONTEXT)
        body: list[str] = []
        for start, end, added in group:
            body += [f" {_escape(line)}" for line in old[at:start]]
            body += [f"-{_escape(line)}" for line in old[start:end]]
            body += [f"+{_escape(line)}" for line in added]
            at = end
        body += [f" {_escape(line)}" for line in old[at:last]]
        gained = sum(len(added) - (end - start) for start, end, added in group)
        yield f"@@ -{_render_range(first, last - first)} +{_render_range(first + grown, last - first + gained)} @@\n"
        yield from body
        grown += gained


def _render_range(first: int, count: int) -> str:
    """Render a range as diff does: an empty one names the line before it."""
    if count == 0:
        return f"{first},0"
    return str(first + 1) if count == 1 else f"{first + 1},{count}"


def render_value_diff(plan: Plan) -> str:
    """Render one line per scope: `everybody: ClientAliveInterval 0 -> 300, ClientAliveCountMax 3`."""
    rows: dict[str, str] = {}
    for prediction in plan.predictions:
        before, after = dict(prediction.before), dict(prediction.after)
        values = [
            f"{SPELLING[keyword]} {before[keyword]}"
            + (f" -> {after[keyword]}" if after[keyword] != before[keyword] else "")
            for keyword in KEYWORDS
        ]
        scope = "everybody" if prediction.scope == GLOBAL else printable(str(prediction.scope))
        rows.setdefault(scope, ", ".join(values))
    return "".join(f"{scope}: {values}\n" for scope, values in rows.items())


def _escape(line: bytes) -> str:
    body = line.removesuffix(b"\n")
    text = printable(decode(body).replace("\n", ""))
    return f"{text}\n" if line.endswith(b"\n") else f"{text}\n{_NO_NEWLINE}"
