"""The configuration file: what the command line would otherwise have to say each time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.files import find_stranger
from sshd_keepalive.quoting import quote

if TYPE_CHECKING:
    from sshd_keepalive.config.document import Node, Pairs, YamlDocument

PROGRAM: Final = "sshd-keepalive"
FILE: Final = f"{PROGRAM}.yaml"
VARIABLE: Final = "SSHD_KEEPALIVE_CONFIG"

#: Command → its options, spelled as people type them → whether an option may be given several times.
Options = Mapping[str, Mapping[str, bool]]


#: Options that a file of the working directory may set: how many hosts at a time, how long, and what is shown. None of
#: them runs or writes anything, chooses hosts, accounts, keys or ways, or makes a change less careful.
HARMLESS: Final = frozenset(
    {
        *("forks", "timeout", "idle", "deep", "fast", "concurrency", "benchmark", "last"),
        *("format", "quiet", "verbose", "color", "no-progress"),
    }
)


@dataclass(frozen=True, slots=True)
class Source:
    """A configuration file, and whether somebody asked for it."""

    path: Path
    is_named: bool = True  # False: it was found in the working directory


def find(named: str | None = None) -> Source | None:
    """Give the first that exists of the file that was named, ./sshd-keepalive.yaml and the user's own.

    Args:
        named: by --config; None: by $SSHD_KEEPALIVE_CONFIG.
    Raises:
        ConfigError: there is no such file, or another account may have written it.
    """
    if named := named or os.environ.get(VARIABLE):
        path = Path(named).expanduser()
        if not path.is_file():
            raise ConfigError(f"configuration {named}: there is no such file")
        return _refuse_foreign(Source(path))
    if Path(FILE).is_file():
        return _refuse_foreign(Source(Path(FILE), is_named=False))
    from platformdirs import user_config_path

    own = user_config_path(PROGRAM) / "config.yaml"
    try:
        return _refuse_foreign(Source(own)) if own.is_file() else None
    except PermissionError:  # the home directory of somebody else, as after `sudo -u`
        return None


def _refuse_foreign(source: Source) -> Source:
    """Refuse what somebody else may have written: options choose keys, hosts and commands."""
    if stranger := find_stranger(source.path):
        hint = (
            f"look at what it says, then: chown $USER {quote(str(source.path))}; chmod go-w {quote(str(source.path))}"
        )
        raise ConfigError(f"configuration {source.path} is not read: {stranger}", hint=hint)
    return source


def read(source: Source, options: Options) -> dict[str, dict[str, Any]]:
    """Read what a configuration file says: command → option → value.

    At the top an option holds for every command that has it; under a command's name, for that command.

    Raises:
        ConfigError: unknown keys, values without a meaning, options that this file may not set; each with its place.
    """
    from sshd_keepalive.config import document as documents  # PyYAML, 20 ms: only when there is a file

    document = documents.read(str(source.path))
    found: dict[str, dict[str, Any]] = {command: {} for command in options}
    if document.root is None or document.root.is_empty:
        return {}
    everywhere = {name: several for named in options.values() for name, several in named.items()}
    top = document.read_fields(document.root, dict.fromkeys((*options, *everywhere)))
    for command in [key for key, (_, node) in top.items() if key in options and node.kind == "mapping"]:
        pairs = document.read_fields(top.pop(command)[1], options[command])
        found[command] = _read_values(document, pairs, options[command])
    common = _read_values(document, top, everywhere)
    document.raise_mistakes()
    if not source.is_named:
        _refuse_harmful(document, options)
    return {
        command: {name: value for name, value in common.items() if name in options[command]} | own
        for command, own in found.items()
    }


def _refuse_harmful(document: YamlDocument, options: Options) -> None:
    path = document.path
    for (command, option), line in _find_lines(document).items():
        if option not in HARMLESS and (command or option not in options):
            raise ConfigError(
                f"{path}:{line}: {option} is not taken from a file that merely lies in the working directory",
                hint=f"if you trust it, name it: sshd-keepalive --config {path} …  or export {VARIABLE}={path}",
            )


def _find_lines(document: YamlDocument) -> dict[tuple[str, str], int]:
    """Give where something is said: (command, option) → line; command "": at the top."""
    found: dict[tuple[str, str], int] = {}
    for key, (at, node) in (document.read_pairs(document.root) if document.root else {}).items():
        found["", key] = at.line
        if node.kind == "mapping":
            for option, (inner, _) in document.read_pairs(node).items():
                found[key, option] = inner.line
    return found


def find_places(named: str | None = None) -> dict[tuple[str, str], str]:
    """Give where the configuration file says something: (command, option) → `path:line`; command "": at the top."""
    source = find(named)
    if source is None:
        return {}
    from sshd_keepalive.config import document as documents

    return {key: f"{source.path}:{line}" for key, line in _find_lines(documents.read(str(source.path))).items()}


def peek(option: str, command: str, named: str | None = None) -> list[str]:
    """Give what the configuration file says about one option, whatever else stands there; empty: nothing."""
    source = find(named)
    if source is None or not (source.is_named or option in HARMLESS):
        return []
    from sshd_keepalive.config import document as documents

    document = documents.read(str(source.path))
    top = document.read_pairs(document.root) if document.root else {}
    under = document.read_pairs(top[command][1]) if command in top else {}
    for pairs in (under, top):
        if option in pairs:
            node = pairs[option][1]
            nodes = node.value if node.kind == "list" else [node]
            return [one.value for one in nodes if one.kind == "text"]
    return []


def _read_values(document: YamlDocument, pairs: Pairs, options: Mapping[str, bool]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (_, node) in pairs.items():
        if name not in options:
            document.add_mistake(node, f"{name} is a command, its options stand under it")
        elif node.kind == "list" and not options[name]:
            document.add_mistake(node, f"{name} takes one value")
        else:
            values = [_read_value(document, one) for one in (node.value if node.kind == "list" else [node])]
            found[name] = values if options[name] else values[0]
    return found


def _read_value(document: YamlDocument, node: Node) -> str | bool | None:
    """Text, which click converts as if it had been typed; true and false for what has no value."""
    if node.kind == "text" and node.plain and node.value in ("true", "false"):
        return bool(node.value == "true")
    return document.read_text(node)
