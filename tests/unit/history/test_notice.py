"""When a run is worth a message, and what the message says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sshd_keepalive.history import notice, outcome
from sshd_keepalive.history.notice import When
from sshd_keepalive.model import Finding, PastRun, Run, Scope, State, Subject
from tests.contract.test_reports import FULL, a_run
from tests.support.fleets import NOW, a_fleet

FLEET = a_fleet(12, n_past=0)
FINE = replace(FLEET, hosts=tuple(r for r in FLEET.hosts if r.state is State.OK), exit_code=0)
QUIET = replace(FLEET, hosts=tuple(replace(report, changes=()) for report in FLEET.hosts), exit_code=3)


def after(run: Run, *, n_fail_more: int = 0) -> Run:
    """The run, with one before it that came to the same."""
    counts = outcome.count(run)
    past = PastRun(
        id="p",
        command="check",
        started_at=NOW,
        counts=counts | {State.OK: counts[State.OK] - n_fail_more, State.DRIFT: counts[State.DRIFT] + n_fail_more},
    )
    return replace(run, past=(replace(past, counts={}), past))


@pytest.mark.parametrize(
    ("run", "change", "drift"),
    [
        (FINE, False, False),
        (QUIET, True, True),  # nothing to compare with
        (after(FINE), False, False),
        (after(QUIET), False, True),  # still as bad as it was
        (after(FINE, n_fail_more=1), True, False),  # it became better
        (after(FLEET), True, True),  # the numbers are the same, the hosts are not
        (replace(FINE, exit_code=130), True, True),  # interrupted
        (replace(FINE, hosts=()), False, False),
    ],
)
def test_a_run_is_due(run: Run, change: bool, drift: bool) -> None:
    assert notice.is_due(run, When.CHANGE) is change
    assert notice.is_due(run, When.DRIFT) is drift
    assert notice.is_due(run, When.ALWAYS)


def test_a_waived_host_is_neither_passing_nor_wrong() -> None:
    waived = replace(FLEET, hosts=tuple(r for r in FLEET.hosts if r.state is State.WAIVED), exit_code=0)
    assert waived.hosts
    assert not notice.is_due(waived, When.DRIFT)


def test_the_message_lists_changes_then_each_problem_with_its_line() -> None:
    message = notice.compose(after(FLEET, n_fail_more=1))
    wrong = sum(report.state in (State.DRIFT, State.UNREACHABLE) for report in FLEET.hosts)
    assert message.subject == f"sshd-keepalive: {wrong} of 12 hosts are not compliant, {wrong + 1} before"
    assert message.body.index("Changed since") < message.body.index("Not compliant")
    assert "    ClientAliveInterval 0, wanted 300, /etc/ssh/sshd_config:90\n" in message.body
    assert "next: is it up?" in message.body
    waived = next(report for report in FLEET.hosts if report.state is State.WAIVED)
    some = replace(FINE, hosts=(*FINE.hosts, waived))
    assert notice.compose(some).subject.endswith(f"{len(some.hosts)} hosts, {len(FINE.hosts)} compliant, 1 waived")
    assert notice.compose(after(FINE, n_fail_more=1)).subject.endswith("all compliant; 1 was not")
    assert notice.compose(FINE).subject == f"sshd-keepalive: {len(FINE.hosts)} hosts, all compliant"


def test_a_message_names_the_match_block_of_a_wrong_value() -> None:
    for_a = Finding(
        setting=Subject.INTERVAL, scope=Scope(text="Match User a"), wanted="300", value="0", state=State.DRIFT
    )
    run = replace(FLEET, hosts=(replace(FLEET.hosts[0], findings=(for_a,)),))
    assert "    ClientAliveInterval 0, wanted 300 for Match User a\n" in notice.compose(run).body


def test_a_message_is_short_whatever_the_fleet() -> None:
    message = notice.compose(a_fleet(5000))
    assert message.body.count("\n") < 150
    assert "- and " in message.body


def test_a_hostile_host_cannot_forge_a_header_or_steer_a_terminal() -> None:
    message = notice.compose(a_run((FULL, FULL)))
    assert message.subject.isprintable()
    assert all(line.isprintable() for line in message.body.splitlines())
    assert [line for line in message.body.splitlines() if line and not line.startswith((" ", "- "))][1:] == [
        "Changed since the last recorded run:",
        "Not compliant:",
    ]
