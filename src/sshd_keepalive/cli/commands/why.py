"""`why`: which line decides each value, for whom, and which lines it hides."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

import click

from sshd_keepalive.cli import ExitCode
from sshd_keepalive.cli.base import Command
from sshd_keepalive.cli.fleet_run import make_orders, make_run_id, read_clock
from sshd_keepalive.cli.options import ONE_BY_ONE, Options, shared_options
from sshd_keepalive.cli.output import Output, render_error, wrap_for_stderr
from sshd_keepalive.cli.selection import select_hosts
from sshd_keepalive.config.local_tree import read_tree
from sshd_keepalive.errors import HostError, ParseError
from sshd_keepalive.fleet import one_host as fleet
from sshd_keepalive.model import SCHEMA_VERSION, Context, FailureKind, Host
from sshd_keepalive.planning import explain, judge
from sshd_keepalive.quoting import printable_line
from sshd_keepalive.secrets.redaction import redact
from sshd_keepalive.sshd_config import match
from sshd_keepalive.sshd_config.reading import Reading
from sshd_keepalive.sshd_config.resolve import KEYWORDS
from sshd_keepalive.sshd_config.version import NEWEST


class _Address(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """An IP address, of either version."""

    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Give the address as it was typed."""
        try:
            ip_address(value)
        except ValueError:
            self.fail(f"{value!r} is not an IP address", param, ctx)
        return value


@click.command("why", cls=Command, short_help="Show which line of which file decides each value.")
@click.option("--file", "path", metavar="PATH", help="Read this file, or a copied tree, instead of a host.")
@click.option(
    "--openssh", metavar="VERSION", help=f"The release that reads --file: 9.2, debian-12, …  [default: {NEWEST}]"
)
@click.option("--as", "as_user", metavar="NAME", help="The account that logs in; with --file also --user.")
@click.option("--group", "groups", metavar="NAME", multiple=True, help="A group of that account; repeatable.")
@click.option("--address", metavar="ADDRESS", type=_Address(), help="The address of the client.")
@click.option("--client-host", metavar="NAME", help="The host name of the client.")
@click.option(
    "--local-address", metavar="ADDRESS", type=_Address(), help="The address of the host that the client connects to."
)
@click.option(
    "--local-port",
    metavar="PORT",
    type=click.IntRange(1, 65535),
    help="The port of the host that the client connects to.",
)
@shared_options("hosts", *ONE_BY_ONE)
def command(options: Options, path: str | None, openssh: str | None, **connection: Any) -> None:
    """Show which line of which file decides each value, and which lines it hides.

    By default for everybody, and for every Match block that decides a value. With --as, --address and the
    like: for that one connection; the value of an option that is left out is unknown.

    --file reads a file as sshd -f would here. A directory is a copied root (with etc/ssh in it) or a copied
    /etc/ssh. Nothing is changed anywhere.
    """
    if path is not None:
        from sshd_keepalive.config import releases  # reads YAML

        context = _build_context(**connection | {"as_user": connection["as_user"] or options.user})
        reading, warnings = read_tree(path, releases.find(openssh).version if openssh else NEWEST)
        answers = [_explain(path, reading, context, options, warnings)]
    else:
        context = _build_context(**connection)
        orders = make_orders(options, make_run_id(read_clock()))
        answers = [redact(_explain_host(host, orders, context, options)) for host in select_hosts(options)]
    code = ExitCode.UNKNOWN if any(answer["failure"] for answer in answers) else ExitCode.OK
    output = Output(options, "why")
    if output.is_text:
        _print_text(output, answers)
    else:
        hosts_data = [{key: value for key, value in answer.items() if key != "text"} for answer in answers]
        data = {"schema_version": SCHEMA_VERSION, "command": "why", "exit_code": code, "hosts": hosts_data}
        lines = map(json.dumps, hosts_data) if options.format == "jsonl" else [json.dumps(data, indent=1)]
        output.write("".join(f"{line}\n" for line in lines))
    raise SystemExit(code)


def _build_context(as_user: str | None, groups: tuple[str, ...], **rest: Any) -> Context | None:
    """Build the connection that the options describe; None if they describe none."""
    if as_user is None and not groups and not any(rest.values()):
        return None
    stranger = match.STRANGER
    return Context(
        user=as_user or stranger.user,
        groups=groups or None,
        address=rest["address"] or stranger.address,
        host=rest["client_host"] or rest["address"] or stranger.host,
        local_address=rest["local_address"] or stranger.local_address,
        local_port=rest["local_port"] or stranger.local_port,
    )


def _explain_host(host: Host, orders: fleet.Orders, context: Context | None, options: Options) -> dict[str, Any]:
    """Explain the values of one host, or say why that is not possible."""
    try:
        reading = fleet.observe_host(host, orders)
        refusal = judge.find_refusal(reading.snapshot)
        if refusal:
            raise HostError(f"sshd refuses the present configuration: {refusal}", kind=FailureKind.CONFIG_BROKEN)
        doubts = (judge.find_doubt(reading, keyword) for keyword in KEYWORDS)
        reasons = tuple(sorted({doubt.reason for doubt in doubts if doubt}))
        return _explain(host.name, reading, context, options, reasons)
    except (HostError, ParseError) as error:
        reason = error.to_failure()
        failure = {"kind": reason.kind, "message": reason.message, "hint": reason.hint}
        return {"name": host.name, "openssh": "", "answers": [], "warnings": (), "failure": failure, "text": ""}


def _explain(
    name: str, reading: Reading, context: Context | None, options: Options, warnings: tuple[str, ...]
) -> dict[str, Any]:
    answers = explain.explain(reading, context)
    return {
        "name": name,
        "openssh": str(reading.tree.version),
        "answers": explain.to_json(answers),
        "warnings": (*warnings, *explain.find_nul_bytes(reading.tree)),
        "failure": None,
        "text": explain.render(reading.tree, answers, is_verbose=options.verbose > 0),
    }


def _print_text(output: Output, answers: list[dict[str, Any]]) -> None:
    for answer in answers:
        name = printable_line(answer["name"])
        if len(answers) > 1:
            output.write(f"{name}\n")
        output.write_lines(answer["text"].splitlines())
        for warning in answer["warnings"]:
            click.echo(wrap_for_stderr(f"warning: {name}: {printable_line(warning)}"), err=True, nl=False)
        if answer["failure"]:
            message = printable_line(answer["failure"]["message"])  # of a login, it begins with the host
            message = message if message.startswith(name) else f"{name}: {message}"
            click.echo(render_error(message, answer["failure"]["hint"]), err=True, nl=False)
