"""The pattern languages of a Match line: lists with `*`, `?` and `!`, and address lists with CIDR.

Sources: OpenSSH match.c (match_pattern, match_pattern_list) and addrmatch.c (addr_match_list). Everything is
bytes, as it is for sshd: `?` is one byte, not one letter.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

from sshd_keepalive.sshd_config.tokens import encode

_MAX_PATTERN: Final = 1023  # match_pattern_list: a longer one makes the whole list fail
_MAX_ADDRESS: Final = 63  # addr_pton_cidr: a longer one is not an address


class BadPattern(ValueError):
    """sshd would refuse this list."""


def is_match(text: bytes, pattern: bytes) -> bool:
    """Match one pattern with `*` and `?`; see `estimate_steps` for what it costs."""
    if b"?" in pattern:
        return _is_match_bytewise(text, pattern)
    first, *middle = pattern.split(b"*")
    if not middle:
        return text == pattern
    last = middle.pop()
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for piece in middle:
        at = text.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


def estimate_steps(patterns: bytes) -> int:
    """Estimate what it costs to compare a name or an address with a list; see `limits.Work`.

    Entries are cut and compared in C, addresses are parsed; only `?` is followed byte by byte, in time at most the
    product of both lengths.
    """
    return 16 * len(patterns) if b"?" in patterns else len(patterns) // 2


def _is_match_bytewise(text: bytes, pattern: bytes) -> bool:
    at = position = 0
    star, resume = -1, 0
    while position < len(text):
        if at < len(pattern) and pattern[at] == 0x2A:
            star, resume = at, position
            at += 1
        elif at < len(pattern) and pattern[at] in (0x3F, text[position]):
            at += 1
            position += 1
        elif star >= 0:
            resume += 1
            at, position = star + 1, resume
        else:
            return False
    return not pattern[at:].strip(b"*")


def match_list(text: bytes, patterns: bytes, *, fold: bool = False) -> int:
    """Match a comma-separated list: 1 for a match, -1 when a `!` pattern matches (it wins), 0 otherwise."""
    if fold:
        text, patterns = text.lower(), patterns.lower()
    result = 0
    for pattern in _split(patterns):
        negated = pattern.startswith(b"!")
        bare = pattern[negated:]
        if len(bare) >= _MAX_PATTERN:
            return 0
        if is_match(text, bare):
            if negated:
                return -1
            result = 1
    return result


def list_positive(patterns: bytes) -> tuple[bytes, ...]:
    """List the patterns that are not negated; a list without any matches nothing."""
    return tuple(pattern for pattern in _split(patterns) if not pattern.startswith(b"!"))


def match_addresses(address: str | None, entries: bytes) -> int:
    """Match an address list: 1, 0, or -1 for a negated match; 0 for no address or one that is none.

    Raises:
        BadPattern: an empty entry, or a network with bits set behind its mask.
    """
    wanted = None if address is None else parse_address(address)
    if address is not None and wanted is None:
        return 0
    result = 0
    for entry in entries.split(b","):
        negated = entry.startswith(b"!")
        bare = entry[negated:]
        if not bare:
            raise BadPattern("an empty entry in an address list")
        network = parse_network(bare)
        if network is None:
            hit = address is not None and is_match(encode(address), bare)
        else:
            hit = wanted is not None and wanted.version == network.version and wanted in network
        if hit and negated:
            return -1
        if hit:
            result = 1
    return result


@lru_cache(maxsize=4096)
def parse_network(entry: bytes) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Read ADDRESS or ADDRESS/BITS; None for anything that is compared as a wildcard pattern instead.

    Raises:
        BadPattern: the mask is too long for the address, or bits are set behind it.
    """
    if len(entry) > _MAX_ADDRESS:
        return None
    text, slash, bits = entry.decode("latin-1").partition("/")
    if slash and not (bits.isascii() and bits.isdigit() and int(bits) <= 128):
        return None
    address = parse_address(text)
    if address is None:
        return None
    if slash and int(bits) > address.max_prefixlen:
        raise BadPattern(f"the mask of {entry.decode('latin-1')} is too long")
    length = int(bits) if slash else address.max_prefixlen
    try:
        if isinstance(address, ipaddress.IPv4Address):
            return ipaddress.IPv4Network((int(address), length))
        return ipaddress.IPv6Network((int(address), length))
    except ValueError:
        raise BadPattern(f"{entry.decode('latin-1')} has host bits set after its mask") from None


@lru_cache(maxsize=4096)
def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read a numeric address as getaddrinfo(3) does, the short and hexadecimal IPv4 forms included."""
    if "%" in text:  # a zone needs the host's interfaces
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return _read_classful(text)


def _read_classful(text: str) -> ipaddress.IPv4Address | None:
    """Read as inet_aton(3) does: one to four numbers, decimal, octal or hexadecimal; the last one fills the rest."""
    parts = text.split(".")
    if not 1 <= len(parts) <= 4:
        return None
    numbers: list[int] = []
    for part in parts:
        base = 16 if part[:2] in ("0x", "0X") else 8 if part[:1] == "0" and len(part) > 1 else 10
        digits = part[2:] if base == 16 else part
        if not (digits.isascii() and digits.isalnum()):
            return None
        try:
            numbers.append(int(digits, base))
        except ValueError:
            return None
    *head, last = numbers
    if any(number > 255 for number in head) or last >= 256 ** (4 - len(head)):
        return None
    return ipaddress.IPv4Address(sum(number << (24 - 8 * n) for n, number in enumerate(head)) + last)


def _split(patterns: bytes) -> list[bytes]:
    """Split at commas; nothing follows a final comma."""
    items = patterns.split(b",")
    return items[:-1] if not items[-1] else items
