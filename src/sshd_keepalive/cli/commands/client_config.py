"""`client-config`: the matching setting for clients, and a check of an ssh_config for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import click

from sshd_keepalive import clients
from sshd_keepalive.cli import ExitCode
from sshd_keepalive.cli.base import Command
from sshd_keepalive.cli.duration import DAY_S, Duration
from sshd_keepalive.cli.options import format_options
from sshd_keepalive.cli.output import wrap_for_stderr
from sshd_keepalive.config.openssh import SshConfig
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import SCHEMA_VERSION, Policy, State
from sshd_keepalive.quoting import printable

_HEAD: Final = {"schema_version": SCHEMA_VERSION, "command": "client-config"}


@click.command("client-config", cls=Command, short_help="Print, or check, the keep-alive setting of clients.")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option(
    "--for", "names", type=click.Choice(clients.NAMES), multiple=True, help="Print only this client; repeatable."
)
@click.option(
    "--interval", metavar="TIME", type=Duration(1, DAY_S, whole=True), default=Policy().interval_s, show_default=True,
    help="The time between two keep-alives of the client, for example 5m.",
)  # fmt: skip
@click.option(
    "--count", metavar="N", type=click.IntRange(1, 1000), default=Policy().count_max, show_default=True,
    help="Unanswered keep-alives after which the client closes the connection.",
)  # fmt: skip
@click.option("--check", metavar="FILE", help="Check this ssh_config for every host it names, or for HOST.")
@format_options("text", "json")
def command(
    hosts: tuple[str, ...],
    names: tuple[str, ...],
    interval: float,
    count: int,
    check: str | None,
    format: str,  # noqa: A002 (the option's name)
) -> None:
    """Print the matching keep-alive setting for clients, or check an ssh_config for it.

    Use it where the host cannot be changed, or where a firewall drops idle sessions before the host's keep-alive.
    With --check the exit code is 1 when a host gets no keep-alive, or too few. No connection is made.
    """
    is_json, interval_s = format == "json", int(interval)
    if check is None:
        if hosts:
            raise ConfigError("a HOST is for --check FILE", hint="name the file: --check ~/.ssh/config")
        _print_settings(names or clients.NAMES, interval_s, count, is_json=is_json)
        return
    config = SshConfig(str(Path(check).expanduser()))
    checked = [_check_host(config, name, interval_s) for name in hosts or (*config.names, "any other host")]
    is_compliant = all(host["state"] is State.OK for host in checked)
    _print_check(checked, is_json=is_json)
    if not (is_compliant or is_json):
        step = f"next: add these lines to {check}, before its first Host line:\n"
        click.echo(wrap_for_stderr(step), err=True, nl=False)
        click.echo(clients.render(interval_s, count, ("openssh",)), err=True, nl=False)
    raise SystemExit(ExitCode.OK if is_compliant else ExitCode.DRIFT)


def _print_settings(names: tuple[str, ...], interval: int, count: int, *, is_json: bool) -> None:
    if not is_json:
        click.echo(clients.render(interval, count, names), nl=False)
        return
    settings = {
        client.name: {"place": client.place, "text": client.render(interval, count), "remark": client.remark}
        for client in clients.CLIENTS
        if client.name in names
    }
    click.echo(json.dumps({**_HEAD, "clients": settings}, indent=1))


def _print_check(hosts: list[dict[str, Any]], *, is_json: bool) -> None:
    if is_json:
        click.echo(json.dumps({**_HEAD, "hosts": hosts}, indent=1))
    for host in () if is_json else hosts:
        click.echo(printable(f"{host['state']:<6}{host['name']}  ServerAliveInterval {host['interval']}"))


def _check_host(config: SshConfig, name: str, wanted_s: int) -> dict[str, Any]:
    """Find what ssh would do for one host."""
    settings = config.resolve(name.replace(" ", "-"))
    interval_s = int(settings.get("serveraliveinterval", [clients.DEFAULT_INTERVAL])[0])
    return {
        "name": name,
        "interval": interval_s,
        "wanted": wanted_s,
        "state": State.OK if clients.is_enough(interval_s, wanted_s) else State.DRIFT,
    }
