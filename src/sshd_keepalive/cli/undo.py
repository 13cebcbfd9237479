"""`undo`: bring back the files from before a run, with the same care as a change."""

from __future__ import annotations

import click

from sshd_keepalive.cli import output, passes
from sshd_keepalive.cli.guarded import Guarded, carry_out, guard_options
from sshd_keepalive.cli.options import Options, fleet_options, named_in_environment, selected
from sshd_keepalive.cli.recording import Recording, recording_options
from sshd_keepalive.cli.rolling import Rolling, rollout_options
from sshd_keepalive.fleet import one_host as fleet


@click.command("undo", short_help="Bring back the files of an earlier run.")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option("--run", "run_id", metavar="ID", default="", help="The run to take back; without it each host's latest.")
@click.option("--force", is_flag=True, help="Also where a file was edited since; the diff shows what that loses.")
@click.option("--dry-run", is_flag=True, help="Show the diff, change nothing.")
@guard_options
@rollout_options
@recording_options
@fleet_options
def command(
    hosts: tuple[str, ...],
    run_id: str,
    force: bool,
    dry_run: bool,
    guarded: Guarded,
    rolling: Rolling,
    recording: Recording,
    options: Options,
) -> None:
    """Bring back the files of an earlier run, byte for byte, with the same care as apply.

    Refused where somebody edited a file since. What was there before is kept, too: an undo can be undone by its run.
    """
    if dry_run:
        raise SystemExit(_plan(hosts, options, run_id, force))
    raise SystemExit(
        carry_out(
            "undo",
            hosts,
            options,
            guarded,
            rolling,
            recording,
            plan=fleet.undo_plan_host,
            work=fleet.undo_host,
            undoes=run_id,
            force=force,
        )
    )


def _plan(hosts: tuple[str, ...], options: Options, run_id: str, force: bool) -> int:
    from dataclasses import replace

    out = output.Output(options, "plan")
    chosen = selected(options, hosts)
    started_at = passes.now()
    given = replace(passes.orders(options, passes.new_run_id(started_at)), undoes=run_id, force=force)
    with passes.interruptible() as stop:
        reports = passes.repeat(fleet.undo_plan_host, chosen, given, out, stop)
    code = output.INTERRUPTED if stop.is_set() else output.exit_code(reports, "plan")
    out.run(output.finished(given.run_id, "undo", started_at, reports, code), with_diffs=True)
    return code


named_in_environment(command)
