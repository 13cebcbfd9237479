"""`losses`: who loses sessions, by the hosts' own logs."""

from __future__ import annotations

from functools import partial

import click

from sshd_keepalive.cli.base import Command
from sshd_keepalive.cli.fleet_run import FleetRun
from sshd_keepalive.cli.options import FLEET, RECORD, Options, shared_options
from sshd_keepalive.fleet.losses import DAYS, count_losses


@click.command("losses", cls=Command, short_help="Count lost sessions in the hosts' logs.")
@click.option(
    "--days",
    metavar="N",
    type=click.IntRange(1, 366),
    default=DAYS,
    show_default=True,
    help="How many days to look back.",
)
@click.option(
    "--anonymous", "is_anonymous", is_flag=True, help="Replace the names of accounts by numbers in the result."
)
@shared_options(*FLEET, *RECORD)
def command(options: Options, days: int, is_anonymous: bool) -> None:
    """Count the sessions in the logs of the hosts: whose, from where, how they ended, how long the lost ones lasted.

    Each host counts in its own log. It sends the counts with names of accounts and addresses of clients, but no line of
    the log. Nothing is changed. Exit code 1: sessions were lost, 3: a host could not be read, or its log does not
    show how sessions ended.
    """
    run = FleetRun("losses", options)
    job = partial(count_losses, days=days, is_anonymous=is_anonymous)
    raise SystemExit(run.show(run.end(run.repeat(job)), then="plan"))
