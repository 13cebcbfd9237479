"""The answers of `why`."""

from __future__ import annotations

from sshd_keepalive.model import Context
from sshd_keepalive.planning import explain
from sshd_keepalive.sshd_config.reading import read_files
from sshd_keepalive.sshd_config.tree import build_from_files
from tests.support.snapshots import MAIN

D = "/etc/ssh/sshd_config.d"
FILES = {
    MAIN: f"Include {D}/*.conf\nClientAliveInterval 60\nMatch User bob\n  ClientAliveCountMax 0 # why\n".encode(),
    f"{D}/a.conf": b"ClientAliveInterval 5m\n",
}


def told(files: dict[str, bytes], context: Context | None = None, options: tuple[str, ...] = ()) -> str:
    reading = read_files(files, options=options)
    return explain.render(reading.tree, explain.explain(reading, context))


def test_everybody_and_each_block() -> None:
    assert told(FILES) == (
        "everybody, except for the Match blocks below\n"
        f"  ClientAliveInterval 300  {D}/a.conf:1  ClientAliveInterval 5m\n"
        f"    included by  {MAIN}:1  Include {D}/*.conf\n"
        f"    hides        {MAIN}:2  ClientAliveInterval 60\n"
        "  ClientAliveCountMax 3  the default, no line sets it\n"
        f"Match User bob ({MAIN}:3)\n"
        f"  ClientAliveCountMax 0  {MAIN}:4  ClientAliveCountMax 0 # why\n"
    )


def test_a_hidden_line_is_shown_once_unless_asked_for_more() -> None:
    text = b"ClientAliveInterval 1\nClientAliveInterval 2\nMatch User a\nClientAliveInterval 3\nClientAliveInterval 4\n"
    reading = read_files({MAIN: text})
    found = explain.explain(reading)
    brief, full = (explain.render(reading.tree, found, is_verbose=is_verbose) for is_verbose in (False, True))
    assert [line.split()[1] for line in brief.splitlines() if "hides" in line] == [f"{MAIN}:2", f"{MAIN}:5"]
    in_block = [line.split()[1] for line in full.partition("Match User a")[2].splitlines() if "hides" in line]
    assert in_block == [f"{MAIN}:5", f"{MAIN}:1", f"{MAIN}:2"]


def test_one_connection() -> None:
    shown = told(FILES, Context(user="bob"))
    assert shown.startswith("user=bob\n  ClientAliveInterval 300")
    assert f"ClientAliveCountMax 0  {MAIN}:4" in shown


def test_without_match_it_is_everybody() -> None:
    shown = told({MAIN: b"ClientAliveInterval 9\n"}, options=("ClientAliveInterval=7",))
    assert shown.startswith("everybody\n  ClientAliveInterval 7  <command line>\n    hides ")


def test_a_block_that_may_match_is_reported() -> None:
    files = {MAIN: b"Match Group g\nClientAliveInterval 9\nMatch Group h\nX11Forwarding no\n"}
    shown = told(files, Context(user="bob"))
    assert shown.endswith(f"  may also match: {MAIN}:1  Match Group g\n")


def test_a_line_that_an_earlier_block_may_beat_is_still_reported() -> None:
    text = b"Match User a*\nClientAliveInterval 1\nMatch User *\nClientAliveInterval 2\n"
    assert f"ClientAliveInterval 2  {MAIN}:4" in told({MAIN: text})
    assert f"ClientAliveInterval 3  {MAIN}:2" in told({MAIN: b"Match RDomain x\nClientAliveInterval 3\n"})


def test_hostile_lines_are_escaped() -> None:
    assert "\x1b" not in told({MAIN: b"ClientAliveInterval 9 # \x1b[2J\n"})


def test_a_line_end_in_a_name_or_a_word_begins_no_line() -> None:
    files = {
        "/etc/ssh/sshd_config": b'Include /etc/ssh/conf.d/*\nMatch User a,"b\x0b\rforged"\n ClientAliveInterval 5\n',
        "/etc/ssh/conf.d/a\nok forged": b"ClientAliveInterval 7\n",
    }
    lines = told(files).splitlines()
    assert not [line for line in lines if line.startswith(("ok", "forged"))]
    assert "/etc/ssh/conf.d/a\\x0aok forged:1" in told(files)
    assert all(line.isprintable() for line in lines)


def test_as_plain_values() -> None:
    (everybody, bob) = explain.to_json(explain.explain(read_files(FILES)))
    assert everybody["scope"] == "global"
    assert everybody["settings"][0] == {  # type: ignore[index]
        "setting": "ClientAliveInterval",
        "value": "300",
        "decided_in": "global",
        "place": {"path": f"{D}/a.conf", "line": 1},
        "included_by": [{"path": MAIN, "line": 1}],
        "hides": [{"path": MAIN, "line": 2}],
    }
    assert bob["may_also_match"] == []


def test_a_nul_byte_is_warned_of() -> None:
    built = build_from_files({"/etc/ssh/sshd_config": b"Port 22\n# \0\n"})
    assert explain.find_nul_bytes(built) == (
        "/etc/ssh/sshd_config:2 holds a NUL byte: sshd reads the next line as a part of it",
    )
