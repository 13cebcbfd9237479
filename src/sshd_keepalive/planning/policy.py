"""From the entries of an inventory to a checked `Policy`, and from a policy by effect to the values of one release.

Policies by effect exist because OpenSSH 9.2 to 9.4 send a keep-alive after two intervals instead of one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, Final

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import COUNT_MAX, INTERVAL, SPELLING, Goal, MatchOverrides, Policy, Strategy
from sshd_keepalive.spelling import did_you_mean
from sshd_keepalive.sshd_config import keepalive, values
from sshd_keepalive.sshd_config.version import NEWEST, Version

_CHOICES: Final[Mapping[str, type[Enum]]] = {"match_overrides": MatchOverrides, "strategy": Strategy}
KEEP_ALIVE_EVERY: Final = "keep_alive_every"
DROP_DEAD_AFTER: Final = "drop_dead_after"
#: The two ways to say what sessions should get. One policy uses one of them.
BY_VALUE: Final = (SPELLING[INTERVAL].value, SPELLING[COUNT_MAX].value)
BY_EFFECT: Final = (KEEP_ALIVE_EVERY, DROP_DEAD_AFTER)
_KEYS: Final = (*BY_VALUE, *BY_EFFECT, *_CHOICES)
_LEAST_S: Final = 2  # OpenSSH 9.2 to 9.4 ask after two intervals, and an interval is 1 s or more


def from_mapping(mapping: Mapping[str, object]) -> Policy:
    """Check a policy and fill in what it leaves out.

    `ClientAliveInterval` is seconds or a time as sshd writes it (`5m`), `ClientAliveCountMax` an integer; both
    spelled in any case. An interval of 0 (sshd's own default: no keep-alives) may be asked for. A count of 0
    beside an interval is refused: up to OpenSSH 8.1 it ends every session that is quiet for one interval, and
    later releases never end a dead session.
    `keep_alive_every` and `drop_dead_after`, both times, stand for the values that have that effect on a host.

    Raises:
        ConfigError: every mistake, one a line.
    """
    entries: dict[str, Any] = {}
    mistakes: list[str] = []
    for key, value in mapping.items():
        try:
            entries.update([read_value(key, value)])
        except ValueError as error:
            mistakes.append(str(error))
    try:
        refuse_mixture(entries)
        policy = _read_by_effect(entries) if any(name in entries for name in BY_EFFECT) else _read_by_value(entries)
    except ValueError as error:
        mistakes.append(str(error))
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return replace(policy, **{name: entries[name] for name in _CHOICES if name in entries})


def read_value(key: str, value: object) -> tuple[str, Any]:
    """Check one entry of a policy by itself; gives the key as it is spelled here, and its value.

    Raises:
        ValueError: the key is not known, or the value is not one of its values.
    """
    name = next((spelled for spelled in _KEYS if spelled.lower() == str(key).lower()), None)
    if name is None:
        raise ValueError(f"unknown policy setting {key!r}{did_you_mean(str(key), _KEYS)}")
    return name, _read_choice(name, value) if name in _CHOICES else _read_number(name, value)


def refuse_mixture(names: Collection[str]) -> None:
    """Refuse a policy that is given by value and by effect.

    Raises:
        ValueError: it is.
    """
    by_value, by_effect = ([name for name in way if name in names] for way in (BY_VALUE, BY_EFFECT))
    if by_value and by_effect:
        raise ValueError(
            f"{by_effect[0]} cannot be combined with {by_value[0]}: the first sets the effect on sessions, the second "
            "sets the value; remove one of them"
        )


def to_mapping(policy: Policy) -> dict[str, int]:
    """Give what a policy asks for as the entries of an inventory."""
    if policy.goal is None:
        return dict(zip(BY_VALUE, policy.wanted.values(), strict=True))
    goal = {KEEP_ALIVE_EVERY: policy.goal.keep_alive_every_s}
    return goal if policy.goal.drop_dead_after_s is None else goal | {DROP_DEAD_AFTER: policy.goal.drop_dead_after_s}


def adapt_to_release(policy: Policy, version: Version) -> Policy:
    """Give the policy by value that has the wanted effect on one release; a policy by value stays as it is."""
    goal = policy.goal
    if goal is None:
        return policy
    pair = keepalive.choose_pair(version, goal.keep_alive_every_s, goal.drop_dead_after_s, policy.count_max)
    return replace(policy, interval_s=pair[0], count_max=pair[1], goal=None)


def override(policy: Policy, values: Mapping[str, int | str]) -> Policy:
    """Replace what one run asks for otherwise; what it does not name stays.

    Args:
        values: keys and values of a policy.
    Raises:
        ConfigError: the result is not a policy.
    """
    choices: dict[str, Any] = {name: _read_choice(name, values[name]) for name in _CHOICES if name in values}
    policy = replace(policy, **choices)
    values = {name: value for name, value in values.items() if name not in _CHOICES}
    if not values:
        return policy
    goal = policy.goal
    kept: dict[str, object] = {name: getattr(policy, name) for name in _CHOICES}
    if not any(name in values for name in BY_EFFECT):
        return from_mapping({**kept, BY_VALUE[0]: policy.interval_s, BY_VALUE[1]: policy.count_max, **values})
    inherited = {KEEP_ALIVE_EVERY: policy.interval_s or Goal().keep_alive_every_s}
    if goal is not None and goal.drop_dead_after_s is not None:
        inherited[DROP_DEAD_AFTER] = goal.drop_dead_after_s
    made = from_mapping({**kept, **inherited, **values})
    has_count = made.goal is not None and made.goal.drop_dead_after_s is None
    return replace(made, count_max=policy.count_max or made.count_max) if has_count else made


def _read_by_value(entries: Mapping[str, Any]) -> Policy:
    policy = Policy(
        interval_s=entries.get(BY_VALUE[0], Policy().interval_s), count_max=entries.get(BY_VALUE[1], Policy().count_max)
    )
    if policy.interval_s and policy.count_max == 0:
        raise ValueError(
            f"ClientAliveCountMax: 0 with ClientAliveInterval: {policy.interval_s} is harmful: up to OpenSSH 8.1 it "
            "ends every session that is quiet for one interval, later releases never end a dead session; use 1 or more"
        )
    return policy


def _read_by_effect(entries: Mapping[str, Any]) -> Policy:
    goal = Goal(
        keep_alive_every_s=entries.get(KEEP_ALIVE_EVERY, Goal().keep_alive_every_s),
        drop_dead_after_s=entries.get(DROP_DEAD_AFTER),
    )
    every_s, dropped_s = goal.keep_alive_every_s, goal.drop_dead_after_s
    if every_s < _LEAST_S:
        raise ValueError(
            f"{KEEP_ALIVE_EVERY}: {every_s} s is too short: the shortest that every release supports is {_LEAST_S} s"
        )
    if dropped_s is not None and dropped_s < 2 * every_s:
        raise ValueError(
            f"{DROP_DEAD_AFTER}: {dropped_s} s is less than twice {KEEP_ALIVE_EVERY} ({every_s} s): sshd drops a "
            "session one interval after the first unanswered keep-alive, not earlier"
        )
    interval_s, count_max = keepalive.choose_pair(NEWEST, every_s, dropped_s, Policy().count_max)
    return Policy(interval_s=interval_s, count_max=count_max, goal=goal)


def _read_number(name: str, value: object) -> int:
    keyword = COUNT_MAX if name == SPELLING[COUNT_MAX] else INTERVAL
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= values.INT_MAX:
        return value
    if isinstance(value, str) and values.is_portable(keyword, value.encode()):
        try:
            return values.read_number(keyword, value.encode(), NEWEST) or 0
        except values.BadValue:
            pass
    kind = "seconds or a time such as 5m" if keyword == INTERVAL else "a number"
    raise ValueError(f"{name}: {value!r} is not {kind} from 0 to {values.INT_MAX}")


def _read_choice(name: str, value: object) -> Enum:
    kind = _CHOICES[name]
    words = [str(member.value) for member in kind]
    if value in words:
        return kind(value)
    if isinstance(value, kind):
        return value
    raise ValueError(f"{name}: {value!r} is not one of {', '.join(words)}{did_you_mean(str(value), words)}")
