"""Mutated configurations for minutes on end: never a crash, never a hang, never a byte lost.

KEEPALIVE_FUZZ_S sets how long (600 s); KEEPALIVE_SEED where the random numbers begin. A finding is printed as
bytes; put it into tests/cases or tests/unit/core/test_document.py before mending it.
"""

from __future__ import annotations

import os
import time
from random import Random

import pytest

from sshd_keepalive.core import diff, document, explain, judge, plan, resolve
from sshd_keepalive.core.version import Version
from sshd_keepalive.errors import ParseError, PlanError
from sshd_keepalive.model import Policy, Strategy
from tests.support import configs
from tests.support.snapshots import look

VERSIONS = [Version.parse(v) for v in ("7.4", "7.9", "8.0+include", "8.2", "8.4", "8.6", "8.7", "9.2", "9.9p1", "10.5")]
TOKENS = (
    *(
        b'"',
        b"'",
        b"\\",
        b"#",
        b"=",
        b" ",
        b"\t",
        b"\r",
        b"\n",
        b"\r\n",
        b"\0",
        b"\x0c",
        b"\xff",
        b"!",
        b",",
        b"*",
        b"?",
    ),
    *(b"[", b"Match ", b"all", b"Include ", b"User ", b"ClientAliveInterval ", b"9" * 40, b"w" * 5000),
    b"/etc/ssh/sshd_config ",
)
POLICIES = (Policy(), Policy(strategy=Strategy.DROP_IN), Policy(interval_s=0))
LONGEST_S = 5.0  # for one input of a few kilobytes, all steps together, on a busy machine


def mutated(random: Random, content: bytes) -> bytes:
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        at = random.randint(0, len(content))
        kind = random.random()
        if kind < 0.5:
            content = content[:at] + random.choice(TOKENS) * random.choice((1, 1, 1, 3)) + content[at:]
        elif kind < 0.7:
            content = content[:at] + content[at + random.randint(1, 8) :]
        elif kind < 0.85:
            content = content[:at] + random.randbytes(random.randint(1, 6)) + content[at:]
        else:
            other = random.randint(0, len(content))
            content = content[:at] + content[min(at, other) : max(at, other)][:2000] + content[at:]
    return content


def exercise(files: dict[str, bytes], main: str, version: Version, policy: Policy) -> None:
    """Everything the core does with a host's files."""
    for path, content in files.items():
        assert document.render(document.parse(path, content, version=version)) == content
    tree = resolve.tree_of_files(files, main=main, version=version)
    try:
        resolve.resolve(tree)
        explain.text(tree, explain.answers(tree))
    except ParseError:
        pass
    ordered = dict(sorted(files.items(), key=lambda item: item[0] != main))
    snapshot = look(ordered, version=str(version), policy=policy)
    judge.judge(snapshot, policy)
    try:
        planned = plan.plan(snapshot, policy)
    except (ParseError, PlanError):
        return
    shown = diff.unified(planned) + diff.values(planned)
    assert all(char.isprintable() or char in "\n\t" for char in shown)


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
def test_mutated_files() -> None:
    random = Random(int(os.environ.get("KEEPALIVE_SEED", "0")))
    until = time.monotonic() + float(os.environ.get("KEEPALIVE_FUZZ_S", "600"))
    n_inputs, slowest_s = 0, 0.0
    while time.monotonic() < until:
        made = configs.case(random.randint(0, 10**9), "/etc/ssh/c", relative_to="/etc/ssh")
        files = {path: mutated(random, c) if random.random() < 0.5 else c for path, c in made.files.items()}
        version, policy = random.choice(VERSIONS), random.choice(POLICIES)
        began = time.process_time()
        try:
            exercise(files, made.main, version, policy)
        except Exception as error:
            raise AssertionError(f"{version} {policy}: {files!r}") from error
        took_s = time.process_time() - began
        assert took_s < LONGEST_S, f"{took_s:.1f} s: {files!r}"
        slowest_s = max(slowest_s, took_s)
        n_inputs += 1
    print(f"{n_inputs} inputs, the slowest took {slowest_s:.3f} s")
