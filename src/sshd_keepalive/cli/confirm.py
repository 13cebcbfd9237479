"""`confirm`: the second half of `apply --no-confirm`."""

from __future__ import annotations

import click

from sshd_keepalive.cli import changing_hosts, output, passes
from sshd_keepalive.cli.options import Options, fleet_options, named_in_environment, policy_options, selected
from sshd_keepalive.fleet import one_host as fleet


@click.command("confirm", short_help="Confirm the changes that wait for it.")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@policy_options
@fleet_options
def command(hosts: tuple[str, ...], options: Options) -> None:
    """Confirm the changes that wait for it, each over a new login that finds it in effect.

    A host that is not confirmed before its --confirm-timeout is over reverts by itself.
    """
    out = output.Output(options, "confirm")
    chosen = selected(options, hosts)
    started_at = passes.now()
    given = passes.orders(options, passes.new_run_id(started_at))
    with changing_hosts():
        with passes.interruptible() as stop:
            reports = passes.repeat(fleet.confirm_host, chosen, given, out, stop, changes=True)
        code = output.INTERRUPTED if stop.is_set() else output.exit_code(reports, "confirm")
        out.run(output.finished(given.run_id, "confirm", started_at, reports, code), with_diffs=False)
    raise SystemExit(code)


named_in_environment(command)
