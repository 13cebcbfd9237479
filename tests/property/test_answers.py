"""Whatever a host answers, it is read or refused as what it is: a host that was taken over makes no traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sshd_keepalive.errors import HostError, ParseError
from sshd_keepalive.model import Host, HostReport, NewContent, Plan, Policy, Run, Snapshot, State
from sshd_keepalive.planning import diff, judge, undo
from sshd_keepalive.reports import json as json_report
from sshd_keepalive.reports import text as text_report
from sshd_keepalive.scripts import deep, guard, sessions, survey
from sshd_keepalive.sshd_config.reading import read

HOST = Host(name="one", address="192.0.2.1")
AT = datetime(2026, 1, 31, tzinfo=UTC)
LOOK = Snapshot(
    host=HOST, taken_at=AT, version="9.6p1", files=(), globs=(), dumps=(), daemon=None,
    facts=(("sshd_config", "/etc/ssh/sshd_config"), ("state", "/var/backups/x")),
)  # fmt: skip
KINDS = """
    path real details content glob match directory dump answer refusal dangling elsewhere version pid command
    listening loaded folders described start started hertz before uptime clock config state manager unit held taken
    active lost
    run how target old new step end kind cause reason complaints lasting
    self processes server title sockets child network tmout logind files kernel
"""
NASTY = (
    b"", b" ", b"\n", b"0", b"-1", b"1", b"9" * 5000, b"nan", b"inf", b"-inf", b"1e400", b"1 2 3 4 5 6 /x",
    b"3 nan nan", b"3 1e99 1e99", b"3x 1 1", b"\xff\xfe", b"\x1b[2J", "\u202e".encode(),
    b"/etc/ssh/sshd_config", b"user=a,host", b"user=a,lport=x", b"s ok 1 2", b"s ok nan inf x", b"s ok", b"applied",
    b"OpenSSH_9.6p1", b"sshd: a@pts/0", b"1 0 1 sshd", b"0 0 0 0\n1 1 1 sshd", b"0100007F:0016 zz:yy 7",
    b"t 18446744073709551616", b"t 99999999999999999999999", b"7 8 x", b"/x:1:TMOUT=" + b"9" * 5000, b"Match all",
    b"clientaliveinterval 300\nclientalivecountmax x", b"Include /etc/ssh/*\n", b"\x00",
)  # fmt: skip
records = st.lists(
    st.tuples(st.sampled_from(KINDS.split()), st.sampled_from(NASTY) | st.binary(max_size=40)), max_size=12
)


def told(answer: list[tuple[str, bytes]]) -> bytes:
    return b"".join(b"%s %d\n%s\n" % (kind.encode(), len(value), value) for kind, value in answer)


def looked_at(stdout: bytes) -> None:
    seen = survey.parse(stdout, HOST, AT)
    assert dict(seen.facts)["state"]
    report = HostReport(host=HOST, state=State.UNKNOWN, findings=judge.judge(read(seen), Policy()), facts=seen.facts)
    run = Run(id="r", command="check", started_at=AT, ended_at=AT, exit_code=3, hosts=(report,))
    json.loads(json_report.render(run))
    assert "\x1b" not in text_report.render(run)


PARSERS: dict[str, Callable[[bytes], object]] = {
    "survey": looked_at,
    "guard": guard.parse,
    "undo": undo.parse,
    "sessions": lambda stdout: sessions.parse(stdout, daemon=1),
    "deep": lambda stdout: deep.judge(stdout, LOOK),
}


@pytest.mark.parametrize("name", PARSERS)
@given(answer=records, noise=st.sampled_from([b"", b"x", b"end 99\n", b"end " + b"9" * 5000 + b"\n"]))
@example(answer=[("old", b"x")], noise=b"")
@example(answer=[("real", b"/x")], noise=b"")
def test_any_answer_is_read_or_refused(name: str, answer: list[tuple[str, bytes]], noise: bytes) -> None:
    good = [("version", b"OpenSSH_9.6p1"), ("state", b"/var/backups/x")] if name == "survey" else []
    kind = "observe"
    try:
        PARSERS[name](told([*good, *answer]) + noise)
    except HostError as error:
        kind = error.kind
    except ParseError:  # a file that sshd would refuse; the report says so
        assert name == "survey"
    assert kind == "observe"


def test_a_name_on_the_host_cannot_look_like_a_line_of_the_report() -> None:
    content = NewContent(path="/etc/ssh/x\n5 hosts: 5 ok\n", before=b"a\n", after=b"b\n")
    shown = diff.render_diff(Plan(host=HOST, contents=(content,)))
    assert "5 hosts" in shown
    assert "\n5 hosts" not in shown
