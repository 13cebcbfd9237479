"""`check`: compare every host with its policy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import click

from sshd_keepalive import notifiers
from sshd_keepalive.cli.base import Command
from sshd_keepalive.cli.exit_code import compute_exit_code
from sshd_keepalive.cli.fleet_run import FleetRun, make_run, make_run_id, read_clock
from sshd_keepalive.cli.options import (
    FLEET,
    POLICY,
    RECORD,
    Options,
    option,
    option_group,
    refuse_typed,
    shared_options,
)
from sshd_keepalive.cli.output import Output, wrap_for_stderr
from sshd_keepalive.config import benchmarks, releases
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.fleet.check import Extras, check_file, check_host
from sshd_keepalive.history.notice import When, is_due
from sshd_keepalive.model import Benchmark, Policy
from sshd_keepalive.planning.policy import override
from sshd_keepalive.sshd_config.version import NEWEST, Build, Version


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The options of `check` alone."""

    benchmark: tuple[str, ...] = option(
        (),
        metavar="NAME",
        help="Also compare the hosts with cis-debian-12, stig-rhel, …, or all; does not change the exit code. "
        "Repeatable.",
    )
    files: tuple[str, ...] = option(
        (),
        "--file",
        metavar="PATH",
        help="Check this sshd_config, a copied /etc/ssh or a copied root instead of hosts; repeatable.",
    )
    openssh: str | None = option(
        None, metavar="VERSION", help=f"The release that reads --file: 9.2, debian-12, …  [default: {NEWEST}]"
    )
    as_if: str | None = option(
        None,
        metavar="VERSION",
        help="Also show what this release would refuse or read differently: 10.2, debian-13, rhel-10, …",
    )
    notify: tuple[str, ...] = option(
        (),
        metavar="KIND:TARGET",
        help="Send a notice: apprise:env:NAME (a URL by reference) or command:PROGRAM; repeatable.",
    )
    notify_on: str = option(
        When.CHANGE.value,
        type=click.Choice([when.value for when in When]),
        help="When to send a notice: a change since the last recorded run, a host that is not compliant, every run.",
    )
    deep: bool = option(False, help="Also look for what else ends sessions: ChannelTimeout, TMOUT, logind, …")
    concurrency: int | None = option(
        None,
        metavar="N",
        type=click.IntRange(1, 10000),
        help="With --deep: check that MaxSessions allows N sessions over one connection.",
    )
    losses: bool = option(False, help="Also count the lost sessions of the last 30 days in the host's log.")


#: Options that only a check of hosts heeds.
_OF_HOSTS: Final = ("inventory", "limit", "deep", "losses", "record", "notify")


@click.command("check", cls=Command)
@option_group("asked", _Asked)
@shared_options(*POLICY, *FLEET, *RECORD)
def command(options: Options, asked: _Asked) -> None:
    """Compare every host with its policy. Changes nothing, not even a temporary file.

    HOST is a target like ops@192.0.2.11:22, or with an inventory a pattern like web*.
    """
    selected = benchmarks.choose(asked.benchmark) if asked.benchmark else ()
    build = releases.find(asked.as_if) if asked.as_if else None
    if asked.files:
        refuse_typed(_OF_HOSTS, "--file, which contacts no host", hint="leave out one")
        # A pre-commit hook puts the names of further files behind the options.
        if build and not asked.openssh:
            raise ConfigError("--as-if compares two releases", hint="say which reads --file now: --openssh 9.2")
        version = releases.find(asked.openssh).version if asked.openssh else NEWEST
        raise SystemExit(_check_files((*asked.files, *options.hosts), version, build, options, selected))
    if build and options.record:
        raise ConfigError("--as-if is not recorded: it shows what another release would do", hint="leave out --record")
    run = FleetRun("check", options)
    sinks = notifiers.open_sinks(asked.notify, run.orders.secrets)
    extras = Extras(deep=asked.deep, concurrency=asked.concurrency, losses=asked.losses)
    ended = run.end(run.repeat(partial(check_host, as_if=build, extras=extras)), benchmarks=selected)
    try:
        code = run.show(ended, then="" if build else "plan")
    finally:  # also when a file could not be written
        for failure in notifiers.send(ended, sinks) if is_due(ended, When(asked.notify_on)) else ():
            click.echo(wrap_for_stderr(f"warning: {failure}"), err=True, nl=False)
    raise SystemExit(code)


def _check_files(
    paths: tuple[str, ...], version: Version, as_if: Build | None, options: Options, selected: tuple[Benchmark, ...]
) -> int:
    """Check configurations on this disk; gives the exit code."""
    started_at = read_clock()
    policy = override(Policy(), options.policy) if options.policy else Policy()
    output = Output(options, "check")
    reports = tuple(check_file(path, version, policy, as_if) for path in dict.fromkeys(paths))
    for report in reports:
        output.show_host(report)
    code = compute_exit_code(reports, "check")
    run = make_run("check", make_run_id(started_at), started_at, reports, code)
    output.show_run(replace(run, benchmarks=selected), with_diffs=False)
    return code
