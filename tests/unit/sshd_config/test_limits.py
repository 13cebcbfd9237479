"""A host may send anything: what is read of it is bounded by sizes and by a budget of steps, never by a clock.

The tests count steps. Without the budget each of the hostile files takes minutes, which the time limit of a test ends.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sshd_keepalive.errors import HostError, ParseError, PlanError
from sshd_keepalive.model import Policy
from sshd_keepalive.planning import explain, judge, plan
from sshd_keepalive.sshd_config import command_line, limits, patterns
from sshd_keepalive.sshd_config.reading import read, read_files
from sshd_keepalive.sshd_config.tree import Tree, build_from_files, find_missing_globs
from sshd_keepalive.sshd_config.version import Version
from tests.support import readings
from tests.support.snapshots import MAIN, look

pytestmark = pytest.mark.timeout(60)


def tree(files: dict[str, bytes]) -> Tree:
    return build_from_files(files)


def blocks(n: int) -> bytes:
    return b"".join(b"Match User u%d\nClientAliveInterval 1\n" % i for i in range(n))


def addresses(n_blocks: int, n_networks: int = 200, first: int = 0) -> bytes:
    networks = b",".join(b"10.%d.0.0/16" % i for i in range(n_networks))
    return b"".join(
        b"Match Address %s,10.200.%d.0/24\nClientAliveInterval 1\n" % (networks, first + i) for i in range(n_blocks)
    )


#: Files that cost more than their size: (files, whether they can be judged at all).
HOSTILE: dict[str, dict[str, bytes]] = {
    "many conditions": {MAIN: b"Match " + b"User a?,b,*c " * 20_000 + b"\nClientAliveInterval 1\n"},
    "many blocks": {MAIN: blocks(10_000)},
    "many addresses": {MAIN: addresses(170)},
    "many question marks": {MAIN: b"".join(b"Match User %sb%d\nPort 1\n" % (b"*?a" * 200, i) for i in range(1000))},
    "one value on many lines": {MAIN: b"AllowUsers " + b"a " * 2000 + b"\n" + b"AllowUsers a b\n" * 20_000},
    "a file included again and again": {MAIN: b"Include /etc/ssh/a\n" * 15_000, "/etc/ssh/a": b"Port 22\n" * 200},
    "long lines in each other": {
        MAIN: b"Match User %s\nInclude /f0\n" % (b"a" * 60_000),
        **{f"/f{i}": b"Match User %s\nInclude /f%d\n" % (b"a" * 60_000, i + 1) for i in range(14)},
        "/f14": (b"Match User b\nClientAliveInterval 1\n") * 1000,
    },
    "NUL bytes": {
        MAIN: b"Match User a" + b" User aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\0\n" * 45_000 + b"\nClientAliveInterval 1\n"
    },
}


_SLOW = {"many blocks", "a file included again and again", "one value on many lines", "many addresses"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in _SLOW else []) for n in HOSTILE])
def test_work_ends_with_the_budget(name: str) -> None:
    """All that is done with a host's files; each part ends, or is refused as too large."""
    snapshot = look(HOSTILE[name], globs=(), dumps=())
    built = read(snapshot).tree
    outcomes = set()
    for part in (
        lambda: find_missing_globs(built),
        lambda: judge.judge(read(snapshot), Policy()),
        lambda: plan.plan(read(snapshot), Policy()),
        lambda: explain.render(built, explain.explain(read(snapshot))),
    ):
        try:
            part()
            outcomes.add("done")
        except HostError as error:
            outcomes.add(error.cause)
        except (ParseError, PlanError) as error:
            outcomes.add(type(error).__name__)
    assert outcomes <= {"done", "too_large", "ParseError", "PlanError"}


def test_the_budget_counts_steps_and_no_seconds() -> None:
    spent = []
    for _ in range(2):
        built = tree({MAIN: blocks(50)})
        readings.scopes(built)
        spent.append(limits.STEPS - built.work.left)
    assert spent[0] == spent[1] > 0


def test_a_host_that_is_large_but_real_is_judged() -> None:
    """120 blocks, each with a list of 20 networks, in 10 files: more than any host that is known."""
    files = {f"/etc/ssh/sshd_config.d/{n}.conf": addresses(12, 20, 12 * n) for n in range(10)}
    snapshot = look({MAIN: b"Include /etc/ssh/sshd_config.d/*.conf\n", **files})
    assert len(judge.judge(read(snapshot), Policy())) == 122
    assert plan.plan(read(snapshot), Policy()).contents


def test_each_host_has_a_budget_of_its_own() -> None:
    """Trees of equal files share what was found out about them, and nothing else."""
    snapshot = look({MAIN: blocks(3)})
    first, second = read(snapshot).tree, read(snapshot).tree
    first.work.left = -1
    assert second.work.left > 0
    assert len(judge.judge(read(snapshot), Policy())) == 5


@pytest.mark.parametrize(
    ("contents", "told"),
    [
        ([b""] * (limits.MAX_FILES + 1), "2001 files"),
        ([b"#" * 1024 + b"\n"] * 4097, "more than 4 MiB"),
        ([b"\n" * 25_001] * 2, "50002 lines"),
        ([b"# a" * 300_001], "300001 words"),
        ([b"#" * limits.MAX_LINE_BYTES + b"\n", b"#" * (limits.MAX_LINE_BYTES + 1)], "a line"),
        ([b"a\n" + b"#" * (limits.MAX_LINE_BYTES + 1) + b"\nb\n"], "a line"),
    ],
)
def test_sizes_are_refused_before_parsing(contents: list[bytes], told: str) -> None:
    with pytest.raises(HostError, match=told) as raised:
        limits.check_files(contents[: limits.MAX_FILES + 1] if told.endswith("files") else _merged(contents))
    assert (raised.value.kind, raised.value.cause) == ("observe", "too_large")
    assert raised.value.hint


def _merged(contents: list[bytes]) -> list[bytes]:
    return contents if len(contents) < 10 else [b"".join(contents)]


def test_the_largest_sizes_are_taken() -> None:
    limits.check_files([b"#" * limits.MAX_LINE_BYTES + b"\n"] * 60)
    limits.check_files([b"\n" * limits.MAX_LINES])
    limits.check_files([b""] * limits.MAX_FILES)


@pytest.mark.parametrize(
    "search",
    [
        lambda: command_line.read_options("sshd " + "-o a " * 200_000),
        lambda: command_line.read_options("sshd " + "-oa=b " * 200_000),
        lambda: command_line.find_config("sshd" + " -46" * 500_000),
        lambda: Version.parse("1" * 2_000_000 + " 9.2p1"),
        lambda: patterns.is_match(b"a" * 255, b"*a" * 500_000 + b"b"),
        lambda: judge._is_refusal("line 1" * 300_000 + "in configuration but"),
        lambda: judge._is_refusal("line 1: " * 300_000 + "in configuration but 'user' not in connection test"),
    ],
)
def test_patterns_take_linear_time(search: Callable[[], object]) -> None:
    """Each of these took minutes or hours in quadratic time."""
    search()


def test_a_message_about_the_question_is_not_a_refusal() -> None:
    asking = "'Match User' in configuration but 'user' not in connection test specification."
    assert not judge._is_refusal(f"/etc/ssh/sshd_config line 3: {asking}")
    assert judge._is_refusal(f"{asking} /etc/ssh/sshd_config line 3: Bad configuration")
    assert judge._is_refusal("/etc/ssh/sshd_config line 3: no argument")


def test_a_pattern_that_is_longer_than_any_real_one_is_refused() -> None:
    pattern = "/etc/ssh/" + "*a" * 600
    with pytest.raises(HostError) as caught:
        read_files({MAIN: f"Include {pattern}\n".encode()}).everybody  # noqa: B018 (read when it is asked for)
    assert caught.value.cause == "too_large"
