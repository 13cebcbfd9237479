"""When a line of a log was written. Only differences between lines of one log are ever used."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK_TIME: Final = r"(\d\d:\d\d:\d\d(?:[.,]\d{1,9})?)"
# 2026-01-31T02:00:00.5, 2026-01-31 02:00:00,500, 2026/01/31 02:00:00, and Airflow's [2026-01-31, 02:00:00 UTC].
_DATED: Final = re.compile(rf"(?<!\d)(\d{{4}})[-/](\d\d)[-/](\d\d)[T, ]{{1,2}}{_CLOCK_TIME}\s?(Z|[+-]\d\d:?\d\d)?")
_SYSLOG: Final = re.compile(r"^\W{0,3}([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d:\d\d:\d\d)")
_CLOCK: Final = re.compile(rf"^\W{{0,2}}{_CLOCK_TIME}\b")
_REACH: Final = 160  # a time stands at the beginning of a line
_LEAP_YEAR: Final = 2000  # syslog tells no year; the 29th of February must exist


def read_time(line: str) -> datetime | None:
    """Read the time at the beginning of a line, naive, in UTC if there is an offset; None: there is no time.

    A clock without a date is one of the first of January; `measure_elapsed_s` mends midnight.
    """
    head = line[:_REACH]
    try:
        if match := _DATED.search(head):
            at = datetime.fromisoformat(f"{match[1]}-{match[2]}-{match[3]}T{match[4]}{match[5] or ''}")
            return at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
        if match := _SYSLOG.match(head):
            month = _MONTHS.index(match[1].lower()) + 1
            return datetime.fromisoformat(f"{_LEAP_YEAR}-{month:02}-{int(match[2]):02}T{match[3]}")
        if match := _CLOCK.match(head):
            return datetime.fromisoformat(f"{_LEAP_YEAR}-01-01T{match[1]}")
    except (ValueError, OverflowError):  # month 13 or Foo, or the year 0001 in Kiribati
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
