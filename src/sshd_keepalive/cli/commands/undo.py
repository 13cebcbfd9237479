"""`undo`: restore the files from before a run, with the same care as a change."""

from __future__ import annotations

import click

from sshd_keepalive.cli import journal
from sshd_keepalive.cli.base import Command
from sshd_keepalive.cli.change import change_fleet
from sshd_keepalive.cli.fleet_run import FleetRun
from sshd_keepalive.cli.options import CHANGE, FLEET, RECORD, Options, shared_options
from sshd_keepalive.fleet import one_host as fleet


@click.command("undo", cls=Command, short_help="Restore the files from before an earlier run.")
@click.option("--run", "run_id", metavar="ID", default="", help="The run to undo; without it the latest of each host.")
@click.option("--force", is_flag=True, help="Undo also if a file was edited since; the diff shows what is lost.")
@click.option("--dry-run", is_flag=True, help="Show the diff, change nothing.")
@shared_options(*FLEET, *RECORD, *CHANGE)
def command(options: Options, run_id: str, force: bool, dry_run: bool) -> None:
    """Restore the files from before an earlier run, byte for byte, with the same checks as apply.

    A host is refused if one of the files was edited since. The undo keeps a backup too: `undo --run ID` with its id
    reverts it.
    """
    run_id = journal.find_run(run_id) or run_id if run_id else ""  # only the hosts know one of another controller
    if dry_run:
        run = FleetRun("undo", options, undoes=run_id, force=force)
        raise SystemExit(run.show(run.end(run.repeat(fleet.undo_plan_host), judge_as="plan"), with_diffs=True))
    raise SystemExit(
        change_fleet("undo", options, preview=fleet.undo_plan_host, work=fleet.undo_host, undoes=run_id, force=force)
    )
