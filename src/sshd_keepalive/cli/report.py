"""`report`: any report of a run that was recorded."""

from __future__ import annotations

import click

from sshd_keepalive.cli import output, recording
from sshd_keepalive.cli.options import Options, named_in_environment, output_options


@click.command("report")
@click.argument("run_id", required=False, default="", metavar="[RUN]")
@recording.STORE
@output_options
def command(run_id: str, store: str, options: Options) -> None:
    """Show a recorded run, the last one or RUN, in any format: --format html, --out junit:FILE, …

    The beginning of a run's id will do; `history` lists them. The exit code tells whether the report was made, not what
    the run came to.
    """
    out = output.Output(options, "report")
    kept = recording.to_read(store)
    run = kept.load(kept.find(run_id))
    for report in run.hosts:
        out.host(report)
    out.run(run, with_diffs=True)


named_in_environment(command)
