"""One file of our own that is read before every other place a setting is in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sshd_keepalive.model import SPELLING, Document, Policy
from sshd_keepalive.planning.owners import is_foreign
from sshd_keepalive.sshd_config import include
from sshd_keepalive.sshd_config.tree import Tree

#: In the order of preference; each sorts before the one above it.
NAMES: Final = ("00-sshd-keepalive.conf", "0-sshd-keepalive.conf", "+00-sshd-keepalive.conf")
_HEADER: Final = "# Written by sshd-keepalive. The first value of a setting wins, so this file must sort first.\n"


def content(policy: Policy, *, shield: bool) -> bytes:
    """Both settings; with `shield` also for every connection that a later Match block would decide for.

    A `Match all` read first beats all later blocks, and it ends with the file.
    """
    settings = [f"{SPELLING[keyword]} {number}\n" for keyword, number in policy.wanted().items()]
    text = _HEADER + "".join(settings)
    if shield:
        text += "Match all\n" + "".join(f"\t{line}" for line in settings)
    return text.encode()


def is_ours(document: Document) -> bool:
    """Whether an earlier run wrote the file."""
    return bool(document.lines) and document.lines[0].raw == _HEADER.encode()


def paths(tree: Tree) -> Iterator[str]:
    """Where such a file could stand: each directory that a global Include of the tree reads, by reading order.

    Whether it wins there is for the caller to prove.
    """
    directories: dict[str, None] = {}
    for event in tree.events():
        if event.line.keyword != "include" or event.block is not None:
            continue
        for pattern in include.patterns(event.line, tree.config_dir, tree.version):
            directory, _, name = pattern.rpartition("/")
            if not directory or not include.is_literal(directory) or is_foreign(directory + "/"):
                continue
            if include.covers(name, NAMES[0]) and directory not in directories:
                directories[directory] = None
                yield from (f"{directory}/{own}" for own in NAMES)
