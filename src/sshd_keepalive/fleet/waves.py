"""Waves of hosts, and one error budget for all of them.

Sizes are those of Ansible's `serial` (numbers or shares of all hosts, the last one repeated) and its
`max_fail_percentage`, with one difference: a host that was not reached counts as failed.
Source: Ansible's user guide, "Controlling playbook execution".
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import End, Host, HostReport

_SIZE = re.compile(r"([0-9]+)(%?)")
Wave = tuple[Host, ...]


def divide(hosts: Sequence[Host], serial: str = "100%", *, canary: int = 0) -> tuple[Wave, ...]:
    """Divide hosts into waves; every host is in exactly one, in the given order.

    Args:
        serial: `1,10%,100%`: sizes, the last one repeated; shares are of all hosts, at least one host.
            `label:NAME`: one wave for each value of a label, in order of first appearance, hosts without it last.
        canary: how many hosts form the first wave.
    Raises:
        ConfigError: an invalid size, or a label that no host has.
    """
    first, rest = tuple(hosts[:canary]), tuple(hosts[canary:])
    kind, colon, name = serial.partition(":")
    divided = (
        _divide_by_label(rest, name)
        if colon and kind == "label"
        else _divide_by_size(rest, _parse_sizes(serial, len(hosts)))
    )
    return tuple(wave for wave in (first, *divided) if wave)


def _parse_sizes(serial: str, n_hosts: int) -> list[int]:
    sizes = []
    for text in serial.split(","):
        match = _SIZE.fullmatch(text.strip())
        if match is None or int(match[1]) == 0 or (match[2] and int(match[1]) > 100):
            raise ConfigError(
                f"--serial {serial}: {text.strip()!r} is not a valid wave size",
                hint="for example 1,10%,100% or label:zone",
            )
        sizes.append(max(1, n_hosts * int(match[1]) // 100) if match[2] else int(match[1]))
    return sizes


def _divide_by_size(hosts: Wave, sizes: Sequence[int]) -> tuple[Wave, ...]:
    divided: list[Wave] = []
    start = 0
    while start < len(hosts):
        size = sizes[min(len(divided), len(sizes) - 1)]
        divided.append(hosts[start : start + size])
        start += size
    return tuple(divided)


def _divide_by_label(hosts: Wave, name: str) -> tuple[Wave, ...]:
    by_value: dict[str | None, list[Host]] = {}
    for host in hosts:
        by_value.setdefault(dict(host.labels).get(name), []).append(host)
    if hosts and not by_value.keys() - {None}:
        raise ConfigError(f"--serial label:{name}: no host has this label")
    without = by_value.pop(None, [])
    return tuple(tuple(wave) for wave in (*by_value.values(), without))


@dataclass(frozen=True, slots=True)
class Budget:
    """How many hosts of the whole run may fail; None: any number."""

    n_max: int | None

    @classmethod
    def parse(cls, text: str, n_hosts: int) -> Budget:
        """Parse `3` or `10%`; a share is rounded down.

        Raises:
            ConfigError: neither.
        """
        match = _SIZE.fullmatch(text.strip())
        if match is None or (match[2] and int(match[1]) > 100):
            raise ConfigError(
                f"--max-fail {text}: not a number of hosts or a share of them", hint="for example 0 or 5%"
            )
        return cls(math.floor(n_hosts * int(match[1]) / 100) if match[2] else int(match[1]))

    def is_spent(self, n_failed: int) -> bool:
        """Whether more hosts failed than may."""
        return self.n_max is not None and n_failed > self.n_max


def has_failed(report: HostReport) -> bool:
    """Whether a host counts against the budget: all that is neither applied, unchanged nor judged."""
    if report.failure is not None or report.end not in (None, End.APPLIED, End.UNCHANGED):
        return True
    return not report.state.is_judged
