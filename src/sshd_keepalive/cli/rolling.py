"""The options of a rollout, and carrying one out: waves, soak, budget, journal, and what a spent budget leads to."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import click

from sshd_keepalive import engines
from sshd_keepalive.cli import journal, passes
from sshd_keepalive.cli.output import Output
from sshd_keepalive.fleet import one_host as fleet
from sshd_keepalive.fleet import waves
from sshd_keepalive.fleet.rollout import Rollout
from sshd_keepalive.fleet.waves import Budget
from sshd_keepalive.model import End, Failure, FailureKind, Host, HostReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """What the options said."""

    canary: int
    serial: str
    soak: float
    max_fail: str | None
    on_failure: str
    resume: str | None


_SHARED = (
    click.option("--canary", metavar="N", type=click.IntRange(0), default=0, help="N hosts first, on their own."),
    click.option("--serial", metavar="SIZES", default="100%", help="Waves: 1,10%,100%, or label:NAME."),
    click.option(
        "--soak", metavar="SECONDS", type=click.FloatRange(0), default=0.0, help="Wait and check again after each wave."
    ),
    click.option(
        "--max-fail",
        metavar="N|P%",
        help="Begin nothing more once more hosts than this failed; unreachable ones count. "
        "[default: 0 with waves, no limit without]",
    ),
    click.option(
        "--on-failure",
        type=click.Choice(("stop", "continue", "undo")),
        default="stop",
        show_default=True,
        help="When that is so: begin nothing more, go on all the same, or take back what this run changed.",
    ),
    click.option("--resume", metavar="RUN", help="Leave out what an earlier, interrupted run has done."),
)


def rollout_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a rollout; the command gets them as one value, `rolling`."""

    @functools.wraps(function)
    def called(**given: Any) -> Any:
        rolling = {field.name: given.pop(field.name) for field in fields(Rolling)}
        return function(rolling=Rolling(**rolling), **given)

    wrapped: Callable[..., Any] = called
    for option in reversed(_SHARED):
        wrapped = option(wrapped)
    return wrapped


def rollout(
    hosts: tuple[Host, ...],
    rolling: Rolling,
    out: Output,
    stop: threading.Event,
    *,
    chosen: tuple[Host, ...],
    n_failed: int = 0,
) -> Rollout:
    """The waves and the budget that the options ask for.

    Args:
        hosts: those that are left to change.
        chosen: those that were asked for: labels and shares are meant of these.
        n_failed: how many of these have failed already, when the plan was made.
    Raises:
        ConfigError: sizes, labels or a budget that cannot be read.
    """
    n_canary = min(rolling.canary, len(chosen))
    left = {host.name for host in hosts}
    divided = tuple(
        wave
        for whole in waves.waves(chosen, rolling.serial, canary=n_canary)
        if (wave := tuple(host for host in whole if host.name in left))
    )
    default = "0" if len(divided) > 1 else None
    text = rolling.max_fail if rolling.max_fail is not None else default
    budget = Budget(None) if text is None else Budget.parse(text, len(chosen))
    rolled = Rollout(
        waves=divided,
        budget=Budget(None) if rolling.on_failure == "continue" else budget,
        engine=engines.named(out.options.engine),
        workers=out.options.forks,
        stop=stop,
        soak_s=rolling.soak,
        soaked=lambda number, seconds: out.say(f"wave {number} of {len(divided)} soaks for {seconds:g} s"),
    )
    rolled.count(n_failed)
    return rolled


def roll_out(
    rolled: Rollout, work: fleet.Pass, hosts: tuple[Host, ...], given: fleet.Orders, out: Output, rolling: Rolling
) -> tuple[tuple[HostReport, ...], Path | None]:
    """Every host's report in the order given, and the file that names those that failed."""
    # A change that waits for its confirmation may be gone tomorrow: it is journalled as another command's.
    kept = journal.Journal(given.run_id, out.command if given.confirms else f"{out.command} --no-confirm")
    reports: dict[str, HostReport] = {}
    with out.progress(len(hosts), rolled.__str__) as advance:
        for report in rolled.run(work, given):
            reports[report.host.name] = report
            kept.write(report)
            advance()
            out.host(report)
        if rolled.is_spent:
            sys.stderr.write(
                f"stopped: {rolled.n_failed} host(s) failed, more than the budget of {rolled.budget.n_max}\n"
            )
        if rolled.is_spent and rolling.on_failure == "undo":
            for report in _taken_back(reports, given, rolled):
                reports[report.host.name] = report
                kept.write(report)
                out.host(report)
    ended = tuple(reports.get(host.name) or rolled.not_begun(host) for host in hosts)
    return ended, kept.close(ended)


def _taken_back(reports: dict[str, HostReport], given: fleet.Orders, rolled: Rollout) -> list[HostReport]:
    """Undo, on every host that this run changed; each with the same care as the change."""
    changed = [report.host for report in reports.values() if report.end is End.APPLIED]
    # A run of its own, with backups of its own: what is taken back can be brought again.
    undo = replace(given, run_id=passes.new_run_id(passes.now()), undoes=given.run_id, shown=None)
    out = []
    for undone in fleet.run(fleet.undo_host, changed, undo, rolled.engine, workers=rolled.workers):
        before = reports[undone.host.name]
        if undone.end is End.APPLIED:
            failure = Failure(
                kind=FailureKind.EFFECTIVE,
                cause="taken-back",
                message="changed, proved, and taken back because the error budget of the run was spent",
                hint="look at the hosts that failed",
            )
            undone = replace(undone, end=End.ROLLED_BACK, failure=failure)
        out.append(replace(undone, diff=before.diff, value_diff=before.value_diff))
    return out
