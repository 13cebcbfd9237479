"""The value sshd would use for each keyword, for one connection, and the line it comes from.

Layering: values of matching Match blocks beat global ones; within each layer the first value wins; daemon
options come before the first global line. `Match all` counts in both layers. With no connection given, the
answer is what plain `sshd -T` prints.
Source: OpenSSH servconf.c, parse_server_config and copy_set_server_options; compared with `sshd -T -C` in
tests/sshd.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, combinations

from sshd_keepalive.model import (
    COUNT_MAX,
    DEFAULT_CONFIG,
    GLOBAL,
    INTERVAL,
    Context,
    Effective,
    Place,
    Scope,
    Setting,
    Snapshot,
)
from sshd_keepalive.sshd_config import match, reach, values
from sshd_keepalive.sshd_config import tree as trees
from sshd_keepalive.sshd_config.keywords import folded, is_global_only, printed, repeats
from sshd_keepalive.sshd_config.limits import Work
from sshd_keepalive.sshd_config.match import Block, Criterion
from sshd_keepalive.sshd_config.tree import Event, Tree, missing_globs
from sshd_keepalive.sshd_config.version import NEWEST, Version

__all__ = [
    "BLANK",
    "Tree",
    "missing_globs",
    "overrides",
    "possible",
    "resolve",
    "scopes",
    "tree",
    "tree_of_files",
]

BLANK = Context()
KEYWORDS = (INTERVAL, COUNT_MAX)
_STRUCTURE = ("include", "match")
_FEW = 6  # conditions of which all subsets are looked up; with more, the earlier blocks are gone through


def tree(snapshot: Snapshot) -> Tree:
    """Build the tree of a host's files; see `sshd_config.tree.of_snapshot`."""
    return trees.of_snapshot(snapshot)


def tree_of_files(
    files: Mapping[str, bytes],
    *,
    main: str = DEFAULT_CONFIG,
    version: Version = NEWEST,
    options: tuple[str, ...] = (),
    config_dir: str = trees.CONFIG_DIR,
) -> Tree:
    """Build a tree offline from path → bytes; Include patterns are matched against those paths."""
    return trees.of_files(files, main=main, version=version, options=options, config_dir=config_dir)


def resolve(tree: Tree, context: Context | None = None) -> Effective:
    """Give the value sshd would use for each keyword, and where it comes from.

    Args:
        tree: every file an Include can reach.
        context: the connection to answer for; None is the blank one, to which only `Match all` applies.

    Returns:
        Effective; the keep-alive settings always, defaults included. Blocks that cannot be decided count as
        not matching and are listed in `undecided`; see `candidates` for what they would bring.

    Raises:
        ParseError: sshd would refuse the files.
    """
    context = context or BLANK
    layers = _Layers(tree, context)
    settings = [layers.setting(keyword) for keyword in KEYWORDS]
    for keyword in layers.others():
        settings += layers.other(keyword)
    return Effective(context=context, settings=tuple(settings), undecided=tuple(layers.undecided))


def possible(tree: Tree, context: Context) -> dict[str, tuple[int, ...]]:
    """Every value both keep-alive settings may have for a connection: one, or more if some block is undecided.

    The first is what `resolve` answers.
    """
    return tree.remembered(("possible", context), lambda: _possible(tree, context))


def _possible(tree: Tree, context: Context) -> dict[str, tuple[int, ...]]:
    layers = _Layers(tree, context)
    answer: dict[str, tuple[int, ...]] = {}
    for keyword in KEYWORDS:
        decided = layers.winner(keyword)
        sure = values.default(keyword) if decided is None or decided.number is None else decided.number
        maybe = (event.number for event in layers.maybe.get(keyword, ()) if event.number is not None)
        answer[keyword] = tuple(dict.fromkeys((sure, *maybe)))
    return answer


def overrides(tree: Tree) -> tuple[Event, ...]:
    """The lines inside Match blocks that can decide a keep-alive setting for some connection, in reading order.

    Left out: blocks no connection reaches, and lines that an earlier one always beats (in the same block, in
    `Match all`, or in a block whose conditions are among this one's).
    """
    found: list[Event] = []
    decided: set[str] = set()  # keywords with a global line so far
    earlier = _Earlier(tree.work)
    events = tree.events()
    tree.work.spend(len(events))
    for event in events:
        keyword, block = event.line.keyword, event.block
        if event.number is None or keyword not in KEYWORDS:
            continue
        if block is None:
            decided.add(keyword)
            continue
        # What no connection reaches can still count at the daemon's start, where the first value wins.
        unreachable = block.is_dead or not reach.can_match(block)
        if unreachable and (keyword in decided or match.at_start(block, tree.version) is False):
            continue
        if not earlier.beat(keyword, block):
            earlier.add(keyword, block)
            found.append(event)
    return tuple(found)


def scopes(tree: Tree) -> tuple[Scope, ...]:
    """GLOBAL, then every Match block that can decide a keep-alive setting, with a connection that reaches it.

    Raises:
        ParseError: sshd would refuse the files.
        HostError: kind `observe`, cause `too_large`.
    """
    found = [Scope(text=GLOBAL, place=None, context=BLANK, keywords=KEYWORDS)]
    by_block: dict[Block, list[str]] = {}
    for event in overrides(tree):
        assert event.block is not None
        by_block.setdefault(event.block, []).append(event.line.keyword)
    for block, keywords in by_block.items():
        context = reach.context(block, tree.version, tree.work)
        found.append(Scope(text=block.label, place=block.place, context=context, keywords=tuple(keywords)))
    return tuple(found)


class _Earlier:
    """The blocks that have set a keyword so far, by their conditions."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.conditions: dict[str, set[frozenset[Criterion]]] = {}
        self.dead: set[str] = set()

    def add(self, keyword: str, block: Block) -> None:
        if block.is_dead:
            self.dead.add(keyword)
        else:
            self.conditions.setdefault(keyword, set()).add(_conditions(block))

    def beat(self, keyword: str, block: Block) -> bool:
        """Whether one of them applies whenever `block` does: all its conditions are among those of `block`."""
        if block.is_dead and keyword in self.dead:
            return True
        before, mine = self.conditions.get(keyword, set()), _conditions(block)
        self._work.spend(block.steps + (len(before) if len(mine) > _FEW else 2 ** len(mine)))
        if len(mine) > _FEW:
            return any(theirs <= mine for theirs in before)
        subsets = chain.from_iterable(combinations(mine, n) for n in range(len(mine) + 1))
        return any(frozenset(subset) in before for subset in subsets)


def _conditions(block: Block) -> frozenset[Criterion]:
    return frozenset(c for around in block.chain() for c in around.criteria if c.name != "all")


class _Layers:
    """The events that count for one connection, per keyword: the connection's layer and the global one."""

    def __init__(self, tree: Tree, context: Context) -> None:
        self.version = tree.version
        self._work = tree.work
        self.connection: dict[str, list[Event]] = {}
        self.everybody: dict[str, list[Event]] = {}
        self.maybe: dict[str, list[Event]] = {}  # undecided, and before the first decided one
        self.undecided: list[Place] = []
        states: dict[Block, tuple[bool | None, bool | None]] = {}
        events = tree.events()
        tree.work.spend(len(events))
        for event in events:
            keyword, block = folded(event.line.keyword), event.block
            if block is None:
                self.everybody.setdefault(keyword, []).append(event)
                continue
            state = states.get(block)
            if state is None:
                tree.work.spend(4 + block.steps)
                state = match.at_start(block, tree.version), match.applies(block, context, tree.version)
                states[block] = state
                if None in state:
                    self.undecided.append(block.place)
            if state[0]:
                self.everybody.setdefault(keyword, []).append(event)
            if state[1]:
                self.connection.setdefault(keyword, []).append(event)
            elif state[1] is None and not any(_counts(e) for e in self.connection.get(keyword, ())):
                self.maybe.setdefault(keyword, []).append(event)

    def ordered(self, keyword: str) -> Iterable[Event]:
        """All events that count, the deciding one first; lines that count as not written are left out."""
        seen: set[Event] = set()
        for event in (*self._mine(keyword), *self.everybody.get(keyword, ())):
            if event not in seen and _counts(event):
                seen.add(event)
                yield event

    def _mine(self, keyword: str) -> Sequence[Event]:
        """The connection's layer; what only the daemon's start reads has none, also below `Match all`."""
        return () if is_global_only(keyword, self.version) else self.connection.get(keyword, ())

    def winner(self, keyword: str) -> Event | None:
        """The deciding event."""
        return next(iter(self.ordered(keyword)), None)

    def setting(self, keyword: str) -> Setting:
        """The deciding value of a keep-alive setting and what it hides."""
        events = [*self.ordered(keyword)]
        if not events:
            return Setting(keyword=keyword, value=str(values.default(keyword)), place=None)
        first, *rest = events
        return _setting(first, keyword, str(first.number), _places(rest))

    def others(self) -> Iterable[str]:
        """Every other keyword that a line sets for this connection."""
        return (k for k in dict.fromkeys((*self.everybody, *self.connection)) if k not in (*KEYWORDS, *_STRUCTURE))

    def other(self, keyword: str) -> Iterable[Setting]:
        """The settings of any other keyword; none where the table does not tell what sshd makes of it.

        A keyword that repeats keeps all lines of its layer; the connection's layer replaces the global one.
        """
        events = [*self.ordered(keyword)]
        if not repeats(keyword):
            first, *rest = events
            for value in (printed(keyword, first.line, self.version) or ())[:1]:
                yield _setting(first, keyword, value, _places(rest))
            return
        if keyword == "port" and "include" in self.everybody and not self.version.match_in_include:
            return  # bz 3169: upstream 8.2 and 8.3 lose the ports below an Include
        layer = dict.fromkeys(self._mine(keyword) or self.everybody.get(keyword, ()))
        hides = _places(event for event in events if event not in layer)
        for event in layer:
            self._work.spend(8 * len(event.line.arguments))
            for value in printed(keyword, event.line, self.version) or ():
                yield _setting(event, keyword, value, hides)


def _places(events: Iterable[Event]) -> tuple[Place, ...]:
    return tuple(event.place for event in events)


def _setting(event: Event, keyword: str, value: str, hides: tuple[Place, ...]) -> Setting:
    return Setting(
        keyword=keyword,
        value=value,
        place=event.place,
        scope=event.block.label if event.block else GLOBAL,
        hides=hides,
        chain=event.chain,
    )


def _counts(event: Event) -> bool:
    return event.number is not None or event.line.keyword not in KEYWORDS
