"""Generated trees, asked of real servers: 8.4, 9.2, 10.0 and unstable's of the lab's roots, and this machine's own.

A difference that was found once stays: tests/cases holds its tree. `KEEPALIVE_CASES` sets how many trees each
root is asked about, `KEEPALIVE_SEED` where they begin; without them every run asks the same ones.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from sshd_keepalive.sshd_config.version import Version
from tests.support import oracle
from tests.support.differential import differences

CASES = int(os.environ.get("KEEPALIVE_CASES", "700"))
FIRST = int(os.environ.get("KEEPALIVE_SEED", "0"))
CHUNKS = 4  # of one root, so that several workers can share it


def root_of(kind: str) -> Path:
    """The root filesystem to ask in; skips without one, or fails if KEEPALIVE_REQUIRE_LAB=1."""
    if reason := oracle.why_not():
        return _without(reason)
    if kind == "here":
        return Path("/")
    from tests.lab import roots

    try:
        root = roots.root_path(kind)
    except roots.LabUnavailable as error:
        return _without(str(error))
    return root if root.is_dir() else _without(f"the {kind} root is not built: python -m tests.lab build {kind}")


def _without(reason: str) -> NoReturn:
    if os.environ.get("KEEPALIVE_REQUIRE_LAB") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize(
    ("kind", "release"),
    [
        pytest.param("d11", "8.4", marks=pytest.mark.lab),
        pytest.param("d12", "9.2", marks=pytest.mark.lab),
        pytest.param("d13", "10.0", marks=pytest.mark.lab),
        pytest.param("sid", "10.6", marks=pytest.mark.lab),
    ],
)
def test_the_server_agrees_before_and_after_the_plan(kind: str, release: str, chunk: int) -> None:
    with oracle.Oracle(root_of(kind)) as asked:
        assert Version.parse(asked.version) >= Version.parse(f"{release}p0"), asked.version
        seeds = range(FIRST + chunk, FIRST + CASES, CHUNKS)
        wrong = [text for seed in seeds for text in differences(asked, seed)]
    assert not wrong


@pytest.mark.sshd
def test_this_machines_server_agrees() -> None:
    with oracle.Oracle(root_of("here")) as asked:
        wrong = [text for seed in range(FIRST, FIRST + 60) for text in differences(asked, seed)]
    assert not wrong


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("kind", ["d11", "d12", "d13", "sid"])
def test_twenty_thousand_more(kind: str, chunk: int) -> None:
    cases = int(os.environ.get("KEEPALIVE_CASES", "6700"))
    with oracle.Oracle(root_of(kind)) as asked:
        seeds = range(FIRST + 100_000 + chunk, FIRST + 100_000 + cases, CHUNKS)
        wrong = [text for seed in seeds for text in differences(asked, seed)]
        print(f"{len(seeds)} trees asked of OpenSSH {asked.version}: {len(wrong)} differences", file=sys.stderr)
    assert not wrong
