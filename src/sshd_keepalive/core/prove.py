"""Proofs that a draft does what it should and nothing else. Each refuses with a PlanError.

The proofs read the new bytes from scratch; they trust nothing that the planning computed.
"""

from __future__ import annotations

from collections.abc import Iterable

from sshd_keepalive.core import match
from sshd_keepalive.core.resolve import KEYWORDS
from sshd_keepalive.core.tree import Tree
from sshd_keepalive.errors import PlanError
from sshd_keepalive.model import Edit, NewContent

Fact = tuple[str, tuple[bytes, ...], tuple[object, ...], bool | None]


def untouched_bytes(contents: Iterable[NewContent], edits: Iterable[Edit]) -> None:
    """Every line that no edit names is the same, byte for byte and in the same order.

    Raises:
        PlanError: it is not.
    """
    by_line: dict[tuple[str, int], list[Edit]] = {}
    for edit in edits:
        by_line.setdefault((edit.path, edit.line), []).append(edit)
    for content in contents:
        at = 0  # how far the new content is accounted for
        for number, raw in enumerate([*_lines(content.before or b""), None], 1):
            here = by_line.get((content.path, number), [])
            new = b"".join(edit.after for edit in here)
            kept = raw if raw is not None and not any(edit.before for edit in here) else b""
            wrong_base = any(edit.before and edit.before != raw for edit in here)
            if wrong_base or not content.after.startswith(new + kept, at):
                raise PlanError(f"{content.path}:{number} would change without an edit that says so")
            at += len(new) + len(kept)
        if at < len(content.after):
            raise PlanError(f"{content.path} would get text that no edit names")


def untouched_settings(before: Tree, after: Tree) -> None:
    """Every other keyword keeps its lines, in the same order and under the same conditions.

    This holds for every connection there can be, and for keywords we know nothing about.

    Raises:
        PlanError: it does not.
    """
    if _facts(before) != _facts(after):
        raise PlanError("a setting other than the keep-alive ones would change")


def _facts(tree: Tree) -> list[Fact]:
    return [
        (
            event.line.keyword,
            tuple(token.text for token in event.line.arguments),
            tuple((block.criteria, block.dead) for block in event.block.chain()) if event.block else (),
            match.at_start(event.block, tree.version) if event.block else True,
        )
        for event in tree.events()
        if event.line.keyword not in KEYWORDS and event.line.keyword != "match"
    ]


def _lines(content: bytes) -> list[bytes]:
    lines = content.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
