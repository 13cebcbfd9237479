"""Proofs that a draft does what it should and nothing else. Each refuses with a PlanError.

The proofs read the new bytes from scratch; they trust nothing that the planning computed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Final

from sshd_keepalive.errors import ParseError, PlanError
from sshd_keepalive.model import BLANK, GLOBAL, Context, Edit, NewContent, Prediction, Scope
from sshd_keepalive.planning.edits import is_ours
from sshd_keepalive.sshd_config import match
from sshd_keepalive.sshd_config.document import Line, split_lines, tokenise
from sshd_keepalive.sshd_config.match import Block, Criterion
from sshd_keepalive.sshd_config.reading import Reading
from sshd_keepalive.sshd_config.resolve import KEYWORDS
from sshd_keepalive.sshd_config.tree import Tree

Conditions = tuple[tuple[tuple[Criterion, ...], bool], ...]
Fact = tuple[str, tuple[bytes, ...], Conditions, bool | None]


def prove_untouched_bytes(contents: Iterable[NewContent], edits: Iterable[Edit]) -> None:
    """Check that a line without an edit is the same byte for byte, in the same order, and every edit in the contents.

    Raises:
        PlanError: it is not.
    """
    contents, edits = [*contents], [*edits]
    lost = {edit.path for edit in edits} - {content.path for content in contents}
    if lost:
        raise PlanError(f"the edits of {', '.join(sorted(lost))} would be lost")
    by_line: dict[tuple[str, int], list[Edit]] = {}
    for edit in edits:
        by_line.setdefault((edit.path, edit.line), []).append(edit)
    for content in contents:
        at = 0  # how far the new content is accounted for
        for number, raw in enumerate([*split_lines(content.before or b""), None], 1):
            here = by_line.get((content.path, number), [])
            new = b"".join(edit.after for edit in here)
            kept = raw if raw is not None and not any(edit.before for edit in here) else b""
            wrong_base = any(edit.before and edit.before != raw for edit in here)
            if wrong_base or not content.after.startswith(new + kept, at):
                raise PlanError(f"{content.path}:{number} would change without an edit that says so")
            at += len(new) + len(kept)
        if at < len(content.after):
            raise PlanError(f"{content.path} would get text that no edit names")


def prove_only_values(edits: Iterable[Edit], wanted: Mapping[str, int], tree: Tree) -> None:
    """Check that an edited line keeps all but its value, which is the wanted one; our own files are free.

    A comment that was glued to the value gets a space, and a last line that gets a successor its line ending.

    Raises:
        PlanError: it does not.
    """
    for edit in edits:
        endings = (b"",) if edit.before.endswith(b"\n") else (b"", b"\n", b"\r\n")
        before = [edit.before + ending for ending in endings]
        if not edit.before or edit.after in before or is_ours(tree.documents[edit.path]):
            continue
        new = tokenise(edit.line, edit.after, tree.version)
        frames = [_cut_frame(tokenise(edit.line, raw, tree.version)) for raw in before]
        number = str(wanted.get(new.keyword, "")).encode()
        if not new.arguments or new.arguments[0].text != number or _cut_frame(new) not in frames:
            raise PlanError(f"{edit.path}:{edit.line} would change in more than its value")


def _cut_frame(line: Line) -> tuple[bytes, bytes] | None:
    """Give the text before and after the value; None where there is no value."""
    if not line.arguments:
        return None
    value, raw = line.arguments[0], line.raw
    return raw[: value.start], re.sub(rb"\A (?=#)", b"", raw[value.end :])


def prove_untouched_settings(before: Tree, after: Tree) -> None:
    """Check that every other keyword keeps its lines, in the same order and under the same conditions.

    This holds for every connection there can be, and for keywords we know nothing about.

    Raises:
        PlanError: it does not.
    """
    conditions: dict[Conditions, Conditions] = {}
    facts = _list_facts(before, conditions)
    try:
        same = facts == _list_facts(after, conditions)
    except ParseError as error:
        raise PlanError(f"sshd would refuse the edited files: {error}") from error
    if not same:
        raise PlanError("a setting other than the keep-alive ones would change")


def _list_facts(tree: Tree, interned: dict[Conditions, Conditions]) -> list[Fact]:
    """List every line that must stay.

    Args:
        interned: conditions seen so far: equal ones become one object, which is compared at once however long it is.
    """
    of_block: dict[Block, Conditions] = {}
    for block in {event.block for event in tree.events()} - {None}:
        assert block is not None
        conditions = tuple((around.criteria, around.dead) for around in block.chain())
        of_block[block] = interned.setdefault(conditions, conditions)
    return [
        (
            event.line.keyword,
            tuple(token.text for token in event.line.arguments),
            of_block[event.block] if event.block else (),
            match.is_active_at_start(event.block, tree.version) if event.block else True,
        )
        for event in tree.events()
        if event.line.keyword not in KEYWORDS and event.line.keyword != "match"
    ]


#: More connections than these are proved by us alone.
_MAX_PREDICTIONS: Final = 64


def predict(before: Reading, after: Reading) -> Iterator[Prediction]:
    """Predict what `sshd -T -C` must print before and after, for connections about which nothing is undecided."""
    predictions = (
        Prediction(context=context, before=old, after=new, scope=scope)
        for scope, context in _list_contexts(before)
        if (old := _list_decided(before, context)) and (new := _list_decided(after, context))
    )
    return islice(predictions, _MAX_PREDICTIONS)


def _list_contexts(reading: Reading) -> Iterator[tuple[Scope, Context]]:
    """List whom to ask about: everybody, root, the login of the tool, and one connection for each scope.

    A connection that needs a member of a group cannot be made up. Without a Match line all are the same.
    """
    snapshot = reading.snapshot
    answers = snapshot.answers
    is_blank_refused = any(dump.context == BLANK for dump in snapshot.dumps) and BLANK not in answers
    scopes: dict[Context, Scope] = {} if is_blank_refused and answers else {BLANK: GLOBAL}
    if any(event.line.keyword == "match" for event in reading.tree.events()):
        scopes |= dict.fromkeys((context for context in answers if context.user is not None), GLOBAL)
        asked = {context.user for context in scopes}
        for user in ("root", snapshot.host.user):
            if user is not None and user not in asked:
                scopes.setdefault(replace(match.STRANGER, user=user), GLOBAL)
        for deciding in reading.scopes[1:]:
            if deciding.context is not None and deciding.context.groups is None:
                scopes.setdefault(deciding.context, deciding.scope)
        if BLANK not in scopes:
            scopes.setdefault(match.STRANGER, GLOBAL)
    yield from ((scope, context) for context, scope in scopes.items())


def _list_decided(reading: Reading, context: Context) -> tuple[tuple[str, str], ...] | None:
    """Give both values for a connection; None if a block that may or may not match would change one of them.

    What the host has printed for this very connection decides where it can.
    """
    dump = reading.snapshot.answers.get(context)
    pair: list[tuple[str, str]] = []
    for keyword, numbers in reading.list_possible(context).items():
        value = None if dump is None else dump.find(keyword)
        if value is not None and value in map(str, numbers):
            pair.append((keyword, value))
        elif len(numbers) == 1:
            pair.append((keyword, str(numbers[0])))
        else:
            return None
    return tuple(pair)
