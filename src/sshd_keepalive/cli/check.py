"""`check`: compare every host with its policy."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import click

from sshd_keepalive.cli import notices, output, passes
from sshd_keepalive.cli.options import Options, fleet_options, named_in_environment, policy_options, selected
from sshd_keepalive.cli.recording import Recorder, Recording, recording_options
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
@click.option(
    "--notify",
    metavar="KIND:TARGET",
    multiple=True,
    help="Send a notice: apprise:env:NAME (an URL by reference) or command:PROGRAM; repeatable.",
)
@click.option(
    "--notify-on",
    type=click.Choice([when.value for when in When]),
    default=When.CHANGE.value,
    show_default=True,
    help="What is worth a notice: a change since the last recorded run, anything not as wanted, every run.",
)
@recording_options
@policy_options
@fleet_options
def command(
    hosts: tuple[str, ...],
    options: Options,
    recording: Recording,
    deep: bool,
    concurrency: int | None,
    benchmark: tuple[str, ...],
    notify: tuple[str, ...],
    notify_on: str,
) -> None:
    """Compare every host with its policy. Changes nothing, not even a temporary file.

    HOST is a target like ops@192.0.2.11:22, or with an inventory a pattern like web*.
    """
    from sshd_keepalive.config import benchmarks  # reads YAML

    out = output.Output(options, "check")
    held = benchmarks.choose(benchmark) if benchmark else ()
    chosen = selected(options, hosts)
    started_at = passes.now()
    given = passes.orders(options, passes.new_run_id(started_at))
    sinks = notices.sinks(notify, given.secrets)
    recorder = Recorder(recording, "check", options, hosts, chosen, given.secrets)
    with passes.interruptible() as stop:
        job: fleet.Pass = fleet.check_host
        if deep or concurrency is not None:
            job = partial(deepening.check_host, concurrency=concurrency)
        reports = passes.repeat(job, chosen, given, out, stop, compared=recorder.compared)
    code = output.INTERRUPTED if stop.is_set() else output.exit_code(reports, "check")
    run = replace(output.finished(given.run_id, "check", started_at, reports, code), benchmarks=held)
    run = recorder.record(run)
    try:
        out.run(run, with_diffs=False)
    finally:  # also when a file could not be written
        notices.send(run, sinks, When(notify_on))
    if not out.confirm_step(reports, again(options, hosts)) and code == output.DRIFT:
        out.next_step(f"sshd-keepalive plan {again(options, hosts)}")
    raise SystemExit(run.exit_code)


def again(options: Options, hosts: tuple[str, ...], *, with_policy: bool = True) -> str:
    """The same selection and policy, for the command to type next."""
    from shlex import join

    words = [word for source in options.inventory for word in ("-i", source)]
    words += ["--limit", options.limit] if options.limit else []
    words += options.policy_words if with_policy else []
    return join([*words, *hosts])


named_in_environment(command)
