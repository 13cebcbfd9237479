"""Invariants of the pure core over generated files; the same examples in every run."""

from __future__ import annotations

import difflib
from contextlib import suppress
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from sshd_keepalive.errors import HostError, ParseError, PlanError
from sshd_keepalive.model import COUNT_MAX, GLOBAL, INTERVAL, Context, MatchOverrides, Snapshot, State
from sshd_keepalive.planning import diff, judge, plan
from sshd_keepalive.sshd_config import document
from sshd_keepalive.sshd_config.reading import read
from sshd_keepalive.sshd_config.tree import build_from_files
from sshd_keepalive.sshd_config.version import Version
from tests.support import configs, readings
from tests.support.differential import snapshot_of
from tests.support.printed import resolve_all
from tests.support.snapshots import dump

VERSIONS = st.sampled_from(
    [
        Version.parse(v)
        for v in ("7.4", "7.9", "8.0+include", "8.2", "8.4", "8.6", "8.7", "9.2", "9.9p1", "10.0p2", "10.5")
    ]
)
PIECES = st.sampled_from(
    (
        *(
            b"ClientAliveInterval ",
            b"clientalivecountmax=",
            b"Match ",
            b"all",
            b"User ",
            b"root",
            b"Include ",
            b"/etc/ssh/*",
        ),
        *(
            b"300",
            b"5m",
            b"\n",
            b"\r\n",
            b" ",
            b"\t",
            b'"',
            b"'",
            b"\\",
            b"#",
            b"=",
            b"\0",
            b"\x0c",
            b"\xff",
            b"\xef\xbb\xbf",
        ),
        *(b"!", b","),
    )
)
CONTENTS = st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=40).map(b"".join))
SEEDS = st.integers(0, 10**9)


def found(seed: int, version: str) -> Snapshot:
    made = configs.case(seed, "/etc/ssh/c", relative_to="/etc/ssh")
    said = dump(made.files, version, main=made.main, options=made.options)
    return snapshot_of(made, version, (said,))


def test_most_generated_trees_are_planned_for() -> None:
    """Or the properties below would speak of nothing."""
    n_plans = n_drop_ins = n_files = 0
    for seed in range(200):
        snapshot = found(seed, "9.2p1")
        with suppress(ParseError, PlanError):
            contents = plan.plan(read(snapshot), snapshot.host.policy).contents
            n_plans += bool(contents)
            n_files += len(contents) > 1
            n_drop_ins += any(content.before is None for content in contents)
    assert (n_plans > 120, n_files > 10, n_drop_ins > 5) == (True, True, True), (n_plans, n_files, n_drop_ins)


@given(CONTENTS, VERSIONS)
def test_render_gives_back_what_parse_was_given(content: bytes, version: Version) -> None:
    read = document.parse("/x", content, version=version)
    assert document.render(read) == content
    for line in read.lines:
        for token in line.arguments:
            assert 0 <= token.start <= token.end
            if b"\0" not in content:
                assert token.end <= len(line.raw)


@given(CONTENTS, CONTENTS, VERSIONS)
def test_any_bytes_are_read_or_refused(main: bytes, other: bytes, version: Version) -> None:
    tree = build_from_files({"/etc/ssh/sshd_config": main, "/etc/ssh/x": other}, version=version)
    try:
        got = readings.resolve(tree)
        scopes = readings.scopes(tree)
    except ParseError:
        return
    assert got[INTERVAL].value.lstrip("-").isdigit()
    for each in scopes[1:]:
        assert each.scope.place is not None


@given(SEEDS, st.sampled_from(["8.4p1", "9.2p1", "10.0p2"]))
@example(817283100, "8.4p1")
@example(14352904, "9.2p1")  # an accident made a pattern that is too long
def test_a_plan_keeps_every_promise(seed: int, version: str) -> None:
    try:
        snapshot = found(seed, version)
        policy = snapshot.host.policy
        verdicts = {finding.state for finding in judge.judge(read(snapshot), policy)}
    except HostError as error:
        if "too large to judge" not in str(error):
            raise
        return
    try:
        planned = plan.plan(read(snapshot), policy)
    except (ParseError, PlanError):
        assert verdicts != {State.OK}
        return
    assert planned.is_empty == (verdicts == {State.OK})
    before = snapshot.contents
    after = before | {content.path: content.after for content in planned.contents}
    # Only named lines change.
    for content in planned.contents:
        old, new = (content.before or b"").split(b"\n"), content.after.split(b"\n")  # a lone \r ends no line of sshd's
        changed = [
            op for op in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if op[0] != "equal"
        ]
        named = {edit.line for edit in planned.edits if edit.path == content.path}
        for _, first, last, *_ in changed:
            assert set(range(first + 1, max(last, first + 1) + 1)) & named or first == last
    # Everybody gets what was asked for, and a second plan is empty.
    made = replace(configs.case(seed, "/etc/ssh/c", relative_to="/etc/ssh"), files=after)
    said = dump(after, version, main=made.main, options=made.options)
    again = snapshot_of(made, version, (said,))
    tree = read(again).tree
    wanted = {keyword: str(number) for keyword, number in policy.wanted.items()}
    for each in readings.scopes(tree):
        got = readings.resolve(tree, each.context) if each.context else None
        for keyword in (INTERVAL, COUNT_MAX):
            if got is not None and (each.scope == GLOBAL or policy.match_overrides is MatchOverrides.OVERRIDE):
                assert got[keyword].value == wanted[keyword]
    assert plan.plan(read(again), policy).is_empty
    # Undoing is putting the old bytes back.
    assert {c.path: c.before for c in planned.contents if c.before is not None}.items() <= before.items()


@given(SEEDS)
def test_the_diff_shows_every_change(seed: int) -> None:
    snapshot = found(seed, "9.2p1")
    try:
        planned = plan.plan(read(snapshot), snapshot.host.policy)
    except (ParseError, PlanError):
        return
    shown = diff.render_diff(planned)
    removed = sum(line.startswith("-") and not line.startswith("--- ") for line in shown.splitlines())
    added = sum(line.startswith("+") and not line.startswith("+++ ") for line in shown.splitlines())
    assert removed == sum(bool(edit.before) for edit in planned.edits)
    assert added == sum(edit.after.count(b"\n") or 1 for edit in planned.edits)
    assert all(char.isprintable() or char in "\n\t" for char in shown)


@given(SEEDS, VERSIONS)
def test_a_scopes_connection_reaches_it(seed: int, version: Version) -> None:
    made = configs.case(seed, "/etc/ssh/c", relative_to="/etc/ssh")
    tree = build_from_files(made.files, main=made.main, version=version)
    try:
        scopes = readings.scopes(tree)
    except ParseError:
        return
    for scope in scopes[1:]:
        if scope.context is not None:
            reached = readings.resolve(tree, scope.context)
            values = {s.keyword: s.scope for s in reached.settings}
            # Another block may come first for this very connection, but then it reaches that one as well.
            assert any(values[keyword] != "global" for keyword in readings.list_keywords(tree, scope))


@given(SEEDS)
def test_the_blank_connection_meets_only_match_all(seed: int) -> None:
    made = configs.case(seed, "/etc/ssh/c")
    tree = build_from_files(made.files, main=made.main, version=Version.parse("9.2p1"))
    try:
        got = resolve_all(tree, Context())
    except ParseError:
        return
    assert all(
        part.lower() == "match all" for s in got.settings for part in s.scope.text.split(" / ") if s.scope != GLOBAL
    )
