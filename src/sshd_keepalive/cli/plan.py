"""`plan`: what apply would do."""

from __future__ import annotations

import click

from sshd_keepalive.cli import output, passes
from sshd_keepalive.cli.check import again
from sshd_keepalive.cli.options import Options, fleet_options, named_in_environment, policy_options, selected
from sshd_keepalive.fleet import one_host as fleet


@click.command("plan", short_help="Show every change that apply would make.")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@policy_options
@fleet_options
def command(hosts: tuple[str, ...], options: Options) -> None:
    """Show every change that apply would make, and what it would restart. Changes nothing."""
    raise SystemExit(plan(hosts, options))


def plan(hosts: tuple[str, ...], options: Options) -> int:
    """The command without click, shared with `apply --dry-run`; returns the exit code."""
    out = output.Output(options, "plan")
    chosen = selected(options, hosts)
    started_at = passes.now()
    given = passes.orders(options, passes.new_run_id(started_at))
    with passes.interruptible() as stop:
        reports = passes.repeat(fleet.plan_host, chosen, given, out, stop)
    code = output.INTERRUPTED if stop.is_set() else output.exit_code(reports, "plan")
    out.run(output.finished(given.run_id, "plan", started_at, reports, code), with_diffs=True)
    if not out.confirm_step(reports, again(options, hosts)) and code == output.DRIFT:
        out.next_step(f"sshd-keepalive apply {again(options, hosts)}")
    return code


named_in_environment(command)
