"""The unit files, byte for byte where it matters; systemd itself reads them in the lab."""

from __future__ import annotations

from pathlib import Path

import pytest

from sshd_keepalive.schedule import systemd

SCRIPT = Path("/etc/sshd-keepalive/schedules/etl.sh")


def test_a_timer_makes_up_for_what_was_missed() -> None:
    assert systemd.render_timer("etl", "Mon..Fri 06:00") == (
        "[Unit]\nDescription=sshd-keepalive: when the check etl runs\n\n"
        "[Timer]\nOnCalendar=Mon..Fri 06:00\n"
        "Persistent=yes\nRandomizedDelaySec=0\nAccuracySec=1s\n\n[Install]\nWantedBy=timers.target\n"
    )


def test_a_word_leaves_jitter_to_systemd() -> None:
    text = systemd.render_timer("etl", "day")
    assert "OnCalendar=*-*-* 06:00:00\n" in text
    assert "RandomizedDelaySec=600\n" in text


def test_the_service_counts_drift_as_a_result_and_ends_a_run_that_takes_too_long() -> None:
    text = systemd.render_service("etl", SCRIPT, is_system=False, limit_s=7200)
    assert f'ExecStart=/bin/sh "{SCRIPT}"\n' in text
    assert "SuccessExitStatus=1\n" in text
    assert "TimeoutStartSec=7200\n" in text
    assert "ProtectSystem" not in text, "a user's manager may have no namespaces to give"


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/srv/www", '"-/srv/www"'),
        ("/srv/$HOME/a b", '"-/srv/$HOME/a b"'),  # systemd expands variables in command lines alone
        ('/a"%n\\', '"-/a\\"%%n\\\\"'),
    ],
)
def test_the_system_service_writes_where_reports_go_and_nowhere_else(path: str, word: str) -> None:
    text = systemd.render_service("etl", SCRIPT, is_system=True, limit_s=3600, writable=(path,))
    assert "ProtectSystem=strict\n" in text
    assert [line for line in text.splitlines() if line.startswith("ReadWritePaths")] == [f"ReadWritePaths={word}"]


def test_a_line_end_in_a_path_begins_no_line() -> None:
    text = systemd.render_service("etl", Path("/a\nExecStartPre=/bin/evil"), is_system=True, limit_s=3600)
    assert 'ExecStart=/bin/sh "/a\\nExecStartPre=/bin/evil"\n' in text
