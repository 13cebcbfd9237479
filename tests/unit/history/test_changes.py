"""What changed on a host since it was recorded, in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sshd_keepalive.history.changes import Recorded, Replaced, find_changes
from sshd_keepalive.model import (
    GLOBAL,
    DecidingFile,
    Failure,
    Finding,
    Host,
    HostReport,
    Place,
    RemoteFile,
    Scope,
    State,
    Subject,
)
from sshd_keepalive.planning import owners as managed
from sshd_keepalive.sshd_config.document import parse
from tests.support.fleets import DROP_IN, MAIN, NOW, pair

RIGHT = pair("300", "3")
HOST = Host(name="web-1", address="192.0.2.1")
THEN = NOW - timedelta(days=1)
FOR_A = replace(
    RIGHT[0], scope=Scope(text="Match User a", place=Place(path=MAIN, line=9)), place=Place(path=MAIN, line=10)
)


def told(findings: tuple[Finding, ...] = RIGHT, **more: Any) -> HostReport:
    verdict = State.DRIFT if any(f.state is State.DRIFT for f in findings) else State.OK
    return HostReport(host=HOST, findings=findings, **({"state": verdict} | more))


def recorded(report: HostReport) -> Recorded:
    return Recorded(run_id="earlier", command="check", started_at=THEN, report=report)


def changes(before: HostReport, now: HostReport, *replaced: Replaced) -> tuple[str, ...]:
    judged = None if before.state is State.UNKNOWN else recorded(before)
    return find_changes(now, recorded(before), judged, replaced)


def test_a_host_that_is_as_it_was_or_was_never_recorded_has_nothing_to_tell() -> None:
    report = told(version="9.2p1", agents=("Puppet",), deciding_files=(DecidingFile(path=MAIN, changed_at=THEN),))
    assert changes(report, replace(report, seconds_s=3.0)) == ()
    assert find_changes(told(pair("0", "3")), None) == ()


def test_a_value_that_changed_names_the_line_the_file_and_who_writes_it() -> None:
    now = told(
        pair("0", "3", path=DROP_IN, line=1),
        deciding_files=(DecidingFile(path=DROP_IN, changed_at=NOW, owner="Puppet"),),
    )
    assert changes(told(), now) == (
        f"ClientAliveInterval is 0, was 300 on 2026-01-30; {DROP_IN}:1 decides, changed on 2026-01-31 02:00 UTC, "
        f"managed by Puppet, {MAIN}:98 before",
    )


def test_where_no_file_names_its_writer_those_who_might_have_written_it_are_reported() -> None:
    now = told(pair("0", "3"), agents=("WALinuxAgent", "cloud-init"))
    before = told(agents=now.agents)
    now = replace(now, deciding_files=(DecidingFile(path=MAIN, changed_at=NOW),))
    assert changes(before, now) == (
        f"ClientAliveInterval is 0, was 300 on 2026-01-30; {MAIN}:98 decides, changed on 2026-01-31 02:00 UTC; "
        "on this host: WALinuxAgent, cloud-init",
    )


def test_a_value_that_our_change_replaced_and_that_is_back_is_a_relapse() -> None:
    old = Replaced(run_id="r1", started_at=THEN - timedelta(days=9), setting=Subject.INTERVAL, scope=GLOBAL, value="0")
    sentence = (
        f"relapse: ClientAliveInterval is 0 again, which apply replaced on 2026-01-21 (run r1); {MAIN}:98 decides"
    )
    assert changes(told(), told(pair("0", "3")), old) == (sentence,)
    newer = replace(old, run_id="r2", started_at=THEN)
    assert "run r2" in changes(told(), told(pair("0", "3")), newer, old)[0]
    # another value, or one that is as wanted now, or one that was there last time already
    assert changes(told(), told(pair("60", "3")), old)[0].startswith("ClientAliveInterval is 60, was 300")
    assert changes(told(pair("0", "3")), told(), replace(old, value="300"))[0].startswith("ClientAliveInterval is 300")
    assert changes(told(pair("0", "3")), told(pair("0", "3")), old) == ()


def test_a_relapse_inside_a_match_block_is_found_although_the_block_has_moved() -> None:
    old = Replaced(
        run_id="r1", started_at=THEN, setting=Subject.INTERVAL, scope=Scope(text=FOR_A.scope.text), value="0"
    )
    moved = replace(
        FOR_A,
        value="0",
        state=State.DRIFT,
        scope=Scope(text="Match User a", place=Place(path=MAIN, line=7)),
        place=Place(path=MAIN, line=8),
    )
    (sentence,) = changes(told((*RIGHT, FOR_A)), told((*RIGHT, moved)), old)
    assert sentence.startswith("relapse: ClientAliveInterval for Match User a is 0 again")


@pytest.mark.parametrize(
    ("before", "now", "sentence"),
    [
        (
            told(),
            told(pair("300", "3", line=99)),
            f"ClientAliveInterval is still 300, but {MAIN}:99 decides, {MAIN}:98 before",
        ),
        (
            told(deciding_files=(DecidingFile(path=MAIN, changed_at=THEN),)),
            told(deciding_files=(DecidingFile(path=MAIN, changed_at=NOW),)),
            f"{MAIN} was changed on 2026-01-31 02:00 UTC, the values are the same",
        ),
        (
            told(deciding_files=(DecidingFile(path=MAIN, owner="Chef"),)),
            told(deciding_files=(DecidingFile(path=MAIN, owner="Salt"),)),
            f"{MAIN} is managed by Salt now, by Chef before",
        ),
        (
            told(deciding_files=(DecidingFile(path=MAIN, owner="Chef"),)),
            told(deciding_files=(DecidingFile(path=MAIN),)),
            f"{MAIN} is managed by no program now, by Chef before",
        ),
        (
            told(agents=("Salt",)),
            told(agents=("Host Security Service", "Salt")),
            "new on the host: Host Security Service",
        ),
        (told(agents=("Salt",)), told(), "no longer on the host: Salt"),
        (
            told(version="8.4p1"),
            told(version="9.2p1"),
            "OpenSSH is 9.2p1, was 8.4p1",
        ),
        (
            told(),
            told((replace(RIGHT[0], wanted="120", state=State.DRIFT), RIGHT[1])),
            "the policy wants ClientAliveInterval 120 now, wanted 300 on 2026-01-30",
        ),
        (
            told((*RIGHT, FOR_A)),
            told(),
            f"ClientAliveInterval for Match User a is no longer set, was 300 at {MAIN}:10 on 2026-01-30",
        ),
        (
            told(),
            told((*RIGHT, FOR_A)),
            f"ClientAliveInterval for Match User a is set to 300 now, was not on 2026-01-30; {MAIN}:10 decides",
        ),
        (
            told((replace(RIGHT[0], scope=Scope(text="Match User a", place=Place(path=MAIN, line=9))),)),
            told((replace(RIGHT[0], scope=Scope(text="Match User a", place=Place(path=MAIN, line=7))),)),
            None,
        ),
        (
            told(),
            told(
                (*RIGHT, replace(RIGHT[0], setting=Subject.DAEMON, reason="pending restart: …", state=State.DRIFT))
            ),
            "pending restart: …",
        ),
        (
            told((*RIGHT, replace(RIGHT[0], setting=Subject.DAEMON, state=State.DRIFT))),
            told(),
            "the running sshd has read the present files now",
        ),
        (
            told(),
            told((), state=State.UNKNOWN, failure=Failure(kind="tcp", message="port 22 refused")),
            "cannot be judged; could be judged on 2026-01-30: port 22 refused",
        ),
        (told((), state=State.UNKNOWN), told(), "can be judged again; could not be judged on 2026-01-30"),
        (told(pair("0", "3")), told(pair("0", "3"), state=State.WAIVED), "is waived now"),
        (told(pair("0", "3"), state=State.WAIVED), told(pair("0", "3")), "is no longer waived"),
    ],
)  # fmt: skip
def test_each_change_is_one_sentence(before: HostReport, now: HostReport, sentence: str | None) -> None:
    assert changes(before, now) == ((sentence,) if sentence else ())


def test_after_a_time_in_which_it_could_not_be_judged_the_last_values_are_compared() -> None:
    lost = recorded(told((), state=State.UNKNOWN))
    known = replace(recorded(told()), started_at=THEN - timedelta(days=3))
    again, changed = find_changes(told(pair("0", "3")), lost, known)
    assert again == "can be judged again; could not be judged on 2026-01-30"
    assert changed.startswith("ClientAliveInterval is 0, was 300 on 2026-01-27")


def test_a_scope_is_compared_printable_and_without_its_place() -> None:
    match = replace(RIGHT[0], scope=Scope(text="Match User \udc80", place=Place(path=MAIN, line=3)))
    stored = replace(match, scope=Scope(text=r"Match User \x80", place=Place(path=MAIN, line=2)))
    assert changes(told((stored,)), told((match,))) == ()


@pytest.mark.parametrize(
    ("path", "comment", "owner"),
    [
        (MAIN, "# This file is managed by Puppet", "Puppet"),
        (MAIN, "# Ansible managed", "Ansible"),
        (MAIN, "# Generated by Chef for web-1", "Chef"),
        (MAIN, "# File managed by Salt", "Salt"),
        (MAIN, "# added by HostGuard", "Host Security Service"),
        (MAIN, "# HSS baseline 1.12", "Host Security Service"),
        (MAIN, "# CIS 5.2.16 Ensure SSH Idle Timeout", "a CIS kit"),
        (MAIN, "# Per CCE-80906-9: Set ClientAliveInterval 300 in sshd_config", "a STIG kit"),
        (MAIN, "# RHEL-08-010201", "a STIG kit"),
        ("/etc/ssh/sshd_config.d/00-complianceascode-hardening.conf", "", "a STIG kit"),
        ("/etc/ssh/sshd_config.d/50-cloud-init.conf", "", "cloud-init"),
        (MAIN, "# This is the sshd server system-wide configuration file", None),
        (MAIN, "# crisis hassles stigma", None),
    ],
)
def test_whose_a_file_says_it_is(path: str, comment: str, owner: str | None) -> None:
    content = f"{comment}\nClientAliveInterval 300\n".encode()
    assert managed.find_manager(parse(path, content)) == owner
    found = replace(RIGHT[0], place=Place(path=path, line=2))
    (file,) = managed.find_deciding_files([RemoteFile(path=path, content=content, changed_at=NOW)], [found, RIGHT[1]])
    assert file == DecidingFile(path=path, changed_at=NOW, owner=owner or "")
