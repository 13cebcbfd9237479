"""Files of this machine: write one whole or not at all, and say who else may have written one.

Nothing is written through a link that somebody else has put there. The mode of a file says enough: where an ACL lets
somebody else write, its mask stands in the group's bits (acl(5)).
"""

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


def find_stranger(path: Path, *, with_directories: bool = False) -> str:
    """Say who else may have written a file, or the link that leads to it; empty: nobody.

    Args:
        with_directories: also whoever may replace the file, by writing to a directory on the way. A sticky one, as
            /tmp, lets nobody replace what is ours.
    Raises:
        OSError: the file is not there, or cannot be looked at.
    """
    ways = _follow_links(path)
    if with_directories:
        for folder in dict.fromkeys(folder for way in (*ways, path.resolve()) for folder in way.parents):
            if reason := _explain_stranger(folder):
                return reason
    return next(filter(None, map(_explain_stranger, ways)), "")


def _follow_links(path: Path) -> list[Path]:
    """The path, and where it leads link by link; the last one is no link."""
    ways = [path.absolute()]
    while ways[-1].is_symlink() and len(ways) < 40:  # as many as the kernel follows, path_resolution(7)
        ways.append(ways[-1].parent / ways[-1].readlink())
    return ways


def _explain_stranger(path: Path) -> str:
    found = path.lstat()
    if found.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to {_find_account(found.st_uid)}"
    if stat.S_ISLNK(found.st_mode):
        return ""
    is_sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
    if found.st_mode & 0o022 and not is_sticky:
        return f"{'everybody' if found.st_mode & 0o002 else 'its group'} may write to {path}"
    return ""


def _find_account(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"account {uid}"
