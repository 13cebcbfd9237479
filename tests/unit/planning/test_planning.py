"""What the case files do not say: predictions, notes, restarts, names of drop-ins, and proofs that fail."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sshd_keepalive.errors import ParseError, PlanError
from sshd_keepalive.model import (
    COUNT_MAX,
    INTERVAL,
    Context,
    Daemon,
    Dump,
    Edit,
    MatchOverrides,
    NewContent,
    Policy,
    Strategy,
)
from sshd_keepalive.planning import candidate, judge, plan
from sshd_keepalive.planning import edits as editing
from sshd_keepalive.planning import owners as managed
from sshd_keepalive.planning import proofs as prove
from sshd_keepalive.sshd_config import match
from sshd_keepalive.sshd_config.document import parse
from sshd_keepalive.sshd_config.reading import read
from sshd_keepalive.sshd_config.tree import build_from_files
from sshd_keepalive.sshd_config.version import Version
from tests.support.snapshots import MAIN, look

D = "/etc/ssh/sshd_config.d"
BLANK = Context()
INCLUDE = f"Include {D}/*.conf\n"
DROP_IN = Policy(strategy=Strategy.DROP_IN)
LPORT = Dump(
    context=BLANK, error="'Match LocalPort' in configuration but 'lport' not in connection test specification."
)


def says(context: Context, interval: str, count: str = "3") -> Dump:
    return Dump(context=context, settings=((INTERVAL, interval), (COUNT_MAX, count)))


def pairs(values: tuple[tuple[str, str], ...]) -> str:
    return "/".join(value for _, value in values)


# ------------------------------------------------------------------------------------------ restarts


def test_stale_files_ask_for_a_restart_alone() -> None:
    daemon = Daemon(pid=1, loaded_at=datetime(2026, 1, 1, tzinfo=UTC), stale=(MAIN,))
    planned = plan.plan(read(look({MAIN: "ClientAliveInterval 300\n"}, daemon=daemon)), Policy())
    assert (planned.contents, planned.restart, planned.is_empty) == ((), True, False)


def test_nothing_to_do_is_nothing() -> None:
    planned = plan.plan(read(look({MAIN: "ClientAliveInterval 300\n"}, daemon=Daemon(pid=1))), Policy())
    assert planned.is_empty
    assert [(pairs(p.before), pairs(p.after)) for p in planned.predictions] == [("300/3", "300/3")]


# --------------------------------------------------------------------------------------- predictions


def test_without_a_match_one_question_is_enough() -> None:
    planned = plan.plan(read(look({MAIN: "X11Forwarding no\n"})), Policy())
    assert [(p.context, pairs(p.before), pairs(p.after)) for p in planned.predictions] == [(BLANK, "0/3", "300/3")]


@pytest.mark.parametrize(
    ("before", "version", "dropped_s"),
    [("", "9.6p1", 1200), ("", "9.2p1", 2400), ("ClientAliveInterval 60\n", "9.6p1", None),
     ("ClientAliveInterval 600\n", "9.6p1", 1200),
     ("ClientAliveInterval 60\nMatch User etl\nClientAliveInterval 0\n", "9.6p1", 1200),
     ("ClientAliveInterval 300\nClientAliveCountMax 0\n", "9.6p1", 1200),
     ("ClientAliveInterval 300\nClientAliveCountMax 0\n", "8.1p1", None)],
)  # fmt: skip
def test_where_silent_clients_are_dropped_or_sooner_it_is_reported(
    before: str, version: str, dropped_s: int | None
) -> None:
    planned = plan.plan(read(look({MAIN: "X11Forwarding no\n" + before}, version=version)), Policy())
    assert plan.find_new_drop_s(planned, Version.parse(version)) == dropped_s


def test_a_fingerprint_differs_when_anything_differs() -> None:
    (content,) = plan.plan(read(look({MAIN: "X11Forwarding no\n"})), Policy()).contents
    others = [replace(content, path="/x"), replace(content, after=b"y"), replace(content, before=b"z")]
    assert len({plan.compute_plan_fingerprint((one,)) for one in (content, *others)}) == 4
    assert plan.compute_plan_fingerprint((content,)) == plan.compute_plan_fingerprint((replace(content),))


def test_with_a_match_root_the_login_and_every_scope_are_asked_about() -> None:
    found = look({MAIN: "Match User bob\nClientAliveCountMax 9\nMatch Group g\nClientAliveCountMax 8\n"})
    found = replace(found, host=replace(found.host, user="ops"))
    planned = plan.plan(read(found), Policy(match_overrides=MatchOverrides.KEEP))
    # With a Match Group before nobody knows what anybody gets: only the blank connection and bob are certain.
    assert [(str(p.scope), p.context.user, pairs(p.after)) for p in planned.predictions] == [
        ("global", None, "300/3"),
        (f"Match User bob ({MAIN}:1)", "bob", "300/9"),
    ]
    planned = plan.plan(
        read(replace(found, files=look({MAIN: "Match User bob\nClientAliveCountMax 9\n"}).files)), Policy()
    )
    assert [(p.context.user, pairs(p.before), pairs(p.after)) for p in planned.predictions] == [
        (None, "0/3", "300/3"),
        ("root", "0/3", "300/3"),
        ("ops", "0/3", "300/3"),
        ("bob", "0/9", "300/3"),
    ]


def test_what_the_host_printed_decides_a_group() -> None:
    ops = replace(match.STRANGER, user="ops")
    found = look({MAIN: "Match Group g\nClientAliveInterval 8\n"}, dumps=(says(BLANK, "0"), says(ops, "8")))
    planned = plan.plan(read(found), Policy())
    asked = {p.context.user: (pairs(p.before), pairs(p.after)) for p in planned.predictions}
    assert asked["ops"] == ("8/3", "300/3")
    assert "root" not in asked


def test_a_blank_question_that_sshd_refuses_is_not_asked_again() -> None:
    found = look({MAIN: "Match LocalPort 22\nX11Forwarding no\n"}, dumps=(LPORT, says(match.STRANGER, "0")))
    contexts = [p.context for p in plan.plan(read(found), Policy()).predictions]
    assert BLANK not in contexts
    assert match.STRANGER in contexts


def test_questions_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "_MAX_PREDICTIONS", 4)
    text = "".join(f"Match User u{n}\nClientAliveCountMax 9\n" for n in range(20))
    assert len(plan.plan(read(look({MAIN: text})), Policy()).predictions) == 4


# --------------------------------------------------------------------------------------------- notes


def test_managers_are_reported() -> None:
    for text, who in (
        ("# Ansible managed\n", "Ansible"),
        ("#\n# This file is managed by Puppet\n", "Puppet"),
        ("# Generated by Chef\n", "Chef"),
        ("# managed by Salt\n", "Salt"),
        ("# Created by cloud-init\n", "cloud-init"),
        ("# Added by WALinuxAgent\n", "WALinuxAgent"),
        ("# Do NOT edit\n", "another program"),
    ):
        (note,) = plan.plan(
            read(look({MAIN: text + "ClientAliveInterval 60\nClientAliveCountMax 3\n"})), Policy()
        ).notes
        assert who in note
    assert managed.find_manager(parse("/x/50-cloud-init.conf", b"I 1\n")) == "cloud-init"
    assert managed.find_manager(parse("/x", b"Banner /managed by puppet\n")) is None
    far = "Port 22\n" * 60 + "# BEGIN ANSIBLE MANAGED BLOCK\nClientAliveInterval 60\n"
    assert "Ansible" in plan.plan(read(look({MAIN: far})), Policy()).notes[0]


def test_lines_without_effect_are_reported() -> None:
    planned = plan.plan(
        read(look({MAIN: "ClientAliveInterval 60\nClientAliveInterval 70\nClientAliveCountMax 3\n"})), Policy()
    )
    assert planned.notes == (f"{MAIN}:2: ClientAliveInterval has no effect there, {MAIN}:1 comes first",)


def test_long_lists_are_counted() -> None:
    text = "ClientAliveInterval 300\nClientAliveCountMax 9\n" + "ClientAliveInterval 7\n" * 15
    (note,) = plan.plan(read(look({MAIN: text})), Policy()).notes
    assert f"{MAIN}:12 and 5 more: ClientAliveInterval has no effect there" in note
    text = "".join(f"Match User u{n}\nClientAliveInterval 7\n" for n in range(15))
    notes = plan.plan(read(look({MAIN: text})), Policy(match_overrides=MatchOverrides.KEEP)).notes
    assert notes[-1] == "5 more values in Match blocks are kept"


def test_thousands_of_blocks_take_no_time() -> None:
    text = "".join(f"Match User u{n} Host h{n % 7}\nClientAliveInterval {n % 9}\n" for n in range(1500))
    began = time.process_time()
    planned = plan.plan(read(look({MAIN: text})), Policy())
    judge.judge(read(look({MAIN: text})), Policy())
    assert len(planned.edits) == 1502
    assert time.process_time() - began < 20


def test_a_configuration_that_is_too_large_is_reported() -> None:
    text = "# x\n" * 70_000 + "ClientAliveInterval 60\nClientAliveCountMax 3\n"
    (note,) = plan.plan(read(look({MAIN: text})), Policy()).notes
    assert "every connection fails" in note
    assert plan.plan(read(look({MAIN: text}, version="10.1p1")), Policy()).notes == ()


def test_foreign_trees() -> None:
    assert managed.is_foreign("/usr/etc/ssh/sshd_config")
    assert managed.is_foreign("/nix/store/x")
    assert not managed.is_foreign("/usr/local/etc/ssh/sshd_config")


# ----------------------------------------------------------------------------------------- placement


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# ClientAliveInterval 0\nPort 22\n", "# ClientAliveInterval 0\n{}Port 22\n"),
        ('#ClientAliveInterval = "0" # off\nPort 22\n', '#ClientAliveInterval = "0" # off\n{}Port 22\n'),
        ("# ClientAliveInterval timeout\nPort 22\n", "# ClientAliveInterval timeout\nPort 22\n{}"),
        ("#Match User x\n#\tClientAliveInterval 0\nPort 22\n", "#Match User x\n#\tClientAliveInterval 0\nPort 22\n{}"),
        ("Port 22\n#ClientAliveCountMax 3\nUseDNS no\n", "Port 22\n#ClientAliveCountMax 3\n{}UseDNS no\n"),
        ("Match User x\n#ClientAliveInterval 0\n", "{}Match User x\n#ClientAliveInterval 0\n"),
        ("Port 22\n\n# one\n\n# two\n# three\nMatch User x\n", "Port 22\n\n# one\n\n{}# two\n# three\nMatch User x\n"),
    ],
)
def test_where_missing_settings_go(before: str, after: str) -> None:
    (content,) = plan.plan(read(look({MAIN: before})), Policy()).contents
    assert content.after.decode() == after.format("ClientAliveInterval 300\nClientAliveCountMax 3\n")


# ------------------------------------------------------------------------------------------ drop-ins


def test_the_name_sorts_before_the_files_that_decide() -> None:
    for name in ("00-a", "000", "0-x"):
        found = look({MAIN: INCLUDE, f"{D}/{name}.conf": "ClientAliveInterval 9\n"})
        (content,) = plan.plan(read(found), DROP_IN).contents
        assert content.path < f"{D}/{name}.conf"
        assert content.path.rsplit("/", 1)[1] in editing.DROP_IN_NAMES


def test_a_strangers_file_of_our_name_is_left_alone() -> None:
    found = look({MAIN: INCLUDE, f"{D}/{editing.DROP_IN_NAMES[0]}": "ClientAliveInterval 9\n"})
    (content,) = plan.plan(read(found), DROP_IN).contents
    assert content.path == f"{D}/{editing.DROP_IN_NAMES[1]}"


def test_blocks_stay_editable_where_match_all_does_not_help() -> None:
    found = look({MAIN: INCLUDE + "Match User a\nClientAliveInterval 9\n"}, version="8.3p1")
    planned = plan.plan(read(found), DROP_IN)
    assert [content.path for content in planned.contents] == [MAIN, f"{D}/{editing.DROP_IN_NAMES[0]}"]
    assert b"Match all" not in planned.contents[1].after


def test_kept_blocks_are_not_beaten_by_a_drop_in() -> None:
    found = look({MAIN: INCLUDE + "Match User a\nClientAliveInterval 9\n"})
    (content,) = plan.plan(read(found), replace(DROP_IN, match_overrides=MatchOverrides.KEEP)).contents
    assert b"Match all" not in content.after


def test_a_vendors_block_cannot_be_edited() -> None:
    vendor = "/usr/lib/ssh/x.conf"
    text = f"ClientAliveInterval 300\nInclude {vendor}\n"
    found = look({MAIN: text, vendor: "Match User a\nClientAliveInterval 9\n"})
    with pytest.raises(PlanError, match="never edited"):
        plan.plan(read(found), Policy())
    found = look({MAIN: INCLUDE + text, vendor: "Match User a\nClientAliveInterval 9\n"}, version="8.3p1")
    assert plan.plan(read(found), Policy()).is_empty  # 8.3 never applies it


def test_a_drop_in_of_an_earlier_run_grows() -> None:
    own = f"{D}/{editing.DROP_IN_NAMES[0]}"
    (first,) = plan.plan(read(look({MAIN: INCLUDE})), DROP_IN).contents
    (grown,) = plan.plan(
        read(look({MAIN: INCLUDE + "Match User a\nClientAliveInterval 9\n", own: first.after})), DROP_IN
    ).contents
    assert grown.before == first.after
    assert grown.after.startswith(first.after)
    assert b"Match all" in grown.after


def test_a_drop_in_of_an_earlier_run_beside_blocks_it_cannot_beat() -> None:
    own = f"{D}/{editing.DROP_IN_NAMES[0]}"
    stale = editing.render_drop_in(Policy(interval_s=120), shield=True)
    text = INCLUDE + "ClientAliveInterval 9\nMatch User a\nClientAliveInterval 9\n"
    planned = plan.plan(read(look({MAIN: text, own: stale}, version="8.3p1")), DROP_IN)
    assert {content.path for content in planned.contents} == {MAIN, own}


def test_a_drop_in_that_only_changes_its_own_block() -> None:
    own = f"{D}/{editing.DROP_IN_NAMES[0]}"
    broken = editing.render_drop_in(Policy(), shield=True).replace(
        b"\tClientAliveInterval 300", b"\tClientAliveInterval 30"
    )
    kept = Policy(strategy=Strategy.DROP_IN, match_overrides=MatchOverrides.KEEP)
    found = look({MAIN: INCLUDE + "Match User a\nClientAliveInterval 9\n", own: broken})
    for policy in (DROP_IN, kept):
        assert own in {content.path for content in plan.plan(read(found), policy).contents}


def test_no_way_in_at_all() -> None:
    vendor = "/usr/etc/ssh/sshd_config"
    for policy in (Policy(), DROP_IN):
        with pytest.raises(PlanError, match="never edited"):
            plan.plan(read(look({vendor: "ClientAliveInterval 9\n"})), policy)


def test_files_that_were_not_given_to_a_server() -> None:
    files = {
        MAIN: f"{INCLUDE}Include more\n".encode(),
        f"{D}/a.conf": b"ClientAliveInterval 9\nClientAliveCountMax 3\n",
    }
    planned = plan.plan_files(files, Policy(), version=Version.parse("9.6p1"))
    assert [content.path for content in planned.contents] == [f"{D}/a.conf"]
    with pytest.raises(ParseError):
        plan.plan_files({}, Policy())


@pytest.mark.parametrize("pattern", ["/usr/x/*.conf", "/d*/x.conf", "~/x/*.conf", "/d/50-*.conf", "/d/50.conf"])
def test_includes_that_cannot_take_a_drop_in(pattern: str) -> None:
    built = build_from_files({MAIN: f"Include {pattern}\n".encode()})
    assert list(editing.list_drop_in_paths(built)) == []


def test_a_drop_in_only_where_a_global_include_looks() -> None:
    built = build_from_files({MAIN: f"Match User a\n{INCLUDE}".encode()})
    assert list(editing.list_drop_in_paths(built)) == []


# ------------------------------------------------------------------------------------ proofs that fail


def content(before: bytes | None, after: bytes) -> tuple[NewContent, ...]:
    return (NewContent(path=MAIN, before=before, after=after),)


def edit(line: int, before: bytes, after: bytes) -> Edit:
    return Edit(path=MAIN, line=line, before=before, after=after, reason="")


@pytest.mark.parametrize(
    ("before", "after", "edits"),
    [
        (b"a\nb\n", b"a\nc\n", ()),
        (b"a\nb\n", b"a\nc\nd\n", (edit(2, b"b\n", b"c\n"),)),
        (b"a\nb\n", b"a\n", (edit(2, b"b\n", b"c\n"),)),
        (b"a\nb\n", b"a\nc\n", (edit(2, b"x\n", b"c\n"),)),
        (b"a\nb", b"a\nb\n", ()),
        (None, b"a\n", ()),
    ],
)
def test_a_byte_that_no_edit_names(before: bytes | None, after: bytes, edits: tuple[Edit, ...]) -> None:
    with pytest.raises(PlanError):
        prove.prove_untouched_bytes(content(before, after), edits)


def test_bytes_that_edits_name() -> None:
    prove.prove_untouched_bytes(
        content(b"a\nb", b"x\na\nb\nc\n"), (edit(1, b"", b"x\n"), edit(2, b"b", b"b\n"), edit(3, b"", b"c\n"))
    )
    prove.prove_untouched_bytes(content(None, b"a\n"), (edit(1, b"", b"a\n"),))


def test_a_file_with_two_paths_is_edited_once() -> None:
    text = f"Include {D}/*.conf\nInclude /etc/ssh/common\nMatch User a\nInclude {D}/50.conf\n"
    common = "ClientAliveInterval 60\nClientAliveCountMax 9\nMatch User b\nClientAliveCountMax 8\n"
    found = look({MAIN: text, f"{D}/50.conf": common, "/etc/ssh/common": common})
    links = tuple(replace(f, real_path="/etc/ssh/common") if f.path == f"{D}/50.conf" else f for f in found.files)
    found = replace(found, files=links)
    planned = plan.plan(read(found), Policy())
    (content,) = planned.contents
    assert content.after.decode() == (
        "ClientAliveInterval 300\nClientAliveCountMax 3\nMatch User b\nClientAliveCountMax 3\n"
    )
    stand_ins = candidate.build(read(found), planned, "/run/c")
    assert stand_ins[0][1].count(b'Include "/run/c/candidate.1"\n') == 3


@pytest.mark.parametrize("last", ["\r", "#", "ClientAliveInterval 60", "ClientAliveInterval 60\r", "Banner none"])
def test_a_last_line_without_an_end_may_get_one(last: str) -> None:
    (content,) = plan.plan(read(look({MAIN: f"Port 22\n{last}"})), Policy()).contents
    assert content.after.endswith(b"\n")


def test_an_edit_of_a_file_that_is_not_written() -> None:
    with pytest.raises(PlanError, match="/lost would be lost"):
        prove.prove_untouched_bytes((), (Edit(path="/lost", line=1, before=b"", after=b"x\n", reason=""),))


@pytest.mark.parametrize(
    "mutant",
    [
        lambda raw, start, end: raw[: start - 1] + b"300" + raw[end:],
        lambda raw, start, end: raw[: start + 1] + b"300" + raw[end:],
        lambda raw, start, end: raw[:start] + b"300" + raw[end + 1 :],
        lambda raw, start, end: raw[:start] + b"300" + raw[end - 1 :],
        lambda raw, start, end: raw[:start] + b"0300" + raw[end:],
        lambda raw, start, end: raw[:start] + b"5m" + raw[end:],
        lambda raw, start, end: raw[:start] + b"300 # ours" + raw[end:],
        lambda raw, start, end: raw[:start] + b"300" + raw[end:].rstrip() + b"\n",
        lambda raw, start, end: raw.replace(b"Interval", b"interval")[:start] + b"300" + raw[end:],
        lambda raw, start, end: b"#" + raw,
        lambda raw, start, end: raw,
    ],
)
def test_a_planner_that_is_wrong_by_one_byte_is_caught(
    monkeypatch: pytest.MonkeyPatch, mutant: Callable[[bytes, int, int], bytes]
) -> None:
    """Also where sshd would not mind: `0300` is 300, but not what was asked for."""
    found = look({MAIN: "Port 22\n \tClientAliveInterval  60  # nat \r\nClientAliveCountMax 3\n"})
    assert plan.plan(read(found), Policy()).contents
    wrong = lambda line, number: mutant(line.raw, line.arguments[0].start, line.arguments[0].end)  # noqa: E731
    monkeypatch.setattr(editing, "replace_value", wrong)
    with pytest.raises(PlanError):
        plan.plan(read(found), Policy())


def test_files_that_sshd_would_refuse_afterwards() -> None:
    before = build_from_files({MAIN: b"Port 22\n"})
    with pytest.raises(PlanError, match="would refuse the edited files"):
        prove.prove_untouched_settings(before, before.change_files({MAIN: b"Port 22\nClientAliveInterval x\n"}))


@pytest.mark.parametrize(
    "after",
    [
        "Port 22\nMatch User a\nX11Forwarding yes\n",
        "Match User a\nPort 22\nX11Forwarding no\n".replace("Port 22\n", ""),
        "Port 22\nX11Forwarding no\n",
        "Port 22\nMatch User b\nX11Forwarding no\n",
        "Port 22\nMatch User a\nX11Forwarding no\nBanner none\n",
    ],
)
def test_another_setting_that_changes(after: str) -> None:
    files = {MAIN: b"Port 22\nMatch User a\nX11Forwarding no\n"}
    before = build_from_files(files)
    with pytest.raises(PlanError):
        prove.prove_untouched_settings(before, before.change_files({MAIN: after.encode()}))
    prove.prove_untouched_settings(before, before.change_files({MAIN: b"ClientAliveInterval 1\n" + files[MAIN]}))


def test_a_plan_that_would_not_help_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editing, "choose_lines", lambda main, keywords, events: dict.fromkeys(keywords, 2))
    with pytest.raises(PlanError, match="still not be compliant"):
        plan.plan(read(look({MAIN: "Match User a\nX11Forwarding no\n"})), Policy())


def test_files_that_cannot_be_edited_safely() -> None:
    for text in (b"I 1\0\n", b"\xff\xfeI\0", b"\xef\xbb\xbfPort 22\n"):
        with pytest.raises(ParseError):
            plan.plan(read(look({MAIN: text})), Policy())


def test_unknown_versions_are_refused() -> None:
    with pytest.raises(ParseError):
        plan.plan(read(replace(look({MAIN: ""}), version="?")), Policy())
    assert Version.parse("9.2p1").at_least(9, 2)


def test_a_stale_drop_in_of_ours_beside_a_block_that_comes_before_it() -> None:
    own, early = f"{D}/{editing.DROP_IN_NAMES[0]}", "/etc/ssh/early/10-a.conf"
    stale = editing.render_drop_in(Policy(interval_s=120), shield=True)
    files = {
        MAIN: f"Include /etc/ssh/early/10-*.conf\n{INCLUDE}ClientAliveInterval 9\n",
        early: "Match User a\nClientAliveInterval 9\n",
        own: stale,
    }
    contents = plan.plan(read(look(files)), DROP_IN).contents
    assert [content.path for content in contents] == [early, own]
    assert contents[0].after == b"Match User a\nClientAliveInterval 300\n"
    assert b"Match" not in contents[1].after


def test_a_comment_is_no_line_to_put_a_value_into() -> None:
    tree = build_from_files({MAIN: b"# x\n"})
    wrong = edit(1, b"# x\n", b"ClientAliveInterval 300\n")
    with pytest.raises(PlanError, match="more than its value"):
        prove.prove_only_values((wrong,), Policy().wanted, tree)


def test_a_plan_has_the_caveat_of_what_it_would_write() -> None:
    planned = plan.plan(read(look({MAIN: "ClientAliveInterval 0\n"}, version="9.2p1")), Policy())
    assert planned.caveat is not None
    assert planned.caveat.keep_alive_after_s == 600
    assert plan.plan(read(look({MAIN: "ClientAliveInterval 0\n"}, version="9.6p1")), Policy()).caveat is None
