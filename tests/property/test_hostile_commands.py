"""A short part of `make fuzz`: some seeds of hostile answers through every command that reads from a host."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import fuzzing


@pytest.mark.parametrize("first", range(0, 160, 20))
def test_hostile_answers_end_in_a_report(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + 20):
        fuzzing.run(seed, tmp_path)
