"""Files of this machine: write one atomically, and find out which other account may have written one.

A link is never followed when writing. The mode of a file is sufficient: where an ACL lets
another account write, the group's bits hold its mask (acl(5)).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path


def write(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Replace or create a regular file; write through to a device, a FIFO, or an open file of /proc.

    The new content is staged beside the file under an unpredictable name, and renamed into place:
    a reader finds the old content or the new one. A link to a regular file is replaced, not followed.

    Args:
        mode: of the new file, as far as the umask lets it.
    Raises:
        OSError: nothing was replaced, and the staged file is removed.
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
    """Whether a path leads to a device, FIFO or open file, which must not be replaced by a file."""
    try:
        mode = path.stat().st_mode
    except OSError:  # nothing is there, or a link leads nowhere
        return False
    return not stat.S_ISREG(mode) or _is_open_file(path)


def _is_open_file(path: Path) -> bool:
    """Whether a path leads to an entry of /proc, as /dev/stdout does: an open file, even if it is a regular one."""
    for _ in range(40):  # the limit of the kernel, path_resolution(7)
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


def explain_missing(path: Path) -> str:
    """Say why a path is not a regular file."""
    if path.is_dir():
        return "is a directory, a file is expected"
    return "is not a regular file" if path.exists() else "the file does not exist"


def find_stranger(path: Path, *, with_directories: bool = False) -> str:
    """Find out which other account may have written a file, or a link that leads to it; empty: none.

    Args:
        with_directories: also which account can replace the file, by writing to a directory above it. In a sticky one,
            such as /tmp, other accounts cannot replace our files.
    Raises:
        OSError: the file does not exist or cannot be read.
    """
    ways = _follow_links(path)
    if with_directories:
        for folder in dict.fromkeys(folder for way in (*ways, path.resolve()) for folder in way.parents):
            if reason := _explain_stranger(folder):
                return reason
    return next(filter(None, map(_explain_stranger, ways)), "")


def _follow_links(path: Path) -> list[Path]:
    """Give the path and each target of its links; the last one is not a link."""
    ways = [path.absolute()]
    while ways[-1].is_symlink() and len(ways) < 40:  # as many as the kernel follows, path_resolution(7)
        ways.append(ways[-1].parent / ways[-1].readlink())
    return ways


def _explain_stranger(path: Path) -> str:
    status = path.lstat()
    if status.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to {_find_account(status.st_uid)}"
    if stat.S_ISLNK(status.st_mode):
        return ""
    is_sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    if status.st_mode & 0o022 and not is_sticky:
        return f"{'everybody' if status.st_mode & 0o002 else 'its group'} may write to {path}"
    return ""


def _find_account(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"account {uid}"
