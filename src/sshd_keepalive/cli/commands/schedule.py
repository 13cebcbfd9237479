"""`schedule`: checks that run by themselves, by systemd's timer or by cron."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource
from platformdirs import user_state_path

from sshd_keepalive import notifiers
from sshd_keepalive.cli import ExitCode
from sshd_keepalive.cli.base import CommandGroup
from sshd_keepalive.cli.options import Options
from sshd_keepalive.cli.output import Output, wrap_for_stderr
from sshd_keepalive.cli.records import holds_password, open_store
from sshd_keepalive.cli.selection import select_hosts
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import Host
from sshd_keepalive.quoting import printable
from sshd_keepalive.spelling import write_count

if TYPE_CHECKING:
    from sshd_keepalive.schedule.jobs import Schedule

_NAME = click.argument("name", default="check")


@click.group("schedule", cls=CommandGroup, short_help="Run a recorded check automatically, every hour, day or week.")
def command() -> None:
    """Run a recorded check automatically: `schedule install --every daily -i hosts.yaml`.

    A timer of systemd starts it, or cron on a machine without systemd. Root installs it for the machine, another
    account for itself. Changes only this machine, never a host.
    """


@command.command(
    "install",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": True, "help_option_names": ["--help"]},
)
@click.option(
    "--every",
    metavar="WHEN",
    required=True,
    help="hourly, daily or weekly; a time of systemd.time(7), 'Mon..Fri 06:00'; with cron its five fields.",
)
@click.option(
    "--name", metavar="NAME", default="check", show_default=True, help="The name of the schedule; you can have several."
)
@click.argument("words", nargs=-1, metavar="[CHECK-OPTION|HOST]...", type=click.UNPROCESSED)
@click.pass_context
def install(ctx: click.Context, every: str, name: str, words: tuple[str, ...]) -> None:
    """Install a schedule, or change the one of that name. Everything else is an option of `check`.

    \b
    sshd-keepalive schedule install --every daily -i hosts.yaml
    sshd-keepalive schedule install --every hourly --name etl -i hosts.yaml --limit etl --notify command:./tell

    With systemd, a run that was missed while the machine was down starts as soon as possible; with cron it is lost. Two
    runs never overlap.
    """
    from sshd_keepalive.schedule import jobs

    jobs.check_name(name)
    options, hosts = _check_words(ctx, words)
    schedule = jobs.Schedule(
        name=name,
        every=jobs.read_every(every),
        directory=str(Path.cwd()),
        state=str(user_state_path()),
        argv=words,
        writable=tuple(sorted({str(path.expanduser().absolute().parent) for path in _list_outputs(options, hosts)})),
        limit_s=jobs.compute_limit(len(hosts), options.forks, options.timeout),
    )
    _print_installed(schedule, len(hosts), is_new=jobs.install(schedule))


def _print_installed(schedule: Schedule, n_hosts: int, *, is_new: bool) -> None:
    """Print what runs when, and what may prevent it."""
    from sshd_keepalive.schedule import cron, jobs, systemd

    name = schedule.name
    manager = "systemd" if systemd.is_installed(name) else "cron"
    number = write_count(n_hosts, "host")
    next_run = f", next {at}" if (at := jobs.find_next_run(name)) else ""
    result = "installed" if is_new else "unchanged"
    click.echo(f"{result:<11} {name}: check of {number}, every {schedule.every}, by {manager}{next_run}")
    if manager == "cron" and not cron.is_running():
        click.echo("note: cron does not run on this machine, so nothing will start the check")
    if manager == "systemd" and not systemd.is_root():
        click.echo(
            "note: systemd stops the timers of this account when it logs out; to keep them: loginctl enable-linger"
        )
    click.echo(f"next: sshd-keepalive schedule run {name}", err=True)


@command.command("list")
def list_() -> None:
    """List the schedules: the timers as systemd lists them, or the lines of the crontab."""
    from sshd_keepalive.schedule import jobs, systemd

    names = jobs.list_names()
    if not names:
        click.echo("no schedules; next: sshd-keepalive schedule install --every daily -i hosts.yaml")
    elif any(map(systemd.is_installed, names)):
        click.echo(printable(systemd.list_timers()))
    for name in names:
        if line := jobs.find_line(name):
            click.echo(printable(f"{name:<12} {line}"))
        elif not systemd.is_installed(name):
            click.echo(f"{name:<12} NOT SCHEDULED; next: sshd-keepalive schedule remove {name}")


@command.command("run")
@_NAME
def run(name: str) -> None:
    """Run a schedule's check now, as the timer does.

    The exit code is that of the check, or 75 while another run is in progress.
    """
    from sshd_keepalive.schedule import jobs, systemd

    code = jobs.run(name)
    if code == jobs.OVERLAPS:
        click.echo(f"{name}: the previous run is still in progress; skipped", err=True)
    else:
        click.echo(f"{name}: {ExitCode(code).name.lower() if code in tuple(ExitCode) else f'exit code {code}'}")
        log = systemd.show_log_command(name) if systemd.is_installed(name) else "sshd-keepalive report"
        click.echo(f"next: {log}", err=True)
    raise SystemExit(code)


@command.command("remove")
@_NAME
def remove(name: str) -> None:
    """Remove a schedule. What its runs recorded stays."""
    from sshd_keepalive.schedule import jobs

    jobs.remove(name)
    click.echo(f"removed     {name}")


def _check_words(ctx: click.Context, words: tuple[str, ...]) -> tuple[Options, tuple[Host, ...]]:
    """Read the words as `check` does, and give the shared options and the hosts.

    Raises:
        ConfigError, click.UsageError: check refuses them, they need a terminal or a session, or they have a secret.
    """
    from sshd_keepalive.cli.commands.check import command as check
    from sshd_keepalive.config import benchmarks
    from sshd_keepalive.secrets.retrieval import Secrets

    try:
        inner = check.make_context("check", ["--record", *words], parent=ctx.find_root())
    except click.NoSuchOption as error:  # it may have been meant for us
        own = (name for parameter in ctx.command.params for name in parameter.opts)
        raise click.NoSuchOption(
            error.option_name, possibilities=(*(error.possibilities or ()), *own), ctx=ctx
        ) from None
    options = Options(
        **{field.name: inner.params[field.name] for field in fields(Options) if field.name in inner.params}
    )
    if options.ask_become_pass:
        raise ConfigError(
            "--ask-become-pass: a scheduled check cannot ask for a password",
            hint="become: {method: sudo, password: file:PATH}",
        )
    if "-" in options.inventory:
        raise ConfigError("-i -: a scheduled check has no standard input", hint="write the hosts into a file")
    if holds_password(inner.params["store"]):
        raise ConfigError(
            "--store: other accounts can read the options of a schedule, and this URL has a password",
            hint="write the password into ~/.pgpass, or the URL into a file that only you can read: --store file:PATH",
        )
    for parameter in check.params:
        if inner.get_parameter_source(parameter.name or "") is ParameterSource.ENVIRONMENT:
            note = f"note: {parameter.envvar} is set in this session, but will not be set when the check runs"
            click.echo(wrap_for_stderr(note), err=True, nl=False)
    hosts = select_hosts(options)
    for host in hosts:
        for hop in (*host.jump, host):
            for secret in (hop.password, hop.become.password):
                _refuse_interactive(secret or "", f"{host.name}: its password")
    for target in inner.params["notify"]:
        _refuse_interactive(notifiers.find_reference(target), "--notify")
    _refuse_interactive(inner.params["store"], "--store")
    secrets = Secrets()
    Output(options, "check")
    notifiers.open_sinks(inner.params["notify"], secrets)
    benchmarks.choose(inner.params["benchmark"])
    open_store(inner.params["store"], secrets)
    return options, hosts


def _refuse_interactive(reference: str, what: str) -> None:
    """Refuse a reference that needs a terminal, or the variables of this session."""
    if reference == "prompt":
        raise ConfigError(f"{what} is prompt: a scheduled check cannot ask for it", hint="write file:PATH")
    if reference.startswith("env:"):
        raise ConfigError(
            f"{what} is {reference}, and the check will not have the variables of this session", hint="write file:PATH"
        )


def _list_outputs(options: Options, hosts: Iterable[Host]) -> Iterator[Path]:
    """List the files that the check writes, without its history."""
    yield from (Path(text.partition(":")[2]) for text in options.out)
    for hop in (hop for host in hosts for hop in (*host.jump, host) if hop.host_keys == "accept-new"):
        yield Path(hop.known_hosts or "~/.ssh/known_hosts")
