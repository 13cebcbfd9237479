"""A list on standard input, `-i -` or `stdin:`: one target per line, `ops@web1:2222`; `#` begins a comment."""

from __future__ import annotations

import sys
from typing import Final

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts import ranges
from sshd_keepalive.hosts.target import parse_target
from sshd_keepalive.model import Host

MAX_BYTES: Final = 64 * 1024 * 1024
_MOST_TOLD: Final = 30


def can_load(head: bytes, path: str) -> bool:
    """Recognise no file."""
    return False


def list_known(source: str) -> tuple[Host, ...]:
    """List none: during completion there is no standard input."""
    return ()


def load(source: str) -> tuple[Host, ...]:
    """Read all lines; the same target twice is one host. `web[01:20]` is a range as in other inventories.

    Raises:
        ConfigError: all lines that are not targets, or no line.
    """
    if source not in ("", "-"):
        raise ConfigError(f"stdin:{source}: standard input takes no argument", hint="-i - or -i stdin:")
    if sys.stdin is None or sys.stdin.isatty():
        raise ConfigError("-i - reads the hosts from standard input, which is a terminal", hint="list-hosts | …")
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigError(f"standard input: more than {MAX_BYTES // 1024 // 1024} MiB")
    hosts: dict[str, tuple[Host, int]] = {}
    mistakes: list[str] = []
    for number, raw in enumerate(data.decode("utf-8-sig", "replace").splitlines(), 1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        try:
            found = [parse_target(text) for text in ranges.expand(line)]
        except (ConfigError, ValueError) as error:
            mistakes.append(f"standard input:{number}: {error}")
            continue
        for host in found:
            first, before = hosts.setdefault(host.name, (host, number))
            if first != host:
                mistakes.append(f"standard input:{number}: {host.name!r} is given differently in line {before}")
    if not hosts and not mistakes:
        mistakes.append("standard input: there are no hosts")
    if mistakes:
        raise ConfigError("\n".join(mistakes[:_MOST_TOLD]))
    return tuple(host for host, _ in hosts.values())
