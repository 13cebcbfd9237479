"""Whose files are believed: those that only this account and root can have written.

The mode says enough: where an ACL lets somebody else write, its mask stands in the group's bits (acl(5)).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def find_stranger(path: Path, *, with_directories: bool = False) -> str:
    """Say who else may have written a file, or the link that leads to it; empty: nobody.

    Args:
        with_directories: also whoever may replace the file, by writing to a directory on the way. A sticky one, as
            /tmp, lets nobody replace what is ours.
    Raises:
        OSError: the file is not there, or cannot be looked at.
    """
    ways = _links(path)
    if with_directories:
        for folder in dict.fromkeys(folder for way in (*ways, path.resolve()) for folder in way.parents):
            if reason := _reason(folder):
                return reason
    return next(filter(None, map(_reason, ways)), "")


def _links(path: Path) -> list[Path]:
    """The path, and where it leads link by link; the last one is no link."""
    ways = [path.absolute()]
    while ways[-1].is_symlink() and len(ways) < 40:  # as many as the kernel follows, path_resolution(7)
        ways.append(ways[-1].parent / ways[-1].readlink())
    return ways


def _reason(path: Path) -> str:
    found = path.lstat()
    if found.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to {_name(found.st_uid)}"
    if stat.S_ISLNK(found.st_mode):
        return ""
    is_sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
    if found.st_mode & 0o022 and not is_sticky:
        return f"{'everybody' if found.st_mode & 0o002 else 'its group'} may write to {path}"
    return ""


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"account {uid}"
