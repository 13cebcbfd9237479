"""The hosts that the options of a command select, and the words that select them again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
from click.core import ParameterSource

from sshd_keepalive.cli.options import LOGIN, POLICY_KEYS, Options, list_names
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.files import explain_missing
from sshd_keepalive.fleet.report import RepeatedWords
from sshd_keepalive.model import Become, Host
from sshd_keepalive.planning.policy import override, refuse_mixture


def select_hosts(options: Options) -> tuple[Host, ...]:
    """Select the hosts of a command line.

    With an inventory, words are patterns like those of `--limit`; without one they are targets, `user@host` or an
    alias of ~/.ssh/config, reached as ssh(1) reaches them.

    Raises:
        ConfigError: the inventory, a pattern, a target or an option is wrong, or no host was named.
    """
    from sshd_keepalive import inventories
    from sshd_keepalive.hosts import jump, limit

    _refuse_contradiction(options)
    if options.inventory:
        hosts = inventories.load(options.inventory)
        for pattern in (options.limit, ",".join(options.hosts)):
            if pattern:
                hosts = limit.select(hosts, pattern)
    elif options.hosts:
        hosts = inventories.resolve_targets(options.hosts)
        if options.limit:
            hosts = limit.select(hosts, options.limit)
    else:
        raise ConfigError("no hosts were named", hint="give an inventory, -i hosts.yaml, or a target, user@host")
    if options.jump:
        hosts = jump.override_jump(hosts, options.jump)
    return tuple(_override_settings(host, options) for host in hosts)


def _refuse_contradiction(options: Options) -> None:
    """Refuse options that contradict each other, or a key that cannot be read."""
    if options.ask_become_pass and options.become in ("doas", "none"):
        raise ConfigError(f"--ask-become-pass is for sudo, not for --become {options.become}", hint="leave out one")
    try:
        refuse_mixture(options.policy)
    except ValueError as error:
        raise ConfigError(_spell_policy(str(error), options)) from None
    if options.private_key:
        key = Path(options.private_key).expanduser()
        is_with_agent = key.with_name(f"{key.name}.pub").is_file() and not key.exists()
        if not (is_with_agent or (os.access(key, os.R_OK) and key.is_file())):
            reason = "no permission to read it" if key.is_file() else explain_missing(key)
            raise ConfigError(f"--private-key {options.private_key}: {reason}", hint="look for the key: ls -l ~/.ssh")


def _spell_policy(text: str, options: Options) -> str:
    """Name the options that were typed in place of the keys that they stand for."""
    for name, key in POLICY_KEYS.items():
        if getattr(options, name) is not None:
            text = text.replace(key, f"--{name.replace('_', '-')}")
    return text


def _override_settings(host: Host, options: Options) -> Host:
    """Replace settings of the inventory by options."""
    key = options.private_key
    host = replace(
        host,
        user=options.user or host.user,
        port=options.port or host.port,
        identity_file=str(Path(key).expanduser()) if key else host.identity_file,
        password="prompt" if options.ask_pass else host.password,  # a reference
    )
    if options.host_keys:
        hops = tuple(replace(hop, host_keys=options.host_keys) for hop in host.jump)
        host = replace(host, host_keys=options.host_keys, jump=hops)
    if options.become and options.become != host.become.method:
        host = replace(host, become=Become(method=options.become))
    if options.policy:
        try:
            host = replace(host, policy=override(host.policy, options.policy))
        except ConfigError as error:
            raise ConfigError(_spell_policy(str(error), options), hint=error.hint) from None
    if options.ask_become_pass:
        host = replace(host, become=Become(method=host.become.method, password="prompt"))  # noqa: S106 (a reference)
    return host


def repeat_words(options: Options) -> RepeatedWords:
    """Spell again what chooses hosts, their policy and the login."""
    return RepeatedWords(
        config=repeat_config(),
        inventory=tuple(_spell(options, "inventory")),
        policy=tuple(_spell(options, *POLICY_KEYS)),
        login=tuple(_spell(options, *LOGIN)),
        hosts=(*_spell(options, "limit"), *options.hosts),
    )


def repeat_config() -> tuple[str, ...]:
    """Spell the option again that names the configuration file; a variable still names it for the next command."""
    root = click.get_current_context().find_root()
    is_typed = root.get_parameter_source("config") is ParameterSource.COMMANDLINE
    return ("--config", root.params["config"]) if is_typed else ()


def _spell(options: Options, *names: str) -> Iterator[str]:
    for name in names:
        value = getattr(options, name)
        if value == getattr(Options(), name):  # the default
            continue
        for one in value if isinstance(value, tuple) else (value,):
            yield list_names(name)[0]
            if one is not True:  # a flag has no value
                yield f"{one:g}" if isinstance(one, float) else str(one)
