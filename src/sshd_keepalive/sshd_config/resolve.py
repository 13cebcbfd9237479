"""The value sshd would use for both keep-alive settings, for one connection, and the line it comes from.

Layering: values of matching Match blocks beat global ones; within each layer the first value wins; daemon
options come before the first global line. `Match all` counts in both layers. With no connection given, the
answer is what plain `sshd -T` prints.
Source: OpenSSH servconf.c, parse_server_config and copy_set_server_options; compared with `sshd -T -C` in
tests/sshd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

from sshd_keepalive.model import COUNT_MAX, GLOBAL, INTERVAL, Place, Scope
from sshd_keepalive.sshd_config import match, values
from sshd_keepalive.sshd_config.keywords import fold, is_global_only
from sshd_keepalive.sshd_config.limits import Work
from sshd_keepalive.sshd_config.match import Block, Criterion
from sshd_keepalive.sshd_config.tree import Event
from sshd_keepalive.sshd_config.version import Version

KEYWORDS = (INTERVAL, COUNT_MAX)
_FEW = 6  # conditions of which all subsets are looked up; with more, the earlier blocks are gone through


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The value in effect for one keyword in one scope, its place, and the lines that it hides."""

    keyword: str  # folded
    number: int
    place: Place | None  # None: compiled-in default
    scope: Scope = GLOBAL  # of the deciding line
    hides: tuple[Place, ...] = ()  # lines of the same keyword without effect
    chain: tuple[Place, ...] = ()  # the Include lines that lead to the place, outermost first

    @property
    def value(self) -> str:
        """The value as sshd -T would print it."""
        return str(self.number)

    @classmethod
    def of_line(cls, event: Event, hides: Iterable[Event] = ()) -> Setting:
        """Make the setting that a line decides."""
        assert event.number is not None  # a line that sshd skips decides nothing
        return cls(
            keyword=event.line.keyword,
            number=event.number,
            place=event.place,
            scope=event.block.scope if event.block else GLOBAL,
            hides=tuple(hidden.place for hidden in hides),
            chain=event.chain,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """The settings that sshd would use for one connection."""

    settings: tuple[Setting, ...]  # the two keep-alive settings
    undecided: tuple[Place, ...] = ()  # Match lines for which file and context do not tell whether they match

    def __getitem__(self, keyword: str) -> Setting:
        """Give the setting of a keyword in lower case."""
        for setting in self.settings:
            if setting.keyword == keyword:
                return setting
        raise KeyError(keyword)

    def find(self, event: Event) -> Setting:
        """Give the setting of a line, with what it hides where it decides for this connection."""
        setting = self[event.line.keyword]
        return setting if setting.place == event.place else Setting.of_line(event)


class Earlier:
    """The blocks that have set a keyword so far, by their conditions."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.conditions: dict[str, set[frozenset[Criterion]]] = {}
        self.dead: set[str] = set()

    def add(self, keyword: str, block: Block) -> None:
        """Remember that a block sets a keyword."""
        if block.is_dead:
            self.dead.add(keyword)
        else:
            self.conditions.setdefault(keyword, set()).add(_list_conditions(block))

    def is_beaten(self, keyword: str, block: Block) -> bool:
        """Whether one of them applies whenever `block` does: all its conditions are among those of `block`."""
        if block.is_dead and keyword in self.dead:
            return True
        before, mine = self.conditions.get(keyword, set()), _list_conditions(block)
        self._work.spend(block.steps + (len(before) if len(mine) > _FEW else 2 ** len(mine)))
        if len(mine) > _FEW:
            return any(theirs <= mine for theirs in before)
        subsets = chain.from_iterable(combinations(mine, n) for n in range(len(mine) + 1))
        return any(frozenset(subset) in before for subset in subsets)


def _list_conditions(block: Block) -> frozenset[Criterion]:
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
                state = states[block] = match.is_active_at_start(block, version), applies(block)
                if None in state:
                    self.undecided.append(block.place)
            if state[0]:
                self.everybody.setdefault(keyword, []).append(event)
            if state[1]:
                self.connection.setdefault(keyword, []).append(event)
            elif state[1] is None and not any(_is_counted(e) for e in self.connection.get(keyword, ())):
                self.maybe.setdefault(keyword, []).append(event)

    def list_of_connection(self, keyword: str) -> Sequence[Event]:
        """Give the connection's layer; what only the daemon's start reads has none, also below `Match all`."""
        return () if is_global_only(keyword, self.version) else self.connection.get(keyword, ())

    def list_counting(self, keyword: str) -> Iterator[Event]:
        """Yield all lines that count, the deciding one first; leave out lines that count as not written."""
        yielded: set[Event] = set()
        for event in (*self.list_of_connection(keyword), *self.everybody.get(keyword, ())):
            if event not in yielded and _is_counted(event):
                yielded.add(event)
                yield event

    def resolve(self) -> Effective:
        """Give both keep-alive settings for a connection with these layers, defaults included.

        Blocks that cannot be decided count as not matching and are listed in `undecided`; see `list_possible`.
        """
        settings = tuple(self._setting(keyword) for keyword in KEYWORDS)
        return Effective(settings=settings, undecided=tuple(self.undecided))

    def list_possible(self) -> dict[str, tuple[int, ...]]:
        """List every value both keep-alive settings may have: one, or more if some block is undecided.

        The first is the one of `resolve`.
        """
        answer: dict[str, tuple[int, ...]] = {}
        for keyword in KEYWORDS:
            decided = next(self.list_counting(keyword), None)
            sure = values.get_default(keyword) if decided is None or decided.number is None else decided.number
            maybe = (event.number for event in self.maybe.get(keyword, ()) if event.number is not None)
            answer[keyword] = tuple(dict.fromkeys((sure, *maybe)))
        return answer

    def _setting(self, keyword: str) -> Setting:
        """Give the deciding value and what it hides."""
        events = [*self.list_counting(keyword)]
        if not events:
            return Setting(keyword=keyword, number=values.get_default(keyword), place=None)
        return Setting.of_line(events[0], events[1:])


def _is_counted(event: Event) -> bool:
    return event.number is not None or event.line.keyword not in KEYWORDS
