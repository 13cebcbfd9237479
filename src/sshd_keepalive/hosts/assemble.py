"""From settings as they were written to hosts: inheritance, policy, ways in.

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
    """A setting where it was written."""

    value: Any
    at: Any  # the place: something with a `line`


#: "port", or "policy.ClientAliveInterval" for what is merged key by key.
Settings = dict[str, SourcedValue]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """A group, the group around it, and the settings that stand in it."""

    name: str
    parent: Group | None = None
    settings: Settings

    def list_ancestors(self) -> tuple[Group, ...]:
        """The groups from the outermost to this one."""
        return (*(self.parent.list_ancestors() if self.parent else ()), self)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupConflict:
    """Two groups, neither of them inside the other, that set the same thing differently."""

    setting: str
    one: Group
    other: Group


#: Two ways to say the same. The way nearest to the host holds, so what stands farther out in the other way is dropped.
_EITHER: Final = tuple(tuple(f"policy.{name}" for name in way) for way in (BY_VALUE, BY_EFFECT))


def overlay(outer: Settings, inner: Settings) -> Settings:
    """Put settings nearer to the host over those farther out."""
    rivals = _find_rivals(inner)
    return {key: given for key, given in outer.items() if key not in rivals} | inner if rivals else outer | inner


def _find_rivals(settings: Settings) -> tuple[str, ...]:
    """Name the keys that say in the other way what some of these settings say."""
    one, other = _EITHER
    return (
        *(other if any(key in settings for key in one) else ()),
        *(one if any(k in settings for k in other) else ()),
    )


def group_names(groups: Iterable[Group]) -> tuple[str, ...]:
    """Name the groups and those around them, outer before inner, each once."""
    return tuple(dict.fromkeys(group.name for member in groups for group in member.list_ancestors()))


def inherit(defaults: Settings, groups: Iterable[Group]) -> tuple[Settings, list[GroupConflict]]:
    """Give what a host in these groups inherits, and what the groups cannot agree on.

    A setting of a group beats the same one of the groups around it; what groups side by side say must be equal.
    """
    lines = [member.list_ancestors() for member in groups]
    around = {group: set(line[:depth]) for line in lines for depth, group in enumerate(line)}
    settings = dict(defaults)
    source: dict[str, Group] = {}
    conflicts: dict[str, GroupConflict] = {}
    for group in sorted(around, key=lambda group: len(around[group])):
        for key in _find_rivals(group.settings):
            if source.get(key) is None or source[key] in around[group]:
                settings.pop(key, None)
                source.pop(key, None)
        for key, given in group.settings.items():
            earlier = source.get(key)
            if earlier and earlier not in around[group] and given.value != settings[key].value:
                conflicts[key] = GroupConflict(setting=key, one=earlier, other=group)
            else:
                conflicts.pop(key, None)  # an inner group settles what the groups around it disagreed about
                settings[key], source[key] = given, group
    return settings, list(conflicts.values())


#: What a hop outside the inventory takes from `defaults`: how to log in, not where to.
LOGIN: Final = ("user", "identity_file", "certificate_file", "password", "known_hosts", "host_keys")

#: Notes a mistake: where (something with a `line`), and what is wrong.
NoteMistake = Callable[[Any, str], None]


@dataclass(slots=True, kw_only=True)
class HostEntry:
    """A host as it was written, in one place or in several. Settings are named and typed as the fields of Host."""

    at: Any  # the first place: something with a `line`
    settings: Settings
    mentions: tuple[Group | None, ...]  # None: outside all groups

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups it is listed in."""
        return tuple(group for group in self.mentions if group)


class _Base(NamedTuple):
    """What the hosts of the same groups have in common."""

    settings: Settings
    conflicts: list[GroupConflict]  # not told yet
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
        plain = {key: given.value for key, given in settings.items() if "." not in key}
        if hops := plain.pop("jump", ()):
            jumps[name] = hops if "jump" in entry.settings else cut_at_itself(name, hops)
        if "address" not in plain:
            try:
                plain["address"] = parse_address(name)
            except ValueError:
                mistake(entry.at, f"{show(name)} is no address by itself and has no 'address'")
                continue
        labels = tuple(_select_part("labels.", settings).items())
        hosts[name] = Host(name=name, groups=base.groups, labels=labels, policy=policies.get(entry, settings), **plain)
    login = {key: given.value for key, given in defaults.items() if key in LOGIN}
    return _add_ways(hosts, Ways(hosts, jumps, partial(_apply_login, login)), entries, mistake)


def _report_conflicts(name: str, entry: HostEntry, base: _Base, mistake: NoteMistake) -> None:
    """Note once for each set of groups what they disagree about and the host does not settle."""
    for conflict in [one for one in base.conflicts if one.setting not in entry.settings]:
        base.conflicts.remove(conflict)
        one, other = (group.settings[conflict.setting].at.line for group in (conflict.one, conflict.other))
        mistake(
            entry.at,
            f"{name!r} gets {conflict.setting} from group {conflict.one.name!r} (line {one}) and differently "
            f"from group {conflict.other.name!r} (line {other}), say at the host which one holds",
        )


class _Policies:
    """One Policy for all hosts that want the same."""

    def __init__(self, mistake: NoteMistake) -> None:
        self._mistake = mistake
        self._known: dict[tuple[tuple[str, Any], ...], Policy] = {}

    def get(self, entry: HostEntry, settings: Settings) -> Policy:
        wanted = _select_part("policy.", settings)
        key = tuple(wanted.items())
        if key not in self._known:
            try:
                self._known[key] = from_mapping(wanted)
            except ConfigError as error:
                own = (given.at for name, given in entry.settings.items() if name.startswith("policy."))
                self._mistake(next(own, entry.at), str(error))
                return Policy()
        return self._known[key]


def _select_part(prefix: str, settings: Settings) -> dict[str, Any]:
    return {key.removeprefix(prefix): given.value for key, given in settings.items() if key.startswith(prefix)}


def _add_ways(
    hosts: Mapping[str, Host], ways: Ways, entries: Mapping[str, HostEntry], mistake: NoteMistake
) -> tuple[Host, ...]:
    found = []
    for name, host in hosts.items():
        try:
            hops = ways.resolve(name)
        except ConfigError as error:
            mistake(entries[name].at, str(error))
        else:
            found.append(replace(host, jump=hops) if hops else host)
    return tuple(found)


def _apply_login(login: Mapping[str, Any], hop: Host) -> Host:
    return replace(hop, **{key: value for key, value in login.items() if key != "user" or hop.user is None})
