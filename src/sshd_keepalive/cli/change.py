"""What `apply` and `undo` share: show what would change, ask, and carry it out in waves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sshd_keepalive import engines
from sshd_keepalive.cli import ExitCode, changing_hosts
from sshd_keepalive.cli.fleet_run import FleetRun, make_run_id, read_clock
from sshd_keepalive.cli.interrupts import finish_changes
from sshd_keepalive.cli.journal import Journal, find_done
from sshd_keepalive.cli.options import Options
from sshd_keepalive.cli.plan_file import PlanFile
from sshd_keepalive.cli.prompts import PROMPTS
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.fleet import one_host as fleet
from sshd_keepalive.fleet import waves
from sshd_keepalive.fleet.rollout import Rollout
from sshd_keepalive.fleet.waves import Budget
from sshd_keepalive.history import outcome
from sshd_keepalive.model import Action, End, Host, HostReport, State
from sshd_keepalive.spelling import write_count


def change_fleet(
    command: str,
    options: Options,
    *,
    preview: fleet.Pass,
    work: fleet.Pass,
    plan: PlanFile | None = None,
    plan_path: Path | None = None,
    **orders: Any,
) -> int:
    """Show the changes, ask, carry them out, report; give the exit code.

    With --yes the changes are not shown first, except those of --force, which lose an edit.

    Args:
        preview: finds the changes; not called where there is a `plan`.
        work: changes a host.
        orders: fields of `fleet.Orders`.
    Raises:
        ConfigError: without a terminal, or no run to resume.
    """
    asks = not options.yes
    if asks and not (sys.stdin.isatty() and sys.stderr.isatty()):
        look = "read the plan" if plan else "look at the changes with --dry-run"
        raise ConfigError("cannot ask without a terminal", hint=f"{look}, then add --yes")
    run = _select(command, options, plan, orders)
    _plan_rollout(run, run.hosts)  # a mistake in the options ends the run before any host is contacted
    shows_first = asks or run.orders.force or plan is not None
    planned = _show(run, preview, plan) if shows_first else {}
    if run.stop.is_set():
        raise KeyboardInterrupt
    if asks and not _ask(planned):
        sys.stderr.write("nothing was changed\n")
        return ExitCode.DRIFT
    n_failed = sum(report.failure is not None for report in planned.values())
    hosts = tuple(host for host in run.hosts if not planned or outcome.is_change_planned(planned[host.name]))
    rollout = _plan_rollout(run, hosts, n_failed=n_failed)
    with changing_hosts():  # until their state is reported
        with finish_changes(run.stop):
            changed, journal = _roll_out(run, rollout, work)
        reports = [changed.get(host.name) or _leave(planned[host.name]) for host in run.hosts]
        failed = journal.close(reports)
        is_interrupted = run.stop.is_set() and not rollout.is_spent
        code = run.show(run.end(reports, interrupted=is_interrupted), with_diffs=not (shows_first or options.quiet))
    is_left = (is_interrupted or rollout.is_spent) and any(map(waves.has_failed, reports))
    if not run.orders.confirms and any(report.end is End.APPLIED for report in reports):
        run.output.say("not confirmed: the hosts revert by themselves, unless you confirm")
        run.suggest("confirm")
    elif is_left and run.orders.confirms:
        run.suggest_apply(plan_path, "--resume", run.orders.run_id)
    elif run.suggest_confirm(reports):
        pass
    elif failed and len(reports) > 1:
        run.suggest("check", "--limit", f"@{failed}")
    elif any(report.n_older_sessions for report in reports):
        run.suggest("sessions")
    return code


def _select(command: str, options: Options, plan: PlanFile | None, orders: dict[str, Any]) -> FleetRun:
    """Select the hosts to change, without those that --resume skips."""
    return FleetRun(
        command,
        options,
        plan=plan,
        skip=find_done(options.resume, command) if options.resume else frozenset(),
        confirm_timeout_s=options.confirm_timeout,
        action=Action(options.service_action),
        rehearses=not options.no_rehearsal,
        **orders,
    )


def _show(run: FleetRun, preview: fleet.Pass, plan: PlanFile | None) -> dict[str, HostReport]:
    """Show every change; from then on a host is changed only as shown."""
    reports = run.repeat(preview, tell=False) if plan is None else plan.to_reports(run.hosts)
    planned = {report.host.name: report for report in reports}
    run.output.show_diffs(run.make_run(planned.values()))
    run.warn_of_silent_clients(reports, always=not run.options.yes)  # the answer may depend on it
    run.orders = replace(run.orders, shown={name: report.fingerprint for name, report in planned.items()})
    return planned


def _ask(planned: dict[str, HostReport]) -> bool:
    n_change = sum(outcome.is_change_planned(report) for report in planned.values())
    n_failed = sum(report.failure is not None for report in planned.values())
    if n_change == 0:
        return True
    failed = f" ({n_failed} cannot be planned and will not be changed)" if n_failed else ""
    return PROMPTS.confirm(f"change {n_change} of {write_count(len(planned), 'host')}{failed}?")


def _leave(report: HostReport) -> HostReport:
    """Report a host that is not changed: it could not be planned, or there is nothing to do."""
    if report.state is State.UNREACHABLE or report.end is End.NOT_BEGUN:
        return report
    return replace(report, end=End.UNCHANGED if report.failure is None else End.REFUSED)


def _plan_rollout(run: FleetRun, hosts: tuple[Host, ...], *, n_failed: int = 0) -> Rollout:
    """Plan the waves and the budget as the options say.

    Args:
        hosts: the hosts to change; labels and shares apply to all hosts of the run.
        n_failed: how many of the others could not be planned.
    Raises:
        ConfigError: sizes, labels or a budget that cannot be read.
    """
    n_canary = min(run.options.canary, len(run.hosts))
    names = {host.name for host in hosts}
    divided = tuple(
        wave
        for whole in waves.divide(run.hosts, run.options.serial, canary=n_canary)
        if (wave := tuple(host for host in whole if host.name in names))
    )
    max_fail = run.options.max_fail if run.options.max_fail is not None else "0" if len(divided) > 1 else None
    budget = Budget(None) if max_fail is None else Budget.parse(max_fail, len(run.hosts))
    rollout = Rollout(
        waves=divided,
        budget=Budget(None) if run.options.on_failure == "continue" else budget,
        engine=engines.select(run.options.engine),
        workers=run.options.forks,
        stop=run.stop,
        soak_s=run.options.soak,
        soaked=lambda number, seconds: run.output.say(
            f"wave {number} of {len(divided)} changed; waiting {seconds:g} s, then it is checked again"
        ),
    )
    rollout.count(n_failed)
    return rollout


def _roll_out(run: FleetRun, rollout: Rollout, work: fleet.Pass) -> tuple[dict[str, HostReport], Journal]:
    """Give the report of every host in a wave, by its name, and the journal, still open."""
    journal = Journal(run.orders.run_id, run.command, confirms=run.orders.confirms)
    reports: dict[str, HostReport] = {}

    def keep(report: HostReport) -> None:
        reports[report.host.name] = report
        journal.write(report)
        run.output.show_host(report)

    hosts = [host for wave in rollout.waves for host in wave]
    with run.output.progress(len(hosts), rollout.__str__) as advance:
        for report in rollout.run(work, run.orders):
            keep(report)
            advance()
        changed = [report for report in reports.values() if report.end is End.APPLIED]
        if rollout.is_spent:
            failed, n_max = write_count(rollout.n_failed, "host"), rollout.budget.n_max
            sys.stderr.write(f"stopped: {failed} failed, and --max-fail allows {n_max}\n")
        if rollout.is_spent and run.options.on_failure == "undo":
            for report in _undo(run, rollout, changed, "more hosts failed than --max-fail allows"):
                keep(report)
        elif run.options.watch and changed:
            for report in _watch(run, rollout, changed):
                keep(report)
    return {host.name: reports.get(host.name) or rollout.report_not_begun(host) for host in hosts}, journal


def _watch(run: FleetRun, rollout: Rollout, changed: list[HostReport]) -> Iterator[HostReport]:
    """Wait, then report the hosts whose new values dropped sessions; with `undo` they get the old values again."""
    run.output.say(f"watching {write_count(len(changed), 'host')} for {run.options.watch:g} s")
    run.stop.wait(run.options.watch)
    losing = []
    for report in rollout.find_losses(changed, run.orders):
        if report.state is State.DRIFT and run.options.on_loss == "undo":
            losing.append(report)
        else:
            yield report
    yield from _undo(run, rollout, losing, "the new values dropped sessions")


def _undo(run: FleetRun, rollout: Rollout, changed: list[HostReport], why: str) -> Iterator[HostReport]:
    # A run of its own, with backups of its own: what is reverted can be applied again.
    orders = replace(run.orders, run_id=make_run_id(read_clock()), undoes=run.orders.run_id, shown=None)
    return rollout.undo(changed, orders, why)
