"""`confirm`: the second half of `apply --no-confirm`."""

from __future__ import annotations

import click

from sshd_keepalive.cli import changing_hosts
from sshd_keepalive.cli.base import Command
from sshd_keepalive.cli.fleet_run import FleetRun
from sshd_keepalive.cli.options import FLEET, POLICY, Options, shared_options
from sshd_keepalive.fleet import one_host as fleet


@click.command("confirm", cls=Command, short_help="Confirm the changes that `apply --no-confirm` left open.")
@shared_options(*POLICY, *FLEET)
def command(options: Options) -> None:
    """Confirm each pending change over a new login that finds it in effect.

    A host that is not confirmed within its --confirm-timeout reverts the change.
    """
    run = FleetRun("confirm", options)
    with changing_hosts():
        code = run.show(run.end(run.repeat(fleet.confirm_host, changes=True)))
    raise SystemExit(code)
