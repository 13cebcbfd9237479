"""Warnings about an inventory, printed by `hosts`: allowed, but probably wrong. Makes no connection."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path

from sshd_keepalive.model import Host
from sshd_keepalive.spelling import did_you_mean, join_first

SOON = timedelta(days=14)


def lint(hosts: tuple[Host, ...], *, today: date) -> tuple[str, ...]:
    """Give one sentence for each warning."""
    rules = (
        _find_obstacles(hosts),
        _find_duplicates(hosts),
        _find_accept_new(hosts),
        _find_ambiguous_names(hosts),
        _find_unknown_hops(hosts),
        _find_missing_files(hosts),
        _find_ending_waivers(hosts, today),
    )
    return tuple(warning for rule in rules for warning in rule)


def _join_names(names: Iterable[str]) -> str:
    return join_first(list(dict.fromkeys(names)), 5)


def _find_obstacles(hosts: tuple[Host, ...]) -> Iterator[str]:
    why = defaultdict(list)
    for host in hosts:
        why[host.obstacle].append(host.name)
    for obstacle, names in why.items():
        if obstacle:
            yield f"cannot connect to {_join_names(names)}: {obstacle}"


def _find_duplicates(hosts: tuple[Host, ...]) -> Iterator[str]:
    same = defaultdict(list)
    for host in hosts:
        same[host.address.casefold(), host.port, host.sshd_config, tuple(hop.address for hop in host.jump)].append(host)
    for (address, port, config, _), duplicates in same.items():
        if len(duplicates) > 1:
            yield f"{_join_names(host.name for host in duplicates)} are the same sshd: {address} port {port}, {config}"


def _find_accept_new(hosts: tuple[Host, ...]) -> Iterator[str]:
    trusting = [host.name for host in hosts if host.host_keys == "accept-new" and not host.host_key]
    if trusting:
        yield f"host_keys is accept-new for {_join_names(trusting)}: the first key that a server shows is accepted"


def _find_ambiguous_names(hosts: tuple[Host, ...]) -> Iterator[str]:
    groups = {group for host in hosts for group in host.groups}
    for host in hosts:
        if host.name in groups:
            yield f"{host.name} is the name of a host and of a group: --limit {host.name} means both"


def _find_unknown_hops(hosts: tuple[Host, ...]) -> Iterator[str]:
    names = {host.name for host in hosts}
    for hop in dict.fromkeys(hop.name for host in hosts for hop in host.jump if hop.name not in names):
        if near := did_you_mean(hop, names):
            yield f"jump {hop} is not a host of the inventory{near}"


def _find_missing_files(hosts: tuple[Host, ...]) -> Iterator[str]:
    used: dict[tuple[str, str], list[str]] = defaultdict(list)
    for host in hosts:
        for setting in ("identity_file", "certificate_file", "known_hosts"):
            if path := getattr(host, setting):
                used[setting, path].append(host.name)
    for (setting, path), names in used.items():
        if not Path(path).is_file():
            yield f"{setting} {path} of {_join_names(names)} does not exist"


def _find_ending_waivers(hosts: tuple[Host, ...], today: date) -> Iterator[str]:
    for host in hosts:
        if host.waiver and host.waiver.until < today:
            yield f"the waiver of {host.name} ended on {host.waiver.until} (owner {host.waiver.owner})"
        elif host.waiver and host.waiver.until - today < SOON:
            yield f"the waiver of {host.name} ends on {host.waiver.until} (owner {host.waiver.owner})"
