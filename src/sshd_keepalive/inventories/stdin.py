"""A list on standard input, `-i -` or `stdin:`: one target per line, `ops@web1:2222`; `#` begins a comment."""

from __future__ import annotations

import sys
from typing import Final

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts.target import parse_list
from sshd_keepalive.model import Host

MAX_BYTES: Final = 64 * 1024 * 1024


def list_known(source: str) -> tuple[Host, ...]:
    """List none: completion has no standard input."""
    return ()


def load(source: str) -> tuple[Host, ...]:
    """Read all lines; the same target twice is one host. `web[01:20]` is a range as in other inventories.

    Raises:
        ConfigError: all lines that are not targets, or no line.
    """
    if source not in ("", "-"):
        raise ConfigError(f"stdin:{source}: standard input takes no argument", hint="write -i - or -i stdin:")
    if sys.stdin is None or sys.stdin.isatty():
        hint = "send the hosts to it: list-hosts | sshd-keepalive check -i -"
        raise ConfigError("-i - reads the hosts from standard input, which is a terminal", hint=hint)
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigError(f"standard input: more than {MAX_BYTES // 1024 // 1024} MiB")
    lines = enumerate(data.decode("utf-8-sig", "replace").splitlines(), 1)
    texts = ((f"standard input:{number}", line.partition("#")[0].strip()) for number, line in lines)
    hosts = parse_list((place, text) for place, text in texts if text)
    if not hosts:
        raise ConfigError("standard input contains no host")
    return hosts
