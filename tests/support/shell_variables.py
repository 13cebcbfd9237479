"""Which variables the functions of a shell script read and set: what their comments say, and what their text does.

It reads text and is no shell: it knows the style of our scripts, where a function begins with `name() {` and ends with
`}`, both at the beginning of a line, and comments above it say `Reads A b.` and `Sets c d.`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_NAME = r"[A-Za-z_]\w*"
_ASSIGNED = re.compile(rf"(?<![\w$\"'{{/.=-])({_NAME})=(?!=)")
_LOOPED = re.compile(rf"\bfor ({_NAME})(?: in\b|;)")
_READ = re.compile(r"(?:\bIFS='?=?' )?\bread -r ((?:\w+ ?)+)")
_USED = re.compile(rf"\$\{{?#?({_NAME})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function as it is written."""

    name: str
    comment: str  # without `# `, in one line
    sets: frozenset[str]
    uses: frozenset[str]
    words: frozenset[str]  # all words, so also the functions that it calls
    returns: bool  # what it sets counts for its caller

    def told(self, verb: str) -> set[str]:
        """The names that its comment gives after `Reads` or `Sets`."""
        found = re.search(rf"\b{verb} ([\w ]+)\.", self.comment)
        return set(found[1].split()) if found else set()


def functions(text: str) -> dict[str, Function]:
    """Find the functions of a script."""
    found = {}
    for match in re.finditer(
        rf"(?m)^((?:#.*\n)*)({_NAME})\(\) \{{((?:.*\}}(?: 2>/dev/null)?$)|[\s\S]*?\n\}}.*$)", text
    ):
        comment, name, body = match.groups()
        code = _without_quoted(re.sub(r"(?m)(^|\s)#.*$", "", body), "'")
        bare = _without_quoted(code, '"').replace("-v ", "-v")
        names = set(_ASSIGNED.findall(bare)) | set(_LOOPED.findall(bare))
        names |= {word for words in _READ.findall(bare) for word in words.split()} - {"_"}
        found[name] = Function(
            name=name,
            comment=" ".join(line.lstrip("# ") for line in comment.splitlines()),
            sets=frozenset(names - {"IFS"}),
            uses=frozenset(_USED.findall(code)),
            words=frozenset(re.findall(r"\w+", bare)),
            returns=re.search(r"\n    exit \d+\n\}", body) is None,
        )
    return found


def _without_quoted(code: str, mark: str) -> str:
    """Leave out what stands between two marks, which no shell of ours nests."""
    return re.sub(rf"{mark}[^{mark}]*{mark}", "''", code)


def reads(function: Function, known: dict[str, Function]) -> set[str]:
    """What a function uses that neither it nor one that it calls has set."""
    return set(function.uses) - set(function.sets) - _set_by_calls(function, known, set())


def _set_by_calls(function: Function, known: dict[str, Function], seen: set[str]) -> set[str]:
    names: set[str] = set()
    for name in function.words & known.keys() - seen:
        seen.add(name)
        if not known[name].returns:
            continue
        names |= known[name].sets | _set_by_calls(known[name], known, seen)
    return names


def sentence(function: Function, known: dict[str, Function]) -> str:
    """The comment that the text of a function asks for."""
    lists: Iterable[tuple[str, set[str]]] = (("Reads", reads(function, known)), ("Sets", set(function.sets)))
    return " ".join(f"{verb} {' '.join(sorted(names))}." for verb, names in lists if names)
