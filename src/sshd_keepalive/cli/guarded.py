"""What `apply` and `undo` share: the options of the guard, and show, ask, carry out."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import click

from sshd_keepalive.cli import changing_hosts, journal, output, passes
from sshd_keepalive.cli.check import again
from sshd_keepalive.cli.options import Options, selected
from sshd_keepalive.cli.recording import Recorder, Recording
from sshd_keepalive.cli.rolling import Rolling, roll_out, rollout
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.fleet import one_host as fleet
from sshd_keepalive.model import End, Host, HostReport
from sshd_keepalive.scripts.guard import Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """What the options said."""

    yes: bool
    confirm_timeout: int
    no_rehearsal: bool
    service_action: str


_SHARED = (
    click.option("-y", "--yes", is_flag=True, help="Do not ask. Needed where there is no terminal."),
    click.option(
        "--confirm-timeout",
        metavar="SECONDS",
        type=click.IntRange(5, 3600),
        default=60,
        show_default=True,
        help="A host that no new login has confirmed by then reverts by itself.",
    ),
    click.option(
        "--no-rehearsal", is_flag=True, help="Do not try a login through the new files before they are installed."
    ),
    click.option(
        "--service-action",
        type=click.Choice([action.value for action in Action]),
        default=Action.RESTART.value,
        show_default=True,
        help="reload: SIGHUP, not before OpenSSH 8.0; none: the files only, a restart stays pending.",
    ),
)


def guard_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the guard; the command gets them as one value, `guarded`."""

    @functools.wraps(function)
    def called(**given: Any) -> Any:
        guarded = {field.name: given.pop(field.name) for field in fields(Guarded)}
        return function(guarded=Guarded(**guarded), **given)

    wrapped: Callable[..., Any] = called
    for option in reversed(_SHARED):
        wrapped = option(wrapped)
    return wrapped


def carry_out(
    command: str,
    hosts: tuple[str, ...],
    options: Options,
    guarded: Guarded,
    rolling: Rolling,
    recording: Recording,
    *,
    plan: fleet.Pass,
    work: fleet.Pass,
    **orders: Any,
) -> int:
    """Show what `plan` finds, ask, do `work`, report; with --yes without showing first. Returns the exit code.

    What --force would lose is shown first in any case: afterwards it is too late to see.
    """
    out = output.Output(options, command)
    can_ask = sys.stdin.isatty() and sys.stderr.isatty()
    if not guarded.yes and not can_ask:
        raise ConfigError("there is no terminal to ask on", hint="look at the plan, then add --yes")
    chosen = selected(options, hosts)
    if rolling.resume:
        done = journal.done_in(rolling.resume, command)
        chosen = tuple(host for host in chosen if host.name not in done)
    started_at = passes.now()
    given = replace(
        passes.orders(options, passes.new_run_id(started_at), confirm_timeout_s=guarded.confirm_timeout),
        action=Action(guarded.service_action),
        rehearses=not guarded.no_rehearsal,
        **orders,
    )
    recorder = Recorder(recording, command, options, hosts, chosen, given.secrets)
    with passes.interruptible() as stop:
        rollout(
            chosen, rolling, out, stop, chosen=chosen
        )  # a mistake in the options is told before any host is contacted
        planned: dict[str, HostReport] = {}
        shows_first = not guarded.yes or bool(orders.get("force"))
        if shows_first:
            planned = {r.host.name: r for r in passes.repeat(plan, chosen, given, out, stop, tell=False)}
            out.diffs(planned.values(), given.run_id, started_at)
            if not stop.is_set() and not guarded.yes and not _agreed(planned):
                return output.OK if not any(_would_change(r) for r in planned.values()) else output.DRIFT
            given = replace(given, shown={name: report.contents for name, report in planned.items()})
        worth_it = _worth_it(chosen, planned)
        n_failed = sum(report.failure is not None for report in planned.values())
        rolled = rollout(worth_it, rolling, out, stop, chosen=chosen, n_failed=n_failed)
        with changing_hosts():
            ended, failed = roll_out(rolled, work, worth_it, given, out, rolling)
    by_name = {report.host.name: report for report in ended}
    reports = tuple(by_name.get(host.name) or _left(planned[host.name]) for host in chosen)
    interrupted = stop.is_set() and not rolled.is_spent
    code = output.INTERRUPTED if interrupted else output.exit_code(reports, command)
    with changing_hosts():  # until it is told what became of them
        run = recorder.record(output.finished(given.run_id, command, started_at, reports, code))
        out.run(run, with_diffs=not shows_first)
    if interrupted or rolled.is_spent:
        out.next_step(f"sshd-keepalive {command} {again(options, hosts)} --resume {given.run_id}")
    elif out.confirm_step(reports, again(options, hosts)):
        pass
    elif failed and len(reports) > 1:
        out.next_step(f"sshd-keepalive check {again(options, hosts)} --limit @{failed}")
    elif any(report.n_older_sessions for report in reports):
        out.next_step(f"sshd-keepalive sessions {again(options, hosts, with_policy=False)}")
    return run.exit_code


def _agreed(planned: dict[str, HostReport]) -> bool:
    n_change = sum(_would_change(report) for report in planned.values())
    n_failed = sum(report.failure is not None for report in planned.values())
    if n_change == 0:
        return True
    failed = f" ({n_failed} cannot be planned and will be left alone)" if n_failed else ""
    return click.confirm(f"change {n_change} of {len(planned)} host(s){failed}?", err=True)


def _would_change(report: HostReport) -> bool:
    return bool(report.diff) or report.restarts


def _worth_it(chosen: tuple[Host, ...], planned: dict[str, HostReport]) -> tuple[Host, ...]:
    """After a plan was shown only its changes are made; without one every host is looked at."""
    return tuple(host for host in chosen if not planned or _would_change(planned[host.name]))


def _left(report: HostReport) -> HostReport:
    """A host that the plan leaves alone: it could not be planned, or there is nothing to do."""
    if report.failure is None:
        return replace(report, end=End.UNCHANGED)
    return replace(report, end=End.UNREACHABLE if report.unreached else End.REFUSED)
