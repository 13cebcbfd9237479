"""The nodes of a YAML text, each with its line and column; the only file that knows PyYAML.

Nodes are put together from the parser's events, not by PyYAML's own composer: that one takes 3.6 times as long
(100,000 hosts: 10.1 s against 2.8 s), guesses types that are only known here, and ends the whole process on
100,000 opening brackets, because it recurses in C.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from sshd_keepalive.errors import ConfigError

MAX_DEPTH: Final = 64  # an inventory with ten levels of groups needs 25

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Node:
    """One value of the file. `value` is the text, the entries in order, or the key and value pairs in order."""

    __slots__ = ("column", "kind", "line", "plain", "tag", "value")

    def __init__(self, kind: str, value: Any, event: Any, *, plain: bool = False) -> None:
        self.kind = kind  # text | list | mapping
        self.value = value
        self.plain = plain  # text without quotes, which YAML may read as something else
        self.tag: str | None = event.tag
        self.line: int = event.start_mark.line + 1
        self.column: int = event.start_mark.column + 1

    @property
    def is_empty(self) -> bool:
        """Nothing stands there: `key:`."""
        return self.plain and self.value == ""


def compose(data: bytes, path: str) -> Node | None:
    """Put the nodes of the one document together; None when the file is empty."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8, the byte is 0x{data[error.start]:02x}") from None
    if strange := yaml.reader.Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, strange.start()) + 1
        raise ConfigError(f"{path}:{line}: the character {strange[0]!a} is not allowed in YAML")
    try:
        return _build(text, path)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(_syntax_error(error, text, path)) from None


def _build(text: str, path: str) -> Node | None:
    roots: list[Node] = []
    anchors: dict[str, Node] = {}
    levels: list[tuple[Node, list[Node]]] = []  # the open lists and mappings, each with what it holds so far
    holder = roots
    event: Any  # the classes of events differ in what they hold
    for event in yaml.parse(text, Loader=_LOADER):
        kind = event.__class__
        if kind is yaml.ScalarEvent:
            node = Node("text", event.value, event, plain=not event.style)
            holder.append(node)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            node = Node("mapping" if kind is yaml.MappingStartEvent else "list", [], event)
            holder.append(node)
            levels.append((node, holder))
            holder = []
            if len(levels) > MAX_DEPTH:
                raise ConfigError(f"{path}:{node.line}:{node.column}: nested more than {MAX_DEPTH} levels deep")
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            node, outer = levels.pop()
            node.value = list(zip(holder[::2], holder[1::2], strict=True)) if node.kind == "mapping" else holder
            holder = outer
            continue
        elif kind is yaml.AliasEvent:
            if event.anchor not in anchors:
                line, column = event.start_mark.line + 1, event.start_mark.column + 1
                raise ConfigError(f"{path}:{line}:{column}: no anchor &{event.anchor} stands before this alias")
            holder.append(anchors[event.anchor])
            continue
        elif kind is yaml.DocumentStartEvent and roots:
            line = event.start_mark.line + 1
            raise ConfigError(f"{path}:{line}:1: a second document begins here, one file holds one inventory")
        else:
            continue
        if event.anchor:
            anchors[event.anchor] = node
    return roots[0] if roots else None


_HINTS: Final = {
    "mapping values are not allowed in this context": "a value with ': ' in it needs quotes, or the indentation is off",
    "could not find expected ':'": "a key needs a ':' behind it",
    "did not find expected key": "the indentation differs from the lines above, or a quote is missing",
    "did not find expected '-' indicator": "the indentation differs from the entries above",
    "did not find expected ',' or '}'": "a value with [ ] inside { } needs quotes; or a ',' or '}' is missing",
    "did not find expected ',' or ']'": "a ',' or ']' is missing",
    "found character that cannot start any token": "a value that begins with @, ` or % needs quotes",
    "found unexpected end of stream": "a quote is not closed",
}


def _syntax_error(error: yaml.MarkedYAMLError, text: str, path: str) -> str:
    """Tell where and why. PyYAML's own text is left out: it quotes the line, and that may hold a secret."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return f"{path}: not YAML: {error.problem}"
    lines = text.splitlines() or [""]
    line = lines[min(mark.line, len(lines) - 1)]
    hint = _HINTS.get(error.problem or "", "")
    if "\t" in line[: mark.column + 1]:
        hint = "there is a tab, YAML indents with spaces"
    since = f" (in what began in line {error.context_mark.line + 1})" if error.context_mark else ""
    place = f"{path}:{mark.line + 1}:{mark.column + 1}"
    return f"{place}: not YAML: {error.problem}{since}" + (f"; {hint}" if hint else "")
