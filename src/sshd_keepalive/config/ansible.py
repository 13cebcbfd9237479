"""Ansible's inventory: groups, variables, their precedence, and their meaning for ssh.

Sources: Ansible's guides "How to build your inventory" and "Using variables: where to set variables", the
documentation of `ansible.builtin.ssh`, and "Developing dynamic inventory"; compared with ansible-inventory in
tests/unit/test_ansible.py. All values are text: only single values have a meaning for ssh.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final, NamedTuple

from sshd_keepalive.config.ansible_ssh import SshVariables
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts.assemble import Group, HostEntry, Settings, SourcedValue, assemble
from sshd_keepalive.model import Host
from sshd_keepalive.spelling import join_first, join_mistakes, show

LOG: Final = logging.getLogger(__name__)
ALL: Final = "all"
UNGROUPED: Final = "ungrouped"

Variables = dict[str, str]


@dataclass(slots=True)
class AnsibleGroup:
    """One group as it is written."""

    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, None] = field(default_factory=dict)
    variables: Variables = field(default_factory=dict)
    files: Variables = field(default_factory=dict)  # from group_vars: they override the variables of every group


@dataclass(slots=True)
class AnsibleInventory:
    """One inventory as it is written."""

    source: str
    groups: dict[str, AnsibleGroup] = field(default_factory=dict)
    hosts: dict[str, Variables] = field(default_factory=dict)
    mistakes: dict[str, None] = field(default_factory=dict)

    def get_group(self, name: str) -> AnsibleGroup:
        """Give the group of a name; create it when it is new."""
        return self.groups.setdefault(name, AnsibleGroup())

    def add_mistake(self, text: str) -> None:
        """Record what is wrong."""
        self.mistakes[f"{self.source}: {text}"] = None

    def raise_mistakes(self) -> None:
        """Raise all mistakes as one ConfigError; do nothing when there are none."""
        if self.mistakes:
            raise ConfigError(join_mistakes(self.mistakes, self.source))


class _At(NamedTuple):
    """The place of a mistake: a host."""

    name: str
    line: int = 0


# ---------------------------------------------------------------------------------------------- dynamic JSON


def read_json(text: bytes, source: str) -> AnsibleInventory:
    """Read the output of `--list`: groups, and `_meta.hostvars`.

    Raises:
        ConfigError: the text is something else.
    """
    data = _parse_object(text, source)
    inventory = AnsibleInventory(source)
    meta = data.pop("_meta", {})
    hostvars = meta.get("hostvars", {}) if isinstance(meta, dict) else None
    if not isinstance(hostvars, dict):
        raise ConfigError(f"{source}: _meta.hostvars is not an object")
    for name, group in data.items():
        members = inventory.get_group(name)
        group = {"hosts": group} if isinstance(group, list) else group  # the short form
        if not isinstance(group, dict):
            inventory.add_mistake(f"group {show(name)} is not an object")
            continue
        members.hosts.update(dict.fromkeys(_read_names(group, "hosts", name, inventory)))
        members.children.update(dict.fromkeys(_read_names(group, "children", name, inventory)))
        members.variables.update(_read_single_values(group.get("vars"), f"the vars of group {show(name)}", inventory))
        for host in members.hosts:
            inventory.hosts.setdefault(host, {})
    for host in inventory.hosts:
        inventory.hosts[host] = _read_single_values(hostvars.get(host), f"the variables of {show(host)}", inventory)
    return inventory


def read_variables(text: bytes, source: str) -> Variables:
    """Read the output of `--host NAME`.

    Raises:
        ConfigError: the text is not an object.
    """
    return {key: single for key, value in _parse_object(text, source).items() if (single := to_text(value)) is not None}


def _parse_object(text: bytes, source: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        begin = next((line for line in text.decode("utf-8", "replace").splitlines() if line.strip()), "")
        content = f"it begins with {show(begin)}" if begin else "it is empty"
        at = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise ConfigError(f"{source}: the output is not JSON{at}: {content}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: a JSON object is expected, not a {type(data).__name__}")
    return data


def _read_names(group: Mapping[str, Any], key: str, name: str, inventory: AnsibleInventory) -> list[str]:
    names = group.get(key) or []
    if isinstance(names, (list, dict)) and all(isinstance(one, str) for one in names):
        return list(names)
    inventory.add_mistake(f"{key} of group {show(name)} is not a list of names")
    return []


def _read_single_values(data: Any, what: str, inventory: AnsibleInventory) -> Variables:
    if data is None:
        return {}
    if not isinstance(data, dict):
        inventory.add_mistake(f"{what} are not an object")
        return {}
    return {key: text for key, value in data.items() if (text := to_text(value)) is not None}


def to_text(value: Any) -> str | None:
    """Give a single value as text; None for null, lists and objects, such as those of a vault."""
    return str(value) if isinstance(value, (str, int, float)) else None


# ------------------------------------------------------------------------------------------------ precedence


def build_hosts(inventory: AnsibleInventory) -> tuple[Host, ...]:
    """Build the hosts, with the precedence that Ansible gives to variables.

    A later value wins. The order is: `all`; groups by their depth below it, by `ansible_group_priority` and by name;
    the same order of group_vars; then the host's own.

    Raises:
        ConfigError: all mistakes: group loops, invalid values, no hosts.
    """
    order = _GroupOrder(inventory)
    inventory.raise_mistakes()
    entries: dict[str, HostEntry] = {}
    obstacles: dict[str, str] = {}
    groups = {name: Group(name=name, settings={}) for name in inventory.groups}
    secrets: dict[str, list[str]] = {}
    for name, own in inventory.hosts.items():
        above = order.list_groups(name)
        variables = SshVariables(
            name, {**order.merge_variables(above), **own, **_build_magic(name)}, inventory.add_mistake
        )
        settings: Settings = {key: SourcedValue(value, _At(name)) for key, value in variables.read_settings().items()}
        for variable in variables.secrets:
            secrets.setdefault(variable, []).append(name)
        mentions = tuple(groups[group] for group in order.sort_outer_first(above) if group not in (ALL, UNGROUPED))
        entries[name] = HostEntry(at=_At(name), settings=settings, mentions=mentions or (None,))
        if variables.obstacle:
            obstacles[name] = variables.obstacle
    for variable, names in secrets.items():
        LOG.warning("%s: %s of %s is not a reference and was ignored", inventory.source, variable, join_first(names, 3))
    if not entries and not inventory.mistakes:
        inventory.add_mistake("the inventory contains no host")
    inventory.raise_mistakes()
    for name, obstacle in obstacles.items():
        entries[name].settings["obstacle"] = SourcedValue(obstacle, entries[name].at)
    hosts = assemble(entries, {}, lambda at, text: inventory.add_mistake(f"host {at.name!r}: {text}"))
    inventory.raise_mistakes()
    return hosts


def _build_magic(name: str) -> Variables:
    return {"inventory_hostname": name, "inventory_hostname_short": name.partition(".")[0]}


class _GroupOrder:
    """The groups of each host, in the order of precedence."""

    def __init__(self, inventory: AnsibleInventory) -> None:
        self._groups = inventory.groups
        for name in (ALL, UNGROUPED, *[child for group in inventory.groups.values() for child in group.children]):
            inventory.get_group(name)
        self._parents: dict[str, list[str]] = {name: [] for name in self._groups}
        self._members: dict[str, list[str]] = {}
        for name, group in self._groups.items():
            for child in group.children:
                self._parents[child].append(name)
            for host in group.hosts:
                inventory.hosts.setdefault(host, {})
                self._members.setdefault(host, []).append(name)
        for name, parents in self._parents.items():
            if not parents and name != ALL:
                parents.append(ALL)
        self._depths: dict[str, int] = {}
        self._groups_above: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._merged: dict[tuple[str, ...], Variables] = {}
        self._measure(inventory)

    def _measure(self, inventory: AnsibleInventory) -> None:
        """Measure the longest way from `all` down to each group; a group above itself is a mistake."""
        try:
            for name in TopologicalSorter(self._parents).static_order():
                self._depths[name] = 1 + max((self._depths[one] for one in self._parents[name]), default=-1)
        except CycleError as error:
            inventory.add_mistake(f"group loop: {' → '.join(error.args[1])}")

    def list_groups(self, host: str) -> tuple[str, ...]:
        """List the groups above a host, the weakest first."""
        direct = tuple(self._members.get(host, ()))
        if direct not in self._groups_above:
            above, queue = {ALL: None}, list(direct if set(direct) - {ALL} else (*direct, UNGROUPED))
            while queue:
                name = queue.pop()
                if name not in above:
                    above[name] = None
                    queue += self._parents[name]
            self._groups_above[direct] = tuple(sorted(above, key=self._compute_precedence))
        return self._groups_above[direct]

    def _compute_precedence(self, name: str) -> tuple[int, int, str]:
        priority = self._groups[name].files.get("ansible_group_priority") or self._groups[name].variables.get(
            "ansible_group_priority", "1"
        )
        return self._depths[name], int(priority) if priority.lstrip("-").isdigit() else 1, name

    def sort_outer_first(self, above: tuple[str, ...]) -> list[str]:
        """Sort groups for display: by depth and name, without their priority."""
        return sorted(above, key=lambda name: (self._depths[name], name))

    def merge_variables(self, above: tuple[str, ...]) -> Variables:
        """Merge the variables that groups give to their hosts."""
        if above not in self._merged:
            merged: Variables = {}
            for name in above:
                merged |= self._groups[name].variables
            for name in above:
                merged |= self._groups[name].files
            self._merged[above] = merged
        return self._merged[above]
