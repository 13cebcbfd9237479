"""What a tree of files says, without a host."""

from __future__ import annotations

from dataclasses import replace

from sshd_keepalive.model import BLANK, GLOBAL, Context
from sshd_keepalive.sshd_config.reading import DecidingScope, Reading, read_files
from sshd_keepalive.sshd_config.resolve import KEYWORDS, Effective
from sshd_keepalive.sshd_config.tree import Tree


def read_tree(tree: Tree) -> Reading:
    return replace(read_files({}), tree=tree)


def resolve(tree: Tree, context: Context = BLANK) -> Effective:
    return read_tree(tree).resolve(context)


def scopes(tree: Tree) -> tuple[DecidingScope, ...]:
    return read_tree(tree).scopes


def list_keywords(tree: Tree, deciding: DecidingScope) -> tuple[str, ...]:
    """The settings that a scope decides, in reading order."""
    if deciding.scope == GLOBAL:
        return KEYWORDS
    lines = read_tree(tree).overrides
    return tuple(line.line.keyword for line in lines if line.block and line.block.place == deciding.scope.place)
