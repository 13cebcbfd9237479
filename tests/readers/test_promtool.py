"""The metrics as Prometheus itself reads them."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from sshd_keepalive import registry
from sshd_keepalive.config import benchmarks
from sshd_keepalive.model import Run, State
from tests.contract.test_reports import FULL, a_run
from tests.support.fleets import a_fleet

pytestmark = pytest.mark.readers

RUNS = {
    "none": a_run(()),
    "hostile": a_run((FULL, replace(FULL, end=None, state=State.UNREACHABLE))),
    "fleet": replace(a_fleet(50), benchmarks=benchmarks.load_table()),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=list(RUNS))
def test_promtool_has_nothing_to_say(run: Run) -> None:
    text = registry.load("reports", "prometheus").render(run)
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
