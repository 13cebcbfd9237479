"""The line of the crontab, and that nothing else of a crontab is touched."""

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
    with_line = cron.add_line(before, SCRIPT, NIGHTLY) + after
    assert cron.remove_line(with_line, SCRIPT) == before + after
    assert cron.add_line(with_line, SCRIPT, NIGHTLY) == with_line, "installed twice is installed once"
    changed = cron.add_line(with_line, SCRIPT, "0 6 * * *")
    assert changed == cron.add_line(before, SCRIPT, "0 6 * * *") + after
    assert cron.remove_line(with_line, SCRIPT.with_name("other.sh")) == with_line


def test_cron_reads_a_line_unchanged() -> None:
    line = cron.add_line("", Path("/opt/50%/it's.sh"), NIGHTLY)
    assert line == "30 2 * * * /bin/sh '/opt/50\\%/it'\\''s.sh'\n"


@pytest.mark.parametrize(
    "edited", ["0 7 * * * /bin/sh {}", "@daily  /bin/sh {} # by hand\n", " 0 7 * * * LANG=C /bin/sh {}\n"]
)
def test_a_line_that_was_edited_by_hand_is_still_that_of_the_schedule(edited: str) -> None:
    crontab = "MAILTO=ops\n# mine\n" + edited.format(SCRIPT)
    assert cron.remove_line(crontab, SCRIPT) == "MAILTO=ops\n# mine\n"
    assert cron.add_line(crontab, SCRIPT, NIGHTLY) == f"MAILTO=ops\n# mine\n{NIGHTLY} /bin/sh {SCRIPT}\n"


def test_a_line_that_was_commented_out_stays() -> None:
    crontab = f"# 0 7 * * * /bin/sh {SCRIPT}\n"
    assert cron.remove_line(crontab, SCRIPT) == crontab
    assert cron.add_line(crontab, SCRIPT, NIGHTLY).startswith(crontab)


def test_words_get_a_minute_that_depends_on_the_name() -> None:
    assert len({cron.choose_fields("day", name).split()[0] for name in ("a", "b", "c", "d", "e")}) > 1
    assert cron.choose_fields("day", "a") == cron.choose_fields("day", "a")
    assert cron.choose_fields("week", "a").endswith(" 6 * * 1")


@pytest.mark.parametrize("every", ["", "Mon..Fri 06:00", "0 6 * *", "0 6 * * 1 rm -rf", "0 6 * * *\n* * * * *"])
def test_what_is_not_a_time_of_cron_is_refused_with_an_example(every: str) -> None:
    with pytest.raises(ConfigError, match="not a time of cron") as caught:
        cron.choose_fields(every, "etl")
    assert "--every daily" in str(caught.value.hint)
