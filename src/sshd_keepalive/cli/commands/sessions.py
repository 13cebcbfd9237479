"""`sessions`: live sessions, and which of them still run with older values."""

from __future__ import annotations

from functools import partial

import click

from sshd_keepalive.cli.base import Command
from sshd_keepalive.cli.fleet_run import FleetRun
from sshd_keepalive.cli.options import FLEET, Options, shared_options
from sshd_keepalive.fleet.sessions import list_sessions, list_silent_clients


@click.command("sessions", cls=Command, short_help="List sessions older than the configuration in effect.")
@click.option("--all", "is_all", is_flag=True, help="Also list those that have the values in effect.")
@click.option(
    "--ask-clients",
    "asks_clients",
    is_flag=True,
    help="Instead, list those whose client has not answered the last keep-alive.",
)
@shared_options(*FLEET)
def command(options: Options, is_all: bool, asks_clients: bool) -> None:
    """List the live sessions that are older than the configuration in effect.

    A session keeps the values with which it started. To get the new ones, the user logs in again. Nothing is changed,
    no session is ended. Exit code 1: there are such sessions.
    """
    run = FleetRun("sessions", options)
    job = list_silent_clients if asks_clients else partial(list_sessions, is_all=is_all)
    raise SystemExit(run.show(run.end(run.repeat(job))))
