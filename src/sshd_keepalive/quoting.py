"""The one place where a value becomes a word of shell text or of a unit file, and hostile text printable."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

#: Words that every shell, also csh, fish and zsh, takes as they are. zsh expands `=` at the beginning.
_PLAIN: Final = re.compile(r"[\w@+:,./-][\w@+=:,./-]*", re.ASCII)


def quote(value: str) -> str:
    """Quote a value as one POSIX shell word that means exactly `value`, in quotes where it needs them.

    Raises:
        ValueError: a NUL byte, which no shell can carry.
    """
    if "\0" in value:
        raise ValueError("a NUL byte cannot be passed to a shell")
    if _PLAIN.fullmatch(value):
        return value
    return "'" + value.replace("'", "'\\''") + "'"


def join(words: Iterable[str]) -> str:
    """Join the words of a command, each quoted."""
    return " ".join(map(quote, words))


def quote_bytes(value: bytes) -> str:
    """Quote file contents, like `quote`; bytes that are not UTF-8 become surrogate escapes."""
    return quote(value.decode("utf-8", "surrogateescape"))


def quote_unit_word(text: str) -> str:
    """Quote a word of a unit file: systemd.service(5), "Command lines", and systemd.unit(5), "Specifiers".

    Raises:
        ValueError: a NUL byte, which no command line can carry.
    """
    return quote_unit_path(text).replace("$", "$$")


def quote_unit_path(text: str) -> str:
    """Quote a path of a list of paths in a unit file, where systemd expands no variables: systemd.exec(5).

    Raises:
        ValueError: a NUL byte, which no path can hold.
    """
    if "\0" in text:
        raise ValueError("a NUL byte cannot be in a path")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r") + '"'


def printable(text: str) -> str:
    r"""Make text from a host safe for a terminal: control characters as \x1b, line ends and tabs kept.

    Also escapes what rearranges lines (bidirectional overrides) and undecodable bytes (surrogates).
    """
    if text.isprintable():
        return text
    return "".join(ch if ch in "\n\t" or ch.isprintable() else _escape(ch) for ch in text)


def printable_line(text: str) -> str:
    r"""Make text safe like `printable`, on one line: line ends are shown as \x0a and the like, tabs are kept."""
    return printable(text).replace("\n", "\\x0a")


def _escape(ch: str) -> str:
    code = ord(ch)
    if 0xDC80 <= code <= 0xDCFF:  # a surrogate escape stands for one undecodable byte
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
