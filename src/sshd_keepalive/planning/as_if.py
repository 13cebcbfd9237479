"""What another release of OpenSSH would make of the same files: which lines it refuses, which it reads otherwise.

The files are read twice, as the present release does and as the other one would. Whatever differs is told with its
line, and with a line to write instead that both releases read as the present one does now. What only one of the two
knows stands in `sshd_config.keywords`; everything else is found by comparing the two readings.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from sshd_keepalive.errors import HostError, ParseError
from sshd_keepalive.model import (
    COMMAND_LINE,
    COUNT_MAX,
    INTERVAL,
    SPELLING,
    Context,
    Finding,
    Line,
    Place,
    State,
    Subject,
)
from sshd_keepalive.sshd_config import document, include, keepalive, keywords, match, tokens, values
from sshd_keepalive.sshd_config import tree as trees
from sshd_keepalive.sshd_config.limits import Work
from sshd_keepalive.sshd_config.reading import Reading
from sshd_keepalive.sshd_config.resolve import KEYWORDS
from sshd_keepalive.sshd_config.tree import Event, Tree
from sshd_keepalive.sshd_config.version import Build, Tokeniser, Version

_MOST: Final = 200  # refused lines that are told; each takes one more reading of the files
_SPECIAL: Final = re.compile(rb"[\"'\\#]")
_PLAIN: Final = re.compile(rb"[^\s\"'\\#=]+\Z")


class Effect(Enum):
    """What becomes of a line, or of a session, under the other release."""

    REFUSED = "refused"  # sshd would not start
    CHANGED = "changed"  # it means something else, or sessions fare worse
    BETTER = "better"  # sessions fare better; told, and nothing to act upon
    UNKNOWN = "unknown"  # cannot be told from the files


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One line that the other release does not treat as the present one does."""

    effect: Effect
    place: Place | None  # None: a value that is compiled in
    now: str  # what the present release makes of it
    then: str  # what the other one would make of it
    reason: str
    instead: bytes | None = None  # a line that works in both; empty: delete it; None: none is known


def findings(reading: Reading, build: Build) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Give what to act upon as findings, and what gets better as notes. Raises nothing."""
    found: list[Finding] = []
    notes: list[str] = []
    for difference in compare(reading, build):
        if difference.effect is Effect.BETTER:
            notes.append(f"with {build}: {difference.reason}")
            continue
        found.append(
            Finding(
                setting=Subject.AS_IF,
                scope=str(build),
                wanted=difference.now,
                value=difference.then,
                state=State.UNKNOWN if difference.effect is Effect.UNKNOWN else State.DRIFT,
                place=difference.place,
                reason=difference.reason + _advise(difference),
            )
        )
    return tuple(found), tuple(notes)


def _advise(difference: Difference) -> str:
    if difference.effect is Effect.UNKNOWN or difference.instead is None:
        return ""
    if not difference.instead:
        return "; delete the line, it is not needed in either release"
    return f"; write instead, for both releases: {_shown(difference.instead.strip())}"


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
        reason = f"the files cannot be compared: {error}"
        return (Difference(effect=Effect.UNKNOWN, place=None, now="accepted", then="not known", reason=reason),)


class _Comparison:
    def __init__(self, reading: Reading, build: Build) -> None:
        self.reading = reading
        self.build = build
        self.now = reading.tree.version
        self.then = build.version
        self.config_dir = reading.tree.config_dir

    def run(self, events: Iterable[Event]) -> Iterator[Difference]:
        refused, tree = self._read_by_the_other()
        others: dict[Place, Event] = {}
        for event in tree.events():
            others.setdefault(event.place, event)
        never_applied = _never_applied(events), _never_applied(tree.events())
        found: list[Difference] = []
        seen: set[tuple[str, object]] = set()
        told: set[Place] = set()
        for event in events:
            place = event.place
            if place in told or place.path == COMMAND_LINE:
                continue  # the same file included twice; or an option, of which only the effect is told
            other = others.get(place)
            if place in refused:
                found.append(self._refuse(event, refused[place]))
            elif (place in never_applied[0]) != (place in never_applied[1]):
                now, then = ("never applied" if place in places else "applied" for places in never_applied)
                why = "OpenSSH 8.2 and 8.3 never apply the Match blocks of a globally included file"
                found.append(replace(self._change(event, now, then, why), instead=None))
            elif other is not None:
                found += self._lines(event, other, seen)
            else:
                found.append(self._change(event, "read", "not read", "only the present release reads this line"))
            if found and found[-1].place == place:
                told.add(place)
        unseen = [place for place in refused if place not in told]
        found += [self._refuse_place(place, refused[place]) for place in unseen]
        found += self._last_lines(events)
        found += self._keyboard_interactive(events)
        yield from found
        if not any(difference.effect is Effect.REFUSED for difference in found):
            yield from self._sessions(tree, {difference.place for difference in found})

    def _read_by_the_other(self) -> tuple[dict[Place, str], Tree]:
        """Read the files as the other release would; gives what it refuses, and the tree without these lines."""
        tree = replace(self.reading.tree.as_read_by(self.then), work=Work())
        for pattern in trees.missing_globs(tree):
            # Only a relative Include, which 8.2 does not look for: the line itself is told.
            tree = replace(tree, globs={**(tree.globs or {}), pattern: ()}, _events=[])
        refused: dict[Place, str] = {}
        while True:
            try:
                tree.events()
            except ParseError as error:
                place = Place(path=error.path, line=error.line)
                if place in refused or len(refused) == _MOST:
                    raise
                refused[place] = error.reason
                is_option = place.path == COMMAND_LINE
                tree = replace(tree, options=(), _events=[]) if is_option else tree.without_line(place)
                continue
            return refused, tree

    def _lines(self, event: Event, other: Event, seen: set[tuple[str, object]]) -> Iterator[Difference]:
        keyword = event.line.keyword
        if keyword != other.line.keyword:
            yield self._change(event, keyword, other.line.keyword, "the two releases read different keywords")
            return
        if (why := self._refusal(event, other)) is not None:
            yield why
            return
        key = keywords.fold(keyword), event.block
        is_inert = key in seen and keyword not in keywords.ACCUMULATING and keyword not in keywords.FIRST_COUNTS_SINCE
        seen.add(key)
        try:
            now, then = self._meanings(event, other)
        except values.BadValue as error:
            yield self._refuse(event, str(error))
            return
        if is_inert or now == then:
            return
        why_changed = "the two releases do not read the same in this line"
        if keyword == "include":
            why_changed = "OpenSSH 8.2 finds nothing by a relative path; what is there was not read"
        yield self._change(event, _words(now), _words(then), why_changed)

    def _refusal(self, event: Event, other: Event) -> Difference | None:
        """Say what the tables of keywords and algorithms know against a line."""
        keyword, build = event.line.keyword, self.build
        is_conditional = other.block is not None and match.at_start(other.block, self.then) is False
        known = keywords.is_known(keyword, self.then)
        spelled = _spelled(event.line)
        if known is None:
            if keyword in build.keywords:
                return None
            if build.has_all_keywords:
                return self._refuse(event, f"it has no keyword {spelled}")
            why = f"{spelled} is not a keyword of OpenSSH itself; whether {build} has it is not known"
            return Difference(
                effect=Effect.UNKNOWN, place=event.place, now="accepted", then="not known",
                reason=why if build.name else f"{why}: name a distribution, --as-if debian-13",
            )  # fmt: skip
        why = ""
        if not known:
            why = f"it has no keyword {spelled}"
            is_new = keywords.is_known(keyword, self.now)
        elif is_conditional and not keywords.is_allowed_in_match(keyword, self.then):
            why = f"it does not allow {spelled} within a Match block"
            is_new = keywords.is_allowed_in_match(keyword, self.now)
        elif names := keywords.unknown_algorithms(keyword, _texts(other.line), self.then):
            why = f"it does not know {', '.join(names)}"
            is_new = not keywords.unknown_algorithms(keyword, _texts(event.line), self.now)
        if not why:
            return None
        if is_new:
            return self._refuse(event, why)
        reason = f"{why}; the present build takes it although OpenSSH {self.now} itself does not, so ask the vendor"
        return Difference(effect=Effect.UNKNOWN, place=event.place, now="accepted", then="not known", reason=reason)

    def _last_lines(self, events: Iterable[Event]) -> Iterator[Difference]:
        """Tell the lines of those keywords of which one release takes the first line, and the other the last."""
        groups: dict[tuple[str, object], list[Event]] = {}
        for event in events:
            if event.line.keyword in keywords.FIRST_COUNTS_SINCE and event.place.path != COMMAND_LINE:
                groups.setdefault((event.line.keyword, event.block), []).append(event)
        for (keyword, _), group in groups.items():
            release = keywords.FIRST_COUNTS_SINCE[keyword]
            if self.now.at_least(*release) == self.then.at_least(*release):
                continue
            counts = group[0] if self.now.at_least(*release) else group[-1]
            for event in group:
                if event is not counts and _texts(event.line) != _texts(counts.line):
                    why = f"now {counts.place} decides {_spelled(event.line)}, then another line would"
                    yield replace(self._change(event, "no effect", "in effect", why), instead=b"")

    def _keyboard_interactive(self, events: Iterable[Event]) -> Iterator[Difference]:
        """Up to 8.6 keyboard-interactive logins had two settings, and one that is `yes` was enough."""
        if self.now.at_least(8, 7) == self.then.at_least(8, 7):
            return
        lines = [e for e in events if e.block is None and e.line.keyword in keywords.KEYBOARD_INTERACTIVE]
        if not lines:
            return
        first: dict[str, bool] = {}
        for event in lines:
            first.setdefault(event.line.keyword, _texts(event.line)[:1] != [b"no"])
        one = next(iter(first.values()))
        # SkeyAuthentication was without effect from 7.8 on.
        two = first.get("challengeresponseauthentication", True) or first.get("kbdinteractiveauthentication", False)
        now, then = (one, two) if self.now.at_least(8, 7) else (two, one)
        if now != then:
            why = "up to 8.6 ChallengeResponseAuthentication and KbdInteractiveAuthentication were two settings"
            instead = b"ChallengeResponseAuthentication " + (b"yes" if now else b"no")
            yield replace(self._change(lines[0], _on(now), _on(then), why), instead=instead)

    def _sessions(self, tree: Tree, told: set[Place | None]) -> Iterator[Difference]:
        """Compare what sessions get, for everybody and for each Match block that decides in one of the readings."""
        is_alike = not told and not any(map(_depends_on_release, tree.events()))
        if is_alike and keepalive.are_alike(self.now, self.then):
            return
        other = self.reading if is_alike else replace(self.reading, tree=tree, _layers={}, _effective={})
        contexts = dict.fromkeys(scope.context for one in (self.reading, other) for scope in one.scopes)
        for context in contexts:
            if context is None:
                continue
            for difference in self._one_session(context, other):
                if difference.place not in told:
                    told.add(difference.place)
                    yield difference

    def _one_session(self, context: Context, other: Reading) -> Iterator[Difference]:
        settings, others = self.reading.resolve(context), other.resolve(context)
        pair = [int(settings[keyword].value) for keyword in KEYWORDS]
        other_pair = [int(others[keyword].value) for keyword in KEYWORDS]
        for keyword, number, other_number in zip(KEYWORDS, pair, other_pair, strict=True):
            if number != other_number:
                place = others[keyword].place or settings[keyword].place
                yield Difference(
                    effect=Effect.CHANGED, place=place, now=f"{SPELLING[keyword]} {number}",
                    then=f"{SPELLING[keyword]} {other_number}",
                    reason=f"another value for {context}, because of the other lines that are told",
                )  # fmt: skip
        if pair != other_pair:
            return
        now, then = keepalive.compute_consequence(self.now, *pair), keepalive.compute_consequence(self.then, *pair)
        if now.times == then.times:
            return
        worse = now.is_better_than(then)
        keyword = COUNT_MAX if pair[1] == 0 else INTERVAL
        place, instead = settings[keyword].place, None
        if place is not None and place.path != COMMAND_LINE:
            cure = 3 if keyword == COUNT_MAX else keepalive.choose_pair(self.then, pair[0], None, pair[1])[0]
            instead = f"{SPELLING[keyword]} {cure}".encode()
        yield Difference(
            effect=Effect.CHANGED if worse else Effect.BETTER, place=place, now=_timing(now), then=_timing(then),
            reason=f"{then.sentence}; now {now.sentence}" if worse else f"{then.sentence} (now: {now.sentence})",
            instead=instead,
        )  # fmt: skip

    def _meanings(self, event: Event, other: Event) -> tuple[tuple[object, ...], tuple[object, ...]]:
        """Give what both releases take from a line.

        Raises:
            BadValue: the other release refuses the value.
        """
        try:
            now = self._meaning(event, self.now)
        except values.BadValue:  # a word such as `none`: a value for the sshd of the host to know
            return tuple(_texts(event.line)), tuple(_texts(other.line))
        then = self._meaning(other, self.then)
        if now != then and event.line.keyword not in keywords.FREE_TEXT | set(KEYWORDS):
            for word in _texts(other.line):
                if _SPECIAL.search(word) and not any(map(_SPECIAL.search, _texts(event.line))):
                    raise values.BadValue(f"{_shown(word)} is not a value of {_spelled(other.line)}")
        return now, then

    def _meaning(self, event: Event, version: Version) -> tuple[object, ...]:
        """Give what a release takes from a line, in a form that can be compared.

        Raises:
            BadValue: the release refuses the value, as far as is known.
        """
        line = event.line
        keyword, words = line.keyword, _texts(line)
        if keyword in KEYWORDS:
            return (event.number,)
        if keyword == "match":
            return match.parse_criteria(line, version)
        if keyword == "include":
            return include.patterns(line, self.config_dir, version)
        if _is_raw(keyword):
            return _raw_meaning(line, version)
        if keyword in keywords.TIMES:
            return (values.seconds(words[0] if words else b"", version),)
        if keyword in keywords.INTEGERS:
            return (values.count(words[0] if words else b"", version),)
        if keyword == "acceptenv" and any(b"=" in word for word in words):
            raise values.BadValue("the name of a variable holds no '='")
        if keyword == "ipqos" and version.at_least(10, 0):
            return tuple(b"ignored" if word.lower() in keywords.TOS_NUMBERS else word for word in words)
        return tuple(words)

    def _refuse(self, event: Event, why: str) -> Difference:
        difference = self._refuse_place(event.place, why)
        return replace(difference, instead=self._portable(event))

    def _refuse_place(self, place: Place, why: str) -> Difference:
        return Difference(
            effect=Effect.REFUSED, place=place, now="accepted", then="refused",
            reason=f"sshd would not start: {why}",
        )  # fmt: skip

    def _change(self, event: Event, now: str, then: str, why: str) -> Difference:
        return Difference(
            effect=Effect.CHANGED, place=event.place, now=now, then=then, reason=why, instead=self._portable(event)
        )

    def _portable(self, event: Event) -> bytes | None:
        """Write a line anew so that both releases read in it what the present one does; None: no form is known.

        Only what both have been asked about, by reading the new line twice, is offered.
        """
        line, keyword = event.line, event.line.keyword
        if not keywords.is_known(keyword, self.then) and keyword == "pamauthenticationviakbdint":
            return b""  # without effect since 3.7
        try:
            words = self._portable_words(event)
        except values.BadValue:
            return None
        if not words or not line.arguments or b"\0" in line.raw:
            return None
        name = line.raw[: line.arguments[0].start].replace(b'"', b"").strip(b" \t\r=")
        indent = line.raw[: len(line.raw) - len(line.raw.lstrip(b" \t"))]
        _, mark, comment = line.raw.partition(b"#")
        ending = document.line_ending(line.raw)
        raw = indent + name + b" " + b" ".join(words)
        has_comment = mark and self.now.tokeniser is Tokeniser.DELIMITED and not _is_raw(keyword)
        raw += (b" #" + comment.rstrip(b"\r\n") if has_comment else b"") + ending
        return raw if self._is_portable(event, raw) else None

    def _portable_words(self, event: Event) -> list[bytes] | None:
        line, keyword = event.line, event.line.keyword
        if keyword in KEYWORDS:
            return None if event.number is None or event.number < 0 else [str(event.number).encode()]
        if keyword == "include":
            return [_quoted(pattern.encode("utf-8", "surrogateescape")) for pattern in _absolute(line, self.config_dir)]
        if keyword == "match":
            words: list[bytes] = []
            for criterion in match.parse_criteria(line, self.now):
                argument = _canonical(criterion.argument) if "address" in criterion.name else criterion.argument
                words += [match.SPELLING[criterion.name].encode(), *([_quoted(argument)] if argument else [])]
            return words
        if _is_raw(keyword):
            return [_raw_text(line, self.now)]
        texts = _texts(line)
        if names := keywords.unknown_algorithms(keyword, texts, self.then):
            sign = texts[0][:1] if texts[0][:1] in (b"+", b"^") else b""
            kept = [n for n in texts[0].removeprefix(sign).split(b",") if n.decode("latin-1") not in names]
            return [sign + b",".join(kept)] if kept else None
        if keyword in keywords.TIMES:
            return [str(values.seconds(texts[0], self.now)).encode()]
        if keyword == "ipqos":
            return [keywords.TOS_NUMBERS.get(word.lower(), word) for word in texts]
        return [_quoted(text) for text in texts] or None

    def _is_portable(self, event: Event, raw: bytes) -> bool:
        """Whether both releases take the new line, and read in it what the present one reads in the old line."""
        try:
            old = self._meaning(event, self.now)
        except values.BadValue:
            return False
        removed = keywords.unknown_algorithms(event.line.keyword, _texts(event.line), self.then)
        for version in (self.now, self.then):
            line = document.tokenise(event.place.line, raw, version)
            if line.problem or line.keyword != event.line.keyword:
                return False
            is_known = keywords.is_known(line.keyword, version)
            if is_known is False or (is_known is None and line.keyword not in self.build.keywords):
                return False
            block = event.block
            conditional = block is not None and match.at_start(block, version) is False
            if conditional and not keywords.is_allowed_in_match(line.keyword, version):
                return False
            try:
                number = None
                if line.keyword in KEYWORDS:
                    number = values.number(line.keyword, line.arguments[0].text, version)
                meaning = self._meaning(replace(event, line=line, number=number), version)
            except (values.BadValue, match.BadMatch, IndexError):
                return False
            if not removed and meaning != old and not _is_mended(event, line, self.now, version):
                return False
        return True


def _is_mended(event: Event, line: Line, now: Version, version: Version) -> bool:
    """Whether the new line only says in a way that works what the old one was meant to say."""
    if line.keyword == "match":
        theirs = [replace(c, argument=_canonical(c.argument)) for c in match.parse_criteria(event.line, now)]
        ours = [replace(c, argument=_canonical(c.argument)) for c in match.parse_criteria(line, version)]
        return theirs == ours
    return line.keyword == "include" or line.keyword == "ipqos"


def _depends_on_release(event: Event) -> bool:
    """Whether an event can decide otherwise although its line is read alike: an option, or a `Match Version` line."""
    blocks = event.block.chain() if event.block is not None else ()
    is_versioned = any(criterion.name == "version" for block in blocks for criterion in block.criteria)
    return is_versioned or event.place.path == COMMAND_LINE


def _never_applied(events: Iterable[Event]) -> set[Place]:
    return {event.block.place for event in events if event.block is not None and event.block.dead}


def _texts(line: Line) -> list[bytes]:
    """Give the words of a line up to the first empty one, where sshd stops reading."""
    texts: list[bytes] = []
    for token in line.arguments:
        if not token.text:
            break
        texts.append(token.text)
    return texts


def _is_raw(keyword: str) -> bool:
    return keyword in keywords.RAW or keyword == "setenv"


def _raw_text(line: Line, version: Version) -> bytes:
    """Give the text behind the keyword as it stands; up to 8.6 it ends at the first `#`."""
    text = line.raw[line.arguments[0].start :] if line.arguments else b""
    if version.tokeniser is Tokeniser.DELIMITED:
        text = text.partition(b"#")[0]
    return text.rstrip(b" \t\r\n\f")


def _raw_meaning(line: Line, version: Version) -> tuple[object, ...]:
    text = _raw_text(line, version)
    if line.keyword != "setenv":
        return (text,)
    if version.tokeniser is Tokeniser.DELIMITED and (b"'" in text or b"\\" in text):
        return ("as it stands", text)
    return tuple(token.text for token in tokens.argv(text, 0) or ())


def _absolute(line: Line, config_dir: str) -> Iterator[str]:
    for text in _texts(line):
        path = text.decode("utf-8", "surrogateescape")
        yield path if path.startswith(("/", "~")) else f"{config_dir.rstrip('/')}/{path}"


def _canonical(entries: bytes) -> bytes:
    """An address list without bits behind a mask."""
    return b",".join(_canonical_entry(entry) for entry in entries.split(b","))


def _canonical_entry(entry: bytes) -> bytes:
    text = entry.removeprefix(b"!").decode("latin-1")
    try:
        network = ipaddress.ip_network(text, strict=False) if "/" in text else text
    except ValueError:
        return entry
    return entry[: entry.startswith(b"!")] + str(network).encode("latin-1")


def _quoted(text: bytes) -> bytes:
    return text if _PLAIN.match(text) else b'"' + text + b'"'


def _spelled(line: Line) -> str:
    """The keyword as it is written."""
    found = re.search(re.escape(line.keyword), line.raw.decode("latin-1"), re.IGNORECASE)
    return found[0] if found else line.keyword


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")


def _words(meaning: tuple[object, ...]) -> str:
    """What is read in a line, for people."""
    texts = []
    for part in meaning:
        if isinstance(part, match.Criterion):
            part = f"{match.SPELLING[part.name]} {_shown(part.argument)}".strip()
        texts.append(_shown(part) if isinstance(part, bytes) else str(part))
    return " ".join(texts) or "nothing"


def _on(is_on: bool) -> str:
    return "keyboard-interactive logins on" if is_on else "keyboard-interactive logins off"


def _timing(consequence: keepalive.Consequence) -> str:
    every, dead = consequence.request_after_s, consequence.dead_dropped_after_s
    asks = "no keep-alives" if every is None else f"a keep-alive every {every} s"
    return f"{asks}, dead sessions dropped {'never' if dead is None else f'after {dead} s'}"
