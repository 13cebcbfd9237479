"""The value sshd would use for both keep-alive settings, for one connection, and the line it comes from.

Layering: values of matching Match blocks beat global ones; within each layer the first value wins; daemon
options come before the first global line. `Match all` counts in both layers. With no connection given, the
answer is what plain `sshd -T` prints.
Source: OpenSSH servconf.c, parse_server_config and copy_set_server_options; compared with `sshd -T -C` in
tests/sshd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, combinations

from sshd_keepalive.model import (
    COUNT_MAX,
    DEFAULT_CONFIG,
    GLOBAL,
    INTERVAL,
    Context,
    DecidingScope,
    Effective,
    Place,
    Setting,
)
from sshd_keepalive.sshd_config import match, reach, values
from sshd_keepalive.sshd_config import tree as trees
from sshd_keepalive.sshd_config.keywords import fold, is_global_only
from sshd_keepalive.sshd_config.limits import Work
from sshd_keepalive.sshd_config.match import Block, Criterion
from sshd_keepalive.sshd_config.tree import Event, Tree
from sshd_keepalive.sshd_config.version import NEWEST, Version

BLANK = Context()
KEYWORDS = (INTERVAL, COUNT_MAX)
_FEW = 6  # conditions of which all subsets are looked up; with more, the earlier blocks are gone through


def tree_of_files(
    files: Mapping[str, bytes],
    *,
    main: str = DEFAULT_CONFIG,
    version: Version = NEWEST,
    options: tuple[str, ...] = (),
    config_dir: str = trees.CONFIG_DIR,
) -> Tree:
    """Build a tree offline from path → bytes; Include patterns are matched against those paths."""
    return trees.build_from_files(files, main=main, version=version, options=options, config_dir=config_dir)


def resolve(tree: Tree, context: Context | None = None) -> Effective:
    """Give the value sshd would use for both keep-alive settings, and where it comes from.

    Args:
        tree: every file an Include can reach.
        context: the connection to answer for; None is the blank one, to which only `Match all` applies.

    Returns:
        Both keep-alive settings, defaults included. Blocks with a line for them that cannot be decided count as
        not matching and are listed in `undecided`; see `Layers.possible` for what they would bring.

    Raises:
        ParseError: sshd would refuse the files.
    """
    context = context or BLANK
    layers = Layers(lines(tree), tree.version, lambda block: match.applies(block, context, tree.version))
    return layers.effective(context)


def lines(tree: Tree) -> tuple[Event, ...]:
    """The lines of the two keep-alive settings, in reading order.

    Raises:
        ParseError: sshd would refuse the files.
        HostError: kind `observe`, cause `too_large`.
    """
    events = tree.events()
    tree.work.spend(len(events))
    return tuple(event for event in events if event.line.keyword in KEYWORDS)


def overrides(tree: Tree) -> tuple[Event, ...]:
    """The lines inside Match blocks that can decide a keep-alive setting for some connection, in reading order.

    Left out: blocks no connection reaches, and lines that an earlier one always beats (in the same block, in
    `Match all`, or in a block whose conditions are among this one's).
    """
    found: list[Event] = []
    decided: set[str] = set()  # keywords with a global line so far
    earlier = _Earlier(tree.work)
    for event in lines(tree):
        keyword, block = event.line.keyword, event.block
        if event.number is None:
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


def scopes(tree: Tree, deciding: Sequence[Event] | None = None) -> tuple[DecidingScope, ...]:
    """GLOBAL, then every Match block that can decide a keep-alive setting, with a connection that reaches it.

    Args:
        deciding: what `overrides` has found, where that is known.
    Raises:
        ParseError: sshd would refuse the files.
        HostError: kind `observe`, cause `too_large`.
    """
    found = [DecidingScope(scope=GLOBAL, context=BLANK, keywords=KEYWORDS)]
    by_block: dict[Block, list[str]] = {}
    for event in overrides(tree) if deciding is None else deciding:
        assert event.block is not None
        by_block.setdefault(event.block, []).append(event.line.keyword)
    for block, keywords in by_block.items():
        context = reach.context(block, tree.version, tree.work)
        found.append(DecidingScope(scope=block.scope, context=context, keywords=tuple(keywords)))
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


class Layers:
    """The lines that count for one connection, per keyword: the connection's layer and the global one.

    Args:
        events: lines in reading order; those of the keywords that are asked for will do.
        applies: whether the connection meets a block; None: it may or may not.
    """

    def __init__(self, events: Iterable[Event], version: Version, applies: Callable[[Block], bool | None]) -> None:
        self.version = version
        self.connection: dict[str, list[Event]] = {}
        self.everybody: dict[str, list[Event]] = {}
        self.maybe: dict[str, list[Event]] = {}  # undecided, and before the first decided one
        self.undecided: list[Place] = []
        states: dict[Block, tuple[bool | None, bool | None]] = {}
        for event in events:
            keyword, block = fold(event.line.keyword), event.block
            if block is None:
                self.everybody.setdefault(keyword, []).append(event)
                continue
            state = states.get(block)
            if state is None:
                state = states[block] = match.at_start(block, version), applies(block)
                if None in state:
                    self.undecided.append(block.place)
            if state[0]:
                self.everybody.setdefault(keyword, []).append(event)
            if state[1]:
                self.connection.setdefault(keyword, []).append(event)
            elif state[1] is None and not any(_counts(e) for e in self.connection.get(keyword, ())):
                self.maybe.setdefault(keyword, []).append(event)

    def of_connection(self, keyword: str) -> Sequence[Event]:
        """The connection's layer; what only the daemon's start reads has none, also below `Match all`."""
        return () if is_global_only(keyword, self.version) else self.connection.get(keyword, ())

    def ordered(self, keyword: str) -> Iterator[Event]:
        """All lines that count, the deciding one first; lines that count as not written are left out."""
        seen: set[Event] = set()
        for event in (*self.of_connection(keyword), *self.everybody.get(keyword, ())):
            if event not in seen and _counts(event):
                seen.add(event)
                yield event

    def effective(self, context: Context) -> Effective:
        """Both keep-alive settings for a connection with these layers."""
        settings = tuple(self._setting(keyword) for keyword in KEYWORDS)
        return Effective(context=context, settings=settings, undecided=tuple(self.undecided))

    def possible(self) -> dict[str, tuple[int, ...]]:
        """Every value both keep-alive settings may have: one, or more if some block is undecided.

        The first is the one of `effective`.
        """
        answer: dict[str, tuple[int, ...]] = {}
        for keyword in KEYWORDS:
            decided = next(self.ordered(keyword), None)
            sure = values.default(keyword) if decided is None or decided.number is None else decided.number
            maybe = (event.number for event in self.maybe.get(keyword, ()) if event.number is not None)
            answer[keyword] = tuple(dict.fromkeys((sure, *maybe)))
        return answer

    def _setting(self, keyword: str) -> Setting:
        """The deciding value and what it hides."""
        events = [*self.ordered(keyword)]
        if not events:
            return Setting(keyword=keyword, value=str(values.default(keyword)), place=None)
        first, *rest = events
        return Setting(
            keyword=keyword,
            value=str(first.number),
            place=first.place,
            scope=first.block.scope if first.block else GLOBAL,
            hides=tuple(event.place for event in rest),
            chain=first.chain,
        )


def _counts(event: Event) -> bool:
    return event.number is not None or event.line.keyword not in KEYWORDS
