"""`report`: any report of a run that was recorded."""

from __future__ import annotations

import click

from sshd_keepalive.cli._options import STORE_OPTION, Options, named_in_environment, output_options
from sshd_keepalive.cli._results import open_to_read
from sshd_keepalive.cli._terminal import Output


@click.command("report")
@click.argument("run_id", required=False, default="", metavar="[RUN]")
@STORE_OPTION
@output_options
def command(run_id: str, store: str, options: Options) -> None:
    """Show a recorded run, the last one or RUN, in any format: --format html, --out junit:FILE, …

    The beginning of a run's id will do; `history` lists them. The exit code tells whether the report was made, not what
    the run came to.
    """
    out = Output(options, "report")
    kept = open_to_read(store)
    run = kept.load(kept.find(run_id))
    for report in run.hosts:
        out.host(report)
    out.run(run, with_diffs=True)


named_in_environment(command)
