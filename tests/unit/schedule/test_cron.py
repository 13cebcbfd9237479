"""The crontab entry, and that nothing else of a crontab is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.schedule import cron

SCRIPT = Path("/etc/sshd-keepalive/schedules/etl.sh")
NIGHTLY = "30 2 * * *"
LINES = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=200)


@given(before=LINES, after=LINES)
def test_other_lines_of_a_crontab_are_never_touched(before: str, after: str) -> None:
    before = before if not before or before.endswith("\n") else before + "\n"
    with_it = cron.with_entry(before, "etl", NIGHTLY, SCRIPT) + after
    assert cron.without_entry(with_it, "etl") == before + after
    assert cron.with_entry(with_it, "etl", NIGHTLY, SCRIPT) == with_it, "installed twice is installed once"
    changed = cron.with_entry(with_it, "etl", "day", SCRIPT)
    assert cron.without_entry(changed, "etl") == before + after
    assert cron.without_entry(with_it, "other") == with_it


def test_an_entry_is_one_line_that_cron_reads_as_it_stands() -> None:
    entry = cron.with_entry("", "etl", NIGHTLY, Path("/opt/50%/it's.sh"))
    assert entry.splitlines()[1] == "30 2 * * * /bin/sh '/opt/50\\%/it'\\''s.sh'"


def test_a_line_that_somebody_put_into_the_entry_stays() -> None:
    crontab = cron.with_entry("", "etl", NIGHTLY, SCRIPT).replace("30 2", "# by hand\n30 2")
    for change in (lambda: cron.without_entry(crontab, "etl"), lambda: cron.with_entry(crontab, "etl", "day", SCRIPT)):
        with pytest.raises(ConfigError, match="not as it was written"):
            change()


def test_words_get_a_minute_that_depends_on_the_name() -> None:
    assert len({cron.fields("day", name).split()[0] for name in ("a", "b", "c", "d", "e")}) > 1
    assert cron.fields("day", "a") == cron.fields("day", "a")
    assert cron.fields("week", "a").endswith(" 6 * * 1")


@pytest.mark.parametrize("every", ["", "Mon..Fri 06:00", "0 6 * *", "0 6 * * 1 rm -rf", "0 6 * * *\n* * * * *"])
def test_what_is_not_a_time_of_cron_is_refused_with_an_example(every: str) -> None:
    with pytest.raises(ConfigError, match="not a time of cron") as caught:
        cron.fields(every, "etl")
    assert "--every day" in str(caught.value.hint)
