"""What a release makes of the text of a value: times, integers, words.

Sources: OpenSSH misc.c, functions convtime and a2port; servconf.c, process_server_config_line; the boundaries
between releases by asking the binaries (`tests/cases/facts.jsonl`).
"""

from __future__ import annotations

import re
from typing import Final

from sshd_keepalive.model import COUNT_MAX, INTERVAL
from sshd_keepalive.sshd_config.version import Version

INT_MAX: Final = 2**31 - 1
_LONG_MAX: Final = 2**63 - 1
_UNIT_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PART: Final = re.compile(rb"([0-9]+)([smhdw]?)", re.IGNORECASE)
# strtol(3): leading white space and a sign before each number.
_LOOSE_PART: Final = re.compile(rb"[ \t\n\v\f\r]*([+-]?[0-9]+)([smhdw]?)", re.IGNORECASE)
_FRACTION_PART: Final = re.compile(rb"([0-9]*)\.[0-9]+[s]?|([0-9]+)([smhdw]?)", re.IGNORECASE)
_LOOSE_INT: Final = re.compile(rb"[ \t\n\v\f\r]*([+-]?[0-9]+)")
#: Spellings of a number of seconds that mean the same to every release.
_PLAIN_TIME: Final = re.compile(rb"[0-9]+[smhdw]?\Z", re.IGNORECASE)
_PLAIN_INT: Final = re.compile(rb"[0-9]+\Z")


class BadValue(ValueError):
    """sshd would refuse this value; the text says why."""


def read_number(keyword: str, text: bytes, version: Version) -> int | None:
    """Read the value of one of the two keep-alive settings: seconds, or a count.

    Returns:
        The number sshd would store; negative where an old release overflows. None where the line counts as
        not written at all (`ClientAliveCountMax -1` up to 7.6).

    Raises:
        BadValue: `version` refuses the text.
    """
    return read_seconds(text, version) if keyword == INTERVAL else read_count(text, version)


def read_seconds(text: bytes, version: Version) -> int:
    """Read a time: one or more numbers with an optional unit, added up.

    Raises:
        BadValue: not a time for this release.
    """
    if version.at_least(10, 3):
        total = _add_parts_with_fraction(text)
    elif version.at_least(9, 8):
        total = _add_parts(_PART, text)
    else:
        total = _add_parts(_LOOSE_PART, text, unit_sticks=version.at_least(7, 5) and not version.at_least(8, 4))
    if version.at_least(8, 5):
        if total > INT_MAX:
            raise BadValue("the time does not fit into 31 bits")
        return total
    if total > _LONG_MAX:
        raise BadValue("the time does not fit into 63 bits")
    wrapped = _wrap_int32(total)
    if wrapped == -1:
        raise BadValue("the time overflows to -1")
    return wrapped


def read_count(text: bytes, version: Version) -> int | None:
    """Read an integer of at least 0.

    Raises:
        BadValue: not an integer for this release.
    """
    match = _LOOSE_INT.match(text)
    if version.at_least(7, 7):
        if match is None or match.end() != len(text) or not 0 <= _read_integer(match[1]) <= INT_MAX:
            raise BadValue("not an integer from 0 to 2147483647")
        return _read_integer(match[1])
    # C's atoi, which takes anything; a stored -1 means "not set yet", so a later line can still win.
    value = 0 if match is None else _wrap_int32(max(-_LONG_MAX - 1, min(_LONG_MAX, _read_integer(match[1]))))
    return None if value == -1 else value


def is_portable(keyword: str, text: bytes) -> bool:
    """Whether every release, old and new, reads the text as the same number."""
    pattern = _PLAIN_TIME if keyword == INTERVAL else _PLAIN_INT
    return pattern.match(text) is not None and _read_integer(re.sub(rb"\D", b"", text)) <= INT_MAX


def get_default(keyword: str) -> int:
    """Give the compiled-in value of a keep-alive setting: 0 seconds, 3 misses (sshd_config(5), all releases)."""
    return {INTERVAL: 0, COUNT_MAX: 3}[keyword]


def _add_parts(part: re.Pattern[bytes], text: bytes, *, unit_sticks: bool = False) -> int:
    """Add up the parts of a time. `unit_sticks`: 7.5 to 8.3 kept the last larger unit for parts without one."""
    total, at, unit_s = 0, 0, 1
    while at < len(text) or not at:
        match = part.match(text, at)
        if match is None:
            raise BadValue("not a time")
        amount, unit = _read_integer(match[1]), match[2].decode().lower()
        if amount < 0:
            raise BadValue("the time is negative")
        if not unit and match.end() < len(text):
            raise BadValue("a number without a unit must come last")
        if not unit_sticks or unit not in ("", "s"):
            unit_s = _UNIT_S[unit]
        total += amount * unit_s
        at = match.end()
    return total


def _add_parts_with_fraction(text: bytes) -> int:
    """Add up the parts of a time; the part in seconds may have a fraction, which is dropped, and comes once."""
    total, at, seen_seconds = 0, 0, False
    while at < len(text) or not at:
        match = _FRACTION_PART.match(text, at)
        if match is None:
            raise BadValue("not a time")
        whole, amount, unit = match.groups()
        unit = (unit or b"").decode().lower()
        if unit in ("", "s"):
            if seen_seconds:
                raise BadValue("a time may give seconds only once")
            seen_seconds = True
        total += _read_integer(whole if amount is None else amount) * _UNIT_S[unit]
        at = match.end()
    return total


def _read_integer(digits: bytes) -> int:
    """Parse a decimal number with an optional sign; one that is too long for every use is cut, not computed."""
    bare = digits.lstrip(b"+-").lstrip(b"0")[:40]
    return int(bare or b"0") * (-1 if digits.startswith(b"-") else 1)


def _wrap_int32(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31
