"""What a plan tells beside its edits: who else writes a file, which lines have no effect, what was kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from sshd_keepalive.model import SPELLING, NewContent, Policy
from sshd_keepalive.planning import owners as managed
from sshd_keepalive.spelling import first_lines, first_of
from sshd_keepalive.sshd_config import values
from sshd_keepalive.sshd_config.reading import Reading

_MAX_PLACES: Final = 10  # told one by one; the rest is counted


def notes(before: Reading, after: Reading, policy: Policy, contents: Sequence[NewContent]) -> Iterator[str]:
    """Sentences about the new files; `contents` are those that change."""
    yield from _owners(before, after, contents)
    yield from _kept(after, policy)
    if contents:
        yield from _inert(after, policy)
    yield from _not_portable(after)
    size = managed.size_bytes(tuple(after.tree.documents.values()))
    if size > after.tree.version.max_config_bytes:
        yield f"the configuration has {size} bytes; above {after.tree.version.max_config_bytes} every connection fails"


def _owners(before: Reading, after: Reading, contents: Sequence[NewContent]) -> Iterator[str]:
    settings = [event.place for event in after.lines]
    for content in contents:
        document = before.tree.documents.get(content.path)
        near = tuple(place.line for place in settings if place.path == content.path)
        owner = None if document is None else managed.manager(document, near)
        if owner is not None:
            yield f"{content.path} says that {owner} writes it: make the change there too, or it may be taken back"


def _kept(after: Reading, policy: Policy) -> Iterator[str]:
    wanted = policy.wanted()
    lines = [event for event in after.overrides if event.number != wanted[event.line.keyword]]
    kept = [
        f"{event.place}: {SPELLING[event.line.keyword]} {event.number} for {event.block.text} is kept"
        for event in lines
        if event.block is not None  # overrides() gives lines inside Match blocks
    ]
    yield from first_lines(kept, _MAX_PLACES, "{n} more values in Match blocks are kept")


def _inert(after: Reading, policy: Policy) -> Iterator[str]:
    numbers = {(event.place, event.line.keyword): event.number for event in after.lines}
    for keyword, wanted in policy.wanted().items():
        setting = after.everybody[keyword]
        inert = [place for place in setting.hides if numbers[place, keyword] != wanted]
        if inert:
            places = first_of(inert, _MAX_PLACES)
            yield f"{places}: {SPELLING[keyword]} has no effect there, {setting.place} comes first"


def _not_portable(after: Reading) -> Iterator[str]:
    odd = (
        event
        for event in after.lines
        if event.number is not None and not values.is_portable(event.line.keyword, event.line.arguments[0].text)
    )
    for event in islice(odd, _MAX_PLACES):
        shown = event.line.arguments[0].text.decode("utf-8", "backslashreplace")
        yield f"{event.place}: other releases of OpenSSH read {shown!r} differently or refuse it"
