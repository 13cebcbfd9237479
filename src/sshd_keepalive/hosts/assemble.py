"""From what was written about each host to the hosts: inheritance, policy, ways in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NamedTuple

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts.inherit import Group, GroupConflict, Settings, group_names, inherited, overlay
from sshd_keepalive.hosts.jump import Ways, before_itself
from sshd_keepalive.hosts.target import address
from sshd_keepalive.model import Host, Policy
from sshd_keepalive.planning.policy import from_mapping
from sshd_keepalive.spelling import shown

#: What a hop outside the inventory takes from `defaults`: how to log in, not where to.
LOGIN: Final = ("user", "identity_file", "certificate_file", "password", "known_hosts", "host_keys")

#: Notes a mistake: where (something with a `line`), and what is wrong.
Mistake = Callable[[Any, str], None]


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


def assemble(entries: Mapping[str, HostEntry], defaults: Settings, mistake: Mistake) -> tuple[Host, ...]:
    """Make the hosts, in the order of the entries; those with a mistake may be left out."""
    hosts: dict[str, Host] = {}
    jumps: dict[str, tuple[str, ...]] = {}
    bases: dict[tuple[Group, ...], _Base] = {}
    policies = _Policies(mistake)
    for name, entry in entries.items():
        groups = entry.groups
        if groups not in bases:
            bases[groups] = _Base(*inherited(defaults, groups), group_names(groups))
        base = bases[groups]
        if base.conflicts:
            _tell_conflicts(name, entry, base, mistake)
        settings = overlay(base.settings, entry.settings)
        plain = {key: given.value for key, given in settings.items() if "." not in key}
        if hops := plain.pop("jump", ()):
            jumps[name] = hops if "jump" in entry.settings else before_itself(name, hops)
        if "address" not in plain:
            try:
                plain["address"] = address(name)
            except ValueError:
                mistake(entry.at, f"{shown(name)} is no address by itself and has no 'address'")
                continue
        labels = tuple(_part("labels.", settings).items())
        hosts[name] = Host(name=name, groups=base.groups, labels=labels, policy=policies.of(entry, settings), **plain)
    login = {key: given.value for key, given in defaults.items() if key in LOGIN}
    return _with_ways(hosts, Ways(hosts, jumps, partial(_logged_in_as, login)), entries, mistake)


def _tell_conflicts(name: str, entry: HostEntry, base: _Base, mistake: Mistake) -> None:
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

    def __init__(self, mistake: Mistake) -> None:
        self._mistake = mistake
        self._known: dict[tuple[tuple[str, Any], ...], Policy] = {}

    def of(self, entry: HostEntry, settings: Settings) -> Policy:
        wanted = _part("policy.", settings)
        key = tuple(wanted.items())
        if key not in self._known:
            try:
                self._known[key] = from_mapping(wanted)
            except ConfigError as error:
                own = (given.at for name, given in entry.settings.items() if name.startswith("policy."))
                self._mistake(next(own, entry.at), str(error))
                return Policy()
        return self._known[key]


def _part(prefix: str, settings: Settings) -> dict[str, Any]:
    return {key.removeprefix(prefix): given.value for key, given in settings.items() if key.startswith(prefix)}


def _with_ways(
    hosts: Mapping[str, Host], ways: Ways, entries: Mapping[str, HostEntry], mistake: Mistake
) -> tuple[Host, ...]:
    found = []
    for name, host in hosts.items():
        try:
            hops = ways.to(name)
        except ConfigError as error:
            mistake(entries[name].at, str(error))
        else:
            found.append(replace(host, jump=hops) if hops else host)
    return tuple(found)


def _logged_in_as(login: Mapping[str, Any], hop: Host) -> Host:
    return replace(hop, **{key: value for key, value in login.items() if key != "user" or hop.user is None})
