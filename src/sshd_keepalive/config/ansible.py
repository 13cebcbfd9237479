"""Ansible's inventory in our words: groups, variables and their precedence, and what the variables mean for ssh.

Sources: Ansible's guides "How to build your inventory" and "Using variables: where to set variables", the
documentation of `ansible.builtin.ssh`, and "Developing dynamic inventory"; compared with ansible-inventory in
tests/unit/test_ansible.py. Values are text here: only single values have a meaning for ssh.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sshd_keepalive.config.ansible_ssh import Meaning
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts.assemble import HostEntry, assemble
from sshd_keepalive.hosts.inherit import Given, Group
from sshd_keepalive.model import Host
from sshd_keepalive.spelling import first_lines, first_of, shown

LOG: Final = logging.getLogger(__name__)
ALL: Final = "all"
UNGROUPED: Final = "ungrouped"
MOST_TOLD: Final = 30

Variables = dict[str, str]


@dataclass(slots=True)
class Members:
    """One group as it was written."""

    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, None] = field(default_factory=dict)
    variables: Variables = field(default_factory=dict)
    files: Variables = field(default_factory=dict)  # from group_vars: they beat the variables of every group


@dataclass(slots=True)
class Written:
    """One inventory as it was written."""

    source: str
    groups: dict[str, Members] = field(default_factory=dict)
    hosts: dict[str, Variables] = field(default_factory=dict)
    mistakes: dict[str, None] = field(default_factory=dict)

    def group(self, name: str) -> Members:
        """The group of a name, made when it is new."""
        return self.groups.setdefault(name, Members())

    def mistake(self, text: str) -> None:
        """Note what is wrong."""
        self.mistakes[f"{self.source}: {text}"] = None

    def raise_mistakes(self) -> None:
        """Raise all mistakes as one ConfigError; do nothing when there are none."""
        if self.mistakes:
            rest = f"{self.source}: {{n}} more mistakes"
            raise ConfigError("\n".join(first_lines(list(self.mistakes), MOST_TOLD, rest)))


class _At(NamedTuple):
    """Where a mistake is: the host."""

    name: str
    line: int = 0


# ---------------------------------------------------------------------------------------------- dynamic JSON


def from_json(text: bytes, source: str) -> Written:
    """Read what `--list` prints: groups, and `_meta.hostvars`.

    Raises:
        ConfigError: it is not that.
    """
    data = _object(text, source)
    written = Written(source)
    meta = data.pop("_meta", {})
    hostvars = meta.get("hostvars", {}) if isinstance(meta, dict) else None
    if not isinstance(hostvars, dict):
        raise ConfigError(f"{source}: _meta.hostvars is not an object")
    for name, group in data.items():
        members = written.group(name)
        group = {"hosts": group} if isinstance(group, list) else group  # the short form
        if not isinstance(group, dict):
            written.mistake(f"group {shown(name)} is not an object")
            continue
        members.hosts.update(dict.fromkeys(_names(group, "hosts", name, written)))
        members.children.update(dict.fromkeys(_names(group, "children", name, written)))
        members.variables.update(_single(group.get("vars"), f"the vars of group {shown(name)}", written))
        for host in members.hosts:
            written.hosts.setdefault(host, {})
    for host in written.hosts:
        written.hosts[host] = _single(hostvars.get(host), f"the variables of {shown(host)}", written)
    return written


def variables_from_json(text: bytes, source: str) -> Variables:
    """Read what `--host NAME` prints.

    Raises:
        ConfigError: it is no object.
    """
    return {key: single for key, value in _object(text, source).items() if (single := as_text(value)) is not None}


def _object(text: bytes, source: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        begin = next((line for line in text.decode("utf-8", "replace").splitlines() if line.strip()), "")
        said = f"it begins with {shown(begin)}" if begin else "it is empty"
        at = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise ConfigError(f"{source}: what was printed is not JSON{at}: {said}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: a JSON object is expected, not a {type(data).__name__}")
    return data


def _names(group: Mapping[str, Any], key: str, name: str, written: Written) -> list[str]:
    given = group.get(key) or []
    if isinstance(given, (list, dict)) and all(isinstance(one, str) for one in given):
        return list(given)
    written.mistake(f"{key} of group {shown(name)} is not a list of names")
    return []


def _single(given: Any, what: str, written: Written) -> Variables:
    if given is None:
        return {}
    if not isinstance(given, dict):
        written.mistake(f"{what} are not an object")
        return {}
    return {key: text for key, value in given.items() if (text := as_text(value)) is not None}


def as_text(value: Any) -> str | None:
    """A single value as text; None for nothing, for lists and for objects, a vault's above all."""
    return str(value) if isinstance(value, (str, int, float)) else None


# ------------------------------------------------------------------------------------------------ precedence


def hosts_of(written: Written) -> tuple[Host, ...]:
    """Make the hosts: every variable where Ansible would take it from, in our words.

    What is nearer wins: `all`, then groups by their depth below it, by `ansible_group_priority` and by name, the last
    one wins; then the same of group_vars; then the host's own.

    Raises:
        ConfigError: all mistakes: group loops, values that cannot be, no hosts at all.
    """
    lines = _GroupOrder(written)
    written.raise_mistakes()
    entries: dict[str, HostEntry] = {}
    obstacles: dict[str, str] = {}
    groups = {name: Group(name=name, settings={}) for name in written.groups}
    secrets: dict[str, list[str]] = {}
    for name, own in written.hosts.items():
        above = lines.of(name)
        meaning = Meaning(name, {**lines.variables(above), **own, **_magic(name)}, written.mistake)
        settings = {key: Given(value, _At(name)) for key, value in meaning.settings().items()}
        for variable in meaning.secrets:
            secrets.setdefault(variable, []).append(name)
        mentions = tuple(groups[group] for group in lines.outer_first(above) if group not in (ALL, UNGROUPED))
        entries[name] = HostEntry(at=_At(name), settings=settings, mentions=mentions or (None,))
        if meaning.obstacle:
            obstacles[name] = meaning.obstacle
    for variable, names in secrets.items():
        LOG.warning("%s: %s of %s is no reference and was not taken", written.source, variable, first_of(names, 3))
    if not entries and not written.mistakes:
        written.mistake("there are no hosts")
    written.raise_mistakes()
    for name, obstacle in obstacles.items():
        entries[name].settings["obstacle"] = Given(obstacle, entries[name].at)
    hosts = assemble(entries, {}, lambda at, text: written.mistake(f"host {at.name!r}: {text}"))
    written.raise_mistakes()
    return hosts


def _magic(name: str) -> Variables:
    return {"inventory_hostname": name, "inventory_hostname_short": name.partition(".")[0]}


class _GroupOrder:
    """Which groups are above each host, in the order in which their variables count."""

    def __init__(self, written: Written) -> None:
        self._groups = written.groups
        for name in (ALL, UNGROUPED, *[child for group in written.groups.values() for child in group.children]):
            written.group(name)
        self._parents: dict[str, list[str]] = {name: [] for name in self._groups}
        self._members: dict[str, list[str]] = {}
        for name, group in self._groups.items():
            for child in group.children:
                self._parents[child].append(name)
            for host in group.hosts:
                written.hosts.setdefault(host, {})
                self._members.setdefault(host, []).append(name)
        for name, parents in self._parents.items():
            if not parents and name != ALL:
                parents.append(ALL)
        self._depths: dict[str, int] = {}
        self._known: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._given: dict[tuple[str, ...], Variables] = {}
        self._measure(written)

    def _measure(self, written: Written) -> None:
        """The longest way down from `all` to each group; a group above itself is a mistake."""
        for start in self._groups:
            stack = [(start, iter(self._parents[start]))]
            line = {start: None}
            while stack:
                name, parents = stack[-1]
                parent = next((one for one in parents if one not in self._depths), None)
                if parent is None:
                    self._depths[name] = 1 + max((self._depths[one] for one in self._parents[name]), default=-1)
                    stack.pop()
                    line.pop(name, None)
                elif parent in line:
                    names = list(line)
                    loop = [*names[names.index(parent) :], parent]
                    written.mistake(f"group loop: {' → '.join(reversed(loop))}")
                    return
                else:
                    stack.append((parent, iter(self._parents[parent])))
                    line[parent] = None

    def of(self, host: str) -> tuple[str, ...]:
        """The groups above a host, the weakest first."""
        direct = tuple(self._members.get(host, ()))
        if direct not in self._known:
            found, queue = {ALL: None}, list(direct if set(direct) - {ALL} else (*direct, UNGROUPED))
            while queue:
                name = queue.pop()
                if name not in found:
                    found[name] = None
                    queue += self._parents[name]
            self._known[direct] = tuple(sorted(found, key=self._weight))
        return self._known[direct]

    def _weight(self, name: str) -> tuple[int, int, str]:
        given = self._groups[name].files.get("ansible_group_priority") or self._groups[name].variables.get(
            "ansible_group_priority", "1"
        )
        return self._depths[name], int(given) if given.lstrip("-").isdigit() else 1, name

    def outer_first(self, above: tuple[str, ...]) -> list[str]:
        """The same groups for a reader: by depth and name, whatever their priority."""
        return sorted(above, key=lambda name: (self._depths[name], name))

    def variables(self, above: tuple[str, ...]) -> Variables:
        """What the groups give to the hosts below them."""
        if above not in self._given:
            merged: Variables = {}
            for name in above:
                merged |= self._groups[name].variables
            for name in above:
                merged |= self._groups[name].files
            self._given[above] = merged
        return self._given[above]
