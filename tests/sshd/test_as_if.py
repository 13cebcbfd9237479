"""What `check --as-if` foresees, held against the server before and the server after the upgrade.

Every tree is asked of all releases; each that takes it is the present one in turn, and all others are compared.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from sshd_keepalive.config import releases
from sshd_keepalive.sshd_config.version import Version
from tests.sshd.test_cli import inventory
from tests.sshd.test_differential import root_of
from tests.support import oracle
from tests.support.cli import keepalive
from tests.support.releases import differences
from tests.support.sshd import Sshd, why_not

NAMES = {"d11": "debian-11", "d12": "debian-12", "d13": "debian-13", "sid": "debian-sid"}
LINE = "PAMAuthenticationViaKbdInt no"  # refused from 10.4 on
CASES = int(os.environ.get("KEEPALIVE_CASES", "60"))
FIRST = int(os.environ.get("KEEPALIVE_SEED", "0"))


def ask_all(seeds: range, at_least: int = 0) -> dict[tuple[str, str], int]:
    """Compare the trees of these seeds, at most until every pair of releases had so many; gives how many they had."""
    used: dict[tuple[str, str], int] = {}
    with ExitStack() as stack:
        oracles = {kind: stack.enter_context(oracle.Oracle(root_of(kind))) for kind in NAMES}
        builds = {
            kind: replace(releases.find(name), version=Version.parse(oracles[kind].version))
            for kind, name in NAMES.items()
        }
        wrong: list[str] = []
        for seed in seeds:
            wrong += differences(oracles, builds, seed, used)
            if at_least and len(used) == 12 and min(used.values()) >= at_least:
                break
    print(f"{used}: {len(wrong)} differences", file=sys.stderr)
    assert not wrong, "\n".join(wrong[:20])
    return used


@pytest.mark.sshd
@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
def test_a_host_is_checked_as_if_it_had_another_release(tmp_path: Path) -> None:
    with Sshd(f"ClientAliveInterval 300\nClientAliveCountMax 3\n{LINE}\n") as server:
        hosts = inventory(server, tmp_path)
        ran = keepalive("check", "-i", hosts, "--as-if", "10.4", "--format", "json")
        told = [finding for finding in ran.host()["findings"] if finding["setting"] == "as-if"]
        line = server.config_file.read_text().splitlines().index(LINE) + 1
        assert (ran.status, ran.host()["state"]) == (1, "drift"), ran.stderr
        assert [(f["place"]["line"], f["value"]) for f in told] == [(line, "refused")]
        assert "delete the line" in told[0]["reason"]
        same = keepalive("check", "-i", hosts, "--as-if", ran.host()["facts"]["openssh"], "--format", "json")
        assert [f for f in same.host()["findings"] if f["setting"] == "as-if"] == []


@pytest.mark.lab
def test_what_is_foreseen_is_what_the_other_server_says() -> None:
    used = ask_all(range(FIRST, FIRST + CASES))
    assert len(used) == 12


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("chunk", range(4))
def test_two_thousand_trees_for_every_pair_of_releases(chunk: int) -> None:
    cases = int(os.environ.get("KEEPALIVE_CASES", "2000")) // 4
    used = ask_all(range(FIRST + 200_000 + chunk, FIRST + 300_000, 4), at_least=cases)
    assert min(used.values()) >= cases
