"""`plan`: what apply would do."""

from __future__ import annotations

import click

from sshd_keepalive.cli._options import Options, named_in_environment, policy_options
from sshd_keepalive.cli._run import FleetRun
from sshd_keepalive.fleet import one_host as fleet


@click.command("plan", short_help="Show every change that apply would make.")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@policy_options
def command(hosts: tuple[str, ...], options: Options) -> None:
    """Show every change that apply would make, and what it would restart. Changes nothing."""
    raise SystemExit(show_plan(hosts, options))


def show_plan(hosts: tuple[str, ...], options: Options) -> int:
    """The command without click, shared with `apply --dry-run`; gives the exit code."""
    run = FleetRun("plan", options, hosts)
    return run.show(run.end(run.repeat(fleet.plan_host)), with_diffs=True, then="apply")


named_in_environment(command)
