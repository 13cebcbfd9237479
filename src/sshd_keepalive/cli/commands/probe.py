"""`probe`: hold an idle session, count and time the keep-alives the server really sends."""

from __future__ import annotations

import threading
from functools import partial
from typing import Final

import click

from sshd_keepalive.cli.base import Command
from sshd_keepalive.cli.duration import Duration
from sshd_keepalive.cli.fleet_run import FleetRun
from sshd_keepalive.cli.options import ONE_BY_ONE, Options, shared_options
from sshd_keepalive.cli.output import Output
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.fleet import probe as probing

#: Silences at once; each costs two threads that sleep.
_AT_ONCE: Final = 1000


@click.command("probe", cls=Command, short_help="Prove that a quiet session stays open.")
@click.option(
    "--idle",
    metavar="TIME",
    type=Duration(1, 86400),
    help="How long to stay idle: 90, 6m, 1h.  [default: past the first keep-alive that is due]",
)
@click.option("--fast", is_flag=True, help="Take seconds only: test the host's sshd with an interval of 1 s.")
@click.option(
    "--find-limit",
    is_flag=True,
    help="Find the idle limit of firewalls on the path, up to --idle (6m), with up to ten connections to each host.",
)
@shared_options("hosts", *ONE_BY_ONE, "no_progress", "forks")
def command(options: Options, idle: float | None, fast: bool, find_limit: bool) -> None:
    """Prove that a quiet session stays open: stay idle, count and time the keep-alives that arrive.

    Three things must agree: the configured values, the values that the running sshd has loaded, and what was
    observed. All hosts are idle at the same time; --forks limits the logins. Nothing is changed on a host.
    """
    if fast and find_limit:
        raise ConfigError("--fast tests the host itself, --find-limit the path to it", hint="choose one")
    if fast and idle is not None:
        raise ConfigError("--fast has its own duration", hint="leave out --idle")
    board = probing.Countdown()
    run = FleetRun("probe", options, output=Output(options, "probe", gauge=board))
    probe = probing.Probe(
        logins=threading.Semaphore(options.forks),
        idle_s=idle,
        is_fast=fast,
        finds_limit=find_limit,
        stop=run.stop.is_set,
        board=board,
    )
    job = partial(probing.probe_host, probe=probe)
    reports = run.repeat(job, waits=True, workers=max(1, min(len(run.hosts), _AT_ONCE)))
    raise SystemExit(run.show(run.end(reports), then="plan"))
