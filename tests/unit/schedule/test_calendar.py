"""When a schedule runs, in the tongues of systemd and cron; checked against systemd itself in the lab."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.schedule import calendar as timetable

MOMENT = datetime(2026, 11, 25, 13, 30, tzinfo=UTC)  # a Wednesday


@pytest.mark.parametrize(
    ("text", "calendars"),
    [
        ("hour", ("*-*-* *:00:00",)),
        ("day", ("*-*-* 06:00:00",)),
        ("Week", ("Mon *-*-* 06:00:00",)),
        ("0 6 * * 1-5", ("Mon,Tue,Wed,Thu,Fri *-*-* 06:00:00",)),
        ("*/20 * * * *", ("*-*-* *:00,20,40:00",)),
        ("5 4 1 jan,jul *", ("*-01,07-01 04:05:00",)),
        ("0 0 * * 7", ("Sun *-*-* 00:00:00",)),
        # cron: on the 13th, and on every Friday
        ("0 0 13 * 5", ("*-*-13 00:00:00", "Fri *-*-* 00:00:00")),
        ("Mon..Fri 06:00", ("Mon..Fri 06:00",)),
    ],
)
def test_what_users_write_becomes_calendar_events(text: str, calendars: tuple[str, ...]) -> None:
    assert timetable.read(text, "etl").calendars == calendars


def test_words_leave_a_minute_of_their_own_to_cron_and_jitter_to_systemd() -> None:
    minutes = {timetable.read("day", name).cron.split()[0] for name in ("a", "b", "c", "d", "e")}
    assert len(minutes) > 1
    assert timetable.read("day", "a").cron == timetable.read("day", "a").cron
    assert timetable.read("day", "a").jitter_s > 0
    assert timetable.read("0 6 * * *", "a").jitter_s == 0, "a time that was written out is kept"
    assert timetable.read("Mon..Fri 06:00", "a").cron == "", "only systemd can say it"


@pytest.mark.parametrize("text", ["", "61 * * * *", "* * * * 9", "0 0 31 2 *", "0 0 L * *", "a b c d e"])
def test_what_cron_would_refuse_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        timetable.read(text, "x")
    assert caught.value.hint is not None
    assert "--every day" in caught.value.hint


@given(minute=st.integers(0, 59), hour=st.integers(0, 23), weekday=st.integers(0, 6))
def test_the_next_run_is_the_first_moment_that_fits(minute: int, hour: int, weekday: int) -> None:
    at = timetable.next_run(f"{minute} {hour} * * {weekday}", MOMENT)
    assert at is not None
    assert (at.minute, at.hour, at.isoweekday() % 7) == (minute, hour, weekday)
    assert timedelta() < at - MOMENT <= timedelta(days=7)
