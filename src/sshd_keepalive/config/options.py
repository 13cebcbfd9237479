"""The configuration file: what the command line would otherwise have to say each time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sshd_keepalive.errors import ConfigError

if TYPE_CHECKING:
    from sshd_keepalive.config.document import Document, Pairs
    from sshd_keepalive.config.nodes import Node

PROGRAM: Final = "sshd-keepalive"
FILE: Final = f"{PROGRAM}.yaml"
VARIABLE: Final = "SSHD_KEEPALIVE_CONFIG"

#: Command → its options → whether an option may be given several times. Names as click has them, `dry_run`.
Options = Mapping[str, Mapping[str, bool]]


def discover(options: Options) -> dict[str, dict[str, Any]]:
    """Read the configuration file, if there is one, into what click takes as `default_map`.

    At the top an option holds for every command that has it; under a command's name, for that command.

    Raises:
        ConfigError: unknown keys or values without a meaning, each with its place.
    """
    path = find()
    return read(path, options) if path else {}


def find() -> Path | None:
    """Give the first that exists of $SSHD_KEEPALIVE_CONFIG, ./sshd-keepalive.yaml and the user's own.

    Raises:
        ConfigError: the variable names no file, or the one in the working directory belongs to somebody else.
    """
    if named := os.environ.get(VARIABLE):
        path = Path(named).expanduser()
        if not path.is_file():
            raise ConfigError(f"{VARIABLE}: {named}: there is no such file")
        return path
    here = Path(FILE)
    if here.is_file():
        _refuse_strangers(here)
        return here
    from platformdirs import user_config_path

    own = user_config_path(PROGRAM) / "config.yaml"
    try:
        return own if own.is_file() else None
    except PermissionError:  # the home directory of somebody else, as after `sudo -u`
        return None


def _refuse_strangers(path: Path) -> None:
    """A file that somebody else left in /tmp must not choose which key is shown to which host."""
    owner, writable = path.stat().st_uid, path.stat().st_mode & 0o002
    if owner not in (0, os.geteuid()) or writable:
        reason = "can be written by everybody" if writable else "belongs to somebody else"
        raise ConfigError(f"{path} in this directory {reason}", hint=f"name it in {VARIABLE} if you trust it")


def read(path: Path, options: Options) -> dict[str, dict[str, Any]]:
    """Read one configuration file; see `discover`."""
    from sshd_keepalive.config import document as documents  # PyYAML, 20 ms: only when there is a file

    document = documents.read(str(path))
    found: dict[str, dict[str, Any]] = {command: {} for command in options}
    if document.root is None or document.root.is_empty:
        return {}
    everywhere = {name: several for named in options.values() for name, several in named.items()}
    top = document.fields(document.root, _spellings((*options, *everywhere)))
    for command in [key for key, (_, node) in top.items() if key in options and node.kind == "mapping"]:
        pairs = document.fields(top.pop(command)[1], _spellings(options[command]))
        found[command] = _values(document, pairs, options[command])
    common = _values(document, top, everywhere)
    document.raise_mistakes()
    return {
        command: {name: value for name, value in common.items() if name in options[command]} | own
        for command, own in found.items()
    }


def places() -> dict[tuple[str, str], str]:
    """Give where the configuration file says something: (command, option) → `path:line`; command "": at the top."""
    path = find()
    if path is None:
        return {}
    from sshd_keepalive.config import document as documents

    document = documents.read(str(path))
    found: dict[tuple[str, str], str] = {}
    for key, (at, node) in (document.pairs(document.root) if document.root else {}).items():
        found["", key.replace("-", "_")] = f"{path}:{at.line}"
        if node.kind == "mapping":
            for option, (inner, _) in document.pairs(node).items():
                found[key, option.replace("-", "_")] = f"{path}:{inner.line}"
    return found


def peek(option: str, command: str) -> list[str]:
    """Give what the configuration file says about one option, whatever else stands there; empty: nothing."""
    path = find()
    if path is None:
        return []
    from sshd_keepalive.config import document as documents

    document = documents.read(str(path))
    top = document.pairs(document.root) if document.root else {}
    under = document.pairs(top[command][1]) if command in top else {}
    for pairs in (under, top):
        if option in pairs:
            node = pairs[option][1]
            nodes = node.value if node.kind == "list" else [node]
            return [one.value for one in nodes if one.kind == "text"]
    return []


def _spellings(names: Any) -> dict[str, None]:
    """`dry-run`, as people type it, and `dry_run`, as the environment spells it."""
    return dict.fromkeys(spelling for name in names for spelling in (name.replace("_", "-"), name))


def _values(document: Document, pairs: Pairs, options: Mapping[str, bool]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, (_, node) in pairs.items():
        name = key.replace("-", "_")
        if name not in options:
            document.mistake(node, f"{key} is a command, its options stand under it")
        elif node.kind == "list" and not options[name]:
            document.mistake(node, f"{key} takes one value")
        else:
            values = [_value(document, one) for one in (node.value if node.kind == "list" else [node])]
            found[name] = values if options[name] else values[0]
    return found


def _value(document: Document, node: Node) -> str | bool | None:
    """Text, which click converts as if it had been typed; true and false for what has no value."""
    if node.kind == "text" and node.plain and node.value in ("true", "false"):
        return bool(node.value == "true")
    return document.text(node)
