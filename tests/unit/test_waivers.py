"""A host that may differ: until a day, with a reason and an owner, and never among the passing ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from sshd_keepalive.cli.exit_code import compute_exit_code
from sshd_keepalive.fleet.report import report_reading
from sshd_keepalive.history import outcome
from sshd_keepalive.model import Context, Dump, HostReport, Run, State, Waiver
from sshd_keepalive.reports import markdown
from sshd_keepalive.reports import text as text_report
from sshd_keepalive.sshd_config.reading import read
from tests.support.snapshots import MAIN, NOON, look

TEXT = "vendor appliance, ticket 4711"
WRONG = "ClientAliveInterval 0\nClientAliveCountMax 3\n"
RIGHT = "ClientAliveInterval 300\nClientAliveCountMax 3\n"


def judged(text: str, until: date, **more: tuple[Dump, ...]) -> HostReport:
    """A host looked at on 2026-01-31."""
    snapshot = look({MAIN: text}, **more)
    waiver = Waiver(reason=TEXT, owner="jo", until=until)
    return report_reading(read(replace(snapshot, host=replace(snapshot.host, waiver=waiver))))


@pytest.mark.parametrize(
    ("text", "until", "verdict", "note", "code"),
    [
        (WRONG, date(2026, 1, 31), State.WAIVED, f"waived until 2026-01-31 by jo: {TEXT}", 0),
        (WRONG, date(2026, 1, 30), State.DRIFT, f"the waiver of jo ended on 2026-01-30: {TEXT}", 1),
        (RIGHT, date(2026, 1, 31), State.OK, "", 0),
        (RIGHT, date(2026, 1, 30), State.OK, "", 0),
    ],
)  # fmt: skip
def test_a_waiver_holds_to_its_last_day(text: str, until: date, verdict: State, note: str, code: int) -> None:
    report = judged(text, until)
    assert report.state is verdict
    assert report.notes == ((note,) if note else ())
    assert compute_exit_code([report], "check") == code
    assert note in text_report.render_hosts([report])


def test_what_could_not_be_determined_was_never_waived() -> None:
    report = judged(WRONG, date(2027, 1, 1), dumps=(_says("0", "7"),))
    assert {finding.state for finding in report.findings} == {State.DRIFT, State.UNKNOWN}
    assert report.state is State.UNKNOWN
    assert compute_exit_code([report], "check") == 3


def test_a_waived_host_is_counted_apart() -> None:
    waived, passing = judged(WRONG, date(2027, 1, 1)), judged(RIGHT, date(2027, 1, 1))
    run = Run(id="r", command="check", started_at=NOON, ended_at=NOON, exit_code=0, hosts=(waived, passing))
    counted = outcome.count(run)
    assert counted == {State.OK: 1, State.WAIVED: 1}
    assert text_report.render_totals(run) == "2 hosts: 1 ok, 1 waived\n"
    assert markdown.render(run).count("waived until") == 1


def _says(interval: str, count: str) -> Dump:
    return Dump(context=Context(), settings=(("clientaliveinterval", interval), ("clientalivecountmax", count)))
