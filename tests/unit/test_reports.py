"""Reports say the same of a host in every format, and nothing a host prints can do harm."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sshd_keepalive import registry
from sshd_keepalive.cli.exit_code import compute_exit_code
from sshd_keepalive.engines import report_not_begun
from sshd_keepalive.history import notice, outcome
from sshd_keepalive.model import (
    Caveat,
    End,
    Failure,
    Host,
    HostReport,
    Place,
    Run,
    Scope,
    State,
    Step,
    Subject,
)
from sshd_keepalive.reports import text as text_report
from tests.support.fleets import NOW, pair

HOST = Host(name="ecs-01", address="192.0.2.11", groups=("etl",))
RIGHT, _ = pair("300", "3")
WRONG = replace(RIGHT, value="0", state=State.DRIFT, place=None, reason="no keep-alives")
FAILURE = Failure(kind="tcp", cause="refused", message="192.0.2.11 port 22 refused", hint="is sshd running?")

OK = HostReport(host=HOST, state=State.OK, findings=(RIGHT,))
DRIFT = HostReport(host=HOST, state=State.DRIFT, findings=(WRONG,))
UNREACHABLE = HostReport(host=HOST, state=State.UNREACHABLE, failure=FAILURE)


OBSERVED = replace(RIGHT, setting=Subject.OBSERVED, wanted="a keep-alive every 300 s, alive", value="alive", place=None)


def a_run(*reports: HostReport, command: str = "check") -> Run:
    code = compute_exit_code(reports, command)
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
    assert compute_exit_code([report], command) == code
    assert outcome.pick_word(report) == word


def test_the_worst_host_decides() -> None:
    rolled_back = replace(DRIFT, end=End.ROLLED_BACK)
    assert compute_exit_code([OK, rolled_back, UNREACHABLE], "apply") == 4
    assert compute_exit_code([], "check") == 0


@pytest.mark.parametrize(("end", "told"), [(None, "unknown"), (End.REFUSED, None)])
def test_sessions_that_could_not_be_counted_are_unknown_and_not_none(end: End | None, told: str | None) -> None:
    report = replace(OK, end=end, drops_silent_after_s=1200)
    facts = json.loads(registry.load("reports", "json").render(a_run(report)))["hosts"][0]["facts"]
    assert facts.get("sessions_that_may_not_answer") == told


def test_json_is_what_the_contract_shows() -> None:
    step = Step(name="restart", ok=True, detail="ssh.service", seconds_s=0.21)
    report = replace(
        OK,
        end=End.APPLIED,
        steps=(step,),
        backup="/var/backups/x",
        facts=(("openssh", "9.2p1"),),
        drops_silent_after_s=2400,
        n_may_not_answer=3,
    )
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
                "facts": {
                    "openssh": "9.2p1",
                    "silent_clients_dropped_after": "2400",
                    "sessions_that_may_not_answer": "3",
                },
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


def test_text_puts_problems_first_and_names_the_line_that_decides() -> None:
    shown = registry.load("reports", "text").render(a_run(UNREACHABLE, DRIFT, OK))
    words = [line.split()[0] for line in shown.splitlines() if line and not line.startswith(" ")]
    assert words == ["unreachable", "drift", "ok", "3"]
    assert "ClientAliveInterval 0, wanted 300" in shown
    assert "next: is sshd running?" in shown


def test_text_never_passes_a_control_character_on() -> None:
    hostile = replace(FAILURE, message="\x1b[2Jgone\u202e", hint="a\nb\x07")
    report = replace(UNREACHABLE, failure=hostile, host=replace(HOST, name="a\x1b]0;x\x07"))
    drifted = replace(DRIFT, findings=(replace(WRONG, value="\x1b[31m", scope=Scope(text="Match User \x9b")),))
    shown = registry.load("reports", "text").render(a_run(report, drifted))
    assert not any((ch < " " and ch != "\n") or ch in "\x7f\x9b\u202e" for ch in shown)
    assert text_report.render_hosts([report]).count("\n") == 3


def test_same_diff_is_shown_once_with_its_hosts() -> None:
    changes = [
        replace(DRIFT, host=replace(HOST, name=name), diff="--- a\n+++ b\n", value_diff="global\n", restarts=True)
        for name in ("a", "b")
    ]
    shown = registry.load("reports", "text").render(a_run(*changes, command="plan"))
    assert shown.count("--- a\n") == 1
    assert "2 hosts: a, b\n" in shown
    assert "restart sshd\n" in shown


def test_a_step_without_a_detail_ends_with_its_name() -> None:
    steps = (Step(name="restart", ok=True, detail="ssh.service"), Step(name="confirm", ok=True))
    shown = text_report.render_hosts(named(replace(OK, steps=steps), "a"), verbose=1)
    assert "    did restart: ssh.service  (0.00 s)\n    did confirm  (0.00 s)\n" in shown


def test_a_probe_answers_in_one_sentence_for_all_hosts_and_verbose_shows_more() -> None:
    proved = replace(
        OK, findings=(RIGHT, OBSERVED), answer="a quiet session gets a keep-alive every 300 s and stays open"
    )
    assert text_report.render_hosts(named(proved, "ab")) == f"ok          2 hosts  {proved.answer}\n"
    assert "    observed: alive\n" in text_report.render_hosts(named(proved, "ab"), verbose=1)
    dead = replace(OBSERVED, value="dead after 4.0 s", state=State.DRIFT, reason="ended by a TCP reset")
    lost = replace(DRIFT, findings=(WRONG, dead), answer="a quiet session: dead after 4.0 s; ended by a TCP reset")
    assert text_report.render_hosts([lost]).splitlines()[:2] == [
        f"drift       ecs-01  {lost.answer}",
        "    ClientAliveInterval 0, wanted 300",
    ]


def test_only_a_finding_for_everybody_is_global_whatever_its_scope_is_called() -> None:
    """The name of a scope comes from a host: it may be any word, also the one for everybody."""
    of_block = replace(WRONG, scope=Scope(text="Match User root", place=Place(path="/etc/ssh/sshd_config", line=7)))
    named_so = replace(WRONG, scope=Scope(text="global"))
    shown = registry.load("reports", "json").render(a_run(replace(DRIFT, findings=(WRONG, of_block, named_so))))
    scopes = [finding["scope"] for finding in json.loads(shown)["hosts"][0]["findings"]]
    assert scopes == ["global", "Match User root (/etc/ssh/sshd_config:7)", "global"]
    assert [finding.for_whom for finding in (WRONG, of_block, named_so)] == [
        "",
        " for Match User root (/etc/ssh/sshd_config:7)",
        " for global",
    ]


def test_a_reason_that_several_findings_share_is_said_once() -> None:
    sessions = tuple(
        replace(
            WRONG, setting=Subject.SESSION, scope=Scope(text=f"process {pid}"), wanted="", value="ops", reason="older"
        )
        for pid in (7, 8)
    )
    assert text_report.render_hosts([replace(DRIFT, findings=sessions)]).splitlines()[1:] == [
        "    session (process 7): ops",
        "    session (process 8): ops",
        "        older",
    ]


def named(report: HostReport, names: str) -> list[HostReport]:
    return [replace(report, host=replace(HOST, name=name)) for name in names]


ELSEWHERE = replace(DRIFT, findings=(RIGHT, replace(WRONG, place=Place(path="/etc/ssh/other", line=1))))
MANY = a_run(
    *named(OK, "ab"), *named(DRIFT, "cdefghikl"), *named(ELSEWHERE, "mn"), *named(UNREACHABLE, "op"),
    *(report_not_begun(replace(HOST, name=name), "interrupted", "the run was interrupted") for name in "qr"),
)  # fmt: skip


def test_hosts_that_are_alike_are_reported_once_worst_first() -> None:
    assert text_report.render_ending(MANY, MANY.hosts) == (
        "unreachable 2 hosts: o, p\n"
        "    tcp: 192.0.2.11 port 22 refused\n"
        "    next: is sshd running?\n"
        "not_begun   2 hosts: q, r  the run was interrupted\n"
        "drift       9 hosts: c, d, e, f, g, h, i, k and 1 more\n"
        "    ClientAliveInterval 0, wanted 300\n"
        "        no keep-alives\n"
        "drift       2 hosts: m, n\n"
        "    ClientAliveInterval 0, wanted 300  /etc/ssh/other:1\n"
        "        no keep-alives\n"
        "ok          2 hosts  ClientAliveInterval 300\n"
        "\n"
        "17 hosts: 2 ok, 11 drift, 2 not_begun, 2 unreachable\n"
        "not_begun: q, r\n"
        "unreachable: o, p\n"
    )


def test_lines_that_differ_within_a_group_are_those_of_its_first_host() -> None:
    moved = replace(DRIFT, findings=(replace(WRONG, place=Place(path="/etc/ssh/sshd_config", line=7)),))
    again = replace(moved, findings=(replace(WRONG, place=Place(path="/etc/ssh/sshd_config", line=9)),))
    shown = text_report.render_hosts([*named(moved, "a"), *named(again, "b")])
    assert "/etc/ssh/sshd_config:7\n" in shown
    assert "(the lines above are those of a; -v shows every host)\n" in shown
    assert "/etc/ssh/sshd_config:9" in text_report.render_hosts([*named(moved, "a"), *named(again, "b")], verbose=1)


@pytest.mark.parametrize("subject", [Subject.OBSERVED, Subject.IDLE_LIMIT])
def test_what_the_answer_of_a_probe_says_is_not_repeated(subject: Subject) -> None:
    seen = replace(OBSERVED, setting=subject, value="none up to 5 s", state=State.UNKNOWN, reason="no keep-alives")
    probed = replace(DRIFT, findings=(WRONG, seen), answer="none up to 5 s; no keep-alives")
    shown = text_report.render_hosts([probed])
    assert shown.count("no keep-alives") == shown.count("none up to 5 s") == 1
    assert "    ClientAliveInterval 0, wanted 300\n" in shown


def test_verbose_shows_every_host_with_release_deciding_line_unit_and_time() -> None:
    told = replace(
        OK, version="9.2p1", facts=(("unit", "ssh.service"), ("files", "/etc/ssh/sshd_config")), seconds_s=0.4
    )
    assert text_report.render_hosts(named(told, "ab"), verbose=1) == "".join(
        f"ok          {name}  ClientAliveInterval 300\n    OpenSSH 9.2p1, /etc/ssh/sshd_config:98, ssh.service, 0.4 s\n"
        for name in "ab"
    )
    assert "    files: /etc/ssh/sshd_config\n" in text_report.render_hosts([told], verbose=2)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_lines_are_wrapped_between_words_with_a_hanging_indent(width: int) -> None:
    reports = [*MANY.hosts, *named(replace(OK, caveat=LATE), "xyz")]
    wide, narrow = text_report.render_hosts(reports), text_report.render_hosts(reports, width=width)
    assert max(map(len, narrow.splitlines())) <= width
    assert narrow.split() == wide.split()
    continued = [line for line in narrow.splitlines() if line not in wide.splitlines()]
    assert all(line.startswith("        ") for line in continued if not line.startswith((*outcome.WORDS, "    ")))


@pytest.mark.parametrize("width", [40, 80])
def test_a_plan_with_a_long_path_breaks_no_column(width: int) -> None:
    values = f"Match User etl (/srv/{'very-' * 20}long/sshd_config:14): ClientAliveInterval 0 -> 300\n"
    run = a_run(replace(DRIFT, diff="+x\n", value_diff=values), command="plan")
    (shown,) = text_report.render_diffs(run, width=width)
    first, *continued = shown.splitlines()[2:-1]
    assert first.startswith("Match User etl")
    assert all(line.startswith("  ") and len(line) <= width for line in continued)
    assert "".join(f"{first}{''.join(continued)}".split()) == "".join(values.split())


def test_a_host_whose_change_failed_shows_the_failure_and_with_v_its_values() -> None:
    failed = replace(DRIFT, end=End.ROLLED_BACK, failure=FAILURE)
    assert "ClientAliveInterval" not in text_report.render_hosts([failed])
    assert FAILURE.message in text_report.render_hosts([failed])
    assert "ClientAliveInterval 0, wanted 300" in text_report.render_hosts([failed], verbose=1)


def test_a_command_to_paste_is_never_wrapped() -> None:
    hint = f"sshd-keepalive confirm {'-i hosts.yaml ' * 9}web-1"
    report = replace(UNREACHABLE, failure=replace(FAILURE, hint=hint))
    assert f"    next: {hint}\n" in text_report.render_hosts([report], width=40)


@pytest.mark.parametrize("width", [40, 60])
def test_the_prose_of_a_hint_is_wrapped_and_its_command_is_not(width: int) -> None:
    command = f"sudo sh {'/very-long' * 9}/guard.sh revert"
    prose = "an unconfirmed change reverts by itself shortly after 02:00 UTC; to revert it now, run on the host:"
    report = replace(UNREACHABLE, failure=replace(FAILURE, hint=f"{prose} {command}"))
    shown = text_report.render_hosts([report], width=width)
    *lines, pasted = shown[shown.index("    next: ") :].splitlines()
    assert pasted.strip() == command
    assert " ".join(map(str.strip, lines)) == f"next: {prose}"
    assert max(map(len, lines)) <= width


LATE = Caveat(interval_s=300, keep_alive_after_s=600, release="9.2", cure_interval_s=150)
SENTENCE = (
    "the first keep-alive comes after 600 s: OpenSSH 9.2 doubles the interval; --keep-alive-every 300 would set 150"
)


def test_text_shows_a_caveat_once_for_all_hosts() -> None:
    late = named(replace(OK, caveat=LATE), "abc")
    assert text_report.render_hosts([*late, *named(OK, "d")]) == (
        f"ok          3 hosts  ClientAliveInterval 300\n    {SENTENCE}\nok          d  ClientAliveInterval 300\n"
    )


def test_text_shows_the_caveat_of_a_change_with_its_diff() -> None:
    run = a_run(replace(DRIFT, diff="+x\n", restarts=True, caveat=LATE), command="plan")
    assert f"beware: {SENTENCE}\nrestart sshd\n" in "".join(text_report.render_diffs(run))
    assert text_report.render_totals(run) == "1 host: 1 drift; 1 to change\n"


def test_prometheus_has_the_seconds_of_a_caveat() -> None:
    report = registry.load("reports", "prometheus")
    assert 'sshd_keepalive_first_keep_alive_seconds{host="ecs-01"} 600.0' in report.render(
        a_run(replace(OK, caveat=LATE))
    )
    assert "first_keep_alive_seconds{" not in report.render(a_run(OK))


def test_a_notice_shows_a_caveat() -> None:
    assert f"\nCompliant, but:\n- 1 host: {SENTENCE}\n" in notice.compose(a_run(replace(OK, caveat=LATE))).body
