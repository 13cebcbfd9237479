"""One YAML file that is being read, and the mistakes found in it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from sshd_keepalive.config.nodes import Node, compose
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.spelling import did_you_mean, first_lines, shown

MAX_BYTES: Final = 64 * 1024 * 1024
MOST_TOLD: Final = 30  # mistakes in one message

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
    """A file that is being read. Mistakes are collected, so that one look at the message shows them all."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.folder = str(Path(path).absolute().parent)
        self._mistakes: set[tuple[int, int, str]] = set()
        self._merged: dict[int, Pairs] = {}
        self.root = compose(data, path)

    def mistake(self, node: Node, message: str) -> None:
        """Note what is wrong with a node."""
        self._mistakes.add((node.line, node.column, message))

    @property
    def has_mistakes(self) -> bool:
        """Something was noted."""
        return bool(self._mistakes)

    def raise_mistakes(self) -> None:
        """Raise all mistakes as one ConfigError, in the order of the file; do nothing when there are none."""
        if not self._mistakes:
            return
        lines = [f"{self.path}:{line}:{column}: {text}" for line, column, text in sorted(self._mistakes)]
        raise ConfigError("\n".join(first_lines(lines, MOST_TOLD, f"{self.path}: {{n}} more mistakes")))

    def text(self, node: Node) -> str | None:
        """Give the text of a node as it was written, or None after noting why it is none."""
        if node.kind != "text":
            self.mistake(node, f"a single value is expected here, not a {node.kind}")
        elif node.tag and not node.tag.startswith(_STANDARD) and node.tag != "!":
            self.mistake(node, f"the tag {shown(node.tag)} has no meaning here{_VAULT if 'vault' in node.tag else ''}")
        elif node.is_empty:
            self.mistake(node, "a value is missing: write one or leave the key out")
        elif node.plain and node.tag is None and (meaning := _WORDS.get(node.value)):
            self.mistake(
                node, f"{node.value} without quotes means {meaning} in YAML, write '{node.value}' for the word"
            )
        else:
            return str(node.value)
        return None

    def pairs(self, node: Node) -> Pairs:
        """Give the entries of a mapping by key; empty after noting that it is none. `<<` merges as in YAML 1.1."""
        if node.kind != "mapping":
            if not node.is_empty:
                self.mistake(
                    node,
                    f"keys with values (`key: value`) are expected here, not a {node.kind}",
                )
            return {}
        found: Pairs = {}
        merged: Pairs = {}
        for key_node, value in node.value:
            if key_node.kind == "text" and key_node.plain and key_node.value == "<<":
                for name, pair in self._merge(value).items():
                    merged.setdefault(name, pair)
                continue
            key = self.text(key_node)
            if key is None:
                continue
            if key in found:
                self.mistake(key_node, f"{shown(key)} was given before, in line {found[key][0].line}")
                continue
            found[key] = (key_node, value)
        return merged | found if merged else found

    def fields(self, node: Node, known: Collection[str], *, meant: dict[str, str] | None = None) -> Pairs:
        """Give the entries of a mapping whose keys are all known; the others are noted and left out."""
        pairs = self.pairs(node)
        for key in [key for key in pairs if key not in known]:
            key_node, _ = pairs.pop(key)
            word = _NO_WORD.split(key, maxsplit=1)[0]
            if word != key:  # `password:secret` and `password secret` are keys to YAML: the rest is not repeated
                hint = ", a key ends with ':' and a space"
            else:
                hint = f", {meant[key]}" if meant and key in meant else did_you_mean(key, known)
            self.mistake(key_node, f"unknown key {shown(word)}{hint}")
        return pairs

    def _merge(self, node: Node) -> Pairs:
        """The entries that `<<: *one` or `<<: [*one, *two]` brings; the first that has a key wins."""
        if id(node) not in self._merged:
            self._merged[id(node)] = {}  # an alias inside itself brings nothing
            parts = node.value if node.kind == "list" else [node]
            entries: Pairs = {}
            for part in parts:
                for key, pair in (self.pairs(part) if part is node else self._merge(part)).items():
                    entries.setdefault(key, pair)
            self._merged[id(node)] = entries
        return self._merged[id(node)]


def read(path: str) -> YamlDocument:
    """Read a YAML file of at most MAX_BYTES; a pipe will do.

    Raises:
        ConfigError: it cannot be read, is not UTF-8 or is not YAML.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reasons = {errno.EISDIR: "is a directory, a file is expected", errno.ENOENT: "there is no such file"}
        raise ConfigError(f"{path}: {reasons.get(error.errno or 0, os.strerror(error.errno or 0))}") from None
    except ValueError:
        raise ConfigError(f"{shown(path)} is not a path") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES // 1024 // 1024} MiB")
    return YamlDocument(path, data)
