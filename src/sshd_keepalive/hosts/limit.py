"""`--limit`: select hosts of the inventory, with Ansible's host patterns."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from fnmatch import translate
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts import ranges
from sshd_keepalive.model import Host
from sshd_keepalive.spelling import did_you_mean, show

_SUBSCRIPT: Final = re.compile(r"(?P<base>[^\[\]]+)\[(?P<first>-?[0-9]+)(?:(?P<to>:)(?P<last>-?[0-9]*))?\]")


def select(hosts: tuple[Host, ...], pattern: str) -> tuple[Host, ...]:
    """Select the hosts that match a pattern, each once, in the order of the inventory.

    Terms are joined by `,` or `:`. A plain term adds hosts, `&term` keeps only the hosts that it matches, `!term` takes
    hosts away. Plain terms are applied first, then `&`, then `!`, wherever they are. Without a plain term all hosts are
    the start. A colon does not divide a known name, an IPv6 address, or text in brackets.

    `~TEXT` is a regular expression for the beginning of a name, `@FILE` a file with one pattern per line. Any other
    term is the first of these that matches a host: the name of a host or a group, `all`, `ungrouped`; an address;
    `group[0]` or `group[0:4]`, counted from 0, both ends included; a range as in the inventory, `ecs-[01:05]`; a glob.
    Source: Ansible's user guide, "Patterns: targeting hosts and groups", and lib/ansible/inventory/manager.py. For
    Ansible a term without a match is a warning. Here it is an error: a typo in `!term` would change one host too many.

    Raises:
        ConfigError: a term matches no host, or no host is left.
    """
    index = _Index(hosts)
    start: set[str] | None = None
    kept: list[set[str]] = []
    dropped: set[str] = set()
    terms = list(index.split_terms(pattern))
    if not terms:
        raise ConfigError("--limit is empty")
    for term in terms:
        names = index.find_hosts(term.lstrip("&!"))
        if term.startswith("!"):
            dropped |= names
        elif term.startswith("&"):
            kept.append(names)
        else:
            start = names | (start or set())
    selected = (set(index.hosts) if start is None else start).intersection(*kept) - dropped
    if not selected:
        raise ConfigError(f"--limit {show(pattern)} leaves no host")
    return tuple(host for host in hosts if host.name in selected)


class _Index:
    """The names of an inventory, each with its hosts."""

    def __init__(self, hosts: tuple[Host, ...]) -> None:
        self.hosts = {host.name: host for host in hosts}
        self._groups: dict[str, list[str]] = {"all": list(self.hosts), "ungrouped": []}
        for host in hosts:
            for group in host.groups or ("ungrouped",):
                self._groups.setdefault(group, []).append(host.name)
        self._addresses: dict[str, list[str]] | None = None

    def split_terms(self, pattern: str) -> Iterator[str]:
        """Split a pattern into terms; a colon inside a name or an address does not divide."""
        for part in filter(None, map(str.strip, _split(pattern, ","))):
            bare = part.lstrip("&!")
            if bare[:1] in "~@" or self._is_known(bare) or _is_address(bare):
                yield part
            else:
                yield from filter(None, map(str.strip, _split(part, ":")))

    def find_hosts(self, term: str) -> set[str]:
        """Find the names of the hosts that one term, without its `&` or `!`, matches.

        Raises:
            ConfigError: no host, or an invalid regular expression, range or file.
        """
        if term.startswith("@"):
            return self._read_file(term[1:])
        names = set(self._match(term[1:]) if term.startswith("~") else self._find_named(term))
        if not names:
            suggestion = "" if term.startswith("~") else did_you_mean(term, (*self.hosts, *self._groups))
            hint = None if suggestion else "`sshd-keepalive hosts` lists the hosts and groups of an inventory"
            if "@" in term:
                hint = "with an inventory, HOST is a name in it; leave the inventory out to log in to any user@host"
            raise ConfigError(f"no host and no group is called {show(term)}{suggestion}", hint=hint)
        return names

    def _is_known(self, term: str) -> bool:
        return term in self.hosts or term in self._groups

    def _find_named(self, term: str) -> Iterable[str]:
        if self._is_known(term):
            return [*self._groups.get(term, ()), *([term] if term in self.hosts else [])]
        if by_address := self._find_by_address(term):
            return by_address
        if subscript := _SUBSCRIPT.fullmatch(term):
            base = self._match(translate(subscript["base"]))
            if counted := _apply_subscript(base, subscript):
                return counted
        if ranges.has_range(term):
            try:
                return [name for name in ranges.expand(term) if name in self.hosts]
            except ValueError as error:
                raise ConfigError(f"--limit {show(term)}: {error}") from None
        return self._match(translate(term))

    def _match(self, expression: str) -> list[str]:
        """Find the hosts whose name, or the name of one of their groups, matches from its beginning."""
        try:
            with warnings.catch_warnings():  # Python warns that `[[` may get another meaning; users need not know
                warnings.simplefilter("ignore", FutureWarning)
                matches = re.compile(expression).match
        except re.error as error:
            raise ConfigError(f"--limit: {show(expression)} is not a regular expression: {error}") from None
        members = {name for group, names in self._groups.items() if matches(group) for name in names}
        return [name for name in self.hosts if name in members or matches(name)]

    def _find_by_address(self, term: str) -> list[str]:
        if self._addresses is None:
            self._addresses = {}
            for host in self.hosts.values():
                self._addresses.setdefault(host.address, []).append(host.name)
        return self._addresses.get(term, [])

    def _read_file(self, file: str) -> set[str]:
        """Find the hosts that the lines of a file match; `#` begins a comment. A line cannot name another file."""
        try:
            lines = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: ~NAME of an unknown account
            raise ConfigError(f"--limit @{file}: {getattr(error, 'strerror', None) or 'not a text file'}") from None
        patterns = [text for line in lines if (text := line.partition("#")[0].strip())]
        if not patterns:
            raise ConfigError(f"--limit @{file}: the file contains no host")
        names: set[str] = set()
        for pattern in patterns:
            if pattern.startswith("@"):
                raise ConfigError(f"--limit @{file}: a line cannot name another file")
            names.update([pattern] if pattern in self.hosts else self.find_hosts(pattern))
        return names


def _apply_subscript(names: list[str], subscript: re.Match[str]) -> list[str]:
    first = int(subscript["first"])
    if not subscript["to"]:
        return names[first : first + 1 or None]
    last = subscript["last"]
    return names[first : int(last) + 1 or None] if last else names[first:]


def _split(text: str, separator: str) -> Iterator[str]:
    """Split at separators outside brackets."""
    depth = begin = 0
    for position, character in enumerate(text):
        if character in "[({":
            depth += 1
        elif character in "])}":
            depth = max(0, depth - 1)
        elif character == separator and not depth:
            yield text[begin:position]
            begin = position + 1
    yield text[begin:]


def _is_address(text: str) -> bool:
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
