"""requirements.lock holds what a run needs, every package with hashes, in the versions that were tested."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
_ENTRY = re.compile(r"^([\w.-]+)==([^\s;]+)[^\n]*((?:\n +--hash=sha256:[0-9a-f]{64}(?: \\)?)*)", re.MULTILINE)
ENTRIES = _ENTRY.findall((ROOT / "requirements.lock").read_text())
LOCKED = {canonicalize_name(name): Version(version) for name, version, _ in ENTRIES}


@pytest.mark.parametrize("text", PROJECT["project"]["dependencies"])
def test_every_dependency_is_locked_in_a_version_that_is_allowed(text: str) -> None:
    wanted = Requirement(text)
    assert wanted.specifier.contains(LOCKED[canonicalize_name(wanted.name)]), "make lock"


def test_every_locked_package_has_hashes() -> None:
    assert len(ENTRIES) > 10
    assert [name for name, _, hashes in ENTRIES if not hashes] == []


def test_the_lock_holds_the_versions_that_are_tested() -> None:
    lines = [line.partition("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    tested = {canonicalize_name(name): Version(version) for name, _, version in lines}
    assert {name: version for name, version in LOCKED.items() if tested.get(name, version) != version} == {}, (
        "make lock"
    )


def test_the_build_backend_is_pinned() -> None:
    assert all("==" in text for text in PROJECT["build-system"]["requires"])
