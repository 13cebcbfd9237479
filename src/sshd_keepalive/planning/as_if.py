"""Compare what two releases of OpenSSH make of the same files: which lines the other one refuses or reads differently.

The files are read twice, as each release reads them. Each difference is reported with its line and, if one is known,
with a new line in which both releases read what the present one reads now. `sshd_config.keywords` lists what each
release knows.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import takewhile
from typing import Final

from sshd_keepalive.errors import HostError, ParseError
from sshd_keepalive.model import (
    COUNT_MAX,
    INTERVAL,
    SPELLING,
    Context,
    Finding,
    Place,
    Scope,
    State,
    Subject,
)
from sshd_keepalive.sshd_config import document, include, keepalive, keywords, match, tokens, values
from sshd_keepalive.sshd_config import tree as trees
from sshd_keepalive.sshd_config.document import Line
from sshd_keepalive.sshd_config.limits import Work
from sshd_keepalive.sshd_config.reading import Reading
from sshd_keepalive.sshd_config.resolve import KEYWORDS
from sshd_keepalive.sshd_config.tokens import encode
from sshd_keepalive.sshd_config.tree import Event, Tree
from sshd_keepalive.sshd_config.version import Build, Tokeniser, Version

_MAX_REFUSED: Final = 200  # refused lines that are reported; each needs one more reading of the files
_SPECIAL: Final = re.compile(rb"[\"'\\#]")
_RAW: Final = keywords.RAW | {"setenv"}  # sshd reads the rest of the line itself
_PLAIN: Final = re.compile(rb"[^\s\"'\\#=]+\Z")


class Effect(Enum):
    """What the other release does to a line or to sessions."""

    REFUSED = "refused"  # sshd would not start
    CHANGED = "changed"  # read differently, or worse for sessions
    BETTER = "better"  # better for sessions; needs no action
    UNKNOWN = "unknown"  # the files do not show it


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One line that the other release treats differently."""

    effect: Effect
    place: Place | None  # None: a compiled-in default, or all files
    now: str  # what the present release does with it
    then: str  # what the other release would do with it
    reason: str
    instead: bytes | None = None  # a line that works in both; empty: delete it; None: none is known


def judge(reading: Reading, build: Build) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Return the differences that need action as findings, and improvements as notes. Raises nothing."""
    differences = compare(reading, build)
    findings = tuple(
        Finding(
            setting=Subject.AS_IF,
            scope=Scope(text=str(build)),
            wanted=difference.now,
            value=difference.then,
            state=State.UNKNOWN if difference.effect is Effect.UNKNOWN else State.DRIFT,
            place=difference.place,
            reason=difference.reason + _advise(difference),
        )
        for difference in differences
        if difference.effect is not Effect.BETTER
    )
    return findings, tuple(f"with {build}: {one.reason}" for one in differences if one.effect is Effect.BETTER)


def _advise(difference: Difference) -> str:
    if difference.effect is Effect.UNKNOWN or difference.instead is None:
        return ""
    if not difference.instead:
        return "; delete the line, it is not needed in either release"
    return f"; write instead, for both releases: {_show(difference.instead.strip())}"


def compare(reading: Reading, build: Build) -> tuple[Difference, ...]:
    """Compare two readings of the same files, in reading order. Raises nothing.

    Files that the present release refuses, or that take too much work, have no differences: the report of the host
    says what is wrong with them.
    """
    try:
        events = reading.tree.events()
    except (ParseError, HostError):
        return ()
    try:
        return tuple(_Comparison(reading, build).run(events))
    except (ParseError, HostError) as error:
        return (_doubt(None, f"the files cannot be compared: {error}"),)


class _Comparison:
    def __init__(self, reading: Reading, build: Build) -> None:
        self.reading = reading
        self.build = build
        self.now = reading.tree.version
        self.then = build.version
        self.refused, self.other = self._read_as_other()

    def run(self, events: Sequence[Event]) -> Iterator[Difference]:
        others: dict[Place, Event] = {}
        for event in self.other.events():
            others.setdefault(event.place, event)
        never_applied = _never_applied(events), _never_applied(self.other.events())
        differences: dict[Place | None, Difference] = {}
        earlier: set[tuple[str, object]] = set()  # keywords and their blocks
        for event in events:
            place = event.place
            if place in differences or place.is_option:
                continue  # a file that is included twice; or a daemon option, which only its effect can report
            if (place in never_applied[0]) != (place in never_applied[1]) and place not in self.refused:
                now, then = ("never applied" if place in places else "applied" for places in never_applied)
                reason = "OpenSSH 8.2 and 8.3 never apply the Match blocks of a globally included file"
                differences[place] = _change(place, now, then, reason)
                continue
            key = keywords.fold(event.line.keyword), event.block
            difference = self._compare_line(event, others.get(place), is_first=key not in earlier)
            earlier.add(key)
            if difference is not None:
                differences[place] = replace(difference, instead=self._rewrite(event))
        for place, reason in self.refused.items():
            differences.setdefault(place, _refuse(place, reason))
        yield from differences.values()
        rest = [*self._compare_repeated_lines(events), *self._compare_keyboard_interactive(events)]
        yield from rest
        if not any(difference.effect is Effect.REFUSED for difference in differences.values()):
            yield from self._compare_sessions({*differences, *(difference.place for difference in rest)})

    def _read_as_other(self) -> tuple[dict[Place, str], Tree]:
        """Read the files as the other release; return the refused lines with reasons, and the tree without them."""
        tree = replace(self.reading.tree.read_as(self.then), work=Work())
        for pattern in trees.find_missing_globs(tree):
            # Only a relative Include, which 8.2 does not look for: the line itself is reported.
            tree = replace(tree, globs={**(tree.globs or {}), pattern: ()}, _events=[])
        refused: dict[Place, str] = {}
        while True:
            try:
                tree.events()
                return refused, tree
            except ParseError as error:
                place = Place(path=error.path, line=error.line)
                if place in refused or len(refused) == _MAX_REFUSED:
                    raise
                refused[place] = error.reason
                tree = replace(tree, options=(), _events=[]) if place.is_option else tree.comment_out(place)

    def _compare_line(self, event: Event, other: Event | None, *, is_first: bool) -> Difference | None:
        """Compare one line as both releases read it; `is_first`: no line before it sets the same keyword."""
        place, keyword = event.place, event.line.keyword
        if place in self.refused:
            return _refuse(place, self.refused[place])
        if other is None:
            return _change(place, "read", "not read", "only the present release reads this line")
        if difference := self._look_up(event, other):
            return difference
        try:
            now, then = self._read_meanings(event, other)
        except values.BadValue as error:
            return _refuse(place, str(error))
        counts = is_first or keyword in keywords.ACCUMULATING or keyword in keywords.FIRST_COUNTS_SINCE
        if now == then or not counts:
            return None
        reason = "the two releases read this line differently"
        if keyword == "include":
            reason = "OpenSSH 8.2 finds no file by a relative path, so the files were not read"
        return _change(place, _render_words(now), _render_words(then), reason)

    def _look_up(self, event: Event, other: Event) -> Difference | None:
        """Compare a line with the tables of keywords and algorithms."""
        place, keyword, build, spelled = event.place, event.line.keyword, self.build, _find_spelling(event.line)
        if keywords.is_known(keyword, self.then) is None and keyword not in build.keywords:
            if build.has_all_keywords:
                return _refuse(place, f"it has no keyword {spelled}")
            reason = f"{spelled} is not a keyword of OpenSSH itself; whether {build} has it is not known"
            return _doubt(place, reason if build.name else f"{reason}: name a distribution, --as-if debian-13")
        reason = _find_objection(other, self.then)
        if not reason:
            return None
        if not _find_objection(event, self.now):
            return _refuse(place, reason)
        # A vendor added it to the present release, and perhaps to the other one.
        reason += f"; the present build accepts it although OpenSSH {self.now} does not, so ask the vendor"
        return _doubt(place, reason)

    def _compare_repeated_lines(self, events: Iterable[Event]) -> Iterator[Difference]:
        """Find lines of keywords whose first line counts in one release, and whose last line counts in the other."""
        groups: dict[tuple[str, object], list[Event]] = {}
        for event in events:
            if event.line.keyword in keywords.FIRST_COUNTS_SINCE and not event.place.is_option:
                groups.setdefault((event.line.keyword, event.block), []).append(event)
        for (keyword, _), group in groups.items():
            release = keywords.FIRST_COUNTS_SINCE[keyword]
            if self.now.at_least(*release) == self.then.at_least(*release):
                continue
            deciding = group[0] if self.now.at_least(*release) else group[-1]
            for event in group:
                if event is not deciding and _list_words(event.line) != _list_words(deciding.line):
                    why = f"now {deciding.place} decides {_find_spelling(event.line)}, then another line would"
                    yield _change(event.place, "no effect", "in effect", why, instead=b"")

    def _compare_keyboard_interactive(self, events: Iterable[Event]) -> Iterator[Difference]:
        """Compare keyboard-interactive logins: up to 8.6 they had two settings, and one that is `yes` was enough."""
        if self.now.at_least(8, 7) == self.then.at_least(8, 7):
            return
        lines = [e for e in events if e.block is None and e.line.keyword in keywords.KEYBOARD_INTERACTIVE]
        if not lines:
            return
        first = {event.line.keyword: _list_words(event.line)[:1] != [b"no"] for event in reversed(lines)}
        one = first[lines[0].line.keyword]
        # SkeyAuthentication was without effect from 7.8 on.
        two = first.get("challengeresponseauthentication", True) or first.get("kbdinteractiveauthentication", False)
        now, then = (one, two) if self.now.at_least(8, 7) else (two, one)
        if now != then:
            why = "up to 8.6 ChallengeResponseAuthentication and KbdInteractiveAuthentication were two settings"
            instead = b"ChallengeResponseAuthentication " + (b"yes" if now else b"no")
            before, after = (f"keyboard-interactive logins {'on' if is_on else 'off'}" for is_on in (now, then))
            yield _change(lines[0].place, before, after, why, instead=instead)

    def _compare_sessions(self, reported: set[Place | None]) -> Iterator[Difference]:
        """Compare the values of sessions: of everybody, and for each Match block that decides in a reading."""
        is_alike = not reported and not any(map(_depends_on_release, self.other.events()))
        if is_alike and keepalive.has_same_effect(self.now, self.then):
            return
        other = self.reading if is_alike else replace(self.reading, tree=self.other, _layers={}, _effective={})
        scopes = (scope for one in (self.reading, other) for scope in one.scopes)
        for context in dict.fromkeys(scope.context for scope in scopes if scope.context is not None):
            for difference in self._compare_session(context, other):
                if difference.place not in reported:
                    reported.add(difference.place)
                    yield difference

    def _compare_session(self, context: Context, other: Reading) -> Iterator[Difference]:
        settings, others = self.reading.resolve(context), other.resolve(context)
        pair = [settings[keyword].number for keyword in KEYWORDS]
        other_pair = [others[keyword].number for keyword in KEYWORDS]
        for keyword, number, other_number in zip(KEYWORDS, pair, other_pair, strict=True):
            if number != other_number:
                place = others[keyword].place or settings[keyword].place
                now, then = (f"{SPELLING[keyword]} {value}" for value in (number, other_number))
                reason = f"another value for {context}, because of the other lines that are reported"
                yield _change(place, now, then, reason)
        if pair != other_pair:
            return
        before, after = (keepalive.compute_consequence(version, *pair) for version in (self.now, self.then))
        if before.times == after.times:
            return
        keyword = COUNT_MAX if pair[1] == 0 else INTERVAL
        place, instead = settings[keyword].place, None
        if place is not None and not place.is_option:
            cure = 3 if keyword == COUNT_MAX else keepalive.choose_pair(self.then, pair[0], None, pair[1])[0]
            instead = f"{SPELLING[keyword]} {cure}".encode()
        reason = f"{after.sentence} (now: {before.sentence})"
        difference = _change(place, _describe_timing(before), _describe_timing(after), reason, instead=instead)
        yield difference if before.is_better_than(after) else replace(difference, effect=Effect.BETTER)

    def _read_meanings(self, event: Event, other: Event) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """Return what both releases read in a line.

        Raises:
            BadValue: the other release refuses the value.
        """
        try:
            now = _read_meaning(event, self.now)
        except values.BadValue:  # a word such as `none`: a value for the sshd of the host to know
            return tuple(_list_words(event.line)), tuple(_list_words(other.line))
        then = _read_meaning(other, self.then)
        if now != then and event.line.keyword not in keywords.FREE_TEXT | set(KEYWORDS):
            for word in _list_words(other.line):
                if _SPECIAL.search(word) and not any(map(_SPECIAL.search, _list_words(event.line))):
                    raise values.BadValue(f"{_show(word)} is not a value of {_find_spelling(other.line)}")
        return now, then

    def _rewrite(self, event: Event) -> bytes | None:
        """Write a line so that both releases read in it what the present one reads now; None: no such line is known."""
        line, keyword = event.line, event.line.keyword
        if not keywords.is_known(keyword, self.then) and keyword == "pamauthenticationviakbdint":
            return b""  # without effect since 3.7
        words = self._choose_words(event)
        if not words or b"\0" in line.raw:
            return None
        name = line.raw[: line.arguments[0].start].replace(b'"', b"").strip(b" \t\r=")
        indent = line.raw[: len(line.raw) - len(line.raw.lstrip(b" \t"))]
        _, mark, comment = line.raw.partition(b"#")
        has_comment = mark and self.now.tokeniser is Tokeniser.DELIMITED and keyword not in _RAW
        raw = indent + name + b" " + b" ".join(words)
        raw += (b" #" + comment.rstrip(b"\r\n") if has_comment else b"") + document.find_line_ending(line.raw)
        return raw if self._is_portable(event, raw) else None

    def _choose_words(self, event: Event) -> list[bytes] | None:
        line, keyword, texts = event.line, event.line.keyword, _list_words(event.line)
        if not texts:
            return None
        if keyword == "include":
            folder = encode(f"{include.CONFIG_DIR}/")
            return [_quote(text if text.startswith((b"/", b"~")) else folder + text) for text in texts]
        if keyword in _RAW:
            return [_find_raw_text(line, self.now)]
        if keyword == "ipqos":
            return [keywords.TOS_NUMBERS.get(word.lower(), word) for word in texts]
        if names := keywords.find_unknown_algorithms(keyword, texts, self.then):
            sign = texts[0][:1] if texts[0][:1] in (b"+", b"^") else b""
            kept = [n for n in texts[0].removeprefix(sign).split(b",") if n.decode("latin-1") not in names]
            return [sign + b",".join(kept)] if kept else None
        try:
            words = _read_meaning(event, self.now)
        except values.BadValue:  # a word such as `none`
            words = tuple(texts)
        if keyword in KEYWORDS and not words[0].isdigit():
            return None
        return list(map(_quote, words))

    def _is_portable(self, event: Event, raw: bytes) -> bool:
        """Whether both releases accept the new line, and read in it what the present one reads in the old line."""
        event = replace(event, place=Place(path="", line=event.place.line))  # no line that is refused already
        try:
            now, then = (trees.read_line(tree, event, raw) for tree in (self.reading.tree, self.other))
            is_same = _read_meaning(now, self.now) == _read_meaning(event, self.now)
            is_different = self._compare_line(now, then, is_first=True) is not None
        except (ParseError, values.BadValue, match.BadMatch):
            return False
        keyword = event.line.keyword
        removed = keywords.find_unknown_algorithms(keyword, _list_words(event.line), self.then)
        return not is_different and (is_same or bool(removed) or keyword in ("include", "ipqos"))


def _refuse(place: Place, reason: str) -> Difference:
    reason = f"sshd would not start: {reason}"
    return Difference(effect=Effect.REFUSED, place=place, now="accepted", then="refused", reason=reason)


def _change(place: Place | None, now: str, then: str, reason: str, *, instead: bytes | None = None) -> Difference:
    return Difference(effect=Effect.CHANGED, place=place, now=now, then=then, reason=reason, instead=instead)


def _doubt(place: Place | None, reason: str) -> Difference:
    return Difference(effect=Effect.UNKNOWN, place=place, now="accepted", then="not known", reason=reason)


def _find_objection(event: Event, version: Version) -> str:
    """Say why a release refuses a line, as the tables know it; empty: they know no reason."""
    keyword, block = event.line.keyword, event.block
    if keywords.is_known(keyword, version) is False:
        return f"it has no keyword {_find_spelling(event.line)}"
    is_conditional = block is not None and match.is_active_at_start(block, version) is False
    if is_conditional and not keywords.is_allowed_in_match(keyword, version):
        return f"it does not allow {_find_spelling(event.line)} within a Match block"
    names = keywords.find_unknown_algorithms(keyword, _list_words(event.line), version)
    return f"it does not know {', '.join(names)}" if names else ""


def _read_meaning(event: Event, version: Version) -> tuple[bytes, ...]:
    """Return what a release reads in a line, as words that can be compared.

    Raises:
        BadValue: the release refuses the value, as far as is known.
    """
    line = event.line
    keyword, words = line.keyword, _list_words(line)
    first = words[0] if words else b""
    if keyword in KEYWORDS:
        return (_render_number(event.number),)
    if keyword == "match":
        return _read_criteria(line, version)
    if keyword == "include":
        patterns = include.list_patterns(line, version)
        return tuple(encode(pattern) for pattern in patterns)
    if keyword in _RAW:
        return _read_raw_meaning(line, version)
    if keyword in keywords.TIMES:
        return (_render_number(values.read_seconds(first, version)),)
    if keyword in keywords.INTEGERS:
        return (_render_number(values.read_count(first, version)),)
    if keyword == "acceptenv" and any(b"=" in word for word in words):
        raise values.BadValue("the name of a variable holds no '='")
    if keyword == "ipqos" and version.at_least(10, 0):
        return tuple(b"ignored" if word.lower() in keywords.TOS_NUMBERS else word for word in words)
    return tuple(words)


def _read_criteria(line: Line, version: Version) -> tuple[bytes, ...]:
    words: list[bytes] = []
    for criterion in match.parse_criteria(line, version):
        argument = criterion.argument
        if "address" in criterion.name:
            argument = b",".join(map(_drop_host_bits, argument.split(b",")))
        words += filter(None, (match.SPELLING[criterion.name].encode(), argument))
    return tuple(words)


def _render_number(number: int | None) -> bytes:
    """Return a number as a word; empty: the line sets nothing."""
    return b"" if number is None else str(number).encode()


def _depends_on_release(event: Event) -> bool:
    """Whether a line can decide differently although both read it alike: an option, or one below `Match Version`."""
    blocks = event.block.chain() if event.block is not None else ()
    is_versioned = any(criterion.name == "version" for block in blocks for criterion in block.criteria)
    return is_versioned or event.place.is_option


def _never_applied(events: Iterable[Event]) -> set[Place]:
    return {event.block.place for event in events if event.block is not None and event.block.dead}


def _list_words(line: Line) -> list[bytes]:
    """Return the words of a line up to the first empty one, where sshd stops reading."""
    return list(takewhile(bool, (token.text for token in line.arguments)))


def _find_raw_text(line: Line, version: Version) -> bytes:
    """Return the unchanged text after the keyword; up to 8.6 it ends at the first `#`."""
    text = line.raw[line.arguments[0].start :] if line.arguments else b""
    if version.tokeniser is Tokeniser.DELIMITED:
        text = text.partition(b"#")[0]
    return text.rstrip(b" \t\r\n\f")


def _read_raw_meaning(line: Line, version: Version) -> tuple[bytes, ...]:
    text = _find_raw_text(line, version)
    if line.keyword != "setenv":
        return (text,)
    if version.tokeniser is Tokeniser.DELIMITED and (b"'" in text or b"\\" in text):
        return (b"as it stands", text)
    return tuple(token.text for token in tokens.split_arguments(text, 0) or ())


def _drop_host_bits(entry: bytes) -> bytes:
    """Return an entry of an address list without host bits."""
    text = entry.removeprefix(b"!").decode("latin-1")
    try:
        network = ipaddress.ip_network(text, strict=False) if "/" in text else text
    except ValueError:
        return entry
    return entry[: entry.startswith(b"!")] + str(network).encode("latin-1")


def _quote(text: bytes) -> bytes:
    return text if _PLAIN.match(text) else b'"' + text + b'"'


def _find_spelling(line: Line) -> str:
    """Return the keyword as the file spells it."""
    spelling = re.search(re.escape(line.keyword), line.raw.decode("latin-1"), re.IGNORECASE)
    return spelling[0] if spelling else line.keyword


def _show(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")


def _render_words(meaning: tuple[bytes, ...]) -> str:
    """Render what is read in a line for people."""
    return " ".join(map(_show, meaning)).strip() or "nothing"


def _describe_timing(consequence: keepalive.Consequence) -> str:
    every_s, dead_s = consequence.request_after_s, consequence.dead_dropped_after_s
    keep_alives = "no keep-alives" if every_s is None else f"a keep-alive every {every_s} s"
    return f"{keep_alives}, dead sessions dropped {'never' if dead_s is None else f'after {dead_s} s'}"
