"""The options that mean the same on every command that talks to hosts, and the hosts they select."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import click

from sshd_keepalive.cli.durations import Duration
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import Become, Host
from sshd_keepalive.planning.policy import BY_EFFECT, BY_VALUE, override
from sshd_keepalive.sshd_config.values import INT_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the shared options said."""

    inventory: tuple[str, ...] = ()
    limit: str | None = None
    forks: int = 1
    user: str | None = None
    port: int | None = None
    private_key: str | None = None
    host_keys: str | None = None
    jump: str | None = None
    ask_pass: bool = False
    become: str | None = None
    ask_become_pass: bool = False
    timeout: float = 60.0
    format: str
    out: tuple[str, ...]
    quiet: bool
    verbose: int
    color: str
    no_progress: bool = True
    engine: str = "thread"
    interval: float | None = None
    count: int | None = None
    keep_alive_every: float | None = None
    drop_dead_after: float | None = None

    @property
    def policy(self) -> dict[str, int]:
        """What replaces the policy of every host for this run, by the names of `planning.policy`."""
        given = dict(zip((*BY_VALUE, *BY_EFFECT), (getattr(self, name) for name in _POLICY_NAMES), strict=True))
        return {name: int(value) for name, value in given.items() if value is not None}

    @property
    def policy_words(self) -> list[str]:
        """The same as words of a command line."""
        options = zip(_POLICY_NAMES, (getattr(self, name) for name in _POLICY_NAMES), strict=True)
        return [
            word
            for name, value in options
            if value is not None
            for word in (f"--{name.replace('_', '-')}", f"{value:g}")
        ]


_HOSTS = (
    click.option("-i", "--inventory", metavar="SOURCE", multiple=True, help="A file, or KIND:ARGUMENT; repeatable."),
    click.option("-l", "--limit", metavar="PATTERN", help="Only these hosts or groups: a,b  web*  !db  @FILE."),
    click.option(
        "-f",
        "--forks",
        metavar="N",
        type=click.IntRange(1, 1000),
        default=20,
        show_default=True,
        help="Hosts at a time.",
    ),
    click.option("-u", "--user", metavar="NAME", help="Log in as this account, whatever the inventory says."),
    click.option("-p", "--port", metavar="PORT", type=click.IntRange(1, 65535), help="Connect to this port."),
    click.option("--private-key", metavar="FILE", help="Log in with this key."),
    click.option("-k", "--ask-pass", is_flag=True, help="Ask once for the login password, and log in with it."),
    click.option("-J", "--jump", metavar="HOPS", help="Go through user@host:port[,…]; none: directly."),
    click.option(
        "--host-keys",
        type=click.Choice(("strict", "accept-new")),
        help="Refuse unknown host keys, or write them to known_hosts; without it a person on a terminal is asked.",
    ),
    click.option("-b", "--become", type=click.Choice(("sudo", "doas", "none")), help="How the login becomes root."),
    click.option("-K", "--ask-become-pass", is_flag=True, help="Ask once for the sudo password."),
    click.option(
        "--timeout",
        metavar="SECONDS",
        type=click.FloatRange(1, 3600),
        default=60.0,
        show_default=True,
        help="For one login, and for one exchange over it.",
    ),
)
_POLICY_NAMES = ("interval", "count", "keep_alive_every", "drop_dead_after")
_POLICY = (
    click.option(
        "--keep-alive-every",
        metavar="TIME",
        type=Duration(1, INT_MAX, whole=True),
        help="Want a keep-alive after this silence at most, 300 or 5m, whatever interval the host's release needs.",
    ),
    click.option(
        "--drop-dead-after",
        metavar="TIME",
        type=Duration(1, INT_MAX, whole=True),
        help="With --keep-alive-every: want a dead session dropped within this time, 20m.",
    ),
    click.option(
        "--interval", metavar="TIME", type=Duration(0, INT_MAX, whole=True), help="Want this ClientAliveInterval."
    ),
    click.option("--count", metavar="N", type=click.IntRange(0, INT_MAX), help="Want this ClientAliveCountMax."),
)
_OUTPUT = (
    click.option(
        "--format", metavar="FORMAT", default="text", show_default=True, help="text, json, jsonl or another report."
    ),
    click.option("--out", metavar="KIND:FILE", multiple=True, help="Write a report to a file as well; repeatable."),
    click.option("-q", "--quiet", is_flag=True, help="Only the hosts that are not as wanted."),
    click.option("-v", "--verbose", count=True, help="Every step; -vv: diagnosis."),
    click.option(
        "--color",
        type=click.Choice(("auto", "always", "never")),
        default="auto",
        show_default=True,
        help="NO_COLOR is honoured.",
    ),
)
_WORK = (
    click.option("--no-progress", is_flag=True, help="No progress bar."),
    click.option(
        "--engine",
        metavar="KIND",
        default="thread",
        show_default=True,
        help="How hosts are worked on at once: thread, dask (a process for each processor), dask:tls://SCHEDULER.",
    ),
)


def fleet_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the shared options; the command gets them as one value, `options`."""
    return _with((*_HOSTS, *_OUTPUT, *_WORK), function)


def policy_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that replace the policy for one run; `fleet_options` must stand below and takes them over."""
    for option in reversed(_POLICY):
        function = option(function)
    return function


def output_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add those of them that say how something is told, for a command that talks to no host."""
    return _with(_OUTPUT, function)


def _with(options: Sequence[Callable[..., Any]], function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def called(**given: Any) -> Any:
        shared = {field.name: given.pop(field.name) for field in fields(Options) if field.name in given}
        return function(options=Options(**shared), **given)

    wrapped: Callable[..., Any] = called
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


def named_in_environment(command: click.Command) -> click.Command:
    """Every option also comes from SSHD_KEEPALIVE_…, named alike on every command; spaces divide several values."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name:
            parameter.envvar = f"SSHD_KEEPALIVE_{parameter.name.upper()}"
    return command


def selected(options: Options, arguments: Sequence[str] = ()) -> tuple[Host, ...]:
    """The hosts that a command line means.

    With an inventory, arguments are patterns like those of `--limit`; without one they are targets, `user@host`.

    Raises:
        ConfigError: the inventory, a pattern or a target is wrong, or no host was named.
    """
    from sshd_keepalive import inventories
    from sshd_keepalive.hosts import jump, limit, target

    if options.inventory:
        hosts = inventories.load(options.inventory)
        for pattern in (options.limit, ",".join(arguments)):
            if pattern:
                hosts = limit.select(hosts, pattern)
    elif arguments:
        hosts = target.targets(arguments)
        if options.limit:
            hosts = limit.select(hosts, options.limit)
    else:
        raise ConfigError("no hosts were named", hint="give an inventory, -i hosts.yaml, or a target, user@host")
    if options.ask_become_pass and options.become in ("doas", "none"):
        raise ConfigError(f"--ask-become-pass is for sudo, not for --become {options.become}", hint="leave out one")
    if options.jump:
        hosts = jump.through(hosts, options.jump)
    return tuple(_as_asked(host, options) for host in hosts)


def _as_asked(host: Host, options: Options) -> Host:
    if options.user:
        host = replace(host, user=options.user)
    if options.port:
        host = replace(host, port=options.port)
    if options.ask_pass:
        host = replace(host, password="prompt")  # noqa: S106 (a reference)
    if options.host_keys:
        hops = tuple(replace(hop, host_keys=options.host_keys) for hop in host.jump)
        host = replace(host, host_keys=options.host_keys, jump=hops)
    if options.become and options.become != host.become.method:
        host = replace(host, become=Become(method=options.become))
    if options.private_key:
        host = replace(host, identity_file=str(Path(options.private_key).expanduser()))
    if options.policy:
        host = replace(host, policy=override(host.policy, options.policy))
    if options.ask_become_pass:
        host = replace(host, become=Become(method=host.become.method, password="prompt"))  # noqa: S106 (a reference)
    return host
