"""Inventories: where the hosts come from. One module for each kind of source."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from sshd_keepalive import registry
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts import target
from sshd_keepalive.model import Host
from sshd_keepalive.spelling import did_you_mean, join_mistakes

_HEAD_BYTES: Final = 64 * 1024


@runtime_checkable
class Inventory(Protocol):
    """What a module of this package provides."""

    def load(self, source: str) -> tuple[Host, ...]:
        """Load the hosts of a source, the argument after `KIND:`, with unique names and resolved jump hosts.

        Raises:
            ConfigError: every mistake that was found, each with its place.
        """

    # A module may also define
    # - `can_load(head: bytes, path: str) -> bool`: whether a file is of this kind, by its first 64 KiB and path;
    # - `list_known(source)`: what completion offers where `load` would ask a program, a cloud or standard input.


def load(sources: Iterable[str]) -> tuple[Host, ...]:
    """Load the hosts of all sources, in order. A source is a path or `KIND:ARGUMENT`.

    Raises:
        ConfigError: a source cannot be read or holds mistakes, or two sources name the same host.
    """
    hosts: dict[str, tuple[Host, str]] = {}
    mistakes: list[str] = []
    for source in dict.fromkeys(sources):
        kind, argument = recognise(source)
        for host in registry.load("inventories", kind).load(argument):
            if host.name in hosts:
                mistakes.append(f"host {host.name!r} is in {hosts[host.name][1]} and in {source}")
            hosts[host.name] = (host, source)
    if mistakes:
        raise ConfigError(
            join_mistakes(mistakes), hint="rename one of them; host names must be unique over all inventories of a run"
        )
    return tuple(host for host, _ in hosts.values())


def resolve_targets(texts: Iterable[str]) -> tuple[Host, ...]:
    """Give the hosts that targets of a command line mean; with an ~/.ssh/config as ssh(1) reaches them.

    Raises:
        ConfigError: a text is not a target, or ssh refuses its configuration.
    """
    hosts = target.parse_targets(texts)
    ssh_config = registry.load("inventories", "ssh_config")
    if not Path(ssh_config.USERS_OWN).expanduser().is_file():
        return hosts
    resolved: tuple[Host, ...] = ssh_config.resolve_targets(texts)
    return resolved


def list_known(sources: Iterable[str]) -> tuple[Host, ...]:
    """List the hosts that completion offers, without running a program or a query. Mistakes raise as in `load`."""
    hosts: list[Host] = []
    for source in dict.fromkeys(sources):
        kind, argument = recognise(source)
        module = registry.load("inventories", kind)
        hosts += getattr(module, "list_known", module.load)(argument)
    return tuple(hosts)


def recognise(source: str) -> tuple[str, str]:
    """Split a SOURCE into kind and argument. An existing file takes precedence over a kind of the same spelling.

    Raises:
        ConfigError: neither a file nor a known kind.
    """
    if source == "-":
        return "stdin", ""
    if not source:
        raise ConfigError("inventory '': no file is named", hint="name one: -i hosts.yaml")
    kind, colon, argument = source.partition(":")
    path = Path(source).expanduser()
    if "," in source and not path.exists() and not registry.is_known("inventories", kind):
        return "list", source
    if not path.exists() and colon and kind.isidentifier() and len(kind) > 1:  # one letter is a Windows drive
        if registry.is_known("inventories", kind):
            return kind, argument
        kinds = registry.list_names("inventories")
        raise ConfigError(
            f"inventory {source}: the file does not exist, and {kind!r} is not a kind{did_you_mean(kind, kinds)}",
            hint=f"use one of {', '.join(kinds)}",
        )
    if not path.exists():
        hint = "name an inventory that exists, -i FILE, or a target, user@host"
        raise ConfigError(f"{source}: the file does not exist", hint=hint)
    if not path.is_file():  # a pipe can be read only once; the reader reports a directory
        return "yaml", str(path)
    return _detect_kind(path), str(path)


def _detect_kind(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return "yaml"
    built_in = registry.list_built_in("inventories")
    kinds = _find_kinds(head, path, built_in)
    if not kinds:  # slow: looks at installed distributions
        kinds = _find_kinds(head, path, [name for name in registry.list_names("inventories") if name not in built_in])
    if len(kinds) > 1:
        choices = " or ".join(f"{kind}:{path}" for kind in kinds)
        raise ConfigError(f"inventory {path} could be of several kinds", hint=f"say which: {choices}")
    return kinds[0] if kinds else "yaml"


def _find_kinds(head: bytes, path: Path, kinds: Iterable[str]) -> list[str]:
    modules = {kind: registry.load("inventories", kind) for kind in kinds}
    return [kind for kind, own in modules.items() if hasattr(own, "can_load") and own.can_load(head, str(path))]
