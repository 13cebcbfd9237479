"""Hosts on the command line, `-i 'web1,ops@web2:2222,'` or `list:web1`: a comma makes it a list, as in Ansible."""

from __future__ import annotations

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts.target import parse_list
from sshd_keepalive.model import Host


def load(source: str) -> tuple[Host, ...]:
    """Parse the hosts of a list; `web[01:20]` is a range as in other inventories.

    Raises:
        ConfigError: a word is not a target, or there is none.
    """
    hosts = parse_list((source, word.strip()) for word in source.split(",") if word.strip())
    if not hosts:
        raise ConfigError(f"{source!r} names no host", hint="for example -i 'web1,web2,'")
    return hosts
