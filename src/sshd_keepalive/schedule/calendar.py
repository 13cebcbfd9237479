"""When a scheduled check runs: what users write, as systemd and as cron write it.

Sources: systemd.time(7), "Calendar Events"; crontab(5). In cron a day counts when the day of the month or the day of
the week fits, where both are restricted; in systemd both must fit, so that becomes two expressions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zlib import crc32

from sshd_keepalive.errors import ConfigError

_WEEKDAYS: Final = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")  # crontab(5) counts from Sunday
_CRON: Final = re.compile(r"(?:[0-9A-Za-z*,/-]+\s+){4}[0-9A-Za-z*,/-]+")
_HOUR: Final = 6  # "every morning": before people come, after the night's jobs
_ANY_MOMENT: Final = datetime(2000, 1, 1, tzinfo=UTC)
_JITTER_S: Final = 600
_DAYS: Final = 4 * 366 + 1  # a 29 February comes within them


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """One timetable in both tongues.

    Attributes:
        text: what the user wrote.
        calendars: OnCalendar expressions; any of them starts a run.
        cron: five fields; empty where only systemd can say it.
        jitter_s: how much later a run may begin, so that not everybody runs at once. A time that was written out is
            kept to the minute.
    """

    text: str
    calendars: tuple[str, ...]
    cron: str = ""
    jitter_s: int = 0


def read(text: str, name: str) -> Timetable:
    """Understand `hour`, `day`, `week`, five fields of cron, or an OnCalendar expression.

    Args:
        name: of the schedule; it settles the minute that cron is given, so that not everybody runs at once.
    Raises:
        ConfigError: fields that cron would refuse. An OnCalendar expression is systemd's to judge.
    """
    text = " ".join(text.split())
    minute = crc32(name.encode()) % 60
    match text.lower():
        case "hour":
            return _word(text, "*-*-* *:00:00", f"{minute} * * * *")
        case "day":
            return _word(text, f"*-*-* {_HOUR:02}:00:00", f"{minute} {_HOUR} * * *")
        case "week":
            return _word(text, f"Mon *-*-* {_HOUR:02}:00:00", f"{minute} {_HOUR} * * 1")
    if not text:
        raise ConfigError("--every is empty", hint=_hint())
    if _CRON.fullmatch(text):
        return Timetable(text=text, calendars=_calendars(text), cron=text)
    return Timetable(text=text, calendars=(text,))


def _word(text: str, calendar: str, cron: str) -> Timetable:
    return Timetable(text=text, calendars=(calendar,), cron=cron, jitter_s=_JITTER_S)


def next_run(cron: str, after: datetime) -> datetime | None:
    """When cron starts five fields next, in the time zone of `after`; None: not within four years."""
    found: datetime | None = next(_cron(cron, after), None)
    return found if found is not None and found - after < timedelta(days=_DAYS) else None


def _cron(text: str, after: datetime):  # type: ignore[no-untyped-def]  # the library is untyped
    from cronsim import CronSim, CronSimError

    try:
        return CronSim(text, after)
    except CronSimError as error:
        raise ConfigError(f"--every {text!r}: cron would refuse it: {str(error).lower()}", hint=_hint()) from None


def _calendars(text: str) -> tuple[str, ...]:
    fields = _cron(text, _ANY_MOMENT)
    if next(fields, None) is None:
        raise ConfigError(f"--every {text!r}: there is no such day", hint=_hint())
    time = f"{_list(fields.hours, 24)}:{_list(fields.minutes, 60)}:00"
    months = _list(fields.months, 12)
    days, weekdays = sorted(fields.days), fields.weekdays
    if any(not isinstance(day, int) or day < 1 for day in days) or any(not isinstance(day, int) for day in weekdays):
        raise ConfigError(f"--every {text!r}: only numbers, names, lists, ranges and steps", hint=_hint())
    weekdays = {day % 7 for day in weekdays}  # 7 is a Sunday, too
    by_month = f"*-{months}-{_list(days, 31)} {time}"
    if len(weekdays) == 7:
        return (by_month,)
    names = ",".join(_WEEKDAYS[day] for day in sorted(weekdays))
    by_week = f"{names} *-{months}-* {time}"
    if len(days) == 31:
        return (by_week,)
    return (f"{names} {by_month}",) if fields.day_and else (by_month, by_week)


def _list(numbers: Iterable[int], n_all: int) -> str:
    found = sorted(numbers)
    return "*" if len(found) == n_all else ",".join(f"{number:02}" for number in found)


def _hint() -> str:
    return 'for example --every day, --every "0 6 * * 1-5", or with systemd --every "Mon..Fri 06:00"'
