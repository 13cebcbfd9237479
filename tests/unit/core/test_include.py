"""Include patterns, compared with the C library's own glob(3)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from sshd_keepalive.core import include
from sshd_keepalive.core.version import Version

NAMES = (
    "a.conf",
    "Z.conf",
    "_.conf",
    "10.conf",
    "9.conf",
    ".h.conf",
    "x.conf~",
    "a b.conf",
    "a[1].conf",
    "b-c",
    "é.conf",
    "a]b",
    "^x",
)
PIECES = (
    "*",
    "?",
    "a",
    ".",
    "conf",
    "[a-z]",
    "[!a]",
    "[^0-9]",
    "[]x]",
    "[[:digit:]]",
    "\\*",
    "\\a",
    "[",
    "]",
    "-",
    "**",
    "[a",
    "[!]a]",
    "[z-a]",
    "[[:upper:][:lower:]]",
    "{a,b}",
    "~",
    "é",
    "[\\]x]",
    "[[:nope:]]a",
    "[^]",
    "[a-]",
)


# sshd never calls setlocale, so glob() compares and sorts bytes; so does this, in a process of its own.
ASK_THE_C_LIBRARY = """
import ctypes, sys
class Glob(ctypes.Structure):
    _fields_ = [("n", ctypes.c_size_t), ("paths", ctypes.POINTER(ctypes.c_char_p)), ("rest", ctypes.c_char * 256)]
libc = ctypes.CDLL(None)
for pattern in sys.stdin.buffer.read().split(b"\\n"):
    found = Glob()
    names = []
    if libc.glob(pattern, 0, None, ctypes.byref(found)) == 0:
        names = [found.paths[i] for i in range(found.n)]
    sys.stdout.buffer.write(b"\\0".join(names) + b"\\n")
"""


def c_globs(patterns: list[str]) -> list[list[bytes]]:
    asked = subprocess.run(
        [sys.executable, "-c", ASK_THE_C_LIBRARY],
        input="\n".join(patterns).encode(),
        env={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        stdout=subprocess.PIPE,
        check=True,
    )
    return [line.split(b"\0") if line else [] for line in asked.stdout.split(b"\n")[:-1]]


def test_glob_3_finds_the_same(tmp_path: Path) -> None:
    for folder in ("d", "e", ".f"):
        (tmp_path / folder).mkdir()
        for name in NAMES:
            (tmp_path / folder / name).touch()
    every = [str(path) for path in tmp_path.rglob("*") if path.is_file()]
    random = Random(7)
    patterns = []
    for _ in range(1500):
        name = "".join(random.choices(PIECES, k=random.randint(1, 4)))
        patterns.append(f"{tmp_path}/{random.choice(('d', 'e', '*', '?', '[de]', '.f', '.*'))}/{name}")
    for pattern, theirs in zip(patterns, c_globs(patterns), strict=True):
        ours = [path.encode() for path in include.expand(pattern, every)]
        assert ours == [path for path in theirs if Path(path.decode()).is_file()], pattern


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
    assert include.absolute(word, "/etc/ssh/", Version.parse(version)) == expected


def test_order_is_by_bytes() -> None:
    paths = [f"/d/{name}.conf" for name in ("a", "_", "Z", "9", "10", "é")]
    assert [path[3:-5] for path in include.expand("/d/*.conf", paths)] == ["10", "9", "Z", "_", "a", "é"]


def test_many_stars_take_no_time() -> None:
    assert not include.covers("/d/" + "*a" * 30 + "b", "/d/" + "a" * 60)
