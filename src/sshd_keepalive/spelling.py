"""Texts for people: suggest a known word, quote input, shorten lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MOST_MISTAKES = 30  # in one message


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give `, did you mean 'X'?` for the nearest known word, or an empty string when none is near."""
    from difflib import get_close_matches  # 9 ms, and only a mistake needs it

    folded = {name.casefold(): name for name in known}
    near = get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return f", did you mean {folded[near[0]]!r}?" if near else ""


def show(text: str, *, longest: int = 60) -> str:
    """Quote input, so that control characters do not reach a terminal; shorten it to `longest` characters."""
    return repr(text if len(text) <= longest else text[:longest] + "…")


def write_count(n: int, noun: str) -> str:
    """Write a number and its noun: `1 host`, `2 hosts`."""
    return f"{n} {noun}{'s' * (n != 1)}"


def join_first(texts: Sequence[object], most: int) -> str:
    """Join texts with commas, at most so many: `a, b and 3 more`."""
    return ", ".join(map(str, texts[:most])) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def join_mistakes(mistakes: Iterable[str], source: str = "") -> str:
    """Join the mistakes in a source as one message, one a line; after MOST_MISTAKES lines only their number."""
    return "\n".join(cut_lines(tuple(mistakes), MOST_MISTAKES, f"{source}: " * bool(source) + "{n} more mistakes"))


def cut_lines(lines: Sequence[str], most: int, rest: str) -> list[str]:
    """Cut a list of lines after `most` lines, and add how many were left out.

    Args:
        rest: the last line; `{n}` stands for the number.
    """
    return [*lines[:most], *([rest.replace("{n}", str(len(lines) - most))] if len(lines) > most else [])]
