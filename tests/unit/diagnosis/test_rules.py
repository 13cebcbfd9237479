"""Logs as people have them, and what `diagnose` makes of each; see tests/cases/logs/expected.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sshd_keepalive.diagnosis import rules as diagnosis
from sshd_keepalive.diagnosis import run_log as runlog
from sshd_keepalive.diagnosis.causes import CAUSES
from sshd_keepalive.diagnosis.patterns import ROWS, Row
from sshd_keepalive.diagnosis.rules import (
    LOGIN_RULES,
    RULES,
    Diagnosis,
    Evidence,
    HostVerdict,
    Known,
    Likelihood,
    Rule,
    judge_by_host,
    read_known,
)
from sshd_keepalive.model import CauseName
from sshd_keepalive.sshd_config import keepalive
from sshd_keepalive.sshd_config.reading import read
from sshd_keepalive.sshd_config.version import Version
from tests.support.snapshots import MAIN, look

CASES = Path(__file__).parents[2] / "cases/logs"
EXPECTED: dict[str, dict[str, Any]] = yaml.safe_load((CASES / "expected.yaml").read_text())
PUBLISHED = (CASES / "dataarts-published.log").read_bytes()


def of(log: bytes, known: Known | None = None) -> Diagnosis:
    return diagnosis.diagnose(runlog.read([log]), known)


def test_every_log_is_expected_and_every_expectation_has_a_log() -> None:
    assert {path.stem for path in CASES.glob("*.log")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_log(name: str) -> None:
    wanted = EXPECTED[name]
    found = of((CASES / f"{name}.log").read_bytes())
    assert found.was_killed is wanted["killed"]
    assert found.product == wanted["product"]
    if "duration" in wanted:
        assert found.duration_s == pytest.approx(wanted["duration"])
    if "silence" in wanted:
        assert found.silence_s == pytest.approx(wanted["silence"])
    for index, key in enumerate(("first", "second")):
        if key in wanted:
            assert [cause.name for cause in found.causes][index] == wanted[key], found.causes
    if "finished" in wanted:
        assert found.finished.value == wanted["finished"]
    if "next" in wanted:
        assert found.next_step == wanted["next"]
    assert bool(found.causes) is bool(wanted["killed"])


def test_the_published_case_names_the_pair_and_the_release() -> None:
    first = of(PUBLISHED).causes[0]
    assert first.likelihood is Likelihood.LIKELY
    assert "before 8.2" in first.title
    assert any("300/0" in reason for reason in first.reasons)


@pytest.mark.parametrize(
    ("version", "interval_s", "count_max", "first", "likelihood"),
    [
        ("7.4p1", 300, 0, "count-zero", Likelihood.CERTAIN),
        ("8.1p1", 300, 0, "count-zero", Likelihood.CERTAIN),
        ("8.2p1", 300, 0, "idle-limit", Likelihood.LIKELY),  # 0 means never from 8.2 on
        ("8.0p1+include", 300, 0, "idle-limit", Likelihood.LIKELY),  # and in RHEL 8
        ("7.4p1", 300, 3, "idle-limit", Likelihood.LIKELY),
        ("9.2p1", 0, 3, "idle-limit", Likelihood.LIKELY),
        ("9.6p1", 75, 3, "dead-client", Likelihood.LIKELY),  # nobody says that the client was gone
        ("9.2p1", 75, 1, "dead-client", Likelihood.LIKELY),  # (1 + 1) x 2 x 75
    ],
)
def test_what_the_host_does_outweighs_every_guess(
    version: str, interval_s: int, count_max: int, first: str, likelihood: Likelihood
) -> None:
    known = Known(name="ecs-01", version=Version.parse(version), interval_s=interval_s, count_max=count_max)
    found = of(PUBLISHED, known)
    assert (found.causes[0].name, found.causes[0].likelihood) == (first, likelihood)
    zero = next((cause for cause in found.causes if cause.name == "count-zero"), None)
    ends_living = keepalive.compute_consequence(known.version, interval_s, count_max).alive_dropped_after_s is not None
    assert (zero is not None and zero.likelihood is not Likelihood.UNLIKELY) is ends_living


def known(pair: str, version: str = "9.6p1", **other: float) -> Known:
    interval, count = (int(number) for number in pair.split("/"))
    limits = tuple((name.replace("_", "-"), limit_s) for name, limit_s in other.items())
    return Known(name="ecs-01", version=Version.parse(version), interval_s=interval, count_max=count, other=limits)


def ranked(found: Diagnosis) -> dict[str, Likelihood]:
    return {cause.name: cause.likelihood for cause in found.causes}


def test_a_limit_for_terminals_does_not_end_a_job_without_one() -> None:
    said = ranked(of(PUBLISHED, known("300/3", shell_tmout=300, logind=300)))
    assert said["shell-tmout"] is said["logind"] is Likelihood.UNLIKELY
    assert ranked(of(PUBLISHED, known("300/3", channel_timeout=300)))["channel-timeout"] is Likelihood.CERTAIN


def test_sshds_message_and_a_host_with_that_limit_are_conclusive() -> None:
    log = (CASES / "sshd-gave-up-dead.log").read_bytes()
    assert ranked(of(log, known("300/3")))["dead-client"] is Likelihood.CERTAIN
    assert ranked(of(log, known("300/3", "9.2p1")))["dead-client"] is Likelihood.LIKELY  # 2400 s there
    assert ranked(of(log, known("60/3")))["idle-limit"] is Likelihood.UNLIKELY  # keep-alives flow every minute


def test_a_conclusive_rule_excludes_all_other_causes() -> None:
    assert ranked(of((CASES / "jenkins-own-limit.log").read_bytes())) == {"own-limit": Likelihood.CERTAIN}


def test_a_status_of_the_script_itself_outweighs_the_scheduler() -> None:
    log = PUBLISHED.replace(b"[-1]", b"[2]")
    assert (of(log).was_killed, of(log).finished.value) == (False, "yes")
    assert of(log + b"com.jcraft.jsch.JSchException: session is down\n").was_killed is True


@pytest.mark.parametrize(
    ("log", "killed"),
    [
        (
            "kex_exchange_identification: Connection closed by remote host\nConnection closed by 192.0.2.1 port 22",
            False,
        ),
        ("ssh: connect to host ecs-01 port 22: Connection refused\nssh exited with code 255", False),
        ("client_loop: send disconnect: Broken pipe\nssh: connect to host ecs-01 port 22: Connection refused", True),
        ("com.jcraft.jsch.JSchException: Auth fail\nThe return code is : [-1].\nerrorCode: 3427", False),
        ("errorCode: 3427\nThe return code is : [-1].\ncom.jcraft.jsch.JSchException: Auth fail", False),
        ('UNREACHABLE! => {"msg": "Permission denied (publickey)"}', False),
        ("com.jcraft.jsch.JSchException: java.net.ConnectException: Connection timed out", False),
        ("paramiko.ssh_exception.AuthenticationException: Authentication failed.", False),
        ("paramiko.ssh_exception.SSHException: Server connection dropped: ", True),
        ("Caused by: java.net.SocketException: Connection reset", True),
        ("Failed: NonZeroResultCode: Result code was 3", False),
        ("Failed: NonZeroResultCode: Remote command failed with exit status -1", True),
        ("Failed: NonZeroResultCode: Result code was 255", True),
        ("sshd[7]: Connection closed by 192.0.2.9 port 50200", None),  # that is the client's side
        ("sshd[7]: Connection closed by 192.0.2.9 port 50200 [preauth]", None),
        ("sshd[7]: Connection reset by authenticating user root 192.0.2.9 port 50200 [preauth]", None),
        ("sshd[7]: Connection reset by 192.0.2.9 port 50200", True),
        ("sshd[7]: fatal: Timeout before authentication for 192.0.2.9 port 50200", False),
        ("sshd[7]: Read error from remote host 192.0.2.9 port 50200: Connection timed out", True),
        ("Connection closed by 192.0.2.1 port 22", True),
    ],
)
def test_lines_that_look_alike(log: str, killed: bool | None) -> None:
    assert of(log.encode()).was_killed is killed


def test_of_several_runs_the_lost_one_counts() -> None:
    good = b'{"exeTime":%d.5}\nThe return code is : [0].\n'
    found = of(b"".join(good % (1000 + n) for n in range(50)) + PUBLISHED)
    assert (found.duration_s, found.causes[0].name, found.finished.value) == (300.609, "count-zero", "probably")
    assert "line 2 reports exit status 0" in found.finished_because
    parts = PUBLISHED.replace(b'"exeTime":300.609', b'"exeTime":2.5},{"exeTime":300.609},{"exeTime":1.5')
    assert of(parts).duration_s == 300.609


@pytest.mark.parametrize("newline", [b"\r\n", b"\r", b"\n"])
def test_lines_are_numbered_as_an_editor_does(newline: bytes) -> None:
    lines = [b"progress 1%" if newline == b"\r" else b"progress 1%\r2%", *[b"x"] * 70_000, b"session is down"]
    blocks = newline.join(lines)
    log = runlog.read(blocks[at : at + 65_536] for at in range(0, len(blocks), 65_536))
    assert [matched.line for matched in log.matches] == [70_002]
    assert log.n_lines == 70_002


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gbk", "latin-1"]
)
def test_a_log_in_another_encoding_has_the_same_diagnosis(encoding: str) -> None:
    text = PUBLISHED.decode()
    if encoding == "gbk":
        text = "作业实例执行失败\n" * 3 + text
    found = of(text.encode(encoding))
    assert (found.duration_s, found.causes[0].name) == (300.609, "count-zero")


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_the_size_of_the_pieces_means_nothing(size: int) -> None:
    whole = of(PUBLISHED)
    pieces = [PUBLISHED[at : at + size] for at in range(0, len(PUBLISHED), size)]
    found = diagnosis.diagnose(runlog.read(pieces))
    assert [s.name for s in found.causes] == [s.name for s in whole.causes]
    assert [(s.line, s.text) for s in found.matches] == [(s.line, s.text) for s in whole.matches]


def test_one_line_without_an_end_is_read_in_pieces_and_nothing_is_missed() -> None:
    def endless() -> Iterator[bytes]:
        for number in range(64):
            yield b"x" * 65_000
            if number == 40:
                yield b'"exeTime":300.609,"error":"session is d'
                yield b'own"'

    found = diagnosis.diagnose(runlog.read(endless()))
    assert (found.duration_s, found.causes[0].name) == (300.609, "count-zero")


@pytest.mark.slow
def test_a_log_that_repeats_itself_is_not_kept() -> None:
    log = runlog.read(b"com.jcraft.jsch.JSchException: session is down\n" * 5000 for _ in range(4))
    assert [matched.line for matched in log.matches] == [*range(1, 11), *range(19_991, 20_001)]


@settings(max_examples=100)
@given(st.binary(max_size=2000), st.lists(st.sampled_from([row.word for row in ROWS]), max_size=4))
def test_any_bytes_have_an_answer(noise: bytes, words: list[str]) -> None:
    found = of(noise + "\n".join(words).encode() + noise)
    assert bool(found.causes) or not found.was_killed


@settings(max_examples=200)
@given(st.floats(min_value=0.1, max_value=100_000))
def test_the_likeliest_comes_first_and_every_cause_has_a_reason(seconds: float) -> None:
    found = of(b'{"exeTime":%.3f} session is down' % seconds)
    order = [[*Likelihood].index(cause.likelihood) for cause in found.causes]
    assert order == sorted(order)
    assert all(cause.reasons for cause in found.causes)


def named(row: object) -> str:
    return str(getattr(row, "example", row))[:60]


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_every_kind_of_line_matches_its_example(row: Row) -> None:
    log = runlog.read([row.example.encode()])
    assert row.word == row.word.lower()
    assert row in [matched.row for matched in log.matches]


@pytest.mark.parametrize("rule", [*RULES, *LOGIN_RULES], ids=named)
def test_every_rule_holds_for_its_example(rule: Rule) -> None:
    """The table is in order: no rule above it takes its cause, and none is never reached."""
    found = of(rule.example.encode(), rule.met)
    assert ranked(found)[rule.cause] is rule.likelihood
    rules = RULES if found.was_killed else LOGIN_RULES
    above = rules[: rules.index(rule)]
    evidence = diagnosis.gather_evidence(runlog.read([rule.example.encode()]), rule.met, "HOST")
    assert rule in [*diagnosis.find_rules(rules, evidence)]
    assert rule.likelihood is Likelihood.CERTAIN or [*Likelihood].index(rule.likelihood) >= max(
        ([*Likelihood].index(one.likelihood) for one in above), default=0
    )


@pytest.mark.timeout(60)
@pytest.mark.parametrize("row", ROWS, ids=named)
def test_every_pattern_takes_linear_time(row: Row) -> None:
    """A line of 63 KiB took minutes with a pattern that took quadratic time."""
    half = row.example[: len(row.example) // 2]
    for piece in (row.word, row.example, row.example.replace(" ", ""), half, f"{row.word} ", " ", "1", "a"):
        for line in (
            piece * (64_000 // len(piece)),
            row.word + piece * (64_000 // len(piece)),
            f"{half}{piece * 5000}",
        ):
            for _ in row.find(line):
                pass


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_large_log_of_nothing_but_telling_lines_is_read_in_linear_time() -> None:
    """20 MB; no line has a time, and each was looked for in the 50 lines before it."""
    block = b"com.jcraft.jsch.JSchException: session is down, return code is\n" * 16_000
    assert runlog.read([block] * 20).matches[-1].line == 320_000


def test_the_tables_agree() -> None:
    given = {row.kind for row in ROWS}
    assert {kind for rule in (*RULES, *LOGIN_RULES) for kind in rule.kinds | rule.without} <= given
    assert {rule.cause for rule in (*RULES, *LOGIN_RULES)} == {cause.name for cause in CAUSES}


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("sshd[7]: fatal: Timeout before authentication for 192.0.2.9 port 50200", "login-grace"),
        ("Exceeded MaxStartups", "max-startups"),
        ("sshd[7]: drop connection #0 from [192.0.2.9]:50200 on [192.0.2.1]:22 penalty: failed authentication",
         "source-penalty"),
    ],
)  # fmt: skip
def test_a_login_that_sshd_ended_has_a_cause_and_no_session_was_ended(log: str, cause: str) -> None:
    found = of(log.encode())
    assert found.was_killed is False
    assert ranked(found) == {cause: Likelihood.CERTAIN}
    assert found.finished.value == "no"


def test_the_message_of_sshd_since_9_8_has_two_causes() -> None:
    found = ranked(of(b"Not allowed at this time"))
    assert found == {"max-startups": Likelihood.POSSIBLE, "source-penalty": Likelihood.POSSIBLE}


@pytest.mark.parametrize(
    ("log", "product", "first"),
    [
        ("SshConnectionException: An established connection was aborted by the server.", "SSH.NET", "count-zero"),
        ("Disconnecting: Detected IdleTimeout after 600292/600000 ms.", "Apache MINA SSHD", "own-limit"),
        ("SshException: Got 5 heartbeat requests without reply", "Apache MINA SSHD", "idle-limit"),
        ("TransportException: Broken transport; encountered EOF", "sshj", "count-zero"),
        ("java.io.IOException: Peer sent DISCONNECT message (reason code 2): x", "Trilead", "count-zero"),
        ("wait: remote command exited without exit status or exit signal", "Go x/crypto/ssh", "count-zero"),
        ("Failure while draining incoming flow", "libssh2", "idle-limit"),
        ("ssh2.exceptions.SocketSendError", "libssh2", "idle-limit"),
        ("Error: Keepalive timeout", "node ssh2", "idle-limit"),
        ("Error: write EPIPE", "node ssh2", "idle-limit"),
        ("dbclient: Connection to ops@192.0.2.1:22 exited: Error writing: Broken pipe", "Dropbear", "idle-limit"),
        ("asyncssh.misc.ChannelOpenError: SSH connection closed", "asyncssh", "count-zero"),
        ("asyncssh.misc.ConnectionLost: Connection lost", "asyncssh", "count-zero"),
    ],
)  # fmt: skip
def test_libraries(log: str, product: str, first: str) -> None:
    found = of(log.encode())
    assert (found.product, found.was_killed, found.causes[0].name) == (product, True, first)


def test_a_look_at_the_host_says_what_it_does_to_an_account() -> None:
    found = look({MAIN: "ClientAliveInterval 60\nMatch User ops\nClientAliveCountMax 0\n"}, version="8.0p1")
    everybody, ops = read_known(read(found), None), read_known(read(found), "ops")
    assert (everybody.interval_s, everybody.count_max) == (60, 3)
    assert (ops.interval_s, ops.count_max, ops.version) == (60, 0, Version.parse("8.0p1"))


def test_a_limit_of_the_host_counts_only_where_it_was_met() -> None:
    limits = Known(
        name="one", version=Version.parse("9.6p1"), interval_s=300, count_max=3, other=(("channel-timeout", 900.0),)
    )
    cause = next(cause for cause in CAUSES if cause.name == "channel-timeout")

    def word(lasted_s: float) -> HostVerdict:
        evidence = Evidence(kinds=frozenset(), measured_s=(lasted_s,), has_terminal=True, known=limits, host="one")
        return judge_by_host(cause, evidence)[0]

    assert word(900.4) is HostVerdict.MET
    assert word(300.0) is HostVerdict.POSSIBLE


def test_every_cause_has_one_row() -> None:
    assert [cause.name for cause in CAUSES] == list(CauseName)
