"""One YAML file that is being read: its nodes, each with line and column, and the mistakes found in it.

Nodes are built from the parser's events, not by PyYAML's own composer: that one takes 3.6 times as long
(100,000 hosts: 10.1 s against 2.8 s), guesses types that are only known here, and ends the whole process on
100,000 opening brackets, because it recurses in C.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.spelling import did_you_mean, join_mistakes, show

MAX_DEPTH: Final = 64  # an inventory with ten levels of groups needs 25

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Node:
    """One value of the file. `value` is a text, a list of nodes, or a list of pairs of nodes."""

    __slots__ = ("column", "kind", "line", "plain", "tag", "value")

    def __init__(
        self, kind: Literal["text", "mapping", "list"], value: Any, event: Any, *, plain: bool = False
    ) -> None:
        self.kind = kind
        self.value = value
        self.plain = plain  # text without quotes, which YAML may read as something else
        self.tag: str | None = event.tag
        self.line: int = event.start_mark.line + 1
        self.column: int = event.start_mark.column + 1

    @property
    def is_empty(self) -> bool:
        """Whether the value is missing: `key:`."""
        return self.plain and self.value == ""


def compose(data: bytes, path: str) -> Node | None:
    """Build the nodes of the one document; None when the file is empty."""
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
    levels: list[tuple[Node, list[Node]]] = []  # the open lists and mappings, each with the list that contains it
    holder = roots
    event: Any  # the attributes depend on the class of the event
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
                raise ConfigError(
                    f"{path}:{line}:{column}: the anchor &{event.anchor} is not defined before this alias"
                )
            holder.append(anchors[event.anchor])
            continue
        elif kind is yaml.DocumentStartEvent and roots:
            line = event.start_mark.line + 1
            raise ConfigError(f"{path}:{line}:1: a second document begins here; one file holds one inventory")
        else:
            continue
        if event.anchor:
            anchors[event.anchor] = node
    return roots[0] if roots else None


_HINTS: Final = {
    "mapping values are not allowed in this context": "a value with ': ' in it needs quotes, or the indentation is off",
    "could not find expected ':'": "a key needs a ':' after it",
    "did not find expected key": "the indentation differs from the lines above, or a quote is missing",
    "did not find expected '-' indicator": "the indentation differs from the entries above",
    "did not find expected ',' or '}'": "a value with [ ] inside { } needs quotes; or a ',' or '}' is missing",
    "did not find expected ',' or ']'": "a ',' or ']' is missing",
    "found character that cannot start any token": "a value that begins with @, ` or % needs quotes",
    "found unexpected end of stream": "a quote is not closed",
}


def _syntax_error(error: yaml.MarkedYAMLError, text: str, path: str) -> str:
    """Describe place and cause, without PyYAML's own text: it quotes the line, which may hold a secret."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return f"{path}: not YAML: {error.problem}"
    lines = text.splitlines() or [""]
    line = lines[min(mark.line, len(lines) - 1)]
    hint = _HINTS.get(error.problem or "", "")
    if "\t" in line[: mark.column + 1]:
        hint = "there is a tab; YAML indents with spaces"
    since = f" (in what began in line {error.context_mark.line + 1})" if error.context_mark else ""
    place = f"{path}:{mark.line + 1}:{mark.column + 1}"
    return f"{place}: not YAML: {error.problem}{since}" + (f"; {hint}" if hint else "")


MAX_BYTES: Final = 64 * 1024 * 1024

#: Words that YAML 1.1 reads as something else than text when they stand without quotes.
_WORDS: Final = {
    **dict.fromkeys(("yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"), "true"),
    **dict.fromkeys(("no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"), "false"),
    **dict.fromkeys(("null", "Null", "NULL", "~"), "nothing"),
}
_STANDARD: Final = "tag:yaml.org,2002:"
_NO_WORD: Final = re.compile(r"[^\w-]")
_VAULT: Final = ": name the place of the secret instead, as in env:NAME or command:ARGV"

Pairs = dict[str, tuple[Node, Node]]


class YamlDocument:
    """A file that is being read. Mistakes are collected, so that one message lists them all."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.folder = str(Path(path).absolute().parent)
        self._mistakes: set[tuple[int, int, str]] = set()
        self._merged: dict[int, Pairs] = {}
        self.root = compose(data, path)

    def add_mistake(self, node: Node, message: str) -> None:
        """Record what is wrong with a node."""
        self._mistakes.add((node.line, node.column, message))

    @property
    def has_mistakes(self) -> bool:
        """Whether a mistake was recorded."""
        return bool(self._mistakes)

    def raise_mistakes(self) -> None:
        """Raise all mistakes as one ConfigError, in the order of the file; do nothing when there are none."""
        if not self._mistakes:
            return
        lines = [f"{self.path}:{line}:{column}: {text}" for line, column, text in sorted(self._mistakes)]
        raise ConfigError(join_mistakes(lines, self.path))

    def read_text(self, node: Node) -> str | None:
        """Give the text of a node as it is written; None, and a mistake, when it is not a text."""
        if node.kind != "text":
            self.add_mistake(node, f"a single value is expected here, not a {node.kind}")
        elif node.tag and not node.tag.startswith(_STANDARD) and node.tag != "!":
            self.add_mistake(
                node, f"the tag {show(node.tag)} has no meaning here{_VAULT if 'vault' in node.tag else ''}"
            )
        elif node.is_empty:
            self.add_mistake(node, "a value is missing: write one or leave the key out")
        elif node.plain and node.tag is None and (meaning := _WORDS.get(node.value)):
            self.add_mistake(
                node, f"{node.value} without quotes means {meaning} in YAML, write '{node.value}' for the word"
            )
        else:
            return str(node.value)
        return None

    def read_pairs(self, node: Node) -> Pairs:
        """Give the entries of a mapping by key; none, and a mistake, for another node. `<<` merges as in YAML 1.1."""
        if node.kind != "mapping":
            if not node.is_empty:
                self.add_mistake(
                    node,
                    f"keys with values (`key: value`) are expected here, not a {node.kind}",
                )
            return {}
        pairs: Pairs = {}
        merged: Pairs = {}
        for key_node, value in node.value:
            if key_node.kind == "text" and key_node.plain and key_node.value == "<<":
                for name, pair in self._merge(value).items():
                    merged.setdefault(name, pair)
                continue
            key = self.read_text(key_node)
            if key is None:
                continue
            if key in pairs:
                self.add_mistake(key_node, f"{show(key)} is given twice, first in line {pairs[key][0].line}")
                continue
            pairs[key] = (key_node, value)
        return merged | pairs if merged else pairs

    def read_fields(self, node: Node, known: Collection[str], *, meant: dict[str, str] | None = None) -> Pairs:
        """Give the entries of a mapping with known keys; each other key is a mistake and left out."""
        pairs = self.read_pairs(node)
        for key in [key for key in pairs if key not in known]:
            key_node, _ = pairs.pop(key)
            word = _NO_WORD.split(key, maxsplit=1)[0]
            if word != key:  # for YAML `password:secret` is a key: the text behind the word is not repeated
                hint = ", a key ends with ':' and a space"
            else:
                hint = f", {meant[key]}" if meant and key in meant else did_you_mean(key, known)
            self.add_mistake(key_node, f"unknown key {show(word)}{hint}")
        return pairs

    def _merge(self, node: Node) -> Pairs:
        """Merge the entries of `<<: *one` or `<<: [*one, *two]`; the first value of a key wins."""
        if id(node) not in self._merged:
            self._merged[id(node)] = {}  # an alias inside itself adds nothing
            parts = node.value if node.kind == "list" else [node]
            entries: Pairs = {}
            for part in parts:
                for key, pair in (self.read_pairs(part) if part is node else self._merge(part)).items():
                    entries.setdefault(key, pair)
            self._merged[id(node)] = entries
        return self._merged[id(node)]


def read(path: str) -> YamlDocument:
    """Read a YAML file or a pipe, of at most MAX_BYTES.

    Raises:
        ConfigError: it cannot be read, is not UTF-8 or is not YAML.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reasons = {errno.EISDIR: "is a directory, a file is expected", errno.ENOENT: "the file does not exist"}
        raise ConfigError(f"{path}: {reasons.get(error.errno or 0, os.strerror(error.errno or 0))}") from None
    except ValueError:
        raise ConfigError(f"{show(path)} is not a path") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES // 1024 // 1024} MiB")
    return YamlDocument(path, data)
