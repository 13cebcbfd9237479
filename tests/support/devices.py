"""Devices of a test's own."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

NULL = 1, 3  # the numbers of /dev/null and /dev/full, mem(4)
FULL = 1, 7


def device(path: Path, numbers: tuple[int, int]) -> Path:
    """A node with the numbers of a system's device; never the system's own, which the wrong code would replace."""
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(*numbers))
        path.open("wb").close()
    except PermissionError:
        pytest.skip("making and opening a device needs root")
    return path


def is_device(path: Path) -> bool:
    return stat.S_ISCHR(path.lstat().st_mode)
