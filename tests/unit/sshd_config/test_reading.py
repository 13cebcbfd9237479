"""One reading of a host: worked out once, the same as the functions that work it out, and shared by a whole pass."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_keepalive.errors import ParseError
from sshd_keepalive.model import BLANK, Context, NewContent, Policy
from sshd_keepalive.sshd_config.reading import read, read_files
from sshd_keepalive.sshd_config.version import Version
from tests.support import configs
from tests.support.passes import count_readings, judge_and_plan
from tests.support.printed import lay
from tests.support.snapshots import MAIN, look

EIGHT_LINES = """Port 22
PermitRootLogin no
ClientAliveInterval 60
X11Forwarding yes
Subsystem sftp /usr/lib/openssh/sftp-server
Match User bob
    ClientAliveCountMax 9
    X11Forwarding no
"""


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    return count_readings(monkeypatch)


def test_a_pass_reads_the_files_once_before_and_once_after_the_edit(counted: Counter[str]) -> None:
    root = Context(user="root", host="localhost", address="127.0.0.1", local_address="127.0.0.1", local_port=22)
    found = look({MAIN: EIGHT_LINES}, version="9.6p1")
    found = replace(found, dumps=(*found.dumps, replace(found.dumps[0], context=root)))
    counted.clear()
    planned = judge_and_plan(found, Policy())
    assert [edit.after.strip() for edit in planned.edits] == [
        b"ClientAliveInterval 300",
        b"ClientAliveCountMax 3",
        b"ClientAliveCountMax 3",
    ]
    assert counted == {"trees": 2, "resolutions": 4}  # each tree: bob, and everybody else


def test_what_is_not_as_expected_is_read_anew(counted: Counter[str]) -> None:
    before = read(look({MAIN: EIGHT_LINES}))
    after = before.after((NewContent(path=MAIN, before=EIGHT_LINES.encode(), after=b"ClientAliveInterval 300\n"),))
    seen = look({MAIN: "ClientAliveInterval 299\n"})
    counted.clear()
    assert read(seen, after).everybody["clientaliveinterval"].value == "299"
    assert counted["trees"] == 1
    assert read(look({MAIN: "ClientAliveInterval 300\n"}), after).tree.main == MAIN


def test_an_edit_is_read_once(counted: Counter[str]) -> None:
    before = read(look({MAIN: "ClientAliveInterval 1\nInclude /d/*\n", "/d/a": "Port 1\n"}))
    contents = (
        NewContent(path="/d/b", before=None, after=b"ClientAliveCountMax 7\n"),
        NewContent(path="/d/a", before=b"Port 1\n", after=b"", gone=True),
    )
    after = before.after(contents)
    assert before.after(contents) is after
    assert before.after(()) is before
    assert after.everybody["clientalivecountmax"].value == "7"
    assert [file.path for file in after.snapshot.files] == [MAIN, "/d/b"]
    assert after.snapshot.dumps == ()


def test_files_that_sshd_refuses_raise_when_they_are_asked() -> None:
    reading = read(look({MAIN: "Match x\n"}))
    for ask in (lambda: reading.everybody, lambda: reading.scopes, lambda: reading.list_possible(BLANK)):
        with pytest.raises(ParseError):
            ask()


@given(st.integers(0, 2**32), st.sampled_from(["8.4p1", "9.2p1", "10.0p2"]))
def test_connections_that_meet_the_same_blocks_share_an_answer_and_it_is_right(seed: int, version: str) -> None:
    made = configs.case(seed, "/etc/ssh/c")
    reading = read_files(made.files, main=made.main, version=Version.parse(version), options=made.options)
    try:
        scopes = reading.scopes
    except ParseError:
        return
    for context in (BLANK, *(scope.context for scope in scopes if scope.context is not None)):
        afresh = lay(reading.tree, context)
        assert reading.resolve(context) == afresh.resolve()
        assert reading.list_possible(context) == afresh.list_possible()
