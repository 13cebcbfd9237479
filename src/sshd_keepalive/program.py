"""The command that starts this program again."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path


def argv() -> tuple[str, ...]:
    """Give the words that start this program from any directory, as a timer or a child process needs them.

    The single file (`sshd-keepalive.pyz`) starts itself; `-m` would not find what only that file holds. `-P` keeps
    modules of the working directory out.
    """
    if zipfile.is_zipfile(sys.argv[0]):
        return (sys.executable, str(Path(sys.argv[0]).absolute()))
    return (sys.executable, "-P", "-m", "sshd_keepalive")
