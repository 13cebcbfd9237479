"""Ranges in names and addresses, `ecs-[01:20]`, as in Ansible's inventories."""

from __future__ import annotations

import re
from itertools import product
from math import prod
from string import ascii_letters
from typing import Final

MOST: Final = 1_000_000  # names that one text may give; more is a typing error

_RANGE = re.compile(r"\[(?P<first>[0-9]+|[A-Za-z]):(?P<last>[0-9]+|[A-Za-z])(?::(?P<step>[0-9]+))?\]")


def has_range(text: str) -> bool:
    """Whether the text holds a range."""
    return "[" in text and _RANGE.search(text) is not None


def expand(text: str) -> tuple[str, ...]:
    """Expand the ranges in a text; the rightmost range counts fastest.

    `[1:3]` is 1 2 3, both ends included; `[01:10]` keeps its width; `[a:f]` counts letters; `[1:9:2]` takes every
    second. Several ranges give all combinations. A text without a range gives itself.
    Source: Ansible's inventory guide, "Adding ranges of hosts".

    Raises:
        ValueError: a range runs backwards, mixes letters and digits, pads unevenly or gives more than MOST.
    """
    if not has_range(text):
        return (text,)
    literal: list[str] = []
    ranges: list[list[str]] = []
    end = 0
    for match in _RANGE.finditer(text):
        literal.append(text[end : match.start()])
        ranges.append(_count(match))
        end = match.end()
    if prod(map(len, ranges)) > MOST:
        raise ValueError(f"{text} gives more than {MOST:,} names")
    tail = text[end:]
    return tuple("".join(map("".join, zip(literal, counted, strict=True))) + tail for counted in product(*ranges))


def _count(match: re.Match[str]) -> list[str]:
    first, last, step = match["first"], match["last"], int(match["step"] or 1)
    if step == 0:
        raise ValueError(f"{match[0]} has a step of 0")
    if first.isdigit() != last.isdigit():
        raise ValueError(f"{match[0]} mixes letters and digits")
    if first.isdigit():
        return _count_numbers(match[0], first, last, step)
    low, high = ascii_letters.index(first), ascii_letters.index(last)
    if first.islower() != last.islower() or low > high:
        raise ValueError(f"{match[0]} runs backwards")
    return list(ascii_letters[low : high + 1 : step])


def _count_numbers(text: str, first: str, last: str, step: int) -> list[str]:
    if len(first) > 1 and first[0] == "0" and len(first) != len(last):
        raise ValueError(f"{text} pads its ends to different widths")
    if int(first) > int(last):
        raise ValueError(f"{text} runs backwards")
    if (int(last) - int(first)) // step >= MOST:
        raise ValueError(f"{text} gives more than {MOST:,} names")
    width = len(first) if first[0] == "0" else 0
    return [f"{number:0{width}d}" for number in range(int(first), int(last) + 1, step)]
