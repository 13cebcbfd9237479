"""Mutated configurations for minutes on end: never a crash, never a hang, never a byte lost.

KEEPALIVE_FUZZ_S sets how long (600 s); KEEPALIVE_SEED where the random numbers begin. A finding is printed as
bytes; put it into tests/cases or tests/unit/sshd_config/test_document.py before mending it.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from random import Random

import pytest

from sshd_keepalive.errors import HostError, ParseError, PlanError
from sshd_keepalive.model import Policy, Strategy
from sshd_keepalive.planning import diff, explain, judge, plan
from sshd_keepalive.sshd_config import document
from sshd_keepalive.sshd_config.reading import read, read_files
from sshd_keepalive.sshd_config.version import Version
from tests.support import configs
from tests.support.snapshots import look

VERSIONS = [Version.parse(v) for v in ("7.4", "7.9", "8.0+include", "8.2", "8.4", "8.6", "8.7", "9.2", "9.9p1", "10.5")]
POLICIES = (Policy(), Policy(strategy=Strategy.DROP_IN), Policy(interval_s=0))
LONGEST_S = 5.0  # for one input of a few kilobytes, all steps together, on a busy machine


def exercise(files: dict[str, bytes], main: str, version: Version, policy: Policy) -> bool:
    """Everything the core does with a host's files; whether it came to a plan."""
    for path, content in files.items():
        assert document.render(document.parse(path, content, version=version)) == content
    reading = read_files(files, main=main, version=version)
    with suppress(ParseError):
        explain.render(reading.tree, explain.explain(reading))
    ordered = dict(sorted(files.items(), key=lambda item: item[0] != main))
    snapshot = look(ordered, version=str(version), policy=policy)
    judge.judge(read(snapshot), policy)
    try:
        planned = plan.plan(read(snapshot), policy)
    except (ParseError, PlanError):
        return False
    shown = diff.render_diff(planned) + diff.render_value_diff(planned)
    assert all(char.isprintable() or char in "\n\t" for char in shown)
    return True


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
def test_mutated_files() -> None:
    random = Random(int(os.environ.get("KEEPALIVE_SEED", "0")))
    until = time.monotonic() + float(os.environ.get("KEEPALIVE_FUZZ_S", "600"))
    n_inputs, n_plans, slowest_s = 0, 0, 0.0
    while time.monotonic() < until:
        made = configs.case(random.randint(0, 10**9), "/etc/ssh/c", relative_to="/etc/ssh")
        files = {path: configs.mutated(random, c) if random.random() < 0.5 else c for path, c in made.files.items()}
        version, policy = random.choice(VERSIONS), random.choice(POLICIES)
        began = time.process_time()
        try:
            n_plans += exercise(files, made.main, version, policy)
        except Exception as error:
            if not (isinstance(error, HostError) and error.cause == "too_large"):
                raise AssertionError(f"{version} {policy}: {files!r}") from error
        took_s = time.process_time() - began
        assert took_s < LONGEST_S, f"{took_s:.1f} s: {files!r}"
        slowest_s = max(slowest_s, took_s)
        n_inputs += 1
    assert n_plans > n_inputs / 5
    print(f"{n_inputs} inputs, {n_plans} of them planned for, the slowest took {slowest_s:.3f} s", file=sys.stderr)
