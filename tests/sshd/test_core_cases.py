"""The recorded facts and the planned cases, asked of the servers of the lab."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sshd_keepalive.errors import ParseError
from sshd_keepalive.model import COUNT_MAX, INTERVAL, Context
from sshd_keepalive.planning import plan
from sshd_keepalive.sshd_config import values
from sshd_keepalive.sshd_config.reading import read
from sshd_keepalive.sshd_config.tree import build_from_files
from sshd_keepalive.sshd_config.version import Version
from tests.sshd.test_differential import root_of
from tests.support import oracle, plans, readings
from tests.support.printed import resolve_all, values_of

CASES = Path(__file__).parents[1] / "cases"
FACTS = [
    json.loads(line) for name in ("facts.jsonl", "tricky.jsonl") for line in (CASES / name).read_text().splitlines()
]
ROOT = Context(user="root", host="h", address="10.0.0.1", local_address="10.0.0.2", local_port=22)
SERVERS = [
    pytest.param("here", marks=pytest.mark.sshd),
    *(pytest.param(kind, marks=pytest.mark.lab) for kind in ("d11", "d12", "d13", "sid")),
]


def recorded(fact: dict[str, Any], version: Version) -> str:
    number = lambda text: tuple(int(part) for part in text.split("."))  # noqa: E731
    for part in fact["r"].split():
        span, _, result = part.partition(":")
        first, dash, last = span.partition("-")
        release = (version.major, version.minor)
        if span == "*" or number(first) <= release <= (number(last or first) if last or not dash else release):
            return str(result)
    raise AssertionError(fact["id"])


@pytest.mark.parametrize("kind", SERVERS)
def test_facts_hold(kind: str) -> None:
    wrong = {}
    with oracle.Oracle(root_of(kind)) as asked:
        version = Version.parse(asked.version)
        for fact in FACTS:
            base = f"{oracle.CONFIG_DIR}/{fact['id']}"
            texts = fact["f"] if isinstance(fact["f"], dict) else {"main": fact["f"]}
            encoding = fact.get("e", "utf-8")
            asked.write({f"{base}/{n}": text.replace("@/", f"{base}/").encode(encoding) for n, text in texts.items()})
            dump = asked.ask_raw(f"{base}/main", fact.get("c"), *(o for o in fact.get("o", ()) if o != "-o"))
            if dump.error is not None:
                theirs = "E"
            elif "k" in fact:
                theirs = dump.find(fact["k"]) or ""
            else:
                theirs = f"{dump.find(INTERVAL)}/{dump.find(COUNT_MAX)}"
            if theirs != recorded(fact, version):
                wrong[fact["id"]] = theirs
    assert not wrong


VALUES = {
    INTERVAL: (
        *("0", "300", "300s", "5m", "5M0S", "1h30m", "2w3d", "00300", "+300", "-0", "-1", "5m300", "5m30s", "1h 30m"),
        *(" 300", "300 ", "300 400", "300s30", "300s300s", "300.5", ".5", "1.5m", "300.", "0x12c", "3e2", "5min", "m"),
        *(
            "none",
            "68y",
            "2147483647",
            "2147483648",
            "4294967596",
            "4294967295",
            "35791395m",
            "9" * 30,
            "+",
            "5m+3",
            "5m -3",
        ),
    ),
    COUNT_MAX: (
        "0",
        "3",
        "+3",
        "03",
        "-0",
        "-1",
        " 3",
        "3 ",
        "3abc",
        "yes",
        "0x3",
        "2147483647",
        "2147483648",
        "9" * 30,
    ),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_values_are_read_alike(kind: str) -> None:
    wrong = {}
    with oracle.Oracle(root_of(kind)) as asked:
        version = Version.parse(asked.version)
        for keyword, texts in VALUES.items():
            for number, text in enumerate(texts):
                main = f"{oracle.CONFIG_DIR}/value-{keyword}-{number}"
                asked.write({main: f'{keyword} "{text}"\n'.encode()})
                theirs = asked.ask_raw(main, None).find(keyword)
                try:
                    ours = str(values.read_number(keyword, text.encode(), version))
                except values.BadValue:
                    ours = None
                if ours != theirs:
                    wrong[text] = (theirs, ours)
    assert not wrong


@pytest.mark.parametrize("kind", SERVERS)
def test_includes_end_at_the_same_depth(kind: str) -> None:
    with oracle.Oracle(root_of(kind)) as asked:
        version = Version.parse(asked.version)
        for length in (15, 16, 17):
            base = f"{oracle.CONFIG_DIR}/chain-{length}"
            files = {f"{base}/f{n}": f"Include {base}/f{n + 1}\n".encode() for n in range(length)}
            files[f"{base}/f{length}"] = b"ClientAliveInterval 7\n"
            asked.write(files)
            tree = build_from_files(files, main=f"{base}/f0", version=version)
            theirs = asked.ask_raw(f"{base}/f0", None)
            if theirs.error is None:
                assert readings.resolve(tree)[INTERVAL].value == theirs.find(INTERVAL) == "7"
            else:
                with pytest.raises(ParseError, match="too many levels"):
                    readings.resolve(tree)
            assert (theirs.error is None) == (length <= 16)


NAMES = (
    *(
        "a.conf",
        "Z.conf",
        "_.conf",
        "10.conf",
        "9.conf",
        ".h.conf",
        "x.conf~",
        "a b.conf",
        "a[1].conf",
        "b-c",
        "é.conf",
    ),
    *("a]b", "^x", "!y", "[", "*", "d"),
)
PIECES = (
    *(
        "*",
        "?",
        "a",
        ".",
        "conf",
        "[a-z]",
        "[!a]",
        "[^0-9]",
        "[^a]",
        "[]x]",
        "[!]a]",
        "[[:digit:]]",
        "\\*",
        "\\a",
        "\\",
    ),
    *("[", "]", "-", "**", "[a", "[z-a]", "[[:upper:][:lower:]]", "{a,b}", "~", "é", "[\\]x]", "[[:nope:]]a", "[^]"),
    *("[a-]", "[!a-z]", "[--a]", "[.]", "\\.", "[[:graph:]]", "[![:cntrl:]]", "[a-\\]]", "[[:]", "!"),
)


@pytest.mark.parametrize("kind", SERVERS)
def test_includes_find_the_same_files(kind: str) -> None:
    """Each file names itself by an AcceptEnv, which sshd prints in the order of reading."""
    base, random, wrong = f"{oracle.CONFIG_DIR}/glob", Random(7), {}
    files = {
        f"{base}/{folder}/{name}": f"AcceptEnv {folder[-1]}{number}\n".encode()
        for folder in ("d", "e", ".f")
        for number, name in enumerate(NAMES)
    }
    patterns = ["".join(random.choices(PIECES, k=random.randint(1, 4))) for _ in range(200)]
    patterns = [f"{random.choice(('d', 'e', '*', '?', '[de]', '.f', '[.]f', 'd/', '.'))}/{name}" for name in patterns]
    with oracle.Oracle(root_of(kind)) as asked:
        version = Version.parse(asked.version)
        asked.write(files)
        for pattern in dict.fromkeys(patterns):
            main = {f"{base}-main": f"Include {base}/{pattern}\n".encode()}
            asked.write(main)
            dump = asked.ask_raw(f"{base}-main", None)
            theirs = tuple(value for keyword, value in dump.settings if keyword == "acceptenv")
            tree = build_from_files({**files, **main}, main=f"{base}-main", version=version)
            ours = values_of(resolve_all(tree), "acceptenv")
            if dump.error is not None or ours != theirs:
                wrong[pattern] = (dump.error or theirs, ours)
    assert not wrong


LONG = {
    "comment": b"#" + b"x" * 100_000 + b"\nClientAliveInterval 5\n",
    "digits": b"ClientAliveInterval " + b"0" * 100_000 + b"5\nClientAliveCountMax " + b"0" * 100_000 + b"7\n",
    "blanks": b"ClientAliveInterval" + b" \t" * 50_000 + b"5\n",
    "other": b"AcceptEnv " + b"X" * 100_000 + b"\nClientAliveInterval 5\n",
    "pattern": b"Match User " + b"x" * 1023 + b",root\nClientAliveInterval 5\n",
    "pattern-behind": b"Match User root," + b"x" * 1024 + b"\nClientAliveInterval 5\n",
    "stars": b"Match User " + b"*" * 1022 + b"\nClientAliveInterval 5\n",
    "users": b"Match User " + b",".join(b"u%d" % n for n in range(20_000)) + b",root\nClientAliveInterval 5\n",
    "blocks": b"".join(b"Match User u%d\nClientAliveInterval 5\n" % n for n in range(3000)),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_long_lines_are_read_alike(kind: str) -> None:
    wrong = {}
    with oracle.Oracle(root_of(kind)) as asked:
        version = Version.parse(asked.version)
        for name, content in LONG.items():
            main = f"{oracle.CONFIG_DIR}/long-{name}"
            asked.write({main: content})
            tree = build_from_files({main: content}, main=main, version=version)
            for dump in asked.ask(main, [Context(), ROOT]):
                ours = readings.resolve(tree, dump.context)
                if [dump.find(keyword) for keyword in VALUES] != [ours[keyword].value for keyword in VALUES]:
                    wrong[name, dump.context.user] = dump.error or dump.settings[:0]
    assert not wrong


@pytest.mark.parametrize("kind", SERVERS)
def test_ten_thousand_drop_ins(kind: str) -> None:
    base = f"{oracle.CONFIG_DIR}/many"
    files = {f"{base}/d/{n}.conf": b"Match User u%d\nClientAliveInterval %d\n" % (n, n) for n in range(10_000)}
    files |= {f"{base}/d/5000.conf": b"ClientAliveCountMax 7\n", f"{base}/main": f"Include {base}/d/*.conf\n".encode()}
    with oracle.Oracle(root_of(kind)) as asked:
        asked.write(files)
        tree = build_from_files(files, main=f"{base}/main", version=Version.parse(asked.version))
        for dump in asked.ask(f"{base}/main", [Context(), replace(ROOT, user="u77")]):
            ours = readings.resolve(tree, dump.context)
            assert [dump.find(keyword) for keyword in VALUES] == [ours[keyword].value for keyword in VALUES]


@pytest.mark.parametrize("kind", SERVERS)
def test_planned_files_are_read_as_wanted(kind: str) -> None:
    """Each case is moved below a directory of its own; a vendor's paths are kept for the plan only."""
    wrong = {}
    with oracle.Oracle(root_of(kind)) as asked:
        version = Version.parse(asked.version)
        for case in plans.load():
            low, _, high = case.words["versions"].partition("-")
            if "refuse" in case.words or not Version.parse(f"{low}p0") <= version <= Version.parse(f"{high}p9"):
                continue
            snapshot = case.snapshot(str(version))
            planned = plan.plan(read(snapshot), snapshot.host.policy)
            base = f"{oracle.CONFIG_DIR}/plan-{case.name}"
            files = {**case.files(), **{content.path: content.after for content in planned.contents}}
            moved = {
                f"{base}{path}": text.replace(b"/etc/ssh/sshd", f"{base}/etc/ssh/sshd".encode())
                for path, text in files.items()
            }
            asked.write(moved)
            wanted = tuple((keyword, str(number)) for keyword, number in snapshot.host.policy.wanted.items())
            for dump in asked.ask(f"{base}{case.main}", [Context(), ROOT]):
                if dump.context == ROOT and snapshot.host.policy.match_overrides.value == "keep":
                    continue
                if tuple((keyword, dump.find(keyword)) for keyword, _ in wanted) != wanted:
                    wrong[case.name] = dump.error or str([dump.find(keyword) for keyword, _ in wanted])
    assert not wrong
