"""`report`: any report of a run that was recorded."""

from __future__ import annotations

import click

from sshd_keepalive.cli.base import Command
from sshd_keepalive.cli.options import OUTPUT, Options, shared_options
from sshd_keepalive.cli.output import Output
from sshd_keepalive.cli.records import open_to_read


@click.command("report", cls=Command, short_help="Show a recorded run, in any format.")
@click.argument("run", required=False, default="", metavar="[RUN]")
@shared_options("store", *OUTPUT)
def command(run: str, options: Options) -> None:
    """Show a recorded run, the last one or RUN, in any format: --format html, --out junit:FILE, …

    The beginning of a run's id is enough; `history` lists them. The exit code says whether the report was made, not
    how the run ended.
    """
    out = Output(options, "report")
    history = open_to_read(options.store)
    recorded = history.load(history.find(run))
    for report in recorded.hosts:
        out.show_host(report)
    out.show_run(recorded, with_diffs=True)
