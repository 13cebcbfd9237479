"""Recorded answers of real servers, release by release, against our reading.

tests/cases/facts.jsonl holds the ninety facts of 28 releases, tests/cases/tricky.jsonl what was tried beside them
on the four of the lab; a difference that was found once stays there. Keys: `f` the files, `c` the -C words, `o` more
arguments, `k` another keyword, `e` the encoding, `r` the answers; a span without an end goes on to the newest release.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sshd_keepalive.errors import ParseError
from sshd_keepalive.model import COUNT_MAX, INTERVAL, Context
from sshd_keepalive.sshd_config.tree import build_from_files
from sshd_keepalive.sshd_config.version import Version
from tests.support.printed import resolve_all, values_of

CASES = Path(__file__).parents[2] / "cases"
FACTS, TRICKY = (
    [json.loads(line) for line in (CASES / name).read_text().splitlines()] for name in ("facts.jsonl", "tricky.jsonl")
)
#: Every release that was asked. el8 is Red Hat's 8.0 with Include added.
ASKED = (
    *("7.4", "7.9", "8.0", "el8", "8.1", "8.2", "8.3", "8.4", "8.5", "8.6", "8.7", "8.8", "8.9", "9.0", "9.2", "9.3p2"),
    *("9.4", "9.6", "9.7", "9.8", "9.9p2", "10.0p2", "10.1", "10.2", "10.3", "10.4", "10.5", "10.6"),
)
ROOT = Context(user="root", host="h", address="10.0.0.1", local_address="10.0.0.2", local_port=22, groups=("root",))
#: sshd refused the question, not the file: there is nothing for a reader of files to know.
QUESTION_REFUSED = {"m-over-G", "m-partial", "m-comma", "m-badcidr-G"}
#: Only the host knows its own build's keywords, so an unknown one is kept and left to `sshd -t`.
LEFT_TO_THE_HOST = {"k-unknown"}
#: Passes `sshd -t`, then kills each connection it is compared with (8.3 and older); undecided for us.
KILLS_CONNECTIONS = {"m-badcidr"}


def version_of(name: str) -> Version:
    return Version.parse("8.0p1+include" if name == "el8" else name)


def expected(fact: dict[str, Any], name: str) -> str:
    if name == "el8" and "el8" in fact:
        return str(fact["el8"])
    number = lambda text: tuple(int(part) for part in text.split("p")[0].split("."))  # noqa: E731
    mine = (8, 0) if name == "el8" else number(name)
    for part in fact["r"].split():
        span, _, result = part.partition(":")
        first, dash, last = span.partition("-")
        if span == "*" or number(first) <= mine <= (number(last or first) if last or not dash else mine):
            return str(result)
    raise AssertionError(f"{fact['id']} says nothing about {name}")


def context_of(spec: str | None) -> Context | None:
    if spec is None or spec == "U":
        return ROOT if spec else None
    return Context(user=dict(part.partition("=")[::2] for part in spec.split(","))["user"])


def our_answer(fact: dict[str, Any], version: Version) -> str:
    texts = fact["f"] if isinstance(fact["f"], dict) else {"main": fact["f"]}
    files = {f"/t/{name}": text.replace("@/", "/t/").encode(fact.get("e", "utf-8")) for name, text in texts.items()}
    options = tuple(word for word in fact.get("o", ()) if word != "-o")
    tree = build_from_files(files, main="/t/main", version=version, options=options)
    try:
        effective = resolve_all(tree, context_of(fact.get("c")))
        if "k" in fact:
            return next(iter(values_of(effective, fact["k"])), "22")
        return f"{effective[INTERVAL].value}/{effective[COUNT_MAX].value}"
    except ParseError:
        return "E"


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact["id"])
def test_every_release_reads_it_as_recorded(fact: dict[str, Any]) -> None:
    wrong = {}
    for name in ASKED:
        theirs = expected(fact, name)
        if theirs == "E" and fact["id"] in QUESTION_REFUSED | LEFT_TO_THE_HOST | KILLS_CONNECTIONS:
            continue
        ours = our_answer(fact, version_of(name))
        if ours != theirs:
            wrong[name] = f"sshd {theirs}, we {ours}"
    assert not wrong


@pytest.mark.parametrize("fact", TRICKY, ids=lambda fact: fact["id"])
def test_the_releases_of_the_lab_read_it_as_recorded(fact: dict[str, Any]) -> None:
    asked = ("8.4", "9.2", "10.0p2", "10.6")
    assert {name: our_answer(fact, version_of(name)) for name in asked} == {n: expected(fact, n) for n in asked}


def test_all_ninety_are_here() -> None:
    assert len(FACTS) == 90
    assert len({fact["id"] for fact in (*FACTS, *TRICKY)}) == len(FACTS) + len(TRICKY)
