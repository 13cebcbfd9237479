"""`hosts`: list and lint the inventory; no connection is made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from sshd_keepalive.cli.base import Command
from sshd_keepalive.cli.options import Options, format_options, shared_options
from sshd_keepalive.cli.output import wrap_for_stderr
from sshd_keepalive.cli.selection import select_hosts
from sshd_keepalive.model import SCHEMA_VERSION, Host
from sshd_keepalive.planning.policy import to_mapping
from sshd_keepalive.quoting import printable
from sshd_keepalive.spelling import write_count


@click.command("hosts", cls=Command, short_help="List the hosts of the inventory and its probable mistakes.")
@format_options("text", "json", "jsonl")
@shared_options("hosts", "inventory", "limit")
def command(options: Options, format: str) -> None:  # noqa: A002 (the option's name)
    """List the hosts of the inventory and its probable mistakes. No connection is made."""
    from sshd_keepalive.hosts.lint import lint

    selected = select_hosts(options)
    warnings = lint(selected, today=datetime.now(UTC).date())
    if format == "text":
        _print_text(selected, warnings)
        return
    rows = [_to_data(host) for host in selected]
    if format == "jsonl":
        click.echo("\n".join(map(json.dumps, rows)))
    else:
        data = {"schema_version": SCHEMA_VERSION, "command": "hosts", "hosts": rows, "warnings": warnings}
        click.echo(json.dumps(data, indent=1))


def _print_text(hosts: tuple[Host, ...], warnings: Sequence[str]) -> None:
    """Print one line a host, what looks wrong, and a summary."""
    width = max(len(host.name) for host in hosts)
    for host in hosts:
        way = f" via {','.join(hop.name for hop in host.jump)}" if host.jump else ""
        groups = f"  [{', '.join(host.groups)}]" if host.groups else ""
        click.echo(printable(f"{host.name:<{width}}  {_format_login(host)}{way}  {host.policy}{groups}"))
    for warning in warnings:
        click.echo(wrap_for_stderr(f"warning: {warning}"), err=True, nl=False)
    click.echo(_summarize(hosts))


def _summarize(hosts: tuple[Host, ...]) -> str:
    """Write `12 hosts`, and where they differ, how many get which policy, and how many have no way in."""
    policies = Counter(f"to get {host.policy}" for host in hosts)
    counts = [f"{n} {policy}" for policy, n in policies.most_common()] if len(policies) > 1 else []
    n_closed = sum(bool(host.obstacle) for host in hosts)
    counts += [f"{n_closed} that this program cannot connect to"] if n_closed else []
    return write_count(len(hosts), "host") + (f": {', '.join(counts)}" if counts else "")


def _format_login(host: Host) -> str:
    address = f"[{host.address}]" if ":" in host.address else host.address
    return f"{host.user + '@' if host.user else ''}{address}:{host.port}"


def _to_data(host: Host) -> dict[str, object]:
    return {
        "name": host.name,
        "address": host.address,
        "port": host.port,
        "user": host.user,
        "groups": list(host.groups),
        "jump": [hop.name for hop in host.jump],
        "become": host.become.method,
        "sshd_config": host.sshd_config,
        "policy": to_mapping(host.policy),
        "labels": dict(host.labels),
    }
