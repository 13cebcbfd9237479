"""Jump hosts: from the hops that each host names to the complete way to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts.target import parse_target, split_target
from sshd_keepalive.model import Host

MOST_HOPS: Final = 16
DIRECT: Final = ("none",)  # as ProxyJump in ssh_config(5)


class Ways:
    """The ways to the hosts of one inventory.

    Args:
        hosts: its hosts, without their ways.
        jumps: host → the hops that it names. Absent or `none`: the host is reached directly.
        outside: adds the settings for all hosts to a hop that is not in this inventory.
    """

    def __init__(
        self,
        hosts: Mapping[str, Host],
        jumps: Mapping[str, tuple[str, ...]],
        outside: Callable[[Host], Host] = lambda hop: hop,
    ) -> None:
        self._hosts = hosts
        self._jumps = jumps
        self._outside = outside
        self._ways: dict[tuple[str, ...], tuple[Host, ...]] = {DIRECT: (), (): ()}

    def resolve(self, name: str) -> tuple[Host, ...]:
        """Give the hops to a host, first hop first.

        The first hop is reached its own way, the others from the hop before, as with `ssh -J a,b`. A hop's own
        `jump` is empty: the whole way is in the tuple.

        Raises:
            ConfigError: a loop, an invalid hop, or more than MOST_HOPS hops.
        """
        way = self._resolve_hops(self._jumps.get(name, ()), (name,))
        self._refuse_loop((name, *(hop.name for hop in reversed(way))))
        return way

    def _resolve_hops(self, hops: tuple[str, ...], behind: tuple[str, ...]) -> tuple[Host, ...]:
        if hops not in self._ways:
            first, *rest = [self._find_hop(text) for text in hops]
            line = (*behind, *(hop.name for hop in reversed(rest)), first.name)
            self._refuse_loop(line)
            self._ways[hops] = (*self._resolve_hops(self._jumps.get(first.name, ()), line), first, *rest)
        return self._ways[hops]

    def _refuse_loop(self, line: tuple[str, ...]) -> None:
        """Args: line: host, then its hops, the nearest first."""
        if len(set(line)) < len(line):
            raise ConfigError(f"jump loop: {' → '.join(line)}; `jump: none` at one of them ends it")
        if len(line) > MOST_HOPS:
            raise ConfigError(f"jump through more than {MOST_HOPS} hops: {' → '.join(line)}")

    def _find_hop(self, text: str) -> Host:
        if text in self._hosts:
            return self._hosts[text]
        user, address, port = split_target(text)
        if inside := self._hosts.get(address):
            return replace(inside, user=user or inside.user, port=port or inside.port)
        return self._outside(parse_target(text))


def cut_at_itself(name: str, hops: tuple[str, ...]) -> tuple[str, ...]:
    """Cut an inherited way at the host itself: a jump host named in `defaults` is not reached through itself."""
    for number, hop in enumerate(hops):
        if hop == name or (("@" in hop or ":" in hop) and split_target(hop)[1] == name):
            return hops[:number]
    return hops


def override_jump(hosts: tuple[Host, ...], text: str) -> tuple[Host, ...]:
    """Replace the way to all hosts by the hops of `-J a,user@b:port`; `none`: directly.

    Raises:
        ConfigError: an invalid hop.
    """
    hops = tuple(part.strip() for part in text.split(","))
    ways = Ways(
        {host.name: replace(host, jump=()) for host in hosts}, {h.name: cut_at_itself(h.name, hops) for h in hosts}
    )
    return tuple(replace(host, jump=ways.resolve(host.name), obstacle="") for host in hosts)
