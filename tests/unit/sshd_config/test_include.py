"""Include patterns, as sshd's own glob reads them."""

from __future__ import annotations

import pytest

from sshd_keepalive.sshd_config import include
from sshd_keepalive.sshd_config.version import Version

NAMES = ("a", "b", "z", "-", "]", "[", "^", "!", "*", ".h", "a.conf", "a b", "é", "[:x:]")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("?", "!*-[]^abz"),
        ("[a-z]", "abz"),
        ("[!a-z]", "!*-[]^"),
        ("[^a]", "^a"),
        ("[]a]", "]a"),
        ("[!]a]", "!*-[^bz"),
        ("[a-]", "-a"),
        ("[z-a]", ""),
        ("[!z-a]", "!*-[]^abz"),
        ("[a-\\]]", ""),
        ("[\\]x]", "]"),
        ("\\*", "*"),
        ("\\a", "a"),
        ("[[:lower:][:punct:]]", "!*-[]^abz"),
        ("[[:print:]]", "!*-[]^abz"),
        ("[![:graph:]]", ""),
        ("[[:nope:]]", ""),
        ("[[:nope:]a]", ""),
        ("[[:x", ""),
        ("[[:lower:]", ""),
        ("[", "["),
        ("[/]", ""),
        ("[.]h", ""),
        ("a\\", ""),
        ("[[:a:b]", "[ab"),
    ],
)
def test_what_sshds_own_glob_finds(pattern: str, found: str) -> None:
    """As real servers answered in tests/sshd/test_core_cases.py, which asks about many more."""
    paths = include.expand(f"/d/{pattern}", [f"/d/{name}" for name in NAMES])
    assert "".join(path.removeprefix("/d/") for path in paths) == found


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (".*", [".h"]),
        ("\\.h", [".h"]),
        ("a**", ["a", "a b", "a.conf"]),
        ("[[]:x:]", ["[:x:]"]),
        ("??", ["é"]),
    ],
)
def test_longer_names(pattern: str, found: list[str]) -> None:
    assert [p[3:] for p in include.expand(f"/d/{pattern}", [f"/d/{name}" for name in NAMES])] == found


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("/d//x/./*.conf", "/d/x/*.conf"),
        ("/d/x/../*.conf", "/d/*.conf"),
        ("/d/x/y/../../*.conf", "/d/*.conf"),
        ("/d/nothing/../*.conf", "/d/nothing/../*.conf"),
        ("/../d/a", "/../d/a"),
    ],
)
def test_without_a_disk_a_path_has_one_name(pattern: str, expected: str) -> None:
    assert include.collapse(pattern, ["/d/x/y/a.conf"]) == expected


@pytest.mark.parametrize(
    ("word", "version", "expected"),
    [
        ("/etc/x", "9.2", "/etc/x"),
        ("x.d/*.conf", "9.2", "/etc/ssh/x.d/*.conf"),
        ("x.d/*.conf", "8.2", None),
        ("~/x", "9.2", None),
    ],
)
def test_relative_patterns(word: str, version: str, expected: str | None) -> None:
    assert include.make_absolute(word, Version.parse(version)) == expected


def test_order_is_by_bytes() -> None:
    paths = [f"/d/{name}.conf" for name in ("a", "_", "Z", "9", "10", "é")]
    assert [path[3:-5] for path in include.expand("/d/*.conf", paths)] == ["10", "9", "Z", "_", "a", "é"]


def test_many_stars_take_no_time() -> None:
    assert not include.is_match("/d/" + "*a" * 30 + "b", "/d/" + "a" * 60)
