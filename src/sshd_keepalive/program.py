"""The command that starts this program again."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path


def argv() -> tuple[str, ...]:
    """Give the command that starts this program from any directory, for a timer or a child process.

    The single file (`sshd-keepalive.pyz`) is started by its path, since `-m` does not find its modules. `-P` ignores
    modules in the working directory.
    """
    if zipfile.is_zipfile(sys.argv[0]):
        return (sys.executable, str(Path(sys.argv[0]).absolute()))
    return (sys.executable, "-P", "-m", "sshd_keepalive")
