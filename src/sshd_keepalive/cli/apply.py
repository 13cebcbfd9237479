"""`apply`: plan, show, ask, change, prove, confirm or roll back."""

from __future__ import annotations

import click

from sshd_keepalive.cli import output
from sshd_keepalive.cli.check import again
from sshd_keepalive.cli.guarded import Guarded, carry_out, guard_options
from sshd_keepalive.cli.options import Options, fleet_options, named_in_environment, policy_options
from sshd_keepalive.cli.plan import plan
from sshd_keepalive.cli.recording import Recording, recording_options
from sshd_keepalive.cli.rolling import Rolling, rollout_options
from sshd_keepalive.fleet import one_host as fleet


@click.command("apply", short_help="Change hosts, prove it over a new login, or roll back.")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option("--dry-run", "--check", is_flag=True, help="The same as plan.")
@click.option("--diff", "with_diff", is_flag=True, hidden=True, help="For Ansible's fingers: the diff is always shown.")
@click.option(
    "--no-confirm", is_flag=True, help="Prove the change but leave its confirmation to the command `confirm`."
)
@guard_options
@rollout_options
@recording_options
@policy_options
@fleet_options
def command(
    hosts: tuple[str, ...],
    dry_run: bool,
    with_diff: bool,
    no_confirm: bool,
    guarded: Guarded,
    rolling: Rolling,
    recording: Recording,
    options: Options,
) -> None:
    """Make every host as its policy wants it, prove it over a new login, or leave it as it was."""
    del with_diff
    if dry_run:
        raise SystemExit(plan(hosts, options))
    code = carry_out(
        "apply",
        hosts,
        options,
        guarded,
        rolling,
        recording,
        plan=fleet.plan_host,
        work=fleet.apply_host,
        confirms=not no_confirm,
    )
    if no_confirm and code == output.OK:
        click.echo(f"next: sshd-keepalive confirm {again(options, hosts)}, or the hosts revert by themselves", err=True)
    raise SystemExit(code)


named_in_environment(command)
