"""`apply`: plan, show, ask, change, prove, confirm or roll back."""

from __future__ import annotations

import click

from sshd_keepalive.cli import ExitCode
from sshd_keepalive.cli._change import change_fleet, select_change
from sshd_keepalive.cli._options import (
    Changing,
    Options,
    Recording,
    change_options,
    named_in_environment,
    policy_options,
    recording_options,
)
from sshd_keepalive.cli.plan import show_plan
from sshd_keepalive.fleet import one_host as fleet


@click.command("apply", short_help="Change hosts, prove it over a new login, or roll back.")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option("--dry-run", "--check", is_flag=True, help="The same as plan.")
@click.option("--diff", is_flag=True, hidden=True, expose_value=False, help="Always done: Ansible has this option.")
@click.option(
    "--no-confirm", is_flag=True, help="Prove the change but leave its confirmation to the command `confirm`."
)
@change_options
@recording_options
@policy_options
def command(
    hosts: tuple[str, ...],
    dry_run: bool,
    no_confirm: bool,
    changing: Changing,
    recording: Recording,
    options: Options,
) -> None:
    """Make every host as its policy wants it, prove it over a new login, or leave it as it was."""
    if dry_run:
        raise SystemExit(show_plan(hosts, options))
    run = select_change("apply", options, hosts, changing, recording, confirms=not no_confirm)
    code = change_fleet(run, changing, plan=fleet.plan_host, work=fleet.apply_host)
    if no_confirm and code == ExitCode.OK:
        run.output.say("not confirmed: the hosts revert by themselves, unless you confirm")
        run.suggest("confirm")
    raise SystemExit(code)


named_in_environment(command)
