"""Durations as people type them: `90`, `6m`, `1h30m`."""

from __future__ import annotations

import math
import re
from typing import Any, Final

import click

DAY_S: Final = 86400
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)")


class SecondsRange(click.FloatRange):
    """Seconds within a range; `nan` is in none, though click takes it for one in all."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse a number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a valid number", param, ctx)
        return number


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """Seconds, or a number with a unit; several parts add up."""

    name = "duration"

    def __init__(self, least_s: float, most_s: float, *, whole: bool = False) -> None:
        self._least_s = least_s
        self._most_s = most_s
        self._whole = whole

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse a duration."""
        if isinstance(value, float | int):
            return float(value)
        text = str(value).strip().lower()
        parts = _PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            self.fail(f"{value!r} is not a valid duration; write 90, 90s, 6m or 1h30m", param, ctx)
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
        if not self._least_s <= seconds <= self._most_s:
            self.fail(f"{value} is not between {self._least_s:.0f} s and {self._most_s:.0f} s", param, ctx)
        if self._whole and seconds != int(seconds):
            self.fail(f"{value} is not a whole number of seconds", param, ctx)
        return float(seconds)
