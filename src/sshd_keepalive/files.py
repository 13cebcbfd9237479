"""Write a file whole or not at all, and never through a link that somebody else has put there."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path


def write(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Replace a regular file, or make a new one; write through to a device, a FIFO, or an open file of /proc.

    The new content is prepared beside the file under a name that nobody can foresee, and takes its place by a rename:
    whoever reads the file finds the old content or the new one. A link to a regular file is replaced, not followed.

    Args:
        mode: of the new file, as far as the umask lets it.
    Raises:
        OSError: nothing was replaced; what was prepared is removed.
    """
    if is_written_through(path):
        _write_through(path, content)
        return
    staged = path.with_name(f".sshd-keepalive-{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as file:
            file.write(content)
        staged.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            staged.unlink(missing_ok=True)
        raise


def is_written_through(path: Path) -> bool:
    """Whether a path leads to something that must not be replaced by a file."""
    try:
        mode = path.stat().st_mode
    except OSError:  # nothing is there, or a link leads nowhere
        return False
    return not stat.S_ISREG(mode) or _is_open_file(path)


def _is_open_file(path: Path) -> bool:
    """Whether links lead to an entry of /proc, as /dev/stdout does: an open file, even where it is a regular one."""
    for _ in range(40):  # as many links as the kernel follows
        if path.parent.resolve().is_relative_to("/proc"):
            return True
        if not path.is_symlink():
            return False
        path = path.parent / path.readlink()
    return False


def _write_through(path: Path, content: bytes) -> None:
    is_open_file = _is_open_file(path)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY), "wb") as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode) and not is_open_file:
            raise OSError(0, "it was a device or FIFO a moment ago")
        file.write(content)
