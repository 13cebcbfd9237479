"""Colour for the text report, by rich: the first word of a host and the lines of a diff."""

from __future__ import annotations

import io
import re

from rich.console import Console
from rich.text import Text

_STYLES = {
    "ok": "green",
    "applied": "green",
    "waived": "yellow",
    "change": "yellow",
    "drift": "yellow",
    "refused": "red",
    "unreachable": "red",
    "rolled_back": "magenta",
    "unknown": "bold red",
}
_WORD = re.compile(rf"({'|'.join(_STYLES)}) +\S")


def painted(text: str) -> str:
    """The same text with the escape sequences of a terminal."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=100_000, highlight=False)
    out = Text()
    for line in text.splitlines(keepends=True):
        word = _WORD.match(line)
        if word:
            out.append(word[1], _STYLES[word[1]]).append(line[len(word[1]) :])
        else:
            out.append(line, _diff_style(line))
    with console.capture() as captured:
        console.print(out, end="", soft_wrap=True)
    return captured.get()


def _diff_style(line: str) -> str:
    if line.startswith(("--- ", "+++ ")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
