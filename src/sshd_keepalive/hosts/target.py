"""A host on one line, as on the command line of ssh: `user@host`, `host:2222`, `ssh://user@[2001:db8::5]:22`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts import ranges
from sshd_keepalive.model import Host
from sshd_keepalive.spelling import join_mistakes, show

_NAME = re.compile(r"(?!-)\w[\w-]{0,62}(\.[\w-]{1,63})*\.?")
_DIGITS_AND_DOTS = re.compile(r"[0-9.]+")
_LIKE_AN_ADDRESS = re.compile(r"[\w.-]*")
_ZONE = re.compile(r"[\w.-]{1,32}")
_USER = re.compile(r"(?!-)[^\s:@/\x00-\x1f\x7f]+")


def parse_target(text: str) -> Host:
    """Parse `[ssh://][user@]host[:port]` into a host with every other setting at its default.

    An IPv6 address with a port needs brackets; without brackets several colons are an address. The name of the
    host is its address, with the port where it is not 22.

    Raises:
        ConfigError: the text is not a target, or it holds a password.
    """
    user, host, given_port = split_target(text)
    name = host
    if given_port not in (None, 22):
        name = f"[{host}]:{given_port}" if ":" in host else f"{host}:{given_port}"
    return Host(name=name, address=host, port=given_port or 22, user=user)


def split_target(text: str) -> tuple[str | None, str, int | None]:
    """Split a target into user, address and port; None for what is not given. See `parse_target`."""
    given_user, at, rest = text.strip().removeprefix("ssh://").rstrip("/").rpartition("@")
    if ":" in given_user:
        raise ConfigError("a target cannot hold a password", hint="store the password and name its place: env:NAME")
    try:
        host, number = _split_port(rest)
        return (
            parse_user(given_user) if at else None,
            parse_address(host),
            None if number is None else parse_port(number),
        )
    except ValueError as error:
        raise ConfigError(f"target {show(text)}: {error}") from None


def parse_targets(texts: Iterable[str]) -> tuple[Host, ...]:
    """Parse each text into a host; the same text twice is one host.

    Raises:
        ConfigError: a text is not a target, or two texts name the same port of one host.
    """
    hosts: dict[str, tuple[Host, str]] = {}
    for text in dict.fromkeys(texts):
        host = parse_target(text)
        if host.name in hosts:
            raise ConfigError(f"{show(hosts[host.name][1])} and {show(text)} are the same host")
        hosts[host.name] = (host, text)
    return tuple(host for host, _ in hosts.values())


def parse_list(entries: Iterable[tuple[str, str]]) -> tuple[Host, ...]:
    """Parse a list of targets, each with its place; a range gives several, the same target twice is one host.

    Raises:
        ConfigError: all entries that are not targets, or that name a host of another entry with other settings.
    """
    hosts: dict[str, tuple[Host, str]] = {}
    mistakes: list[str] = []
    for place, text in entries:
        try:
            members = [parse_target(one) for one in ranges.expand(text)]
        except (ConfigError, ValueError) as error:
            mistakes.append(f"{place}: {error}")
            continue
        for host in members:
            first, before = hosts.setdefault(host.name, (host, place))
            if first != host:
                mistakes.append(f"{place}: {host.name!r} is given differently in {before}")
    if mistakes:
        raise ConfigError(join_mistakes(mistakes))
    return tuple(host for host, _ in hosts.values())


def _split_port(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or rest[:1] not in ("", ":"):
            raise ValueError("an address in brackets is written [2001:db8::5] or [2001:db8::5]:22")
        return host, rest[1:] if rest else None
    if text.count(":") == 1:
        host, _, number = text.partition(":")
        return host, number
    return text, None


def parse_address(text: str) -> str:
    """Check a host name or IP address; brackets around an IPv6 address are taken off.

    Raises:
        ValueError: it is neither.
    """
    if "@" in text:
        # The text is not repeated: it may hold a password.
        raise ValueError("a host name cannot contain '@'; user and password have their own settings")
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare or _DIGITS_AND_DOTS.fullmatch(bare):
        plain, percent, zone = bare.partition("%")
        try:
            ip_address(plain)
        except ValueError:
            port_hint = "; a port has its own setting" if bare.count(":") == 1 else ""
            raise ValueError(f"{show(text)} is not an IP address{port_hint}") from None
        if percent and not _ZONE.fullmatch(zone):
            raise ValueError(f"{show(text)} has no usable zone behind '%'")
        return bare
    if len(bare) > 253 or not _NAME.fullmatch(bare):
        # Without its `{`, a `{password: …}` reads as an address, so a text that cannot be one is not repeated.
        raise ValueError(
            f"{show(text) if _LIKE_AN_ADDRESS.fullmatch(text) else 'this'} is not a host name or IP address"
        )
    return bare


def parse_port(text: str) -> int:
    """Check a TCP port.

    Raises:
        ValueError: not a whole number from 1 to 65535.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError(f"{show(text)} is not a port; a port is a whole number from 1 to 65535")
    return int(text)


def parse_user(text: str) -> str:
    """Check a user name.

    Raises:
        ValueError: empty, or with white space, ':', '@', '/' or a leading '-'.
    """
    if ":" in text:
        raise ValueError("a user name cannot contain ':', and a password is not written here")
    if not _USER.fullmatch(text):
        raise ValueError(f"{show(text)} is not a user name")
    return text
