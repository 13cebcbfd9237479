"""`client-config`: the matching setting for clients, and a check of an ssh_config for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import click

from sshd_keepalive import clients
from sshd_keepalive.cli.options import named_in_environment
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import SCHEMA_VERSION, Policy
from sshd_keepalive.quoting import printable

_HEAD: Final = {"schema_version": SCHEMA_VERSION, "command": "client-config"}


@click.command("client-config", short_help="Print, or check, the keep-alive setting of clients.")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option("--for", "names", type=click.Choice(clients.NAMES), multiple=True, help="Only this client; repeatable.")
@click.option(
    "--interval", metavar="SECONDS", type=click.IntRange(1, 86400), default=Policy().interval_s, show_default=True,
    help="Between two keep-alives of the client.",
)  # fmt: skip
@click.option(
    "--count", metavar="N", type=click.IntRange(1, 1000), default=Policy().count_max, show_default=True,
    help="Unanswered ones after which the client gives up.",
)  # fmt: skip
@click.option("--check", metavar="FILE", help="Check this ssh_config for every host it names, or for HOST.")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True)
def command(
    hosts: tuple[str, ...], names: tuple[str, ...], interval: int, count: int, check: str | None, form: str
) -> None:
    """Print the matching keep-alive setting for clients, or check an ssh_config for it.

    For sessions whose host nobody may change, and for boxes on the way that forget sooner than the host asks.
    With --check the exit code is 1 when a host gets no keep-alive, or one too seldom. No connection is made.
    """
    if check is None:
        if hosts:
            raise ConfigError("a HOST is for --check FILE", hint="name the file: --check ~/.ssh/config")
        picked = names or clients.NAMES
        if form == "json":
            told = {
                client.name: {"place": client.place, "text": client.render(interval, count), "remark": client.remark}
                for client in clients.CLIENTS
                if client.name in picked
            }
            click.echo(json.dumps({**_HEAD, "clients": told}, indent=1))
        else:
            click.echo(clients.text(interval, count, picked), nl=False)
        return
    found = [_of(check, name, interval) for name in _hosts(check, hosts)]
    if form == "json":
        click.echo(json.dumps({**_HEAD, "hosts": found}, indent=1))
    else:
        for host in found:
            word = "ok" if host["verdict"] == "pass" else "drift"
            place = f"  {host['place']}" if host["place"] else ""
            click.echo(printable(f"{word:<6}{host['name']}  ServerAliveInterval {host['interval']}{place}"))
    wrong = [host for host in found if host["verdict"] != "pass"]
    if wrong and form == "text":
        click.echo(f"next: add these lines to {check}, before its first Host line:\n", err=True)
        click.echo(clients.text(interval, count, ("openssh",)), err=True, nl=False)
    raise SystemExit(1 if wrong else 0)


def _hosts(check: str, hosts: tuple[str, ...]) -> tuple[str, ...]:
    """The hosts named on the command line, else all that the file names, and one that it does not."""
    return hosts or (*_config(check).names, "any other host")


def _config(path: str) -> Any:
    from sshd_keepalive.config.openssh import SshConfig

    return SshConfig(str(Path(path).expanduser()))


def _of(path: str, name: str, wanted_s: int) -> dict[str, Any]:
    """What ssh would do for one host."""
    from sshd_keepalive.sshd_config.values import BadValue, seconds
    from sshd_keepalive.sshd_config.version import Version

    found = _config(path).resolve(name.replace(" ", "-"))
    given = found.get("serveraliveinterval")
    words = given[0].words[0] if given else clients.DEFAULT_INTERVAL
    try:
        interval_s = seconds(words.encode(), Version(9, 6))  # ssh and sshd read times alike (convtime)
    except BadValue as error:
        raise ConfigError(f"{given[0].place if given else path}: ServerAliveInterval {words}: {error}") from None
    return {
        "name": name,
        "interval": interval_s,
        "wanted": wanted_s,
        "place": given[0].place if given else None,
        "verdict": "pass" if clients.is_enough(interval_s, wanted_s) else "fail",
    }


named_in_environment(command)
