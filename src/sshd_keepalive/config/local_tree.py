"""Read a configuration on this machine's disk as the tree that sshd would see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import DEFAULT_CONFIG
from sshd_keepalive.sshd_config import include
from sshd_keepalive.sshd_config import tree as trees
from sshd_keepalive.sshd_config.limits import MAX_CONFIG_BYTES, check_size
from sshd_keepalive.sshd_config.reading import Reading, read_files
from sshd_keepalive.sshd_config.version import Version

_DANGLING = "is a broken symbolic link in this tree, or is behind one; sshd would refuse it"
_MOST_LINKS = 40  # as the kernel allows


def read_tree(path: str, version: Version) -> tuple[Reading, tuple[str, ...]]:
    """Read a main file and all files that it includes.

    Args:
        path: a file, read as `sshd -f` would on this machine; or a directory: the copy of a host's root
            directory (it has etc/ssh/sshd_config), or of its /etc/ssh (it has sshd_config).

    Returns:
        The reading, and a sentence for each Include that is looked up in an unexpected place.

    Raises:
        ConfigError: there is no such configuration, or sshd could not read a file of it.
        HostError: kind `observe`, cause `too_large`.
    """
    disk = _open_disk(Path(path).expanduser())
    files = {disk.main: _read_content(disk.where(disk.main))}
    globs: dict[str, tuple[str, ...]] = {}
    while True:
        check_size(files.values())
        reading = read_files(files, main=disk.main, version=version, globs=globs)
        missing = trees.find_missing_globs(reading.tree)
        if not missing:
            outside = [pattern for pattern in globs if not pattern.startswith(disk.inside)]
            return reading, tuple(f"Include {pattern} {disk.outside}" for pattern in outside)
        for pattern in missing:
            names = include.expand(pattern, _list_candidates(pattern, disk.where))
            globs[pattern] = names
            files |= {name: _read_content(disk.where(name)) for name in names if name not in files}


@dataclass(frozen=True, slots=True)
class _Disk:
    """The place of a tree's files on this disk."""

    main: str  # the main file's path inside the tree
    where: Callable[[str], Path]
    inside: str  # prefix of the paths that belong to the tree
    outside: str = ""  # how other paths are handled


def _open_disk(path: Path) -> _Disk:
    if path.is_file():
        main = path.absolute()
        how = "is looked up on this machine; to read a copied tree, name its directory"
        return _Disk(str(main), Path, "/" if main == Path(DEFAULT_CONFIG) else f"{main.parent}/", how)
    if _locate_in_copy(path, "/", DEFAULT_CONFIG).is_file():
        return _Disk(DEFAULT_CONFIG, lambda name: _locate_in_copy(path, "/", name), "/")
    if (path / "sshd_config").is_file():
        own = f"{include.CONFIG_DIR}/"
        how = f"names files outside the copy of {include.CONFIG_DIR}, which were not read"
        return _Disk(DEFAULT_CONFIG, lambda name: _locate_in_copy(path, own, name), own, how)
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is neither a file nor a directory")
    raise ConfigError(f"{path}: neither a file nor a directory that contains an sshd_config")


def _locate_in_copy(root: Path, top: str, name: str) -> Path:
    """Locate a path in `root`, the copy of the directory `top`; absolute links stay inside the copy.

    Raises:
        ConfigError: it is a link to a missing file, or out of the copy.
    """
    at: list[str] = []
    ahead, n_links = name.removeprefix(top).split("/")[::-1], 0
    while ahead:
        part = ahead.pop()
        place = root.joinpath(*at, part)
        if part == "..":
            at[-1:] = []
        elif n_links < _MOST_LINKS and place.is_symlink():
            n_links += 1
            target = str(place.readlink())
            at = [] if target.startswith("/") else at
            ahead += target.removeprefix(top).split("/")[::-1]
        elif part:
            at.append(part)
    path = root.joinpath(*at)
    if n_links and not path.exists():
        raise ConfigError(f"{name} {_DANGLING}")
    return path


def _list_candidates(pattern: str, where: Callable[[str], Path]) -> Iterator[str]:
    """List existing files that a pattern may match; a directory is listed only where the pattern has a wildcard."""

    def below(directory: str, parts: list[str]) -> Iterator[str]:
        part, *rest = parts
        names = [part] if include.is_literal(part) else _list_names(where(directory or "/"))
        for name in names:
            path = f"{directory}/{name}"
            if rest:
                yield from below(path, rest)
            elif include.is_match(pattern, path) and _is_readable(where(path), path):
                yield path

    return below("", pattern.split("/")[1:])


def _is_readable(place: Path, name: str) -> bool:
    """Whether an Include can read the path; sshd ignores a directory."""
    if place.is_file():
        return True
    if place.is_symlink():
        raise ConfigError(f"{name} {_DANGLING}")
    if place.exists() and not place.is_dir():
        raise ConfigError(f"{name} is neither a file nor a directory; sshd would wait for it for ever")
    return False


def _list_names(directory: Path) -> list[str]:
    try:
        return [entry.name for entry in directory.iterdir()]
    except OSError:
        return []


def _read_content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_CONFIG_BYTES + 1)  # more than that is refused
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
