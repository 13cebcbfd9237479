"""Render changes as text: a unified diff of the files, and the values of each scope before and after.

The text is safe to print: bytes that are not UTF-8 and control characters are escaped.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from sshd_keepalive.model import SPELLING, Edit, NewContent, Plan
from sshd_keepalive.quoting import printable
from sshd_keepalive.sshd_config.resolve import KEYWORDS

_CONTEXT = 3
_COMPARED = 200_000  # pairs of lines; difflib takes quadratic time and more
_NO_NEWLINE = "\\ No newline at end of file\n"


def render_diff(plan: Plan) -> str:
    """Render the unified diff of all files of a plan, in time linear in their size."""
    parts: list[str] = []
    for content in plan.contents:
        edits = [edit for edit in plan.edits if edit.path == content.path]
        parts += _header(content)
        parts += _hunks(_lines(content.before or b""), edits)
    return "".join(parts)


def compare(path: str, before: bytes | None, after: bytes | None) -> str:
    """Render the unified diff of one file without known edits, as for an undo; None: the file does not exist."""
    old, new = _lines(before or b""), _lines(after or b"")
    content = NewContent(path=path, before=before, after=after or b"")
    if len(old) * len(new) <= _COMPARED:
        lines = difflib.unified_diff([*map(_escape, old)], [*map(_escape, new)], n=_CONTEXT)
        body = [line for number, line in enumerate(lines) if number > 1]
    else:
        body = [*_hunks(old, _middle(path, old, new))]
    return "".join([*_header(content, gone=after is None), *body]) if body or before is None or after is None else ""


def _middle(path: str, old: Sequence[bytes], new: Sequence[bytes]) -> list[Edit]:
    """Give the lines between the common begin and end of both files as one change: coarse, in linear time."""
    shorter = min(len(old), len(new))
    head = next((n for n in range(shorter) if old[n] != new[n]), shorter)
    tail = next((n for n in range(shorter - head) if old[-1 - n] != new[-1 - n]), shorter - head)
    added = [Edit(path=path, line=head + 1, before=b"", after=b"".join(new[head : len(new) - tail]), reason="")]
    gone = [
        Edit(path=path, line=number, before=raw, after=b"", reason="")
        for number, raw in enumerate(old[head : len(old) - tail], head + 1)
    ]
    return [*(added if added[0].after else ()), *gone]


def render_value_diff(plan: Plan) -> str:
    """Render one line per scope and setting: `global  ClientAliveInterval  0 -> 300`, also for unchanged values."""
    rows: dict[tuple[str, str], tuple[str, str]] = {}
    for prediction in plan.predictions:
        before, after = dict(prediction.before), dict(prediction.after)
        for keyword in KEYWORDS:
            rows.setdefault((printable(str(prediction.scope)), keyword), (before[keyword], after[keyword]))
    width = max((len(scope) for scope, _ in rows), default=0)
    return "".join(
        f"{scope:<{width}}  {SPELLING[keyword]:<19}  {old if old == new else f'{old} -> {new}'}\n"
        for (scope, keyword), (old, new) in rows.items()
    )


def _header(content: NewContent, *, gone: bool = False) -> list[str]:
    path = printable(content.path).replace("\n", "\\n")  # a name must not look like another line
    old = "/dev/null" if content.before is None else path
    return [f"--- {old}\n", f"+++ {'/dev/null' if gone else path}\n"]


def _hunks(lines: Sequence[bytes], edits: Sequence[Edit]) -> Iterator[str]:
    """Render hunks of edits with known places; edits close to each other share one."""
    groups: list[list[Edit]] = []
    for edit in edits:
        if groups and edit.line - groups[-1][-1].line <= 2 * _CONTEXT + 1:
            groups[-1].append(edit)
        else:
            groups.append([edit])
    by_line: dict[int, list[Edit]] = {}
    for edit in edits:
        by_line.setdefault(edit.line, []).append(edit)
    grown = 0  # how many lines the file has gained so far
    for group in groups:
        first = max(1, group[0].line - _CONTEXT)
        last = min(len(lines), group[-1].line + _CONTEXT - (not group[-1].before))
        body: list[str] = []
        n_old = n_new = 0
        for number in range(first, max(last, group[-1].line) + 1):
            old = lines[number - 1] if number <= len(lines) else None
            here = by_line.get(number, [])
            replaced = any(edit.before for edit in here)
            # An insertion stands before the line; a replacement after what it replaces.
            added = [text for edit in here if not edit.before for text in _lines(edit.after)]
            body += [f"+{_escape(text)}" for text in added]
            n_new += len(added)
            if old is None or number > last:
                continue
            body.append(f"{'-' if replaced else ' '}{_escape(old)}")
            n_old += 1
            added = [text for edit in here if edit.before for text in _lines(edit.after)] if replaced else [old]
            n_new += len(added)
            if replaced:
                body += [f"+{_escape(text)}" for text in added]
        yield f"@@ -{_span(first, n_old)} +{_span(first + grown, n_new)} @@\n"
        yield from body
        grown += n_new - n_old


def _span(first: int, count: int) -> str:
    """Render a range as diff does: an empty one names the line before it."""
    if count == 0:
        return f"{first - 1},0"
    return str(first) if count == 1 else f"{first},{count}"


def _escape(line: bytes) -> str:
    body = line.removesuffix(b"\n")
    text = printable(body.decode("utf-8", "surrogateescape").replace("\n", ""))
    return f"{text}\n" if line.endswith(b"\n") else f"{text}\n{_NO_NEWLINE}"


def _lines(content: bytes) -> list[bytes]:
    lines = content.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
