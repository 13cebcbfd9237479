"""The fewest edits that make both settings right for everybody, proved before anybody sees them.

A plan without edits and a host whose files pass `judge` are the same thing. When something must be written to
the global part, a setting that so far rests on its compiled-in default is written down as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sshd_keepalive import agents
from sshd_keepalive.errors import ParseError, PlanError
from sshd_keepalive.model import (
    COMMAND_LINE,
    DEFAULT_CONFIG,
    SPELLING,
    Plan,
    Policy,
    Setting,
    Strategy,
)
from sshd_keepalive.planning import edits as editing
from sshd_keepalive.planning import judge, notes
from sshd_keepalive.planning import owners as managed
from sshd_keepalive.planning import proofs as prove
from sshd_keepalive.planning.edits import Draft
from sshd_keepalive.planning.policy import for_release
from sshd_keepalive.planning.proofs import predictions
from sshd_keepalive.sshd_config import document as documents
from sshd_keepalive.sshd_config.reading import Reading, read_files
from sshd_keepalive.sshd_config.resolve import KEYWORDS
from sshd_keepalive.sshd_config.tree import Event, Tree
from sshd_keepalive.sshd_config.version import NEWEST, Version


def plan(reading: Reading, policy: Policy) -> Plan:
    """Plan the edits for one host.

    Raises:
        ParseError: files that sshd would refuse, or that cannot be edited safely (NUL bytes, UTF-16, a byte
            order mark).
        PlanError: no edit makes the settings right (an -o option of the daemon decides, every way in stands
            in a vendor's tree, …), or a proof failed. Nothing was written.
    """
    snapshot, tree = reading.snapshot, reading.tree
    asked, policy = policy, for_release(policy, tree.version)
    wrong = _wrong(reading, policy)
    started = judge.other_start(reading)
    if started is not None:  # what the files must hold would be another question after the restart
        raise PlanError(started, hint="restart sshd, or take the change of its start options back, and run this again")
    if unknown := judge.unknown_start(snapshot):
        raise PlanError(unknown.reason, hint="name its unit in the inventory: service: {unit: sshd@0.service}")
    if wrong:
        _refuse_nul(tree)
    draft, told = _drafted(reading, policy, wrong) if wrong else (Draft(tree.documents), ())
    edits, contents = draft.edits(), draft.contents()
    after = reading.after(contents)
    prove.untouched_bytes(contents, edits)
    prove.only_values(edits, policy.wanted(), tree)
    prove.untouched_settings(tree, after.tree)
    if wrong and _wrong(after, policy):
        raise PlanError("the edited files would still not be as wanted")
    stale = snapshot.daemon is not None and bool(snapshot.daemon.stale)
    return Plan(
        host=snapshot.host,
        edits=edits,
        contents=contents,
        predictions=tuple(predictions(reading, after)),
        caveat=judge.caveat(after, asked),
        restart=bool(contents) or stale,
        notes=(
            *told,
            *notes.notes(reading, after, policy, contents),
            *(agents.notes(snapshot.agents) if contents else ()),
        ),
    )


def plan_files(
    files: Mapping[str, bytes], policy: Policy, *, main: str = DEFAULT_CONFIG, version: Version = NEWEST
) -> Plan:
    """Plan the edits for files that nobody asked a server about: path → bytes, all that an Include can reach.

    The proofs are ours alone; before the result goes to a host, let `sshd -t` read it.

    Raises:
        ParseError, PlanError: as `plan`.
    """
    return plan(read_files(files, main=main, version=version), policy)


@dataclass(frozen=True, slots=True)
class _Wrong:
    """What keeps a tree from being as wanted; falsy when nothing does."""

    settings: tuple[Setting, ...]  # what everybody gets
    lines: tuple[Event, ...]  # inside Match blocks

    def __bool__(self) -> bool:
        return bool(self.settings or self.lines)


def _wrong(reading: Reading, policy: Policy) -> _Wrong:
    wanted = policy.wanted()
    everybody, version = reading.everybody, reading.tree.version
    return _Wrong(
        tuple(everybody[keyword] for keyword in KEYWORDS if int(everybody[keyword].value) != wanted[keyword]),
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
                hint = "take it out: nobody who reads the file sees what sshd makes of it"
                raise ParseError("a NUL byte; sshd glues the next line on", path=path, line=line.number, hint=hint)


# ------------------------------------------------------------------------------------------ the edits


def _drafted(reading: Reading, policy: Policy, wrong: _Wrong) -> tuple[Draft, tuple[str, ...]]:
    for setting in wrong.settings:
        if setting.place is not None and setting.place.path == COMMAND_LINE:
            raise PlanError(
                f"the running sshd has -o {SPELLING[setting.keyword]}={setting.value}, which beats every file",
                hint="take the option out of the unit or of its environment file, then restart sshd",
            )
    real = {file.path: file.real_path or file.path for file in reading.snapshot.files}
    if policy.strategy is Strategy.DROP_IN:
        draft = _drop_in(reading, policy, wrong, real)
        if draft is not None:
            return draft, ()
        draft = _in_place(reading, policy, wrong, real)
        if draft is not None:
            return draft, ("no drop-in can win on this host: the line that decides is edited where it stands",)
    else:
        draft = _in_place(reading, policy, wrong, real) or _drop_in(reading, policy, wrong, real)
        if draft is not None:
            return draft, ()
    raise PlanError(
        "the lines that decide stand in files that are never edited, and no drop-in can come before them",
        hint="copy the vendor's file below /etc and point sshd at it, or set the values there by hand",
    )


def _in_place(reading: Reading, policy: Policy, wrong: _Wrong, real: dict[str, str]) -> Draft | None:
    """Edit the lines that decide, where they stand; None when one stands in a file that is never edited."""
    tree, everybody = reading.tree, reading.everybody
    wanted = policy.wanted()
    wrong_keywords = {setting.keyword for setting in wrong.settings}
    rewrites = [(event, "decides for a Match block") for event in wrong.lines]
    missing: list[str] = []
    for keyword in KEYWORDS if wrong.settings else ():
        first = _first_global(reading, keyword)
        if first is not None and first.number != wanted[keyword] and keyword in wrong_keywords:
            # A daemon option that `Match all` beats is no line to edit; the block is edited above.
            rewrites += [(first, "decides for everybody")] if first.place.path != COMMAND_LINE else []
        elif first is None and (keyword in wrong_keywords or everybody[keyword].place is None):
            missing.append(keyword)
    for path in {event.place.path for event, _ in rewrites} | ({tree.main} if missing else set()):
        if managed.is_foreign(path) or managed.is_foreign(real.get(path, path)):
            return None
    draft = Draft(tree.documents)
    for event, reason in rewrites:
        draft.rewrite(event.place.path, event.line, wanted[event.line.keyword], reason)
    for keyword, line in editing.spots(tree.documents[tree.main], missing, tree.events()).items():
        text = f"{SPELLING[keyword]} {wanted[keyword]}".encode()
        draft.insert(tree.main, line, text, "nothing decides: the compiled-in default applies")
    return draft


def _first_global(reading: Reading, keyword: str) -> Event | None:
    """The first line, or daemon option, outside every Match block."""
    return next(
        (e for e in reading.lines if e.line.keyword == keyword and e.block is None and e.number is not None), None
    )


def _drop_in(reading: Reading, policy: Policy, wrong: _Wrong, real: dict[str, str]) -> Draft | None:
    """One file of our own that is proved to win; None when there is no such place.

    Alone if that is enough; else with a `Match all` that beats the Match blocks of others, where that works and
    none of them is to be kept; else those blocks are edited where they stand.
    """
    tree = reading.tree
    exempt = any(judge.is_exempt(event, policy, tree.version) for event in reading.overrides)
    paths = [p for p in editing.drop_in_paths(tree) if p not in tree.documents or editing.is_ours(tree.documents[p])]
    foreign = any(managed.is_foreign(real.get(event.place.path, event.place.path)) for event in wrong.lines)
    ways = ((False, False), *(() if exempt else ((True, False),)), *(() if foreign else ((False, True),)))
    for shield, edited in ways:
        for path in paths:
            draft = Draft(tree.documents)
            text = editing.drop_in_content(policy, shield=shield)
            if path in tree.documents:
                _renew(draft, path, text)
            else:
                draft.create(path, text, "read before every other place of the two settings")
            for event in wrong.lines if edited else ():
                if event.place.path != path:
                    number = policy.wanted()[event.line.keyword]
                    draft.rewrite(event.place.path, event.line, number, "decides for a Match block")
            if not _wrong(reading.after(draft.contents()), policy):
                return draft
    return None


def _renew(draft: Draft, path: str, text: bytes) -> None:
    """Bring a drop-in of an earlier run up to date, line by line."""
    reason = "a drop-in of an earlier run"
    old, new = draft.documents[path].lines, documents.parse(path, text).lines
    for number in range(1, len(old) + 1):
        draft.replaced[path, number] = (new[number - 1].raw if number <= len(new) else b"", reason)
    if new[len(old) :]:
        draft.inserted[path, len(old) + 1] = [(line.raw, reason) for line in new[len(old) :]]
