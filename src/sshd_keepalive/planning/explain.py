"""Explain values: for each scope the deciding line, the Includes that lead to it, and the lines that it hides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from sshd_keepalive.model import BLANK, GLOBAL, SPELLING, Context, Place, Scope
from sshd_keepalive.quoting import printable_line
from sshd_keepalive.sshd_config.reading import Reading
from sshd_keepalive.sshd_config.resolve import KEYWORDS, Setting
from sshd_keepalive.sshd_config.tokens import decode
from sshd_keepalive.sshd_config.tree import Event, Tree

_EVERYBODY = "everybody, except for the Match blocks below"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The settings of one kind of connection."""

    scope: Scope  # GLOBAL, the Match block, or the connection that was asked about
    settings: tuple[Setting, ...]
    undecided: tuple[Place, ...] = ()  # Match lines that may or may not apply to the connection


def explain(reading: Reading, context: Context | None = None) -> tuple[Explanation, ...]:
    """Explain both settings for one connection, or for everybody and for each Match block that decides.

    Raises:
        ParseError: sshd would refuse the files.
    """
    if context is not None:
        read = reading.resolve(context)
        settings = tuple(read[keyword] for keyword in KEYWORDS)
        # Only blocks that would decide one of the two settings matter.
        deciding = {event.block.place for event in reading.overrides if event.block}
        undecided = tuple(place for place in read.undecided if place in deciding)
        return (Explanation(scope=Scope(text=str(context)), settings=settings, undecided=undecided),)
    return tuple(_explain_scopes(reading))


def _explain_scopes(reading: Reading) -> Iterator[Explanation]:
    everybody = reading.everybody
    yield Explanation(scope=GLOBAL, settings=tuple(everybody[keyword] for keyword in KEYWORDS))
    by_block: dict[Scope, list[Event]] = {}
    for event in reading.overrides:
        assert event.block is not None  # they stand inside Match blocks
        by_block.setdefault(event.block.scope, []).append(event)
    for deciding in reading.scopes[1:]:
        read = reading.resolve(deciding.context or BLANK)
        yield Explanation(scope=deciding.scope, settings=tuple(map(read.find, by_block[deciding.scope])))


def find_nul_bytes(tree: Tree) -> tuple[str, ...]:
    """Find NUL bytes, after which sshd reads the file differently from a human."""
    return tuple(
        f"{path}:{line.number} holds a NUL byte: sshd reads the next line as a part of it"
        for path, document in tree.documents.items()
        for line in document.lines
        if b"\0" in line.raw
    )


def render(tree: Tree, explanations: tuple[Explanation, ...], *, is_verbose: bool = False) -> str:
    """Render explanations as text: value, file and line, the line itself, its Includes and the hidden lines.

    Args:
        is_verbose: repeat hidden lines that are shown above; a Match block hides all of the global part.
    """
    out: list[str] = []
    shown: set[Place] = set()
    everybody = _EVERYBODY if len(explanations) > 1 else "everybody"
    for explanation in explanations:
        out.append(everybody if explanation.scope == GLOBAL else str(explanation.scope))
        for setting in explanation.settings:
            value = f"{SPELLING[setting.keyword]} {setting.value}"
            where = "the default, no line sets it" if setting.place is None else _show_line(tree, setting.place, value)
            out.append(f"  {value}  {where}")
            out += [f"    included by  {_show_line(tree, place)}" for place in setting.chain]
            hidden = [place for place in setting.hides if is_verbose or place not in shown]
            out += [f"    hides        {_show_line(tree, place)}" for place in hidden]
            shown.update(hidden, (setting.place,) if setting.place else ())
        out += [f"  may also match: {_show_line(tree, place)}" for place in explanation.undecided]
    return "".join(f"{printable_line(line)}\n" for line in out)


def to_json(explanations: tuple[Explanation, ...]) -> list[dict[str, object]]:
    """Convert explanations to plain values, for JSON."""
    return [
        {
            "scope": str(explanation.scope),
            "settings": [
                {
                    "setting": SPELLING[setting.keyword],
                    "value": setting.value,
                    "decided_in": setting.scope.label,
                    "place": setting.place and asdict(setting.place),
                    "included_by": [*map(asdict, setting.chain)],
                    "hides": [*map(asdict, setting.hides)],
                }
                for setting in explanation.settings
            ],
            "may_also_match": [*map(asdict, explanation.undecided)],
        }
        for explanation in explanations
    ]


def _show_line(tree: Tree, place: Place, known: str = "") -> str:
    """Render a place and its line, unless the line only repeats the known text."""
    if place.is_option or place.path not in tree.documents:
        return str(place)
    line = decode(tree.documents[place.path].lines[place.line - 1].raw.strip())
    return str(place) if line == known else f"{place}  {line}"
