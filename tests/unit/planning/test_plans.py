"""The case files of tests/cases/plans, on every release each holds for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sshd_keepalive import errors
from sshd_keepalive.model import RemoteFile, State
from sshd_keepalive.planning import judge, plan
from sshd_keepalive.sshd_config.reading import read
from tests.support.plans import PlanCase, load

CASES = load()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_plan_is_exactly_this(case: PlanCase) -> None:
    for release in case.releases():
        snapshot = case.snapshot(release)
        policy = snapshot.host.policy
        if "refuse" in case.words:
            with pytest.raises(getattr(errors, case.words["refuse"])):
                plan.plan(read(snapshot), policy)
            assert State.OK not in {
                f.state for f in judge.judge(read(snapshot), policy) if f.setting.endswith("Interval")
            }
            continue
        planned = plan.plan(read(snapshot), policy)
        assert {content.path: content.after for content in planned.contents} == case.files("after"), release
        passed = {finding.state for finding in judge.judge(read(snapshot), policy)} == {State.OK}
        assert planned.is_empty == passed, release
        if "note" in case.words:
            assert case.words["note"] in "\n".join(planned.notes)
        changed = {content.path: content.after for content in planned.contents}
        files = {**{file.path: file for file in snapshot.files}}
        for path, content in changed.items():
            files[path] = (
                replace(files[path], content=content) if path in files else RemoteFile(path=path, content=content)
            )
        globs = tuple(replace(g, paths=tuple(sorted(p for p in files if ".d/" in p))) for g in snapshot.globs)
        after = replace(snapshot, files=tuple(files.values()), globs=globs, dumps=())
        assert not plan.plan(read(after), policy).contents, release


def test_every_row_of_the_decision_table_is_here() -> None:
    rows = {int(case.name[:2]) for case in CASES}
    assert rows >= set(range(1, 41))
