"""`client-config`: the matching setting for clients, and a check of an ssh_config for it.

Keep-alives of either side keep a connection open. Those of the host work for every client; those of a client also
where the host cannot be changed. Sources: ssh_config(5); Transport.set_keepalive of paramiko; Session of JSch; the
pages on SSHHook of Airflow, on the ssh connection of Ansible, and on the ping thread of Jenkins.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSetting:
    """One client and its setting."""

    name: str
    place: str  # where the text goes
    template: str
    remark: str  # how it differs from the others

    def render(self, interval_s: int, count: int) -> str:
        """Fill in the numbers."""
        numbers = {"seconds": interval_s, "milliseconds": interval_s * 1000, "patience": interval_s * count}
        return self.template.format(count=count, **numbers)


CLIENTS: Final[tuple[ClientSetting, ...]] = (
    ClientSetting(
        name="openssh",
        place="~/.ssh/config, or /etc/ssh/ssh_config for everybody",
        template="Host *\n    ServerAliveInterval {seconds}\n    ServerAliveCountMax {count}",
        remark="after (count + 1) unanswered intervals ssh closes the connection; 0, the default, sends nothing",
    ),
    ClientSetting(
        name="paramiko",
        place="after connect()",
        template="client.get_transport().set_keepalive({seconds})",
        remark="needs no answer: it keeps the connection open and never detects a dead host",
    ),
    ClientSetting(
        name="jsch",
        place="before session.connect()",
        template="session.setServerAliveInterval({milliseconds});\nsession.setServerAliveCountMax({count});",
        remark="milliseconds; also the socket's read timeout",
    ),
    ClientSetting(
        name="ansible",
        place="ansible.cfg",
        template="[ssh_connection]\nssh_args = -C -o ControlMaster=auto -o ControlPersist=60s "
        "-o ServerAliveInterval={seconds} -o ServerAliveCountMax={count}",
        remark="ssh_args replaces the default, so it repeats the default; for long tasks prefer async and poll",
    ),
    ClientSetting(
        name="airflow",
        place="the DAG",
        template='SSHOperator(ssh_hook=SSHHook(ssh_conn_id="…", keepalive_interval={seconds}), …)',
        remark="the hook's default is 30 s; cmd_timeout, 10 s by default, is a limit of its own",
    ),
    ClientSetting(
        name="jenkins",
        place="the controller's Java options",
        template="-Dhudson.slaves.ChannelPinger.pingIntervalSeconds={seconds} "
        "-Dhudson.slaves.ChannelPinger.pingTimeoutSeconds={patience}",
        remark="Jenkins pings its agents every 300 s by default; for ssh steps of a job use openssh's setting",
    ),
)
NAMES: Final = tuple(client.name for client in CLIENTS)


@click.command("client-config", cls=Command, short_help="Print, or check, the keep-alive setting of clients.")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option("--for", "names", type=click.Choice(NAMES), multiple=True, help="Print only this client; repeatable.")
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
        _print_settings(names or NAMES, interval_s, count, is_json=is_json)
        return
    config = SshConfig(str(Path(check).expanduser()))
    checked = [_check_host(config, name, interval_s) for name in hosts or (*config.names, "any other host")]
    is_compliant = all(host["state"] is State.OK for host in checked)
    _print_check(checked, is_json=is_json)
    if not (is_compliant or is_json):
        step = f"next: add these lines to {check}, before its first Host line:\n"
        click.echo(wrap_for_stderr(step), err=True, nl=False)
        click.echo(_render(interval_s, count, ("openssh",)), err=True, nl=False)
    raise SystemExit(ExitCode.OK if is_compliant else ExitCode.DRIFT)


def _render(interval_s: int, count: int, names: tuple[str, ...]) -> str:
    """Render the settings, ready to be copied."""
    parts = []
    for client in CLIENTS:
        if client.name in names:
            lines = "".join(f"    {line}\n" for line in client.render(interval_s, count).splitlines())
            parts.append(f"{client.name}: {client.place}\n{lines}    ({client.remark})\n")
    return "\n".join(parts)


def _print_settings(names: tuple[str, ...], interval: int, count: int, *, is_json: bool) -> None:
    if not is_json:
        click.echo(_render(interval, count, names), nl=False)
        return
    settings = {
        client.name: {"place": client.place, "text": client.render(interval, count), "remark": client.remark}
        for client in CLIENTS
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
    interval_s = int(settings.get("serveraliveinterval", ["0"])[0])  # the default: no keep-alives
    return {
        "name": name,
        "interval": interval_s,
        "wanted": wanted_s,
        "state": State.OK if 0 < interval_s <= wanted_s else State.DRIFT,
    }
