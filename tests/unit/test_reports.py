"""Reports say the same of a host in every format, and nothing a host prints can do harm."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sshd_keepalive import registry
from sshd_keepalive.cli._run import exit_code
from sshd_keepalive.engines import report_not_begun
from sshd_keepalive.history import notice, outcome
from sshd_keepalive.model import (
    Caveat,
    Configured,
    End,
    Failure,
    Finding,
    Host,
    HostReport,
    Place,
    Run,
    State,
    Step,
    Subject,
)
from sshd_keepalive.reports import text as text_report

NOW = datetime(2026, 1, 31, 2, 0, tzinfo=UTC)
HOST = Host(name="ecs-01", address="192.0.2.11", groups=("etl",))
RIGHT = Finding(
    setting=Subject.INTERVAL,
    scope="global",
    wanted="300",
    value="300",
    state=State.OK,
    place=Place(path="/etc/ssh/sshd_config", line=98),
)
WRONG = replace(RIGHT, value="0", state=State.DRIFT, place=None, reason="0 keep-alives are sent")
FAILURE = Failure(kind="tcp", cause="refused", message="192.0.2.11 port 22 refused", hint="is sshd running?")

OK = HostReport(host=HOST, state=State.OK, findings=(RIGHT,))
DRIFT = HostReport(host=HOST, state=State.DRIFT, findings=(WRONG,))
UNREACHABLE = HostReport(host=HOST, state=State.UNREACHABLE, failure=FAILURE)


OBSERVED = replace(RIGHT, setting=Subject.OBSERVED, wanted="a keep-alive every 300 s, alive", value="alive", place=None)


def a_run(*reports: HostReport, command: str = "check") -> Run:
    code = exit_code(reports, command)
    return Run(id="r", command=command, started_at=NOW, ended_at=NOW, exit_code=code, hosts=reports)


@pytest.mark.parametrize(
    ("report", "command", "code", "word"),
    [
        (OK, "check", 0, "ok"),
        (DRIFT, "check", 1, "drift"),
        (replace(DRIFT, state=State.WAIVED), "check", 0, "waived"),
        (replace(OK, state=State.UNKNOWN), "check", 3, "unknown"),
        (UNREACHABLE, "check", 3, "unreachable"),
        (OK, "plan", 0, "ok"),
        (replace(DRIFT, diff="+x\n", restarts=True), "plan", 1, "drift"),
        (replace(DRIFT, restarts=True), "plan", 1, "drift"),
        (replace(OK, end=End.UNCHANGED), "apply", 0, "ok"),
        (replace(OK, end=End.APPLIED), "apply", 0, "applied"),
        (replace(DRIFT, end=End.REFUSED, failure=FAILURE), "apply", 3, "refused"),
        (UNREACHABLE, "apply", 3, "unreachable"),
        (replace(DRIFT, end=End.ROLLED_BACK, failure=FAILURE), "apply", 4, "rolled_back"),
        (replace(DRIFT, end=End.UNPROVED, state=State.UNKNOWN, failure=FAILURE), "apply", 5, "unproved"),
        (report_not_begun(HOST, "interrupted", "the run was interrupted"), "apply", 3, "not_begun"),
    ],
)
def test_each_end_has_its_exit_code_and_its_word(report: HostReport, command: str, code: int, word: str) -> None:
    assert exit_code([report], command) == code
    assert outcome.word(report) == word


def test_the_worst_host_decides() -> None:
    rolled_back = replace(DRIFT, end=End.ROLLED_BACK)
    assert exit_code([OK, rolled_back, UNREACHABLE], "apply") == 4
    assert exit_code([], "check") == 0


def test_json_is_what_the_contract_shows() -> None:
    step = Step(name="restart", ok=True, detail="ssh.service", seconds_s=0.21)
    report = replace(OK, end=End.APPLIED, steps=(step,), backup="/var/backups/x", facts=(("openssh", "9.2p1"),))
    document = json.loads(registry.load("reports", "json").render(a_run(report, command="apply")))
    assert document == {
        "schema_version": 2,
        "command": "apply",
        "run_id": "r",
        "started_at": "2026-01-31T02:00:00Z",
        "ended_at": "2026-01-31T02:00:00Z",
        "exit_code": 0,
        "summary": {
            "hosts": 1,
            "ok": 1,
            "drift": 0,
            "waived": 0,
            "unknown": 0,
            "unreachable": 0,
            "applied": 1,
            "unchanged": 0,
            "refused": 0,
            "rolled_back": 0,
            "not_begun": 0,
            "unproved": 0,
        },
        "hosts": [
            {
                "name": "ecs-01",
                "address": "192.0.2.11",
                "groups": ["etl"],
                "state": "ok",
                "change": "applied",
                "findings": [
                    {
                        "setting": "ClientAliveInterval",
                        "scope": "global",
                        "wanted": "300",
                        "value": "300",
                        "state": "ok",
                        "place": {"path": "/etc/ssh/sshd_config", "line": 98},
                        "hides": [],
                        "reason": "",
                    }
                ],
                "caveat": None,
                "losses": None,
                "diff": "",
                "steps": [{"name": "restart", "ok": True, "detail": "ssh.service", "seconds": 0.21}],
                "backup": "/var/backups/x",
                "facts": {"openssh": "9.2p1"},
                "changes": [],
                "pending": None,
                "reverted": None,
                "failure": None,
            }
        ],
    }


def test_a_failure_carries_its_kind_cause_message_and_hint() -> None:
    line = registry.load("reports", "jsonl").render(a_run(UNREACHABLE))
    assert json.loads(line)["failure"] == {
        "kind": "tcp",
        "cause": "refused",
        "message": "192.0.2.11 port 22 refused",
        "hint": "is sshd running?",
    }
    assert outcome.summarize(outcome.count(a_run(UNREACHABLE, OK)))["unreachable"] == 1


def test_text_puts_problems_last_and_names_the_line_that_decides() -> None:
    shown = registry.load("reports", "text").render(a_run(UNREACHABLE, DRIFT, OK))
    words = [line.split()[0] for line in shown.splitlines() if not line.startswith(" ")]
    assert words == ["ok", "drift", "unreachable", "3"]
    assert "ClientAliveInterval 0, wanted 300" in shown
    assert "next: is sshd running?" in shown


def test_text_never_passes_a_control_character_on() -> None:
    hostile = replace(FAILURE, message="\x1b[2Jgone\u202e", hint="a\nb\x07")
    report = replace(UNREACHABLE, failure=hostile, host=replace(HOST, name="a\x1b]0;x\x07"))
    drifted = replace(DRIFT, findings=(replace(WRONG, value="\x1b[31m", scope="Match User \x9b"),))
    shown = registry.load("reports", "text").render(a_run(report, drifted))
    assert not any((ch < " " and ch != "\n") or ch in "\x7f\x9b\u202e" for ch in shown)
    assert text_report.host(report).count("\n") == 3


def test_same_diff_is_shown_once_with_its_hosts() -> None:
    changes = [
        replace(DRIFT, host=replace(HOST, name=name), diff="--- a\n+++ b\n", value_diff="global\n", restarts=True)
        for name in ("a", "b")
    ]
    shown = registry.load("reports", "text").render(a_run(*changes, command="plan"))
    assert shown.count("--- a\n") == 1
    assert "2 hosts: a, b\n" in shown
    assert "restart sshd\n" in shown


def test_what_was_observed_is_told_whatever_the_verdict() -> None:
    configured = Configured(interval_s=300, count_max=3, is_loaded=True)
    proved = replace(OK, findings=(RIGHT, OBSERVED), configured=configured)
    assert text_report.host(proved).splitlines() == [
        "ok          ecs-01  configured 300/3, loaded the present files, observed alive"
    ]
    tried = replace(OBSERVED, setting=Subject.COUNT_ZERO)
    assert text_report.host(replace(proved, findings=(RIGHT, OBSERVED, tried))).splitlines()[1:] == [
        "    observed: alive",
        "    count 0: alive",
    ]
    wrong = replace(DRIFT, findings=(WRONG, OBSERVED), configured=configured)
    assert text_report.host(wrong).splitlines()[0].endswith("loaded the present files, observed alive")
    dead = replace(OBSERVED, value="dead after 4.0 s", state=State.DRIFT, reason="cut by a TCP reset")
    assert text_report.host(replace(proved, state=State.DRIFT, findings=(RIGHT, dead))).splitlines()[1:] == [
        "    observed: dead after 4.0 s, wanted a keep-alive every 300 s, alive",
        "        cut by a TCP reset",
    ]


def test_a_reason_that_several_findings_share_is_said_once() -> None:
    sessions = tuple(
        replace(WRONG, setting=Subject.SESSION, scope=f"process {pid}", wanted="", value="ops", reason="older")
        for pid in (7, 8)
    )
    assert text_report.host(replace(DRIFT, findings=sessions)).splitlines()[1:] == [
        "    session (process 7): ops",
        "    session (process 8): ops",
        "        older",
    ]


def test_what_many_hosts_have_in_common_is_said_in_one_line() -> None:
    def named(report: HostReport, names: str) -> list[HostReport]:
        return [replace(report, host=replace(HOST, name=name)) for name in names]

    busy = replace(UNREACHABLE, failure=replace(FAILURE, kind="banned", cause="busy"))
    elsewhere = replace(DRIFT, findings=(RIGHT, replace(WRONG, place=Place(path="/etc/ssh/other", line=1))))
    run = a_run(*named(OK, "ab"), *named(DRIFT, "cdefg"), *named(elsewhere, "hi"), *named(UNREACHABLE, "jk"), busy)
    assert text_report.totals(run) == (
        "2 hosts  tcp (refused)  [j, k]\n"
        "7 hosts  drift: ClientAliveInterval 0  [c, d, e, f, g and 2 more]\n"
        "12 hosts: 2 ok, 7 drift, 3 unreachable\n"
    )


LATE = Caveat(interval_s=300, keep_alive_after_s=600, release="9.2", cure_interval_s=150)
SENTENCE = (
    "the first keep-alive comes after 600 s: OpenSSH 9.2 doubles the interval; --keep-alive-every 300 would set 150"
)


def test_text_tells_a_caveat_in_each_row_and_once_for_all_hosts() -> None:
    hosts = [replace(HOST, name=f"etl-{number}") for number in range(7)]
    reports = [replace(OK, host=host, caveat=LATE) for host in hosts]
    run = a_run(*reports, replace(OK, end=End.APPLIED, caveat=LATE), OK)
    assert run.exit_code == 0
    assert text_report.host(reports[0]) == (
        "ok          etl-0  ClientAliveInterval 300, but the first keep-alive comes after 600 s\n"
    )
    assert text_report.totals(run) == (
        f"7 hosts  ok, but {SENTENCE}  [etl-0, etl-1, etl-2, etl-3, etl-4 and 2 more]\n"
        f"1 host  applied, but {SENTENCE}  [ecs-01]\n"
        "9 hosts: 8 ok, 1 applied\n"
    )


def test_text_tells_the_caveat_of_a_change_with_its_diff() -> None:
    run = a_run(replace(DRIFT, diff="+x\n", restarts=True, caveat=LATE), command="plan")
    assert f"beware: {SENTENCE}\nrestart sshd\n" in "".join(text_report.diffs(run))
    assert text_report.totals(run) == "1 host: 1 drift; 1 to change\n"


@pytest.mark.parametrize("kind", ["csv", "html", "jsonl", "json", "junit", "markdown", "sarif", "text"])
def test_every_report_tells_a_caveat(kind: str) -> None:
    report = registry.load("reports", kind)
    assert SENTENCE in report.render(a_run(replace(OK, caveat=LATE)))
    assert "600 s" not in report.render(a_run(OK))


def test_prometheus_tells_the_seconds_of_a_caveat() -> None:
    report = registry.load("reports", "prometheus")
    assert 'sshd_keepalive_first_keep_alive_seconds{host="ecs-01"} 600.0' in report.render(
        a_run(replace(OK, caveat=LATE))
    )
    assert "first_keep_alive_seconds{" not in report.render(a_run(OK))


def test_a_notice_tells_a_caveat() -> None:
    assert f"\nCompliant, but:\n- 1 host: {SENTENCE}\n" in notice.compose(a_run(replace(OK, caveat=LATE))).body
