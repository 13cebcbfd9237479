"""`apply`: plan, show, ask, change, prove, confirm or revert."""

from __future__ import annotations

from pathlib import Path

import click

from sshd_keepalive.cli import plan_file
from sshd_keepalive.cli.base import Command
from sshd_keepalive.cli.change import Changing, Watching, change_fleet, change_options, select_change
from sshd_keepalive.cli.commands.plan import show_plan
from sshd_keepalive.cli.duration import DAY_S, Duration
from sshd_keepalive.cli.options import Options, option_group, policy_options, refuse_typed
from sshd_keepalive.cli.records import Recording, recording_options
from sshd_keepalive.cli.selection import CHOOSING
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.fleet import one_host as fleet

_watch_options = option_group(
    "watching",
    Watching,
    click.option(
        "--watch",
        metavar="TIME",
        type=Duration(1, DAY_S),
        default=0.0,
        show_default=False,
        help="Wait this long after the change, for example 25m, then look for sessions that the new values dropped.",
    ),
    click.option(
        "--on-loss",
        type=click.Choice(("report", "undo")),
        default="report",
        show_default=True,
        help="With --watch: report such a host, or revert it to the old values.",
    ),
)


@click.command("apply", cls=Command, short_help="Change hosts, and verify the change over a new login or revert it.")
@click.argument("hosts", nargs=-1, metavar="[HOST]... | FILE")
@click.option("--dry-run", "--check", is_flag=True, help="The same as plan.")
@click.option("--diff", is_flag=True, hidden=True, expose_value=False, help="Always done: Ansible has this option.")
@click.option(
    "--no-confirm", is_flag=True, help="Verify the change but leave its confirmation to the command `confirm`."
)
@_watch_options
@change_options
@recording_options
@policy_options
def command(
    hosts: tuple[str, ...],
    dry_run: bool,
    no_confirm: bool,
    changing: Changing,
    watching: Watching,
    recording: Recording,
    options: Options,
) -> None:
    """Make every host compliant with its policy and verify it over a new login, or leave it as it was.

    FILE is a plan that `plan --out FILE` wrote. It sets the hosts and their values. A host whose files
    differ from the plan is refused.
    """
    plan = None
    if path := plan_file.find_plan(hosts):
        _refuse_other_choice(path, dry_run=dry_run)
        plan = plan_file.read_plan(path)
        hosts, options = plan.arguments, plan.override(options)
    if dry_run:
        raise SystemExit(show_plan(hosts, options))
    if no_confirm and watching.watch:
        raise ConfigError(
            "--watch begins when a change is confirmed, and --no-confirm leaves that open", hint="choose one"
        )
    run = select_change("apply", options, hosts, changing, recording, plan=plan, confirms=not no_confirm)
    run.plan_path = path
    raise SystemExit(
        change_fleet(run, changing, preview=fleet.plan_host, work=fleet.apply_host, plan=plan, watching=watching)
    )


def _refuse_other_choice(path: Path, *, dry_run: bool) -> None:
    """Refuse options that choose hosts or a policy beside a plan that does."""
    if dry_run:
        raise ConfigError(f"--dry-run cannot be combined with the plan {path}", hint="leave out one")
    hint = "leave it out, or make the plan again with it"
    refuse_typed(CHOOSING, f"the plan {path}, which sets hosts and policy", hint=hint)
