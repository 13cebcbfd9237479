"""From the words of an inventory to a checked `Policy`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from enum import Enum
from typing import Final, cast

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import COUNT_MAX, INTERVAL, SPELLING, MatchOverrides, Policy, Strategy
from sshd_keepalive.sshd_config import values
from sshd_keepalive.sshd_config.version import NEWEST

_CHOICES: Final[Mapping[str, type[Enum]]] = {"match_overrides": MatchOverrides, "strategy": Strategy}
_KEYS: Final = (*SPELLING.values(), *_CHOICES)


def from_mapping(mapping: Mapping[str, object]) -> Policy:
    """Check a policy and fill in what it leaves out.

    `ClientAliveInterval` is seconds or a time as sshd writes it (`5m`), `ClientAliveCountMax` an integer; both
    spelled in any case. An interval of 0 (sshd's own default: no keep-alives) may be asked for. A count of 0
    beside an interval is refused: up to OpenSSH 8.1 it throws out everybody who is quiet for one interval, and
    later it never notices a dead client, so no fleet can want it.

    Raises:
        ConfigError: every mistake, one a line.
    """
    found: dict[str, object] = {}
    mistakes: list[str] = []
    for key, value in mapping.items():
        name = next((known for known in _KEYS if known.lower() == str(key).lower()), None)
        try:
            if name is None:
                raise ValueError(f"unknown policy setting {key!r}{_did_you_mean(str(key), _KEYS)}")
            found[name] = _choice(name, value) if name in _CHOICES else _number(name.lower(), value)
        except ValueError as error:
            mistakes.append(str(error))
    interval_s = found.get(SPELLING[INTERVAL], Policy().interval_s)
    count_max = found.get(SPELLING[COUNT_MAX], Policy().count_max)
    if interval_s and count_max == 0:
        mistakes.append(
            f"ClientAliveCountMax: 0 with ClientAliveInterval: {interval_s} is harmful: up to OpenSSH 8.1 it ends "
            "every session that is quiet for one interval, later it never ends a dead one; use 1 or more"
        )
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    policy = Policy()
    return Policy(
        interval_s=cast(int, interval_s),
        count_max=cast(int, count_max),
        match_overrides=cast(MatchOverrides, found.get("match_overrides", policy.match_overrides)),
        strategy=cast(Strategy, found.get("strategy", policy.strategy)),
    )


def _number(keyword: str, value: object) -> int:
    name = SPELLING[keyword]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= values.INT_MAX:
        return value
    if isinstance(value, str) and values.is_portable(keyword, value.encode()):
        try:
            return values.number(keyword, value.encode(), NEWEST) or 0
        except values.BadValue:
            pass
    kind = "seconds or a time such as 5m" if keyword == INTERVAL else "a number"
    raise ValueError(f"{name}: {value!r} is not {kind} from 0 to {values.INT_MAX}")


def _choice(name: str, value: object) -> Enum:
    kind = _CHOICES[name]
    known = [str(member.value) for member in kind]
    if value in known:
        return kind(value)
    if isinstance(value, kind):
        return value
    raise ValueError(f"{name}: {value!r} is not one of {', '.join(known)}{_did_you_mean(str(value), known)}")


def _did_you_mean(word: str, known: tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(word.lower(), [k.lower() for k in known], n=1)
    return "".join(f"; did you mean {k}?" for k in known if close and k.lower() == close[0])
