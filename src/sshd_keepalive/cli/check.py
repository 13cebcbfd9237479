"""`check`: compare every host with its policy."""

from __future__ import annotations

from functools import partial

import click

from sshd_keepalive.cli._options import (
    Notifying,
    Options,
    Recording,
    named_in_environment,
    notify_options,
    policy_options,
    recording_options,
)
from sshd_keepalive.cli._results import make_sinks, send_notices
from sshd_keepalive.cli._run import FleetRun
from sshd_keepalive.fleet import deep as deepening
from sshd_keepalive.fleet import one_host as fleet
from sshd_keepalive.history.notice import When


@click.command("check")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option("--deep", is_flag=True, help="Also look for what else ends sessions: ChannelTimeout, TMOUT, logind, …")
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1, 10000),
    help="With --deep: hold MaxSessions against N sessions over one connection.",
)
@click.option(
    "--benchmark",
    metavar="NAME",
    multiple=True,
    help="Also hold the hosts against cis-debian-12, stig-rhel, …, or all; told, not counted. Repeatable.",
)
@notify_options
@recording_options
@policy_options
def command(
    hosts: tuple[str, ...],
    options: Options,
    recording: Recording,
    notifying: Notifying,
    deep: bool,
    concurrency: int | None,
    benchmark: tuple[str, ...],
) -> None:
    """Compare every host with its policy. Changes nothing, not even a temporary file.

    HOST is a target like ops@192.0.2.11:22, or with an inventory a pattern like web*.
    """
    from sshd_keepalive.config import benchmarks  # reads YAML

    held = benchmarks.choose(benchmark) if benchmark else ()
    run = FleetRun("check", options, hosts, recording=recording)
    sinks = make_sinks(notifying.notify, run.orders.secrets)
    job: fleet.Pass = fleet.check_host
    if deep or concurrency is not None:
        job = partial(deepening.check_host, concurrency=concurrency)
    ended = run.end(run.repeat(job), benchmarks=held)
    try:
        code = run.show(ended, then="plan")
    finally:  # also when a file could not be written
        send_notices(ended, sinks, When(notifying.notify_on))
    raise SystemExit(code)


named_in_environment(command)
