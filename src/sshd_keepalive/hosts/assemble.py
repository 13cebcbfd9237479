"""Build hosts from settings with their places: inheritance, policy, jump hosts.

Defaults count first, then groups from the outermost to the innermost, then the host itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NamedTuple

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts.jump import Ways, cut_at_itself
from sshd_keepalive.hosts.target import parse_address
from sshd_keepalive.model import Host, Policy
from sshd_keepalive.planning.policy import BY_EFFECT, BY_VALUE, from_mapping
from sshd_keepalive.spelling import show


class SourcedValue(NamedTuple):
    """A setting, and the place where it is written."""

    value: Any
    at: Any  # the place: something with a `line`


class Part(NamedTuple):
    """The name of one key of a setting that is merged key by key, such as a policy."""

    setting: str
    key: str

    def __str__(self) -> str:
        return f"{self.setting}.{self.key}"


#: By name.
Settings = dict[str | Part, SourcedValue]


def select_parts(setting: str, settings: Settings) -> dict[str, SourcedValue]:
    """Select what is given of a setting that is merged key by key."""
    return {key.key: given for key, given in settings.items() if isinstance(key, Part) and key.setting == setting}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """A group, the group that contains it, and its own settings."""

    name: str
    parent: Group | None = None
    settings: Settings

    def list_ancestors(self) -> tuple[Group, ...]:
        """List the groups from the outermost to this one."""
        return (*(self.parent.list_ancestors() if self.parent else ()), self)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupConflict:
    """Two groups, neither of which contains the other, with different values for one setting."""

    setting: str | Part
    one: Group
    other: Group


#: Two ways to write the same policy. The one nearest to the host applies; the other one is dropped.
_EITHER: Final = tuple(tuple(Part("policy", name) for name in way) for way in (BY_VALUE, BY_EFFECT))


def overlay(outer: Settings, inner: Settings) -> Settings:
    """Combine settings: those nearer to the host replace the outer ones."""
    rivals = _find_rivals(inner)
    return {key: given for key, given in outer.items() if key not in rivals} | inner if rivals else outer | inner


def _find_rivals(settings: Settings) -> tuple[Part, ...]:
    """Name the keys of the other way to write the same policy."""
    one, other = _EITHER
    return (
        *(other if any(key in settings for key in one) else ()),
        *(one if any(k in settings for k in other) else ()),
    )


def group_names(groups: Iterable[Group]) -> tuple[str, ...]:
    """Name the groups and those that contain them, outer before inner, each once."""
    return tuple(dict.fromkeys(group.name for member in groups for group in member.list_ancestors()))


def inherit(defaults: Settings, groups: Iterable[Group]) -> tuple[Settings, list[GroupConflict]]:
    """Combine the settings that a host in these groups inherits, and list the conflicts between the groups.

    A setting of a group replaces the same one of the groups that contain it. Groups side by side must not differ.
    """
    lines = [member.list_ancestors() for member in groups]
    around = {group: set(line[:depth]) for line in lines for depth, group in enumerate(line)}
    settings = dict(defaults)
    source: dict[str | Part, Group] = {}
    conflicts: dict[str | Part, GroupConflict] = {}
    for group in sorted(around, key=lambda group: len(around[group])):
        for rival in _find_rivals(group.settings):
            if source.get(rival) is None or source[rival] in around[group]:
                settings.pop(rival, None)
                source.pop(rival, None)
        for key, given in group.settings.items():
            earlier = source.get(key)
            if earlier and earlier not in around[group] and given.value != settings[key].value:
                conflicts[key] = GroupConflict(setting=key, one=earlier, other=group)
            else:
                conflicts.pop(key, None)  # the value of an inner group decides
                settings[key], source[key] = given, group
    return settings, list(conflicts.values())


#: The settings that a jump host outside the inventory takes from `defaults`: how to log in, not where to.
LOGIN: Final = ("user", "identity_file", "certificate_file", "password", "known_hosts", "host_keys")

#: Records a mistake: its place (an object with a `line`), and what is wrong.
NoteMistake = Callable[[Any, str], None]


@dataclass(slots=True, kw_only=True)
class HostEntry:
    """The settings of one host from all its places. They are named and typed as the fields of Host."""

    at: Any  # the first place: an object with a `line`
    settings: Settings
    mentions: tuple[Group | None, ...]  # the group of each place; None: outside all groups

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups it is listed in."""
        return tuple(group for group in self.mentions if group)


class _Base(NamedTuple):
    """What hosts in the same groups share."""

    settings: Settings
    conflicts: list[GroupConflict]  # not reported yet
    groups: tuple[str, ...]


def assemble(entries: Mapping[str, HostEntry], defaults: Settings, mistake: NoteMistake) -> tuple[Host, ...]:
    """Make the hosts, in the order of the entries; those with a mistake may be left out."""
    hosts: dict[str, Host] = {}
    jumps: dict[str, tuple[str, ...]] = {}
    bases: dict[tuple[Group, ...], _Base] = {}
    policies = _Policies(mistake)
    for name, entry in entries.items():
        groups = entry.groups
        if groups not in bases:
            bases[groups] = _Base(*inherit(defaults, groups), group_names(groups))
        base = bases[groups]
        if base.conflicts:
            _report_conflicts(name, entry, base, mistake)
        settings = overlay(base.settings, entry.settings)
        plain = {key: given.value for key, given in settings.items() if isinstance(key, str)}
        if hops := plain.pop("jump", ()):
            jumps[name] = hops if "jump" in entry.settings else cut_at_itself(name, hops)
        if "address" not in plain:
            try:
                plain["address"] = parse_address(name)
            except ValueError:
                mistake(entry.at, f"{show(name)} is not an address, and the host has no 'address'")
                continue
        labels = tuple((key, given.value) for key, given in select_parts("labels", settings).items())
        hosts[name] = Host(name=name, groups=base.groups, labels=labels, policy=policies.get(entry, settings), **plain)
    login = {key: given.value for key, given in defaults.items() if key in LOGIN}
    return _add_ways(hosts, Ways(hosts, jumps, partial(_apply_login, login)), entries, mistake)


def _report_conflicts(name: str, entry: HostEntry, base: _Base, mistake: NoteMistake) -> None:
    """Record each conflict that the host's own settings do not decide, once for each set of groups."""
    for conflict in [one for one in base.conflicts if one.setting not in entry.settings]:
        base.conflicts.remove(conflict)
        one, other = (group.settings[conflict.setting].at.line for group in (conflict.one, conflict.other))
        mistake(
            entry.at,
            f"{name!r} gets {conflict.setting} from group {conflict.one.name!r} (line {one}) and differently "
            f"from group {conflict.other.name!r} (line {other}), set it at the host",
        )


class _Policies:
    """One Policy object for all hosts with the same policy."""

    def __init__(self, mistake: NoteMistake) -> None:
        self._mistake = mistake
        self._policies: dict[tuple[tuple[str, Any], ...], Policy] = {}

    def get(self, entry: HostEntry, settings: Settings) -> Policy:
        wanted = {key: given.value for key, given in select_parts("policy", settings).items()}
        key = tuple(wanted.items())
        if key not in self._policies:
            try:
                self._policies[key] = from_mapping(wanted)
            except ConfigError as error:
                own = next(iter(select_parts("policy", entry.settings).values()), entry)
                self._mistake(own.at, str(error))
                return Policy()
        return self._policies[key]


def _add_ways(
    hosts: Mapping[str, Host], ways: Ways, entries: Mapping[str, HostEntry], mistake: NoteMistake
) -> tuple[Host, ...]:
    complete = []
    for name, host in hosts.items():
        try:
            hops = ways.resolve(name)
        except ConfigError as error:
            mistake(entries[name].at, str(error))
        else:
            complete.append(replace(host, jump=hops) if hops else host)
    return tuple(complete)


def _apply_login(login: Mapping[str, Any], hop: Host) -> Host:
    return replace(hop, **{key: value for key, value in login.items() if key != "user" or hop.user is None})
