"""Files unrolled into reading order: Includes, their limits, and what makes a tree unreadable."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from sshd_keepalive.errors import ParseError
from sshd_keepalive.model import COUNT_MAX, INTERVAL, Daemon, Glob, RemoteFile
from sshd_keepalive.sshd_config import command_line, tree
from sshd_keepalive.sshd_config.tree import build_from_files
from sshd_keepalive.sshd_config.version import Version
from tests.support import readings
from tests.support.snapshots import MAIN, look

D = "/etc/ssh/sshd_config.d"


def events(files: dict[str, str], version: str = "9.2p1") -> list[tuple[str, int]]:
    contents = {path: text.encode() for path, text in files.items()}
    built = tree.build_from_files(contents, version=Version.parse(version))
    return [(event.place.path, event.place.line) for event in built.events()]


def test_files_are_read_where_they_are_included() -> None:
    files = {MAIN: f"Port 22\nInclude {D}/*.conf\nUseDNS no\n", f"{D}/b.conf": "I 1\n", f"{D}/a.conf": "# x\nI 2\n"}
    assert events(files) == [(MAIN, 1), (MAIN, 2), (f"{D}/a.conf", 2), (f"{D}/b.conf", 1), (MAIN, 3)]


def chain(length: int) -> dict[str, str]:
    files = {MAIN: "Include /f1\n"}
    for number in range(1, length + 1):
        files[f"/f{number}"] = f"Include /f{number + 1}\n" if number < length else "ClientAliveInterval 7\n"
    return files


def test_sixteen_levels_below_the_main_file_and_no_more() -> None:
    assert len(events(chain(16))) == 17
    with pytest.raises(ParseError, match="too many levels"):
        events(chain(17))


def test_a_file_that_includes_itself_ends() -> None:
    with pytest.raises(ParseError, match="too many levels"):
        events({MAIN: f"Include {MAIN}\n"})


def test_files_that_multiply_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "_MAX_READS", 500)
    files = {MAIN: "Include /f1 /f1\n"} | {f"/f{n}": f"Include /f{n + 1} /f{n + 1}\n" for n in range(1, 16)}
    with pytest.raises(ParseError, match="more than 500 files"):
        events(files | {"/f16": ""})


def test_ten_thousand_drop_ins() -> None:
    files = {f"{D}/{n:05}.conf": "ClientAliveInterval 60\n" for n in range(10_000)}
    began = time.process_time()
    found = events({MAIN: f"Include {D}/*.conf\n"} | files)
    assert len(found) == 10_001
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("files", "line", "why"),
    [
        ({}, 0, "no such file"),
        ({MAIN: "UseDNS no\nClientAliveInterval abc\n"}, 2, "bad value"),
        ({MAIN: "ClientAliveInterval 5 6\n"}, 1, "text after"),
        ({MAIN: 'ClientAliveInterval ""\n'}, 1, "no value"),
        ({MAIN: "Match User bob\nPort 22\n"}, 2, "not allowed within"),
        ({MAIN: "Match User bob\nInclude /x\n", "/x": "Match all\nPort 22\n"}, 2, "not allowed within"),
        ({MAIN: "Match nobody\n"}, 1, "criterion"),
        ({MAIN: 'Include ""\n'}, 1, "without a file name"),
        ({MAIN: "\ufeffPort 22\n"}, 1, "byte order mark"),
        ({MAIN: 'X11Forwarding "yes\n'}, 1, "quote"),
    ],
)
def test_refusals_name_path_and_line(files: dict[str, str], line: int, why: str) -> None:
    with pytest.raises(ParseError, match=why) as caught:
        events(files)
    assert caught.value.line == line


@pytest.mark.parametrize("text", ['Include "\n', "Include\n", "Include = \n"])
def test_include_without_a_name_in_old_releases(text: str) -> None:
    with pytest.raises(ParseError):
        events({MAIN: text}, "8.4p1")


def test_an_empty_word_ends_an_old_include() -> None:
    files = {MAIN: 'Include /a ""\n', "/a": "I 1\n", "/b": "I 2\n"}
    assert ("/a", 1) in events(files, "8.4p1")
    with pytest.raises(ParseError):
        events(files)
    files[MAIN] = 'Include /a "" /b\n'
    with pytest.raises(ParseError, match="text after"):
        events(files, "8.4p1")
    files[MAIN] = 'Include /a "" "" /b\n'
    assert ("/b", 1) not in events(files, "8.4p1")


def test_what_was_refused_once_is_refused_again() -> None:
    built = build_from_files({MAIN: b"Port 22\nClientAliveInterval x\n"})
    for _ in range(2):
        with pytest.raises(ParseError, match="bad value"):
            built.events()


def test_a_loop_is_distinguished_from_a_long_chain() -> None:
    with pytest.raises(ParseError, match="levels of Include: /a includes itself"):
        events({MAIN: "Include /a\n", "/a": "Include /b\n", "/b": "Include /a\n"})
    chain = {f"/{n}": f"Include /{n + 1}\n" for n in range(20)}
    with pytest.raises(ParseError, match=r"levels of Include$"):
        events({MAIN: "Include /0\n", **chain, "/20": ""})


def test_unknown_keywords_are_kept() -> None:
    assert events({MAIN: "DebianBanner no\nMatch User x\nVendorThing 7\n"}) == [(MAIN, 1), (MAIN, 2), (MAIN, 3)]


def test_releases_without_include_refuse_it() -> None:
    with pytest.raises(ParseError, match="does not support Include"):
        events({MAIN: "Include /x\n"}, "8.1p1")


def test_settings_in_match_are_refused_before_7_4() -> None:
    with pytest.raises(ParseError, match="not allowed within"):
        events({MAIN: "Match User x\nClientAliveInterval 5\n"}, "7.2p1")


def test_options_come_first_and_have_no_includes() -> None:
    built = tree.build_from_files({MAIN: b"ClientAliveInterval 5\n"}, options=("ClientAliveInterval=7", "# nothing"))
    assert readings.resolve(built)[INTERVAL].value == "7"
    for option in ("Include /x", "Match all"):
        with pytest.raises(ParseError, match="not allowed as a daemon option"):
            tree.build_from_files({MAIN: b""}, options=(option,)).events()


# ------------------------------------------------------------------------------------ from a snapshot


def test_patterns_that_were_not_looked_up_are_requested_one_after_the_other() -> None:
    found = look({MAIN: f"Include {D}/*.conf more/*\n", f"{D}/a.conf": "Include /opt/*\nInclude /srv/x\n"}, globs=())
    assert tree.find_missing_globs(tree.build_from_snapshot(found)) == (f"{D}/*.conf", "/etc/ssh/more/*")
    globs = tuple(Glob(pattern=p, paths=q) for p, q in ((f"{D}/*.conf", (f"{D}/a.conf",)), ("/etc/ssh/more/*", ())))
    found = replace(found, globs=globs)
    assert tree.find_missing_globs(tree.build_from_snapshot(found)) == ("/opt/*", "/srv/x")
    with pytest.raises(ParseError, match="was not asked"):
        readings.resolve(tree.build_from_snapshot(found))


def test_a_literal_file_that_was_read_needs_no_glob() -> None:
    found = look({MAIN: "Include /srv/x\n", "/srv/x": "ClientAliveCountMax 9\n"}, globs=())
    assert tree.find_missing_globs(tree.build_from_snapshot(found)) == ()
    assert readings.resolve(tree.build_from_snapshot(found))[COUNT_MAX].value == "9"


def test_an_unreadable_member_is_no_guess() -> None:
    found = look({MAIN: "Include /d/*\n"}, globs=(Glob(pattern="/d/*", paths=("/d/gone.conf",)),))
    with pytest.raises(ParseError, match="could not be read"):
        readings.resolve(tree.build_from_snapshot(found))


def test_a_broken_tree_needs_no_glob() -> None:
    assert (
        tree.find_missing_globs(tree.build_from_files({MAIN: b"Include /x/*\n"})) == ()
    )  # offline there is nobody to ask
    assert tree.find_missing_globs(tree.build_from_snapshot(look({MAIN: "Match x\nInclude /x/*\n"}, globs=()))) == ()


def test_a_vendors_include_is_known_from_the_snapshot() -> None:
    found = look({MAIN: "Include /x\n", "/x": "ClientAliveInterval 5\n"}, version="8.0p1", dumps=())
    with pytest.raises(ParseError, match="does not support Include"):
        tree.build_from_snapshot(found).events()
    found = look({MAIN: "Include /x\n", "/x": "ClientAliveInterval 5\n"}, version="8.0p1", has_include_backport=True)
    assert readings.resolve(tree.build_from_snapshot(found))[INTERVAL].value == "5"


@pytest.mark.parametrize(
    ("command", "expected"),
    [("sshd: /usr/sbin/sshd -D -f /srv/c [listener]", "/srv/c"), ("/usr/sbin/sshd -Df/srv/c", "/srv/c"), ("", MAIN)],
)
def test_the_daemons_own_file_is_read(command: str, expected: str) -> None:
    found = look({MAIN: "", "/srv/c": ""}, daemon=Daemon(pid=1, command_line=command))
    assert tree.build_from_snapshot(found).main == expected


@pytest.mark.parametrize(
    ("command", "is_split"),
    [
        ("sshd: /usr/sbin/sshd -D -f /srv/my conf [listener] 0 of 10-100 startups", True),
        ("/usr/sbin/sshd -Df/srv/my conf -E /log", True),
        ("sshd: /usr/sbin/sshd -D -f /srv/c [listener] 0 of 10-100 startups", False),
        ("/usr/sbin/sshd -f /srv/c -o Port 22", False),
        ("/usr/sbin/sshd -o Banner /a b -D -f /srv/c ", False),
        ("/usr/sbin/sshd -D", False),
    ],
)
def test_a_path_with_a_space_is_seen_in_words_that_have_lost_their_quotes(command: str, is_split: bool) -> None:
    assert command_line.has_split_config(command) is is_split


def test_what_the_look_used_wins() -> None:
    found = look({MAIN: "", "/srv/c": ""}, config_path="/srv/c")
    assert tree.build_from_snapshot(found).main == "/srv/c"


def test_the_vendors_file_where_there_is_no_other() -> None:
    assert tree.build_from_snapshot(look({"/usr/etc/ssh/sshd_config": ""})).main == "/usr/etc/ssh/sshd_config"


def test_new_contents_join_the_patterns_that_name_them() -> None:
    built = tree.build_from_snapshot(look({MAIN: "Include /d/*.conf\n", "/d/b.conf": "ClientAliveInterval 9\n"}))
    built = built.change_files({"/d/a.conf": b"ClientAliveInterval 8\n"})
    assert readings.resolve(built)[INTERVAL].value == "8"


def test_options_are_read_with_the_files() -> None:
    found = look({MAIN: ""}, daemon=Daemon(pid=1, options=("ClientAliveInterval=7",)))
    assert readings.resolve(tree.build_from_snapshot(found))[INTERVAL].value == "7"


def test_files_are_plain_values() -> None:
    assert look({MAIN: ""}).files == (RemoteFile(path=MAIN, content=b""),)


def test_a_tree_after_files_were_removed() -> None:
    offline = build_from_files({MAIN: b"Include /d/*\n", "/d/a": b"Port 22\n"})
    assert [event.place.path for event in offline.change_files({}, {"/d/a"}).events()] == [MAIN]
