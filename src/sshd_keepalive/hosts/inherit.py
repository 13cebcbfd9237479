"""Inheritance: defaults, then groups from the outermost to the innermost, then the host itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sshd_keepalive.planning.policy import BY_EFFECT, BY_VALUE


class Given(NamedTuple):
    """A setting where it was written."""

    value: Any
    at: Any  # the place: something with a `line`


#: "port", or "policy.ClientAliveInterval" for what is merged key by key.
Settings = dict[str, Given]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """A group, the group around it, and the settings that stand in it."""

    name: str
    parent: Group | None = None
    settings: Settings

    def line(self) -> tuple[Group, ...]:
        """The groups from the outermost to this one."""
        return (*(self.parent.line() if self.parent else ()), self)


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
    return tuple(dict.fromkeys(group.name for member in groups for group in member.line()))


def inherited(defaults: Settings, groups: Iterable[Group]) -> tuple[Settings, list[GroupConflict]]:
    """Give what a host in these groups inherits, and what the groups cannot agree on.

    A setting of a group beats the same one of the groups around it; what groups side by side say must be equal.
    """
    lines = [member.line() for member in groups]
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
