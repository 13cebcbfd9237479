"""Say which known word was probably meant."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give `, did you mean 'X'?` for the nearest known word, or an empty string when none is near."""
    from difflib import get_close_matches  # 9 ms, and only a mistake needs it

    folded = {name.casefold(): name for name in known}
    near = get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return f", did you mean {folded[near[0]]!r}?" if near else ""


def shown(text: str, *, longest: int = 60) -> str:
    """Quote what somebody wrote, so that control characters cannot reach a terminal and a page cannot flood it."""
    return repr(text if len(text) <= longest else text[:longest] + "…")
