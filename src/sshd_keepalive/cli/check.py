"""`check`: compare every host with its policy."""

from __future__ import annotations

from functools import partial

import click

from sshd_keepalive import deepening, fleet
from sshd_keepalive.cli import output, passes
from sshd_keepalive.cli.options import Options, fleet_options, named_in_environment, selected


@click.command("check")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option("--deep", is_flag=True, help="Also look for what else ends sessions: ChannelTimeout, TMOUT, logind, …")
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1, 10000),
    help="With --deep: hold MaxSessions against N sessions over one connection.",
)
@fleet_options
def command(hosts: tuple[str, ...], options: Options, deep: bool, concurrency: int | None) -> None:
    """Compare every host with its policy. Changes nothing, not even a temporary file.

    HOST is a target like ops@192.0.2.11:22, or with an inventory a pattern like web*.
    """
    out = output.Output(options, "check")
    chosen = selected(options, hosts)
    started_at = passes.now()
    given = passes.orders(options, passes.new_run_id(started_at))
    with passes.interruptible() as stop:
        job: fleet.Pass = fleet.check_host
        if deep or concurrency is not None:
            job = partial(deepening.check_host, concurrency=concurrency)
        reports = passes.repeat(job, chosen, given, out, stop)
    code = output.INTERRUPTED if stop.is_set() else output.exit_code(reports, "check")
    out.run(output.finished(given.run_id, "check", started_at, reports, code), with_diffs=False)
    if code == output.DRIFT:
        out.next_step(f"sshd-keepalive plan {again(options, hosts)}")
    raise SystemExit(code)


def again(options: Options, hosts: tuple[str, ...]) -> str:
    """The same selection, for the command to type next."""
    from shlex import join

    words = [word for source in options.inventory for word in ("-i", source)]
    words += ["--limit", options.limit] if options.limit else []
    return join([*words, *hosts])


named_in_environment(command)
