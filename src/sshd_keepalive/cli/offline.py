"""A configuration on this machine's disk, read as the tree that sshd would see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from sshd_keepalive.core import include
from sshd_keepalive.core import tree as trees
from sshd_keepalive.core.tree import Tree
from sshd_keepalive.core.version import Version
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import DEFAULT_CONFIG

Where = Callable[[str], Path]


def read_tree(path: str, version: Version) -> Tree:
    """Read a main file and all that it includes.

    Args:
        path: a file, read as `sshd -f` would on this machine; or a directory: the copy of a host's root
            directory (it has etc/ssh/sshd_config), or of its /etc/ssh (it has sshd_config).

    Raises:
        ConfigError: there is no such configuration, or a file cannot be read.
    """
    main, where = _main(Path(path).expanduser())
    files = {main: _content(where(main))}
    globs: dict[str, tuple[str, ...]] = {}
    while True:
        tree = trees.of_files(files, main=main, version=version, globs=globs)
        missing = trees.missing_globs(tree)
        if not missing:
            return tree
        for pattern in missing:
            found = [name for name in _candidates(pattern, where) if include.covers(pattern, name)]
            globs[pattern] = include.expand(pattern, found)
            files |= {name: _content(where(name)) for name in found if name not in files}


def _main(path: Path) -> tuple[str, Where]:
    """The name of the main file inside its tree, and where the files of the tree are on this disk."""
    if path.is_file():
        return str(path.absolute()), Path
    if (path / DEFAULT_CONFIG.lstrip("/")).is_file():
        return DEFAULT_CONFIG, lambda name: path / name.lstrip("/")
    if (path / "sshd_config").is_file():
        return DEFAULT_CONFIG, lambda name: path / name.removeprefix(f"{trees.CONFIG_DIR}/").lstrip("/")
    raise ConfigError(f"{path}: no such file, and no directory with an sshd_config in it")


def _candidates(pattern: str, where: Where) -> Iterator[str]:
    """Existing files that a pattern may name: each directory is listed only where a wildcard asks for it."""

    def below(directory: str, parts: list[str]) -> Iterator[str]:
        part, *rest = parts
        names = [part] if include.is_literal(part) else _names(where(directory or "/"))
        for name in names:
            path = f"{directory}/{name}"
            if rest:
                yield from below(path, rest)
            elif where(path).is_file():
                yield path

    return below("", pattern.split("/")[1:])


def _names(directory: Path) -> list[str]:
    try:
        return [entry.name for entry in directory.iterdir()]
    except OSError:
        return []


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
