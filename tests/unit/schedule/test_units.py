"""The unit files and the crontab entry, byte for byte, and that nothing else of a crontab is touched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.schedule import calendar as timetable
from sshd_keepalive.schedule import units as timers

ARGV = ("/opt/a b/python", "-m", "sshd_keepalive", "schedule", "run", "etl")
NIGHTLY = timetable.read("30 2 * * *", "etl")


def test_a_timer_makes_up_for_what_was_missed() -> None:
    assert timers.timer("etl", timetable.read("0 0 13 * 5", "etl")) == (
        "[Unit]\nDescription=sshd-keepalive: when the check etl runs\n\n"
        "[Timer]\nOnCalendar=*-*-13 00:00:00\nOnCalendar=Fri *-*-* 00:00:00\n"
        "Persistent=yes\nRandomizedDelaySec=0\nAccuracySec=1s\n\n[Install]\nWantedBy=timers.target\n"
    )


def test_the_service_counts_drift_as_a_result_and_quotes_every_word() -> None:
    text = timers.service("etl", ('/a "b"/p%n', "$HOME"), is_system=False, limit_s=3600)
    assert 'ExecStart="/a \\"b\\"/p%%n" "$$HOME"\n' in text
    assert "SuccessExitStatus=1 75\n" in text
    assert "TimeoutStartSec=4200\n" in text, "a run that hangs fails the unit"
    assert "ProtectSystem" not in text, "a user's manager may have no namespaces to give"


def test_the_system_service_writes_where_reports_go_and_nowhere_else() -> None:
    text = timers.service("etl", ARGV, is_system=True, limit_s=3600, writable=("/srv/www",))
    assert "ProtectSystem=strict\n" in text
    assert [line for line in text.splitlines() if line.startswith("ReadWritePaths")] == ['ReadWritePaths="-/srv/www"']


def test_a_line_end_in_a_path_begins_no_line() -> None:
    text = timers.service("etl", ("/a\nExecStartPre=/bin/evil",), is_system=True, limit_s=3600)
    assert 'ExecStart="/a\\nExecStartPre=/bin/evil"\n' in text
    with pytest.raises(ValueError, match="NUL"):
        timers.service("etl", ("/a\0b",), is_system=True, limit_s=3600)


LINES = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=200)


@given(before=LINES, after=LINES)
def test_other_lines_of_a_crontab_are_never_touched(before: str, after: str) -> None:
    before = before if not before or before.endswith("\n") else before + "\n"
    with_it = timers.with_entry(before, "etl", NIGHTLY, ARGV) + after
    assert timers.without_entry(with_it, "etl") == before + after
    assert timers.with_entry(with_it, "etl", NIGHTLY, ARGV) == with_it, "installed twice is installed once"
    changed = timers.with_entry(with_it, "etl", timetable.read("day", "etl"), ARGV)
    assert timers.without_entry(changed, "etl") == before + after
    assert timers.has_entry(changed, "etl")
    assert timers.without_entry(with_it, "other") == with_it


def test_an_entry_is_one_line_that_cron_reads_as_it_stands() -> None:
    entry = timers.with_entry("", "etl", NIGHTLY, ("/opt/50%/python", "it's"))
    assert entry.splitlines()[1] == "30 2 * * * '/opt/50\\%/python' 'it'\\''s'"


def test_a_line_that_somebody_put_into_the_entry_stays() -> None:
    crontab = timers.with_entry("", "etl", NIGHTLY, ARGV).replace("30 2", "# by hand\n30 2")
    assert timers.without_entry(crontab, "etl") == crontab


def test_what_only_systemd_can_say_is_refused_for_cron() -> None:
    with pytest.raises(ConfigError, match="needs systemd"):
        timers.with_entry("", "etl", timetable.read("Mon..Fri 06:00", "etl"), ARGV)
