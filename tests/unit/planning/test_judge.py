"""Verdicts: when three readings agree, and when they do not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sshd_keepalive.errors import PlanError
from sshd_keepalive.model import (
    COMMAND_LINE,
    COUNT_MAX,
    INTERVAL,
    Context,
    Daemon,
    Dump,
    Finding,
    MatchOverrides,
    Place,
    Policy,
    State,
)
from sshd_keepalive.planning import judge, plan
from sshd_keepalive.planning.policy import from_mapping
from sshd_keepalive.sshd_config import command_line
from sshd_keepalive.sshd_config.reading import read, read_files
from tests.support.snapshots import EVERYBODY, MAIN, USUAL, look

GOOD = "ClientAliveInterval 5m\nClientAliveCountMax 3\n"
NO_KEYS = Dump(context=Context(), error="sshd: no hostkeys available -- exiting.")
ROOT = Context(user="root", host="h", address="10.0.0.1")


def says(interval: str, count: str = "3", context: Context = EVERYBODY) -> Dump:
    return Dump(context=context, settings=((INTERVAL, interval), (COUNT_MAX, count)))


def judged(text: str, policy: Policy = USUAL, **more: object) -> tuple[Finding, ...]:
    return judge.judge(read(look({MAIN: text}, **more)), policy)  # type: ignore[arg-type]


def verdicts(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.state.value for finding in findings]


def test_both_settings_always() -> None:
    findings = judged(GOOD)
    assert [(f.setting, str(f.scope), f.wanted, f.value, f.state) for f in findings] == [
        ("ClientAliveInterval", "global", "300", "300", State.OK),
        ("ClientAliveCountMax", "global", "3", "3", State.OK),
    ]
    assert findings[0].place == Place(path=MAIN, line=1)


def test_a_default_can_pass() -> None:
    assert verdicts(judged("ClientAliveInterval 300\n")) == ["ok", "ok"]
    assert verdicts(judged("")) == ["drift", "ok"]


def test_files_without_an_sshd_are_judged_by_themselves() -> None:
    reading = read_files({MAIN: b"ClientAliveInterval 300\nMatch User x\nClientAliveInterval 0\n"})
    assert verdicts(judge.judge_files(reading, USUAL)) == ["ok", "ok", "drift"]


def test_a_failure_names_its_consequence_with_a_number() -> None:
    (interval, _) = judged("", version="9.6p1")
    assert "no keep-alives" in interval.reason
    (_, count) = judged("ClientAliveInterval 300\nClientAliveCountMax 0\n", version="8.1p1")
    assert "known-harmful" in count.reason
    assert "300 s" in count.reason


def test_a_count_of_0_is_not_deadly_on_rhel_8_even_without_an_include() -> None:
    (_, count) = judged("ClientAliveInterval 300\nClientAliveCountMax 0\n", version="8.0p1", has_include_backport=True)
    assert "this release sends a keep-alive every 300 s and never ends the session of a dead client" in count.reason
    (_, upstream) = judged("ClientAliveInterval 300\nClientAliveCountMax 0\n", version="8.0p1")
    assert "also when the client is alive" in upstream.reason


def test_ok_on_9_2_says_that_keep_alives_come_late() -> None:
    (interval, count) = judged(GOOD, version="9.2p1")
    assert "600 s" in interval.reason
    assert count.reason == ""
    assert judged(GOOD, version="9.6p1")[0].reason == ""


def test_every_block_that_decides_is_judged() -> None:
    findings = judged(GOOD + "Match User root\nClientAliveInterval 0\nClientAliveCountMax 3\n")
    assert verdicts(findings) == ["ok", "ok", "drift", "ok"]
    assert str(findings[2].scope) == f"Match User root ({MAIN}:3)"
    assert findings[2].hides == (Place(path=MAIN, line=1),)


def test_match_all_is_reported_once() -> None:
    findings = judged("Match all\nClientAliveInterval 60\n")
    assert [(str(f.scope), f.value) for f in findings] == [("global", "60"), ("global", "3")]


def test_kept_overrides_pass_and_are_reported() -> None:
    keep = Policy(match_overrides=MatchOverrides.KEEP)
    findings = judged(GOOD + "Match User root\nClientAliveInterval 0\nMatch all\nClientAliveCountMax 9\n", keep)
    assert verdicts(findings) == ["ok", "drift", "ok"]  # what counts for everybody is never exempt
    assert "kept" in findings[2].reason


def test_an_unreachable_group_is_judged_as_may_match() -> None:
    assert verdicts(judged(GOOD + "Match Group g Group !g\nClientAliveInterval 1\n")) == ["ok", "ok"]
    assert verdicts(judged(GOOD + "Match RDomain x\nClientAliveInterval 1\n")) == ["ok", "ok", "drift"]


# ------------------------------------------------------------------------------- what the host says


def test_a_contradiction_is_unknown_with_both_readings() -> None:
    findings = judged(GOOD, dumps=(says("0"),))
    assert verdicts(findings) == ["unknown", "ok"]
    assert "sshd -T reports 0 for everybody, this program reads 300" in findings[0].reason


def test_a_contradiction_for_one_connection_counts() -> None:
    findings = judged(GOOD, dumps=(says("300"), says("7", context=ROOT)))
    assert findings[0].state is State.UNKNOWN
    assert "user=root" in findings[0].reason


def test_an_undecided_block_allows_either_value() -> None:
    text = GOOD + "Match Group g\nClientAliveInterval 7\n"
    for value in ("300", "7"):
        assert verdicts(judged(text, dumps=(says("300"), says(value, context=ROOT)))) == ["ok", "ok", "drift"]
    assert judged(text, dumps=(says("300"), says("8", context=ROOT)))[0].state is State.UNKNOWN
    doubtful = judged(text, dumps=(says("300"), says("8", context=ROOT)))
    assert "300 or 7" in doubtful[0].reason


def test_a_dump_without_the_setting_confirms_nothing() -> None:
    findings = judged(GOOD, dumps=(Dump(context=Context(), settings=((INTERVAL, "300"),)),))
    assert verdicts(findings) == ["ok", "unknown"]


@pytest.mark.parametrize("dumps", [(), (NO_KEYS,)])
def test_unconfirmed_is_no_pass_but_wrong_stays_wrong(dumps: tuple[Dump, ...]) -> None:
    findings = judged("ClientAliveInterval 60\n", dumps=dumps)
    assert verdicts(findings) == ["drift", "unknown"]
    assert "cannot run sshd -T" in findings[1].reason


def test_one_answer_is_enough() -> None:
    refused = Dump(
        context=Context(), error="'Match LocalPort' in configuration but 'lport' not in connection test specification."
    )
    assert verdicts(judged(GOOD, dumps=(refused, says("300", context=ROOT)))) == ["ok", "ok"]


@pytest.mark.parametrize(
    "error",
    [
        f"{MAIN} line 3: Bad configuration option: Foo\n{MAIN}: terminating, 1 bad configuration options",
        f"{MAIN}: line 3: Bad configuration option: Foo",
        f"{MAIN} line 9: Directive 'Port' is not allowed within a Match block",
        f"{MAIN} line 2: Too many recursive configuration includes",
        "/etc/ssh/sshd_config.d/x.conf: No such file or directory",
    ],
)
def test_a_configuration_that_sshd_refuses(error: str) -> None:
    found = look({MAIN: GOOD}, dumps=(Dump(context=Context(), error=error),))
    assert judge.find_refusal(found) == " ".join(error.split())
    findings = judge.judge(read(found), Policy())
    assert verdicts(findings) == ["unknown", "unknown"]
    assert "line" in findings[0].reason or "No such file" in findings[0].reason


@pytest.mark.parametrize(
    "error",
    [
        "sshd: no hostkeys available -- exiting.",
        "Missing privilege separation directory: /run/sshd",
        "/etc/ssh/sshd_config: Permission denied",
        "'Match User' in configuration but 'user' not in connection test specification.",
        "sudo: a password is required",
        "",
    ],
)
def test_a_question_that_was_refused_is_no_broken_configuration(error: str) -> None:
    found = look({MAIN: GOOD}, dumps=(Dump(context=Context(), error=error),))
    assert judge.find_refusal(found) is None
    assert verdicts(judge.judge(read(found), Policy())) == ["unknown", "unknown"]


def test_files_we_cannot_read() -> None:
    findings = judged("ClientAliveInterval abc\n")
    assert verdicts(findings) == ["unknown", "unknown"]
    assert f"{MAIN} line 1: bad value" in findings[0].reason
    findings = judged("ClientAliveInterval abc\n", dumps=(says("7"),))
    assert "sshd -T reads 7/3 for everybody, but this program cannot read the files" in findings[0].reason
    findings = judged("ClientAliveInterval abc\n", dumps=(NO_KEYS,))
    assert "cannot read the configuration" in findings[0].reason
    assert findings[0].value == ""


# ---------------------------------------------------------------------------------------- the daemon


def test_files_that_the_daemon_has_not_read() -> None:
    daemon = Daemon(pid=1, loaded_at=datetime(2026, 1, 1, tzinfo=UTC), stale=(MAIN,))
    (*files, running) = judged(GOOD, daemon=daemon)
    assert verdicts(tuple(files)) == ["ok", "ok"]
    assert (running.setting, running.state) == ("daemon", State.DRIFT)
    assert "pending restart" in running.reason
    assert MAIN in running.reason
    assert judged(GOOD, daemon=replace(daemon, loaded_at=None))[-1].setting == "daemon"


def test_a_daemon_option_is_named() -> None:
    findings = judged(GOOD, daemon=Daemon(pid=1, options=("ClientAliveInterval=60",)))
    assert (findings[0].state, findings[0].value) == (State.DRIFT, "60")
    assert findings[0].place == Place(path=COMMAND_LINE, line=0)
    assert "-o option" in findings[0].reason


TITLE = "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"


@pytest.mark.parametrize(
    ("now", "then", "told"),
    [
        ("/usr/sbin/sshd -D", "/usr/sbin/sshd -D", None),
        (TITLE, "/usr/sbin/sshd -D -o Banner=none", None),
        (TITLE, None, None),
        (TITLE, "/usr/sbin/sshd -D -o clientaliveinterval=77", "would use -o clientaliveinterval=77; the running sshd"),
        (TITLE, "sshd -o ClientAliveInterval=7 -o ClientAliveInterval=8", "would use -o ClientAliveInterval=7;"),
        (TITLE, "sshd -o ClientAliveInterval=x", "would use -o ClientAliveInterval=x;"),
        ("sshd -o ClientAliveCountMax=7", "/usr/sbin/sshd -D", "no -o option; the running sshd uses -o"),
        (TITLE, "/usr/sbin/sshd -D -f /srv/c", "would read /srv/c; the running sshd reads /etc/ssh/sshd_config"),
        ("sshd -f /srv/c", "/usr/sbin/sshd -f /srv/c", None),
    ],
)
def test_start_options_that_wait_for_a_restart(now: str, then: str | None, told: str | None) -> None:
    daemon = Daemon(pid=1, command_line=now, options=command_line.read_options(now), next_command=then)
    files = {"/srv/c" if "/srv/c" in now else MAIN: GOOD}
    found = look(files, daemon=daemon)
    waiting = [finding for finding in judge.judge(read(found), Policy()) if finding.setting == "daemon"]
    if told is None:
        assert waiting == []
        plan.plan(read(found), Policy())
        return
    assert told in waiting[0].reason
    assert waiting[0].state is State.DRIFT
    with pytest.raises(PlanError, match="after a restart sshd would") as refused:
        plan.plan(read(found), Policy())
    assert "restart sshd" in (refused.value.hint or "")


def test_a_process_per_connection_with_unknown_options_is_unknown_and_not_changed() -> None:
    daemon = Daemon(pid=None, command_line="sshd: ops [priv]")
    for text in ("", GOOD):
        assert set(verdicts(judged(text, daemon=daemon))) == {"unknown"}
        with pytest.raises(PlanError, match="cannot find out") as refused:
            plan.plan(read(look({MAIN: text}, daemon=daemon)), Policy())
        assert "service: {unit: " in (refused.value.hint or "")
    assert verdicts(judged(GOOD, daemon=replace(daemon, next_command="/usr/sbin/sshd -i"))) == ["ok", "ok"]


def test_a_refused_question_names_its_connection() -> None:
    context = Context(user="u", host="h", address="a", local_address="l", local_port=7, groups=("g", "k"))
    assert str(context) == "user=u, group=g,k, host=h, addr=a, laddr=l, lport=7"


@pytest.mark.parametrize(
    ("text", "dumps", "told"),
    [
        (GOOD, (says("300"),), None),
        (GOOD, (NO_KEYS,), None),
        (GOOD, (says("0"),), "sshd -T reports 0 for everybody, this program reads 300 in the files"),
        ("Match Riddle x\n", (says("7"),), "sshd -T reads 7/3 for everybody, but this program cannot read the files"),
        ("Match Riddle x\n", (NO_KEYS,), None),
    ],
)
def test_two_readings_that_differ(text: str, dumps: tuple[Dump, ...], told: str | None) -> None:
    both = judge.find_contradiction(read(look({MAIN: text}, dumps=dumps)))
    assert both is None if told is None else told in (both or "")


@pytest.mark.parametrize(("version", "after_s"), [("9.1p1", None), ("9.2p1", 600), ("9.4p1", 600), ("9.5p1", None)])
def test_a_caveat_where_the_release_doubles_the_interval(version: str, after_s: int | None) -> None:
    found = judge.find_caveat(read(look({MAIN: GOOD}, version=version)), USUAL)
    assert (None if found is None else found.keep_alive_after_s) == after_s


def test_no_caveat_without_keep_alives_or_where_the_effect_was_asked_for() -> None:
    off = Policy(interval_s=0)
    assert judge.find_caveat(read(look({MAIN: ""})), off) is None
    by_effect = from_mapping({"keep_alive_every": 300})
    reading = read(look({MAIN: GOOD.replace("5m", "150")}))
    assert judge.find_caveat(reading, by_effect) is None


def test_a_caveat_offers_no_cure_where_there_is_none() -> None:
    found = judge.find_caveat(read(look({MAIN: "ClientAliveInterval 1\n"})), Policy(interval_s=1))
    assert str(found) == "the first keep-alive comes after 2 s: OpenSSH 9.2 doubles the interval"


def test_a_policy_by_effect_is_judged_for_the_release() -> None:
    by_effect = from_mapping({"keep_alive_every": 300, "drop_dead_after": 1200})
    assert [f.wanted for f in judged(GOOD, by_effect, version="9.2p1")] == ["150", "3"]
    assert verdicts(judged(GOOD, by_effect, version="9.2p1")) == ["drift", "ok"]
    assert verdicts(judged(GOOD, by_effect, version="9.6p1")) == ["ok", "ok"]
