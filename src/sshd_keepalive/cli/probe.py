"""`probe`: hold an idle session, count and time the keep-alives the server really sends."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial

import click

from sshd_keepalive.cli import output, passes
from sshd_keepalive.cli.check import again
from sshd_keepalive.cli.countdown import Countdown, WatchedOutput
from sshd_keepalive.cli.durations import Duration
from sshd_keepalive.cli.options import Options, fleet_options, named_in_environment, selected
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.fleet import one_host as fleet
from sshd_keepalive.fleet import probe as probing

#: Silences at once; each costs two threads that sleep.
_AT_ONCE = 1000


@click.command("probe", short_help="Prove that a quiet session lives.")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option(
    "--idle",
    metavar="TIME",
    type=Duration(1, 86400),
    help="How long to say nothing: 90, 6m, 1h.  [default: past the first keep-alive that is due]",
)
@click.option("--fast", is_flag=True, help="Seconds instead: try the host's sshd with an interval of 1 s.")
@click.option(
    "--find-limit",
    is_flag=True,
    help="Find the idle limit of the boxes on the way, up to --idle (6m), with up to ten connections to each host.",
)
@fleet_options
def command(hosts: tuple[str, ...], options: Options, idle: float | None, fast: bool, find_limit: bool) -> None:
    """Prove that a quiet session lives: say nothing, count and time the keep-alives that arrive.

    The verdict is about three things: what is configured, whether the running sshd has loaded it, and what was
    observed. All hosts are silent at the same time; --forks is for the logins. Nothing is changed on a host.
    """
    if fast and find_limit:
        raise ConfigError("--fast stays on the host, --find-limit is about the way to it", hint="choose one")
    if fast and idle is not None:
        raise ConfigError("--fast has a time of its own", hint="leave out --idle")
    chosen = selected(options, hosts)
    board = Countdown()
    out = WatchedOutput(replace(options, forks=max(1, min(len(chosen), _AT_ONCE))), "probe", board)
    started_at = passes.now()
    given = passes.orders(options, passes.new_run_id(started_at))
    with passes.interruptible() as stop:
        probe = probing.Probe(
            logins=threading.Semaphore(options.forks),
            idle_s=idle,
            is_fast=fast,
            finds_limit=find_limit,
            stop=stop.is_set,
            board=board,
        )
        job: fleet.Pass = partial(probing.probe_host, probe=probe)
        reports = passes.repeat(job, chosen, given, out, stop, waits=True)
    code = output.INTERRUPTED if stop.is_set() else output.exit_code(reports, "probe")
    out.run(output.finished(given.run_id, "probe", started_at, reports, code), with_diffs=False)
    if code == output.DRIFT:
        out.next_step(f"sshd-keepalive plan {again(options, hosts)}")
    raise SystemExit(code)


named_in_environment(command)
