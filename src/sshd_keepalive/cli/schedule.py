"""`schedule`: checks that run by themselves, by systemd's timer or by cron."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from platformdirs import user_state_path

from sshd_keepalive.cli import OutOfReach, notices, output, recording
from sshd_keepalive.cli.options import Options, named_in_environment, selected
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import Host
from sshd_keepalive.quoting import printable

_WORDS: dict[int, str] = {
    output.OK: "ok",
    output.DRIFT: "drift",
    output.USAGE: "usage",
    output.UNREACHED: "unreached",
    output.ROLLED_BACK: "rolled_back",
    output.UNKNOWN: "unknown",
    output.DEFECT: "defect",
    output.INTERRUPTED: "interrupted",
}
_NAME = click.argument("name", default="check")


@click.group("schedule")
def command() -> None:
    """Run a recorded check by itself: `schedule install --every day -i hosts.yaml`.

    By systemd's timer where systemd steers the machine, else by cron. As root the schedule is the machine's, else the
    account's own. Changes the machine it is typed on only, never a host.
    """


@command.command(
    "install",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": True, "help_option_names": ["--help"]},
)
@click.option(
    "--every",
    metavar="WHEN",
    required=True,
    help="hour, day or week; as cron: '0 6 * * 1-5'; as systemd.time(7): 'Mon..Fri 06:00'.",
)
@click.option("--name", metavar="NAME", default="check", show_default=True, help="To have several.")
@click.argument("words", nargs=-1, metavar="[CHECK-OPTION|HOST]...", type=click.UNPROCESSED)
@click.pass_context
def install(ctx: click.Context, every: str, name: str, words: tuple[str, ...]) -> None:
    """Install a schedule, or change the one of that name. Everything else is an option of `check`.

    \b
    sshd-keepalive schedule install --every day -i hosts.yaml
    sshd-keepalive schedule install --every hour --name etl -i hosts.yaml --limit etl --notify command:./tell

    A time that was missed while the machine was down is made up for; two runs never overlap.
    """
    from sshd_keepalive.schedule import calendar as timetable
    from sshd_keepalive.schedule import jobs as schedule
    from sshd_keepalive.schedule import units as timers

    timers.checked_name(name)
    when = timetable.read(every, name)
    options, hosts = _checked(ctx, words)
    wanted = schedule.Schedule(
        name=name,
        every=when.text,
        manager="",
        directory=str(Path.cwd()),
        state=str(user_state_path()),
        argv=words,
        writable=tuple(sorted({str(path.expanduser().absolute().parent) for path in _written(options, hosts)})),
        limit_s=schedule.limit_of(len(hosts), options.forks, options.timeout),
    )
    changed = schedule.install(wanted, when)
    state = schedule.status(schedule.find(name))
    manager = state.schedule.manager
    coming = f", next {state.next_at}" if state.next_at else ""
    done = "installed" if changed else "as it was"
    click.echo(f"{done:<11} {name}: check of {_count(len(hosts))}, every {when.text}, by {manager}{coming}")
    if schedule.lacks_daemon(state.schedule):
        click.echo("note: no cron runs on this machine now, and without one nothing will start the check")
    elif not state.enabled:
        raise ConfigError(f"{name} was installed, but {manager} does not run it", hint="schedule status")
    if schedule.needs_lingering():
        click.echo("note: systemd ends the timers of an account that is not logged in, unless: loginctl enable-linger")
    click.echo(f"next: sshd-keepalive schedule run {name}", err=True)


@command.command("list")
@click.option("--format", type=click.Choice(("text", "json")), default="text", show_default=True)
def list_(format: str) -> None:  # noqa: A002 (the option's name)
    """List the schedules: when, by whom, and the words behind check."""
    from sshd_keepalive.schedule import jobs as schedule

    found = schedule.listed()
    if format == "json":
        _document([asdict(one) for one in found])
    elif not found:
        click.echo("no schedules; next: sshd-keepalive schedule install --every day -i hosts.yaml")
    for one in found if format == "text" else ():
        click.echo(printable(f"{one.name:<12} every {one.every}, by {one.manager}: check {shlex.join(one.argv)}"))


@command.command("status")
@click.argument("name", required=False)
@click.option("--format", type=click.Choice(("text", "json")), default="text", show_default=True)
def status(name: str | None, format: str) -> None:  # noqa: A002 (the option's name)
    """Tell of each schedule when it ran last, what it came to, and when it runs next.

    Exit code: that of the worst last run; 3 when one is not enabled or never ran.
    """
    from sshd_keepalive.schedule import jobs as schedule

    states = [schedule.status(one) for one in ((schedule.find(name),) if name else schedule.listed())]
    if format == "json":
        _document([_state(state) for state in states])
    for state in states if format == "text" else ():
        coming = (f"next {state.next_at}" if state.next_at else "enabled") if state.enabled else "NOT ENABLED"
        click.echo(printable(f"{state.schedule.name:<12} {_came_to(state)}; {coming}"))
    raise SystemExit(max((_code(state) for state in states), default=output.OK))


@command.command("run")
@_NAME
@click.option("--here", is_flag=True, hidden=True, help="In this process: what the timer and cron call.")
@click.option("--quiet", is_flag=True, hidden=True, help="Print only what is not as wanted: cron mails every word.")
def run(name: str, here: bool, quiet: bool) -> None:
    """Run a schedule's check now, as the timer does; exit code of the check, 75 while another run is at it."""
    from sshd_keepalive.schedule import jobs as schedule

    try:
        code = schedule.run(name, quiet=quiet) if here else schedule.start(name)
    except schedule.OverdueError as error:
        raise OutOfReach(error) from None
    if code == schedule.OVERLAPS:
        click.echo(f"{name}: the run before is still at it; this one did nothing", err=True)
    elif not here:
        click.echo(f"{name}: {_word(code)}")
        click.echo(f"next: {schedule.told_by(name)}", err=True)
    raise SystemExit(code)


@command.command("remove")
@_NAME
def remove(name: str) -> None:
    """Remove a schedule. What its runs recorded stays."""
    from sshd_keepalive.schedule import jobs as schedule

    schedule.remove(name)
    click.echo(f"removed     {name}")


def _checked(ctx: click.Context, words: tuple[str, ...]) -> tuple[Options, tuple[Host, ...]]:
    """The shared options among the words, and the hosts they select, found out as `check` would.

    Raises:
        ConfigError, click.UsageError: check would refuse them, they need a person, or they hold a secret.
    """
    from sshd_keepalive.cli.check import command as check
    from sshd_keepalive.config import benchmarks
    from sshd_keepalive.secrets.retrieval import Secrets

    inner = check.make_context("check", list(words), parent=ctx.find_root())
    options = Options(**{field.name: inner.params[field.name] for field in fields(Options)})
    if options.ask_become_pass:
        raise ConfigError(
            "--ask-become-pass: nobody is there to be asked", hint="become: {method: sudo, password: file:PATH}"
        )
    if "-" in options.inventory:
        raise ConfigError("-i -: nobody is there to write an inventory to it", hint="write it into a file")
    if recording.holds_password(inner.params["store"]):
        raise ConfigError(
            "--store: the words of a schedule are kept where others may read them, and this URL holds a password",
            hint="write the URL into a file that only you can read: --store file:PATH; or the password into ~/.pgpass",
        )
    for parameter in check.params:
        if inner.get_parameter_source(parameter.name or "") is ParameterSource.ENVIRONMENT:
            click.echo(f"note: {parameter.envvar} is set here, and will not be when the check runs", err=True)
    hosts = selected(options, inner.params["hosts"])
    for host in hosts:
        for hop in (*host.jump, host):
            for secret in (hop.password, hop.become.password):
                _refuse_absent(secret or "", f"{host.name}: its password")
    for target in inner.params["notify"]:
        _refuse_absent(target.removeprefix("apprise:"), "--notify")
    _refuse_absent(inner.params["store"], "--store")
    secrets = Secrets()
    output.Output(options, "check")
    notices.sinks(inner.params["notify"], secrets)
    benchmarks.choose(inner.params["benchmark"])
    recording.opened(inner.params["store"], secrets)
    return options, hosts


def _refuse_absent(reference: str, of: str) -> None:
    """What a person or a session would have to give, and a run by itself has not."""
    if reference == "prompt":
        raise ConfigError(f"{of} is prompt, and nobody is there to be asked", hint="write file:PATH")
    if reference.startswith("env:"):
        raise ConfigError(
            f"{of} is {reference}, and the variables of this session are not there", hint="write file:PATH"
        )


def _written(options: Options, hosts: Iterable[Host]) -> Iterator[Path]:
    """The files that the check writes, beside its history."""
    yield from (Path(text.partition(":")[2]) for text in options.out)
    for hop in (hop for host in hosts for hop in (*host.jump, host) if hop.host_keys == "accept-new"):
        yield Path(hop.known_hosts or "~/.ssh/known_hosts")


def _count(n: int) -> str:
    return "1 host" if n == 1 else f"{n} hosts"


def _word(code: int) -> str:
    return _WORDS.get(code, f"exit code {code}")


def _code(state: Any) -> int:
    judged = state.last.exit_code if state.last else None
    if judged is None or not state.enabled:  # nobody can tell how the hosts are, or nobody will
        return max(judged or output.OK, output.UNREACHED)
    return int(judged)


def _came_to(state: Any) -> str:
    if state.last is None:
        return "runs for the first time" if state.running else "never ran"
    if state.last.exit_code is None:
        return f"cut off, began at {state.last.started_at}"
    again = ", runs again now" if state.running else ""
    return f"{_word(state.last.exit_code)} at {state.last.ended_at}{again}"


def _state(state: Any) -> dict[str, Any]:
    last = None
    if state.last is not None:
        code = state.last.exit_code
        last = {**asdict(state.last), "word": "cut_off" if code is None else _word(code)}
    return {
        **asdict(state.schedule),
        "enabled": state.enabled,
        "running": state.running,
        "last": last,
        "next_at": state.next_at,
    }


def _document(schedules: list[dict[str, Any]]) -> None:
    click.echo(json.dumps({"schema_version": 1, "command": "schedule", "schedules": schedules}, indent=1))


for each in (install, list_, status, run):
    named_in_environment(each)
