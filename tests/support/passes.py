"""What a pass works out of one host, without a host; and how often it does so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from sshd_keepalive.model import Plan, Policy, Snapshot, State
from sshd_keepalive.planning import candidate, judge, plan
from sshd_keepalive.sshd_config import resolve
from sshd_keepalive.sshd_config import tree as trees
from sshd_keepalive.sshd_config.reading import read
from sshd_keepalive.sshd_config.tree import find_missing_globs
from tests.support.snapshots import look


def count_readings(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count from now on how often files are unrolled into a tree, and how often values are resolved in one."""
    counted: Counter[str] = Counter()
    run, init = trees._Unrolling.run, resolve.Layers.__init__

    def counting_run(self: Any) -> Iterator[Any]:
        counted["trees"] += 1
        return run(self)

    def counting_init(self: Any, *arguments: Any) -> None:
        counted["resolutions"] += 1
        init(self, *arguments)

    monkeypatch.setattr(trees._Unrolling, "run", counting_run)
    monkeypatch.setattr(resolve.Layers, "__init__", counting_init)
    return counted


def judge_and_plan(found: Snapshot, policy: Policy) -> Plan:
    """All that `apply` works out: judge, plan, the candidate files, and judge what is there afterwards."""
    reading = read(found)
    assert find_missing_globs(reading.tree) == ()
    judge.judge(reading, policy)
    assert judge.find_contradiction(reading) is None
    planned = plan.plan(reading, policy)
    assert candidate.build(reading, planned, "/var/x")
    files = found.contents
    said = reading.after(planned.contents).everybody
    dumps = tuple(
        type(dump)(context=dump.context, settings=tuple((s.keyword, s.value) for s in said.settings))
        for dump in found.dumps
    )
    contents = {content.path: content.after for content in planned.contents}
    seen = look({**files, **contents}, version=found.version, dumps=dumps, globs=found.globs)
    after = read(seen, reading.after(planned.contents))
    assert {finding.state for finding in judge.judge(after, policy)} == {State.OK}
    assert judge.find_contradiction(after) is None
    return planned
