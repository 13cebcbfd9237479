"""Hostile answers through every command that reads from a host, for minutes on end: no exception, no `internal`.

KEEPALIVE_FUZZ_S sets how long (600 s); KEEPALIVE_SEED the first seed. A finding names its seed.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support import fuzzing

LONGEST_S = 10.0  # of processor time, for one command over two hosts


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
def test_hostile_answers(tmp_path: Path) -> None:
    first = int(os.environ.get("KEEPALIVE_SEED", "0"))
    until = time.monotonic() + float(os.environ.get("KEEPALIVE_FUZZ_S", "600"))
    codes: Counter[int] = Counter()
    slowest_s, seed = 0.0, first
    while time.monotonic() < until:
        began_s = time.process_time()
        codes[fuzzing.run(seed, tmp_path).exit_code] += 1
        took_s = time.process_time() - began_s
        assert took_s < LONGEST_S, f"seed {seed}: {took_s:.1f} s"
        slowest_s = max(slowest_s, took_s)
        seed += 1
    print(f"{seed - first} commands, by exit code {dict(codes)}, the slowest took {slowest_s:.3f} s", file=sys.stderr)
    assert min(codes[code] for code in (0, 1, 3)) > 0, "the answers come through"
