"""Diffs: right for every edge of a file, and safe to print."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sshd_keepalive.model import Host, MatchOverrides, NewContent, Plan, Policy, Strategy
from sshd_keepalive.planning import diff, plan
from sshd_keepalive.sshd_config.reading import read
from tests.support.plans import load
from tests.support.snapshots import MAIN, USUAL, look

D = "/etc/ssh/sshd_config.d"


def unified(text: str | bytes, policy: Policy = USUAL, **drop_ins: str) -> str:
    files = {MAIN: text, **{f"{D}/{name}.conf": more for name, more in drop_ins.items()}}
    return diff.render_diff(plan.plan(read(look(files)), policy))


def test_a_value_and_an_insertion() -> None:
    assert unified("Port 22\nClientAliveInterval 60\nUseDNS no\n") == (
        f"--- {MAIN}\n+++ {MAIN}\n@@ -1,3 +1,4 @@\n Port 22\n-ClientAliveInterval 60\n+ClientAliveInterval 300\n"
        "+ClientAliveCountMax 3\n UseDNS no\n"
    )


def test_no_newline_at_the_end() -> None:
    assert unified("ClientAliveInterval 60") == (
        f"--- {MAIN}\n+++ {MAIN}\n@@ -1 +1,2 @@\n-ClientAliveInterval 60\n\\ No newline at end of file\n"
        "+ClientAliveInterval 300\n+ClientAliveCountMax 3\n"
    )


def test_an_empty_file_and_a_new_one() -> None:
    assert "@@ -0,0 +1,2 @@\n+ClientAliveInterval 300\n" in unified("")
    shown = unified(f"Include {D}/*.conf\n", Policy(strategy=Strategy.DROP_IN), a="ClientAliveInterval 9\n")
    assert shown.startswith(f"--- /dev/null\n+++ {D}/00-sshd-keepalive.conf\n@@ -0,0 +1,3 @@\n+# Written")


def test_nothing_to_change_is_no_text() -> None:
    assert unified("ClientAliveInterval 300\n") == ""


def test_hostile_bytes_are_escaped() -> None:
    shown = unified(b"# \x1b[2J\xe9\xff \xe2\x80\xae \x9b\r\nClientAliveInterval 60\n")
    assert "\\x1b[2J\\xe9\\xff \\u202e" in shown
    assert "\x1b" not in shown
    assert "\r" not in shown
    shown.encode("utf-8")


def test_far_apart_edits_are_hunks_of_their_own() -> None:
    filler = "# filler\n" * 20
    shown = unified(f"ClientAliveInterval 60\nClientAliveCountMax 3\n{filler}Match User a\nClientAliveInterval 1\n")
    assert re.findall("@@.*@@", shown) == ["@@ -1,4 +1,4 @@", "@@ -21,4 +21,4 @@"]
    shown = unified(f"ClientAliveInterval 60\n{filler}Match User a\nClientAliveInterval 1\n")
    assert re.findall("@@.*@@", shown) == ["@@ -1,4 +1,5 @@", "@@ -20,4 +21,4 @@"]
    near = unified("ClientAliveInterval 60\nClientAliveCountMax 3\n# filler\nMatch User a\nClientAliveInterval 1\n")
    assert near.count("@@ -") == 1


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs patch")
@pytest.mark.parametrize("case", [case for case in load() if "refuse" not in case.words], ids=lambda case: case.name)
def test_patch_makes_the_new_file_of_the_old(case: object, tmp_path: Path) -> None:
    from tests.support.plans import PlanCase

    assert isinstance(case, PlanCase)
    snapshot = case.snapshot(case.releases()[-1])
    planned = plan.plan(read(snapshot), snapshot.host.policy)
    if any(b"\r" in (content.before or b"") for content in planned.contents):
        return  # shown escaped: not for patch
    for content in planned.contents:
        place = tmp_path / content.path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if content.before is not None:
            place.write_bytes(content.before)
    text = diff.render_diff(planned)
    if text:
        subprocess.run(["patch", "-p1", "-s", "-d", tmp_path], input=text.encode(), check=True)
    for content in planned.contents:
        assert (tmp_path / content.path.lstrip("/")).read_bytes() == content.after


def compare(path: str, before: bytes | None, after: bytes | None) -> str:
    """The diff of one file without known edits, as for an undo."""
    content = NewContent(path=path, before=before, after=after or b"", gone=after is None)
    return diff.render_diff(Plan(host=Host(name="a", address="a"), contents=(content,)))


def test_between_two_contents() -> None:
    assert compare("/x", b"a\nb\n", b"a\nc") == (
        "--- /x\n+++ /x\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n\\ No newline at end of file\n"
    )
    assert compare("/x", None, b"a\n") == "--- /dev/null\n+++ /x\n@@ -0,0 +1 @@\n+a\n"
    assert compare("/x", b"a\n", None) == "--- /x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"
    assert compare("/x", b"a\n", b"a\n") == ""


def test_values_per_scope() -> None:
    planned = plan.plan(read(look({MAIN: "ClientAliveInterval 60\nMatch User bob\nClientAliveCountMax 9\n"})), Policy())
    assert diff.render_value_diff(planned).splitlines() == [
        "everybody: ClientAliveInterval 60 -> 300, ClientAliveCountMax 3",
        "Match User bob (/etc/ssh/sshd_config:2): ClientAliveInterval 60 -> 300, ClientAliveCountMax 9 -> 3",
    ]


def test_values_that_are_kept_are_shown_too() -> None:
    keep = Policy(match_overrides=MatchOverrides.KEEP)
    text = "ClientAliveInterval 60\nMatch User bob\nClientAliveInterval 9\n"
    assert ": ClientAliveInterval 9, ClientAliveCountMax 3\n" in diff.render_value_diff(
        plan.plan(read(look({MAIN: text})), keep)
    )


def applied(shown: str, before: bytes, folder: Path) -> bytes:
    """What patch(1) makes of a file with a diff."""
    file = folder / "file"
    file.write_bytes(before)
    subprocess.run(["patch", "-s", str(file)], input=shown.encode(), check=True)
    return file.read_bytes()


@pytest.mark.skipif(not shutil.which("patch"), reason="patch is not installed")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["a\n", "b\n", "c\n"], ["a\n", "x\n", "c\n"]),
        (["a\n", "c\n"], ["a\n", "b\n", "c\n"]),
        (["a\n", "b\n", "c\n"], ["a\n", "c\n"]),
        ([f"{n}\n" for n in range(600)], [f"{n}\n" for n in range(600) if n not in (100, 400)]),
        (
            [f"{n}\n" for n in range(600)],
            [*(f"{n}\n" for n in range(300)), "new\n", *(f"{n}\n" for n in range(300, 600))],
        ),
        ([f"{n}\n" for n in range(600)], [f"{n}\n" for n in range(600)]),
    ],
)
def test_a_file_without_known_edits(before: list[str], after: list[str], tmp_path: Path) -> None:
    """Exact for a small file, one coarse change for a large one; patch takes both."""
    old, new = "".join(before).encode(), "".join(after).encode()
    shown = compare(MAIN, old, new)
    assert (shown == "") == (old == new)
    assert (applied(shown, old, tmp_path) if shown else old) == new


def test_a_file_that_comes_or_goes() -> None:
    assert compare(MAIN, None, b"a\n").startswith(f"--- /dev/null\n+++ {MAIN}\n")
    assert compare(MAIN, b"a\n", None).startswith(f"--- {MAIN}\n+++ /dev/null\n")
