"""Plan the fewest edits that make both settings right for everybody, and prove them.

A plan has no edits if and only if the host's files pass `judge`. When something must be written to
the global part, a setting that has its compiled-in default is written as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Final

from sshd_keepalive import agents
from sshd_keepalive.errors import ParseError, PlanError
from sshd_keepalive.model import (
    COUNT_MAX,
    DEFAULT_CONFIG,
    INTERVAL,
    SPELLING,
    NewContent,
    Plan,
    Policy,
    Strategy,
)
from sshd_keepalive.planning import edits as editing
from sshd_keepalive.planning import judge, owners, proofs
from sshd_keepalive.planning.edits import Draft
from sshd_keepalive.planning.policy import adapt_to_release
from sshd_keepalive.spelling import cut_lines, join_first
from sshd_keepalive.sshd_config import keepalive, values
from sshd_keepalive.sshd_config.document import parse, render
from sshd_keepalive.sshd_config.reading import Reading, read_files
from sshd_keepalive.sshd_config.resolve import KEYWORDS, Setting
from sshd_keepalive.sshd_config.tree import Event, Tree
from sshd_keepalive.sshd_config.version import NEWEST, Version

_MAX_PLACES: Final = 10  # in one note; the rest is counted


def plan(reading: Reading, policy: Policy) -> Plan:
    """Plan the edits for one host.

    Raises:
        ParseError: files that sshd would refuse, or that cannot be edited safely (NUL bytes, UTF-16, a byte
            order mark).
        PlanError: no edit makes the settings right (an -o option of the daemon decides, every way in stands
            in a vendor's tree, …), or a proof failed. Nothing was written.
    """
    snapshot, tree = reading.snapshot, reading.tree
    asked, policy = policy, adapt_to_release(policy, tree.version)
    wrong = _find_wrong(reading, policy)
    if other_start := judge.find_other_start(reading):  # after the restart other files or values might be needed
        raise PlanError(other_start, hint="restart sshd, or undo the change of its start options, and run this again")
    if unknown := judge.find_unknown_start(snapshot):
        raise PlanError(unknown.reason, hint="name its unit in the inventory: service: {unit: sshd@0.service}")
    if wrong:
        _refuse_nul(tree)
    draft = _write_draft(reading, policy, wrong) if wrong else Draft(tree.documents)
    edits, contents = draft.list_edits(), draft.list_contents()
    after = reading.after(contents)
    proofs.prove_untouched_bytes(contents, edits)
    proofs.prove_only_values(edits, policy.wanted, tree)
    proofs.prove_untouched_settings(tree, after.tree)
    if wrong and _find_wrong(after, policy):
        raise PlanError("the edited files would still not be compliant")
    stale = snapshot.daemon is not None and bool(snapshot.daemon.stale)
    return Plan(
        host=snapshot.host,
        edits=edits,
        contents=contents,
        predictions=tuple(proofs.predict(reading, after)),
        caveat=judge.find_caveat(after, asked),
        restart=bool(contents) or stale,
        notes=(
            *_collect_notes(reading, after, policy, contents),
            *(agents.list_notes(snapshot.agents) if contents else ()),
        ),
    )


def compute_plan_fingerprint(contents: Iterable[NewContent]) -> str:
    """Give a text that differs when a plan would write other files, other bytes, or over other bytes: SHA-256."""
    digest = sha256()
    for content in contents:
        digest.update(repr((content.path, content.before, content.after, content.gone)).encode())
    return digest.hexdigest()


def plan_files(
    files: Mapping[str, bytes], policy: Policy, *, main: str = DEFAULT_CONFIG, version: Version = NEWEST
) -> Plan:
    """Plan the edits for files without a server: path → bytes, with all files that an Include can reach.

    No sshd has checked the proofs; validate the result with `sshd -t` before it is installed.

    Raises:
        ParseError, PlanError: as `plan`.
    """
    return plan(read_files(files, main=main, version=version), policy)


@dataclass(frozen=True, slots=True)
class _Wrong:
    """The settings and lines that are not compliant; falsy when there are none."""

    settings: tuple[Setting, ...]  # what everybody gets
    lines: tuple[Event, ...]  # inside Match blocks

    def __bool__(self) -> bool:
        return bool(self.settings or self.lines)


def _find_wrong(reading: Reading, policy: Policy) -> _Wrong:
    wanted = policy.wanted
    everybody, version = reading.everybody, reading.tree.version
    return _Wrong(
        tuple(everybody[keyword] for keyword in KEYWORDS if everybody[keyword].number != wanted[keyword]),
        tuple(
            event
            for event in reading.overrides
            if event.number != wanted[event.line.keyword] and not judge.is_exempt(event, policy, version)
        ),
    )


def _refuse_nul(tree: Tree) -> None:
    for path in dict.fromkeys((tree.main, *(event.place.path for event in tree.events()))):
        for line in tree.documents[path].lines if path in tree.documents else ():
            if b"\0" in line.raw:
                hint = "remove it; a reader of the file cannot see how sshd reads it"
                raise ParseError("a NUL byte; sshd joins the next line to it", path=path, line=line.number, hint=hint)


# ------------------------------------------------------------------------------------------ the edits


def _write_draft(reading: Reading, policy: Policy, wrong: _Wrong) -> Draft:
    for setting in wrong.settings:
        if setting.place is not None and setting.place.is_option:
            raise PlanError(
                f"the running sshd has -o {SPELLING[setting.keyword]}={setting.value}, which overrides every file",
                hint="remove the option from the unit or its environment file, then restart sshd",
            )
    real = {file.path: file.real_path or file.path for file in reading.snapshot.files}
    ways = (_edit_in_place, _write_drop_in)
    for write in ways if policy.strategy is Strategy.EDIT else reversed(ways):
        if (draft := write(reading, policy, wrong, real)) is not None:
            return draft
    raise PlanError(
        "the deciding lines are in files that are never edited, and no drop-in can precede them",
        hint="copy the vendor's file below /etc and point sshd at it, or set the values there by hand",
    )


def _edit_in_place(reading: Reading, policy: Policy, wrong: _Wrong, real: dict[str, str]) -> Draft | None:
    """Edit the lines that decide, where they stand; None when one stands in a file that is never edited."""
    tree, everybody = reading.tree, reading.everybody
    wanted = policy.wanted
    wrong_keywords = {setting.keyword for setting in wrong.settings}
    rewrites = [(event, "decides for a Match block") for event in wrong.lines]
    missing: list[str] = []
    for keyword in KEYWORDS if wrong.settings else ():
        first = _find_first_global(reading, keyword)
        if first is not None and first.number != wanted[keyword] and keyword in wrong_keywords:
            # A daemon option that `Match all` overrides is not a line to edit; the block is edited above.
            rewrites += [(first, "decides for everybody")] if not first.place.is_option else []
        elif first is None and (keyword in wrong_keywords or everybody[keyword].place is None):
            missing.append(keyword)
    for path in {event.place.path for event, _ in rewrites} | ({tree.main} if missing else set()):
        if owners.is_foreign(path) or owners.is_foreign(real.get(path, path)):
            return None
    draft = Draft(tree.documents)
    for event, reason in rewrites:
        draft.rewrite(event.place.path, event.line, wanted[event.line.keyword], reason)
    for keyword, line in editing.choose_lines(tree.documents[tree.main], missing, tree.events()).items():
        text = f"{SPELLING[keyword]} {wanted[keyword]}".encode()
        draft.insert(tree.main, line, text, "nothing decides: the compiled-in default applies")
    return draft


def _find_first_global(reading: Reading, keyword: str) -> Event | None:
    """Find the first line, or daemon option, outside every Match block."""
    lines = (e for e in reading.lines if e.line.keyword == keyword and e.block is None and e.number is not None)
    return next(lines, None)


def _write_drop_in(reading: Reading, policy: Policy, wrong: _Wrong, real: dict[str, str]) -> Draft | None:
    """Write one file of our own that is proved to decide; None when no place for it works.

    The file alone if that is enough; else with a `Match all` that overrides the Match blocks of others, where that
    works and none of them is to be kept; else those blocks are edited in place.
    """
    tree = reading.tree
    exempt = any(judge.is_exempt(event, policy, tree.version) for event in reading.overrides)
    paths = [
        p for p in editing.list_drop_in_paths(tree) if p not in tree.documents or editing.is_ours(tree.documents[p])
    ]
    foreign = any(owners.is_foreign(real.get(event.place.path, event.place.path)) for event in wrong.lines)
    ways = ((False, False), *(() if exempt else ((True, False),)), *(() if foreign else ((False, True),)))
    for shield, edited in ways:
        for path in paths:
            draft = Draft(tree.documents)
            text = editing.render_drop_in(policy, shield=shield)
            if path in tree.documents:
                _update_drop_in(draft, path, text)
            else:
                draft.create(path, text, "read before every other place of the two settings")
            for event in wrong.lines if edited else ():
                if event.place.path != path:
                    number = policy.wanted[event.line.keyword]
                    draft.rewrite(event.place.path, event.line, number, "decides for a Match block")
            if not _find_wrong(reading.after(draft.list_contents()), policy):
                return draft
    return None


def _update_drop_in(draft: Draft, path: str, text: bytes) -> None:
    """Update a drop-in of an earlier run, line by line."""
    reason = "a drop-in of an earlier run"
    old, new = draft.documents[path].lines, parse(path, text).lines
    for number in range(1, len(old) + 1):
        draft.replaced[path, number] = (new[number - 1].raw if number <= len(new) else b"", reason)
    if new[len(old) :]:
        draft.inserted[path, len(old) + 1] = [(line.raw, reason) for line in new[len(old) :]]


# ------------------------------------------------------------------------------------------ the notes


def _collect_notes(before: Reading, after: Reading, policy: Policy, contents: Sequence[NewContent]) -> Iterator[str]:
    """Name who else writes the files, lines without effect, kept values; `contents` are the files that change."""
    documents = after.tree.documents
    if (
        policy.strategy is Strategy.DROP_IN
        and contents
        and not any(editing.is_ours(documents[c.path]) for c in contents)
    ):
        yield "no drop-in can decide on this host: the deciding line is edited in place"
    yield from _note_owners(before, after, contents)
    yield from _note_kept_values(after, policy)
    if contents:
        yield from _note_inert_lines(after, policy)
    yield from _note_unportable_values(after)
    size = sum(len(render(document)) for document in documents.values())
    if size > after.tree.version.max_config_bytes:
        yield f"the configuration has {size} bytes; above {after.tree.version.max_config_bytes} every connection fails"


def _note_owners(before: Reading, after: Reading, contents: Sequence[NewContent]) -> Iterator[str]:
    settings = [event.place for event in after.lines]
    for content in contents:
        document = before.tree.documents.get(content.path)
        near = tuple(place.line for place in settings if place.path == content.path)
        owner = None if document is None else owners.find_manager(document, near)
        if owner is not None:
            yield f"{content.path} is managed by {owner}: make the change there too, or it may be reverted"


def _note_kept_values(after: Reading, policy: Policy) -> Iterator[str]:
    wanted = policy.wanted
    kept = [
        f"{event.place}: {SPELLING[event.line.keyword]} {event.number} for {event.block.text} is kept"
        for event in after.overrides
        if event.block is not None and event.number != wanted[event.line.keyword]  # all are inside Match blocks
    ]
    yield from cut_lines(kept, _MAX_PLACES, "{n} more values in Match blocks are kept")


def _note_inert_lines(after: Reading, policy: Policy) -> Iterator[str]:
    numbers = {(event.place, event.line.keyword): event.number for event in after.lines}
    for keyword, wanted in policy.wanted.items():
        setting = after.everybody[keyword]
        inert = [place for place in setting.hides if numbers[place, keyword] != wanted]
        if inert:
            places = join_first(inert, _MAX_PLACES)
            yield f"{places}: {SPELLING[keyword]} has no effect there, {setting.place} comes first"


def _note_unportable_values(after: Reading) -> Iterator[str]:
    odd = (
        event
        for event in after.lines
        if event.number is not None and not values.is_portable(event.line.keyword, event.line.arguments[0].text)
    )
    for event in islice(odd, _MAX_PLACES):
        value = event.line.arguments[0].text.decode("utf-8", "backslashreplace")
        yield f"{event.place}: other releases of OpenSSH read {value!r} differently or refuse it"


def find_new_drop_s(planned: Plan, version: Version) -> int | None:
    """Find after how many seconds a plan newly drops clients that do not answer: now later or never; None: nowhere."""
    drops_s = []
    for prediction in planned.predictions:
        before_s, after_s = (
            keepalive.compute_consequence(version, int(pair[INTERVAL]), int(pair[COUNT_MAX])).dead_dropped_after_s
            for pair in (dict(prediction.before), dict(prediction.after))
        )
        if after_s is not None and (before_s is None or after_s < before_s):
            drops_s.append(after_s)
    return min(drops_s, default=None)
