"""One command over many hosts: from its options to its exit code."""

from __future__ import annotations

import getpass
import platform
import secrets as randomness
import sys
from collections.abc import Generator, Iterable, Set
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sshd_keepalive import engines
from sshd_keepalive.cli import ExitCode
from sshd_keepalive.cli.exit_code import compute_exit_code
from sshd_keepalive.cli.interrupts import finish_changes, finish_reading
from sshd_keepalive.cli.options import Options
from sshd_keepalive.cli.output import Output
from sshd_keepalive.cli.prompts import PROMPTS
from sshd_keepalive.cli.records import Recorder
from sshd_keepalive.cli.selection import repeat_config, repeat_words, select_hosts
from sshd_keepalive.fleet import one_host as fleet
from sshd_keepalive.model import Benchmark, End, HostReport, Phase, Run, State
from sshd_keepalive.quoting import join
from sshd_keepalive.spelling import join_first

if TYPE_CHECKING:
    from sshd_keepalive.cli.plan_file import PlanFile


class FleetRun:
    """One command over the hosts that its options select.

    Args:
        command: the word of the command, as reports carry it.
        output: where something else is shown than for other commands.
        skip: names of hosts that are left out.
        plan: selects some of the hosts of the options.
        orders: fields of `fleet.Orders` that are not the default.
    """

    def __init__(
        self,
        command: str,
        options: Options,
        *,
        output: Output | None = None,
        skip: Set[str] = frozenset(),
        plan: PlanFile | None = None,
        **orders: Any,
    ) -> None:
        self.command = command
        self.options = options
        self.output = output or Output(options, command)
        hosts = select_hosts(options)
        self.hosts = tuple(host for host in (plan.select(hosts) if plan else hosts) if host.name not in skip)
        self.started_at = read_clock()
        self.orders = replace(make_orders(options, make_run_id(self.started_at)), **orders)
        self.stop = self.orders.stop
        self._has_warned = False
        self._recorder = Recorder(command, options, self.hosts, self.orders.secrets)

    def repeat(
        self,
        job: fleet.Pass,
        *,
        tell: bool = True,
        changes: bool = False,
        waits: bool = False,
        workers: int | None = None,
    ) -> tuple[HostReport, ...]:
        """Run one pass for every host; give a report for each, in their order.

        After SIGTERM no host is begun, and those in progress are finished. The same is true after Ctrl-C if the pass
        changes hosts.

        Raises:
            KeyboardInterrupt: Ctrl-C, and the pass only reads.

        Args:
            tell: show each host as it ends.
            changes, waits: see `fleet.run`.
            workers: hosts at a time; None: --forks.
        """
        engine = engines.select(self.options.engine)
        reports: dict[str, HostReport] = {}
        begun = (host for host in self.hosts if not self.stop.is_set())
        workers = workers or self.options.forks
        # A probe ends its silences at once, and workers in other processes cannot be left alone.
        leaves = not waits and self.options.engine == "thread"
        ending = finish_changes(self.stop) if changes else finish_reading(self.stop, leaves=leaves)
        with ending, self.output.progress(len(self.hosts)) as advance:
            results = fleet.run(job, begun, self.orders, engine, workers=workers, changes=changes, waits=waits)
            try:
                for finished in results:
                    report = self._recorder.add_changes(finished)
                    reports[report.host.name] = report
                    advance()
                    if tell:
                        self.output.show_host(report)
            except KeyboardInterrupt as interrupt:  # perhaps while a host was shown
                if isinstance(results, Generator):
                    results.throw(interrupt)  # else the engine would wait for the hosts in progress
                raise
        return tuple(
            reports.get(host.name) or engines.report_not_begun(host, "interrupted", "the run was interrupted")
            for host in self.hosts
        )

    def make_run(self, reports: Iterable[HostReport], code: int = ExitCode.OK) -> Run:
        """Make the run as it is now."""
        return make_run(self.command, self.orders.run_id, self.started_at, reports, code)

    def end(
        self,
        reports: Iterable[HostReport],
        *,
        judge_as: str = "",
        interrupted: bool | None = None,
        benchmarks: tuple[Benchmark, ...] = (),
    ) -> Run:
        """End the run and record it; give it with the exit code.

        Args:
            judge_as: the command whose exit codes apply, if it is another one.
            interrupted: None: if Ctrl-C was pressed.
        """
        reports = tuple(reports)
        was_stopped = self.stop.is_set() if interrupted is None else interrupted
        code = ExitCode.INTERRUPTED if was_stopped else compute_exit_code(reports, judge_as or self.command)
        return self._recorder.record(replace(self.make_run(reports, code), benchmarks=benchmarks))

    def show(self, run: Run, *, with_diffs: bool = False, then: str = "") -> int:
        """Show a run that has ended; give its exit code.

        Args:
            then: the command to type next if `apply` can correct a host.
        """
        self.output.show_run(run, with_diffs=with_diffs)
        self.warn_of_silent_clients(run.hosts)
        has_drift = any(
            compute_exit_code((report,), run.command) == ExitCode.DRIFT and _can_change(report) for report in run.hosts
        )
        if then and not self.suggest_confirm(run.hosts) and has_drift:
            self.suggest(then)
        return run.exit_code

    def warn_of_silent_clients(self, reports: Iterable[HostReport], *, always: bool = False) -> None:
        """Say once for a run that a change meets live sessions whose clients may not answer.

        Args:
            always: also with -q and beside a document.
        """
        changes = [report for report in reports if report.drops_silent_after_s and report.end in (None, End.APPLIED)]
        if self._has_warned or not changes:
            return
        self._has_warned = True
        if unread := [report.host.name for report in changes if report.n_may_not_answer is None]:
            self.output.say(f"note: cannot find out which sessions are live on {join_first(unread, 5)}", always=always)
        if n_live := sum(report.n_may_not_answer or 0 for report in changes):
            after_s = min(report.drops_silent_after_s or 0 for report in changes)
            clients = f"clients of {n_live} live sessions" if n_live != 1 else "client of 1 live session"
            self.output.say(
                f"note: the {clients} may not answer keep-alives. With the new values sshd drops such a client after "
                f"{after_s} s, from its next login on: `losses` and `sessions --ask-clients` name it",
                always=always,
            )

    def suggest(self, command: str, *more: str) -> None:
        """Suggest the command to type next for the same hosts."""
        self.output.suggest(self.orders.repeated.write_command(command, *more))

    def suggest_apply(self, plan: Path | None, *more: str) -> None:
        """Suggest the command of this run again, or the one that applies a plan; passwords are asked for again."""
        if plan is None:
            self.suggest(self.command, *more)
            return
        asks = [word for word, asks in (("-k", self.options.ask_pass), ("-K", self.options.ask_become_pass)) if asks]
        self.output.suggest(join(["sshd-keepalive", "apply", *repeat_config(), *asks, str(plan), *more]))

    def suggest_confirm(self, reports: Iterable[HostReport]) -> bool:
        """Suggest `confirm` if a change waits for it; give whether one does."""
        waits = any(report.failure and report.pending and report.pending.phase is Phase.WAITING for report in reports)
        if waits:
            self.suggest("confirm")
        return waits


def _can_change(report: HostReport) -> bool:
    """Whether `apply` may correct a host."""
    wrong = [finding.setting for finding in report.findings if finding.state is State.DRIFT]
    return bool(report.diff or report.restarts) or any(
        setting.is_changed_by_apply or setting.is_observation for setting in wrong
    )


def make_run(command: str, run_id: str, started_at: datetime, reports: Iterable[HostReport], code: int) -> Run:
    """Make a run that ends now."""
    return Run(
        id=run_id,
        command=command,
        started_at=started_at,
        ended_at=datetime.now(UTC),
        exit_code=code,
        by=f"{getpass.getuser()}@{platform.node()}",
        hosts=tuple(reports),
    )


def make_run_id(now: datetime) -> str:
    """Make a unique id that sorts by time: `20260131T020000Z-3f9a1c`."""
    return f"{now:%Y%m%dT%H%M%SZ}-{randomness.token_hex(3)}"


def make_orders(options: Options, run_id: str) -> fleet.Orders:
    """Make the orders of a pass; passwords are asked for on the terminal, if there is one."""
    from sshd_keepalive.secrets.retrieval import Secrets

    if options.verbose > 1:
        import logging

        from sshd_keepalive.secrets.redaction import RedactingFormatter

        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(RedactingFormatter("%(name)s: %(message)s"))
        logging.basicConfig(level=logging.DEBUG, handlers=[handler])
    can_ask = sys.stdin.isatty() and sys.stderr.isatty()
    return fleet.Orders(
        run_id=run_id,
        secrets=Secrets(PROMPTS.ask_secret, PROMPTS.confirm_key) if can_ask else Secrets(),
        timeout_s=options.timeout,
        repeated=repeat_words(options),
    )


def read_clock() -> datetime:
    """Read the clock, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
