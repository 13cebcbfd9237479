"""When a line of a log was written. Only differences between lines of one log are ever used."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# 2026-01-31T02:00:00.5, 2026-01-31 02:00:00,500, 2026/01/31 02:00:00, and Airflow's [2026-01-31, 02:00:00 UTC].
_DATED: Final = re.compile(
    r"(?<!\d)(\d{4})[-/](\d\d)[-/](\d\d)[T, ]{1,2}(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?\s?(Z|[+-]\d\d:?\d\d)?"
)
_SYSLOG: Final = re.compile(r"^\W{0,3}([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d)")
_CLOCK: Final = re.compile(r"^\W{0,2}(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?\b")
_REACH: Final = 160  # a time stands at the beginning of a line
_LEAP_YEAR: Final = 2000  # syslog tells no year; the 29th of February must exist


def read_time(line: str) -> datetime | None:
    """The time a line begins with, naive, in UTC where there is an offset; None when there is none.

    A clock without a date is one of the first of January; `later` mends midnight.
    """
    head = line[:_REACH]
    try:
        if match := _DATED.search(head):
            year, month, day, hour, minute, second = (int(match[number]) for number in range(1, 7))
            at = datetime(year, month, day, hour, minute, second, _read_microseconds(match[7]))  # noqa: DTZ001
            return at - _read_offset(match[8])
        if match := _SYSLOG.match(head):
            name, day, hour, minute, second = match[1].lower(), *(int(match[number]) for number in range(2, 6))
            if name not in _MONTHS:
                return None
            return datetime(_LEAP_YEAR, _MONTHS.index(name) + 1, day, hour, minute, second)  # noqa: DTZ001
        if match := _CLOCK.match(head):
            hour, minute, second = (int(match[number]) for number in range(1, 4))
            return datetime(_LEAP_YEAR, 1, 1, hour, minute, second, _read_microseconds(match[4]))  # noqa: DTZ001
    except (ValueError, OverflowError):  # month 13, or the year 0001 in Kiribati
        return None
    return None


def measure_elapsed_s(earlier: datetime, later: datetime) -> float | None:
    """Seconds from one line to a later one; None when the clock ran backwards and nothing explains it.

    Without a date midnight wraps, without a year New Year does.
    """
    seconds = (later - earlier).total_seconds()
    if seconds < 0 and later.year == earlier.year == _LEAP_YEAR:
        dated = (earlier.month, earlier.day) != (1, 1) or (later.month, later.day) != (1, 1)
        seconds += timedelta(days=366 if dated else 1).total_seconds()
        if seconds > timedelta(days=1).total_seconds():
            return None
    return seconds if seconds >= 0 else None


def _read_microseconds(digits: str | None) -> int:
    return int((digits or "0").ljust(6, "0")[:6])


def _read_offset(text: str | None) -> timedelta:
    if not text or text == "Z":
        return timedelta()
    sign = -1 if text[0] == "-" else 1
    return sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
