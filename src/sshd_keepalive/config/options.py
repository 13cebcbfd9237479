"""The configuration file: defaults for the options of the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.files import explain_missing, find_stranger
from sshd_keepalive.quoting import quote

if TYPE_CHECKING:
    from sshd_keepalive.config.document import Node, Pairs, YamlDocument

PROGRAM: Final = "sshd-keepalive"
FILE: Final = f"{PROGRAM}.yaml"
VARIABLE: Final = "SSHD_KEEPALIVE_CONFIG"

#: Command → its options, spelled as people type them → whether an option may be given several times.
KnownOptions = Mapping[str, Mapping[str, bool]]


#: Options that a file of the working directory may set: number of hosts at a time, times, and output. None of
#: them runs or writes anything, chooses hosts, accounts, keys or jump hosts, or makes a change less safe.
HARMLESS: Final = frozenset(
    {
        *("forks", "timeout", "idle", "deep", "fast", "concurrency", "benchmark", "last"),
        *("format", "quiet", "verbose", "color", "no-progress"),
    }
)


@dataclass(frozen=True, slots=True)
class Source:
    """A configuration file, and whether it was named by the user."""

    path: Path
    is_named: bool = True  # False: it was found in the working directory


def find(name: str | None = None) -> Source | None:
    """Find the configuration file: the named one, else ./sshd-keepalive.yaml, else the user's own.

    Args:
        name: of --config; None: of $SSHD_KEEPALIVE_CONFIG.
    Raises:
        ConfigError: the file does not exist, or another account may have written it.
    """
    if name := name or os.environ.get(VARIABLE):
        path = Path(name).expanduser()
        if not path.is_file():
            raise ConfigError(f"configuration {name}: {explain_missing(path)}")
        return _refuse_foreign(Source(path))
    if Path(FILE).is_file():
        return _refuse_foreign(Source(Path(FILE), is_named=False))
    from platformdirs import user_config_path

    own = user_config_path(PROGRAM) / "config.yaml"
    try:
        return _refuse_foreign(Source(own)) if own.is_file() else None
    except PermissionError:  # the home directory of another account, as after `sudo -u`
        return None


def _refuse_foreign(source: Source) -> Source:
    """Refuse a file that another account may have written: options choose keys, hosts and commands."""
    if stranger := find_stranger(source.path):
        hint = f"read the file, then: chown $USER {quote(str(source.path))}; chmod go-w {quote(str(source.path))}"
        raise ConfigError(f"configuration {source.path} is not read: {stranger}", hint=hint)
    return source


def read(source: Source, options: KnownOptions) -> dict[str, dict[str, Any]]:
    """Read what a configuration file says: command → option → value.

    An option at the top level applies to every command that has it; below a command's name, to that command.

    Raises:
        ConfigError: unknown keys, invalid values, options that this file may not set; each with its place.
    """
    from sshd_keepalive.config import document as documents  # PyYAML, 20 ms: only when there is a file

    document = documents.read(str(source.path))
    values: dict[str, dict[str, Any]] = {command: {} for command in options}
    if document.root is None or document.root.is_empty:
        return {}
    everywhere = {name: several for those in options.values() for name, several in those.items()}
    top = document.read_fields(document.root, dict.fromkeys((*options, *everywhere)))
    for command in [key for key, (_, node) in top.items() if key in options and node.kind == "mapping"]:
        pairs = document.read_fields(top.pop(command)[1], options[command])
        values[command] = _read_values(document, pairs, options[command])
    common = _read_values(document, top, everywhere)
    document.raise_mistakes()
    if not source.is_named:
        _refuse_harmful(document, options)
    return {
        command: {name: value for name, value in common.items() if name in options[command]} | own
        for command, own in values.items()
    }


def _refuse_harmful(document: YamlDocument, options: KnownOptions) -> None:
    path = document.path
    for (command, option), line in _find_lines(document).items():
        if option not in HARMLESS and (command or option not in options):
            raise ConfigError(
                f"{path}:{line}: {option} is not allowed in a file of the working directory",
                hint=f"if you trust the file, name it: --config {quote(str(path))}",
            )


def _find_lines(document: YamlDocument) -> dict[tuple[str, str], int]:
    """Find the line of each setting: (command, option) → line; command "": top level."""
    lines: dict[tuple[str, str], int] = {}
    for key, (at, node) in (document.read_pairs(document.root) if document.root else {}).items():
        lines["", key] = at.line
        if node.kind == "mapping":
            for option, (inner, _) in document.read_pairs(node).items():
                lines[key, option] = inner.line
    return lines


def find_places(source: Source) -> dict[tuple[str, str], str]:
    """Find the place of each setting of a configuration file: (command, option) → `path:line`; "": top level."""
    from sshd_keepalive.config import document as documents

    return {key: f"{source.path}:{line}" for key, line in _find_lines(documents.read(str(source.path))).items()}


def peek_inventory(command: str, name: str | None = None) -> list[str]:
    """Give the values of --inventory, even if the rest of the file is wrong; empty: it is not set."""
    source = find(name)
    if source is None or not source.is_named:
        return []
    from sshd_keepalive.config import document as documents

    document = documents.read(str(source.path))
    top = document.read_pairs(document.root) if document.root else {}
    under = document.read_pairs(top[command][1]) if command in top else {}
    pair = under.get("inventory") or top.get("inventory")
    if pair is None:
        return []
    nodes = pair[1].value if pair[1].kind == "list" else [pair[1]]
    return [one.value for one in nodes if one.kind == "text"]


def _read_values(document: YamlDocument, pairs: Pairs, options: Mapping[str, bool]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, (_, node) in pairs.items():
        if name not in options:
            document.add_mistake(node, f"{name} is a command: write its options below it")
        elif node.kind == "list" and not options[name]:
            document.add_mistake(node, f"{name} takes one value")
        else:
            values = [_read_value(document, one) for one in (node.value if node.kind == "list" else [node])]
            result[name] = values if options[name] else values[0]
    return result


def _read_value(document: YamlDocument, node: Node) -> str | bool | None:
    """Give a text, which click converts like an argument; true and false for flags."""
    if node.kind == "text" and node.plain and node.value in ("true", "false"):
        return bool(node.value == "true")
    return document.read_text(node)
