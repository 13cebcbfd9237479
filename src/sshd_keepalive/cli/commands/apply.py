"""`apply`: plan, show, ask, change, prove, confirm or revert."""

from __future__ import annotations

from pathlib import Path

import click

from sshd_keepalive.cli import plan_file
from sshd_keepalive.cli.base import Command
from sshd_keepalive.cli.change import change_fleet
from sshd_keepalive.cli.commands.plan import show_plan
from sshd_keepalive.cli.options import CHANGE, CHOOSING, FLEET, POLICY, RECORD, Options, refuse_typed, shared_options
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.fleet import one_host as fleet


@click.command("apply", cls=Command, short_help="Change hosts, and verify the change over a new login or revert it.")
@click.option("--dry-run", "--check", is_flag=True, help="The same as plan.")
@click.option("--diff", is_flag=True, hidden=True, expose_value=False, help="Always done: Ansible has this option.")
@click.option(
    "--no-confirm", is_flag=True, help="Verify the change but leave its confirmation to the command `confirm`."
)
@shared_options(*(*POLICY, *FLEET, *RECORD, *CHANGE, "watch", "on_loss"), hosts={"metavar": "[HOST]... | FILE"})
def command(options: Options, dry_run: bool, no_confirm: bool) -> None:
    """Make every host compliant with its policy and verify it over a new login, or leave it as it was.

    FILE is a plan that `plan --out FILE` wrote. It sets the hosts and their values. A host whose files
    differ from the plan is refused.
    """
    plan = None
    if path := plan_file.find_plan(options.hosts):
        _refuse_other_choice(path, dry_run=dry_run)
        plan = plan_file.read_plan(path)
        options = plan.override(options)
    if dry_run:
        raise SystemExit(show_plan(options))
    if no_confirm and options.watch:
        raise ConfigError(
            "--watch begins when a change is confirmed, and --no-confirm leaves that open", hint="choose one"
        )
    raise SystemExit(
        change_fleet(
            "apply",
            options,
            preview=fleet.plan_host,
            work=fleet.apply_host,
            plan=plan,
            plan_path=path,
            confirms=not no_confirm,
        )
    )


def _refuse_other_choice(path: Path, *, dry_run: bool) -> None:
    """Refuse options that choose hosts or a policy beside a plan that does."""
    if dry_run:
        raise ConfigError(f"--dry-run cannot be combined with the plan {path}", hint="leave out one")
    hint = "leave it out, or make the plan again with it"
    refuse_typed(CHOOSING, f"the plan {path}, which sets hosts and policy", hint=hint)
