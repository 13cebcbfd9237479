"""Ansible's plain inventory files, for machines without Ansible: INI and YAML, with group_vars and host_vars.

Sources: Ansible's documentation of the inventory plugins `ini`, `yaml` and of the vars plugin `host_group_vars`;
compared with ansible-inventory in tests/unit/test_ansible.py.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sshd_keepalive.config import document as documents
from sshd_keepalive.config.ansible import ALL, UNGROUPED, AnsibleInventory, Variables, to_text
from sshd_keepalive.config.document import Node, YamlDocument
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts import ranges
from sshd_keepalive.spelling import show

_SECTION: Final = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?")
_NAME: Final = re.compile(r"([^\s\[\]:]+)\s*(?:#.*)?")
_WITH_PORT: Final = re.compile(r"(\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]|(?:[^:\[\]]|\[[^\]]*\])+):([0-9]+)")
_BRACKETS: Final = re.compile(r"\[([0-9A-Fa-f.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)\]")
_SUFFIXES: Final = ("", ".yml", ".yaml", ".json")
_DEPTH_MAX: Final = 64


def read(path: Path) -> AnsibleInventory:
    """Read one file, whose content decides its format, with group_vars and host_vars in its folder.

    Raises:
        ConfigError: the file cannot be read, or needs a plugin of Ansible.
    """
    inventory = AnsibleInventory(str(path))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    first = next((line for line in map(str.strip, text.splitlines()) if line and line[0] not in "#;"), "")
    if first.startswith("$ANSIBLE_VAULT"):
        raise ConfigError(f"{path}: encrypted with ansible-vault", hint="install ansible-core, which can open it")
    if first == "---" or re.match(r"[^\s\[=]+:(\s|$)|\{", first):
        _Yaml(inventory, path).read()
    else:
        _Ini(inventory, text).read()
    inventory.raise_mistakes()
    _read_vars_files(inventory, path.absolute().parent)
    return inventory


def _add_hosts(inventory: AnsibleInventory, pattern: str, group: str, variables: Variables) -> None:
    """Add the hosts of one pattern, `web[01:20].example.com:2222`, to a group."""
    text, number = pattern, ""
    if match := _WITH_PORT.fullmatch(pattern):
        text, number = match[1], match[2]
    if match := _BRACKETS.fullmatch(text):
        text = match[1]
    own = {**({"ansible_port": number} if number else {}), **variables}
    for name in ranges.expand(text):
        inventory.get_group(group).hosts[name] = None
        inventory.hosts.setdefault(name, {}).update(own)


class _Ini:
    """`[group]`, `[group:vars]` and `[group:children]`; hosts before the first section have no group."""

    def __init__(self, inventory: AnsibleInventory, text: str) -> None:
        self._inventory = inventory
        self._lines = text.splitlines()

    def read(self) -> None:
        """Read all lines; each mistake names its line."""
        group, kind = UNGROUPED, "hosts"
        variables: dict[str, tuple[int, Variables]] = {}  # a section may stand before that of its group
        for number, raw in enumerate(self._lines, 1):
            line = raw.strip()
            if not line or line[0] in "#;":
                continue
            try:
                if line.startswith("["):
                    section = _SECTION.fullmatch(line)
                    if section and section[2] not in (None, "hosts", "vars", "children"):
                        raise ValueError(f"a section is [group], [group:vars] or [group:children], not {show(line)}")
                    if section:
                        group, kind = section[1], section[2] or "hosts"
                        if kind == "vars":
                            variables.setdefault(group, (number, {}))
                        else:
                            self._inventory.get_group(group)
                        continue
                if kind == "vars":
                    key, equals, value = line.partition("=")
                    if not equals:
                        raise ValueError("name=value is expected here")
                    variables[group][1][key.strip()] = _parse_literal(value.strip())
                else:
                    self._read_member(line, group, kind)
            except ValueError as error:
                self._inventory.add_mistake(f"{number}: {error}")
        groups = {*self._inventory.groups, ALL, UNGROUPED}
        groups |= {child for members in self._inventory.groups.values() for child in members.children}
        for name, (number, own) in variables.items():
            if name in groups:
                self._inventory.get_group(name).variables.update(own)
            else:
                self._inventory.add_mistake(f"{number}: [{name}:vars], but group {name!r} does not exist")

    def _read_member(self, line: str, group: str, kind: str) -> None:
        if kind == "children":
            match = _NAME.fullmatch(line)
            if not match:
                raise ValueError(f"the name of a group is expected here, not {show(line)}")
            self._inventory.get_group(group).children[match[1]] = None
        else:
            words = shlex.split(line, comments=True)
            pairs = [word.partition("=") for word in words[1:]]
            wrong = next((key for key, equals, _ in pairs if not equals), None)
            if wrong is not None:
                raise ValueError(f"name=value is expected behind the host, not {show(wrong)}")
            _add_hosts(self._inventory, words[0], group, {key: _parse_literal(value) for key, _, value in pairs})


def _parse_literal(text: str) -> str:
    """Parse a value as Python reads it, else as it is written, without quotes and a comment behind a literal."""
    try:
        return to_text(ast.literal_eval(text)) or ""
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


class _Yaml:
    """Groups with `hosts`, `vars` and `children`; at the top `all`, or any groups."""

    def __init__(self, inventory: AnsibleInventory, path: Path) -> None:
        self._inventory = inventory
        self._document = documents.read(str(path))
        self._seen: set[tuple[int, str]] = set()

    def read(self) -> None:
        """Read the whole file."""
        root = self._document.root
        if root is None or root.is_empty:
            return
        for name, (key, node) in self._document.read_pairs(root).items():
            if name == "plugin":
                raise ConfigError(
                    f"{self._document.path}:{key.line}: an inventory plugin of Ansible",
                    hint="install ansible-core and the plugin; this program then asks ansible-inventory",
                )
            self._read_group(name, node, 0)
        self._document.raise_mistakes()

    def _read_group(self, name: str, node: Node, depth: int) -> None:
        members = self._inventory.get_group(name)
        if depth > _DEPTH_MAX or (id(node), name) in self._seen:
            return  # an alias inside itself; Ansible's own reader fails on it
        self._seen.add((id(node), name))
        if node.is_empty:
            return
        pairs = self._document.read_fields(node, ("hosts", "vars", "children"))
        if "vars" in pairs:
            members.variables.update(_read_variables(pairs["vars"][1], self._document))
        if "hosts" in pairs:
            self._read_hosts(name, pairs["hosts"][1])
        if "children" in pairs:
            for child, (_, inner) in self._document.read_pairs(pairs["children"][1]).items():
                members.children[child] = None
                self._read_group(child, inner, depth + 1)

    def _read_hosts(self, group: str, node: Node) -> None:
        if node.kind == "text" and not node.is_empty:  # `hosts: web1`
            self._add(group, node.value, node, {})
            return
        for pattern, (key, variables) in self._document.read_pairs(node).items():
            self._add(group, pattern, key, _read_variables(variables, self._document))

    def _add(self, group: str, pattern: str, at: Node, variables: Variables) -> None:
        try:
            _add_hosts(self._inventory, pattern, group, variables)
        except ValueError as error:
            self._document.add_mistake(at, str(error))


def _read_variables(node: Node, document: YamlDocument) -> Variables:
    """Read the single values of a mapping; `!vault` values, lists and mappings are ignored."""
    variables: Variables = {}
    for key, (_, value) in document.read_pairs(node).items():
        if value.kind == "text" and not value.is_empty and "vault" not in (value.tag or ""):
            variables[key] = value.value
    return variables


def _read_vars_files(inventory: AnsibleInventory, folder: Path) -> None:
    """Read `group_vars/NAME`, `group_vars/NAME.yml`, all files below `group_vars/NAME/`; the same with host_vars."""
    if (folder / "group_vars").is_dir():
        for name in {ALL: None, UNGROUPED: None, **dict.fromkeys(inventory.groups)}:
            for file in _find_files(folder / "group_vars", name):
                inventory.get_group(name).files.update(_read_vars_file(file))
    if (folder / "host_vars").is_dir():
        for name, own in inventory.hosts.items():
            for file in _find_files(folder / "host_vars", name):
                own.update(_read_vars_file(file))


def _find_files(folder: Path, name: str) -> Iterator[Path]:
    if "/" in name:
        return
    for suffix in _SUFFIXES:
        path = folder / f"{name}{suffix}"
        if path.is_file():
            yield path
        elif path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file() and one.suffix in _SUFFIXES)


def _read_vars_file(path: Path) -> Variables:
    if path.read_bytes()[:14] == b"$ANSIBLE_VAULT":
        return {}  # secrets, which are never read from here
    document = documents.read(str(path))
    variables = {} if document.root is None or document.root.is_empty else _read_variables(document.root, document)
    document.raise_mistakes()
    return variables
