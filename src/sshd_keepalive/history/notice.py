"""A run as a short message: first what changed, then what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from sshd_keepalive.history import outcome
from sshd_keepalive.model import HostReport, PastRun, Run, State
from sshd_keepalive.quoting import printable
from sshd_keepalive.spelling import cut_lines, write_count

_MOST: Final = 20  # hosts listed one by one: a message is read on a telephone


class When(Enum):
    """When to send a message."""

    CHANGE = "change"  # something is not as in the last recorded run
    DRIFT = "drift"  # a host is not compliant
    ALWAYS = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message: plain text, printable."""

    subject: str  # one line
    body: str  # ends in a line end


def is_due(run: Run, when: When) -> bool:
    """Whether to send a message about a run.

    CHANGE compares with the last of `run.past`, and believes `drift` of each host. Where nothing was recorded before,
    there is nothing to compare with: then a run is due in which a host is not compliant.
    """
    if when is When.ALWAYS:
        return True
    if when is When.DRIFT or not run.past:
        return bool(_list_wrong(run)) or run.exit_code != 0
    now, before = _list_counts(outcome.count(run)), _list_counts(run.past[-1].counts)
    return now != before or any(report.changes for report in run.hosts)


def compose(run: Run) -> Notice:
    """Compose the message about a run."""
    wrong = _list_wrong(run)
    subject = f"sshd-keepalive: {_compose_headline(run, len(wrong))}"
    if run.past and (before := count_wrong(run.past[-1])) != len(wrong):
        subject += f", {before} before" if wrong else f"; {before} {'was' if before == 1 else 'were'} not"
    changed = [report for report in run.hosts if report.changes]
    lines = [f"Run {run.id}, {run.command}, {run.started_at:%Y-%m-%d %H:%M} UTC, exit code {run.exit_code}"]
    lines += _render_section("Changed since the last recorded run:", changed, lambda report: report.changes)
    lines += _render_section("Not compliant:", wrong, _list_reasons)
    lines += _render_caveats(run)
    text = "\n".join(printable(" ".join(line.splitlines())) for line in lines)
    return Notice(subject=printable(subject), body=f"{text}\n")


def _compose_headline(run: Run, n_wrong: int) -> str:
    """One clause; a waived host is not counted as compliant."""
    n_hosts = len(run.hosts)
    n_waived = outcome.count(run)[State.WAIVED]
    hosts = write_count(n_hosts, "host")
    if n_wrong:
        return f"{n_wrong} of {hosts} {'is' if n_wrong == 1 else 'are'} not compliant"
    if n_waived:
        return f"{hosts}, {n_hosts - n_waived} compliant, {n_waived} waived"
    return f"{hosts}, all compliant" if n_hosts else "no hosts"


def count_wrong(past: PastRun) -> int:
    """How many hosts of a recorded run were not compliant; a waived one is not among them."""
    return sum(past.counts.get(state, 0) for state in State if state not in (State.OK, State.WAIVED))


def _list_wrong(run: Run) -> list[HostReport]:
    """List the hosts that are neither compliant nor waived, worst first."""
    return [report for report in outcome.sort_worst_first(run) if report.state not in (State.OK, State.WAIVED)]


def _render_section(
    title: str, reports: list[HostReport], list_lines: Callable[[HostReport], Iterable[str]]
) -> list[str]:
    hosts = [
        "\n    ".join((f"- {report.host.name}: {outcome.pick_word(report)}", *list_lines(report))) for report in reports
    ]
    return ["", title, *cut_lines(hosts, _MOST, "- and {n} more")] if hosts else []


def _render_caveats(run: Run) -> list[str]:
    lines = [f"- {write_count(len(names), 'host')}: {text}" for text, names in outcome.group_caveats(run).items()]
    return ["", "Compliant, but:", *lines] if lines else []


def _list_reasons(report: HostReport) -> list[str]:
    """Give the wrong values with their places, or why the host could not be judged."""
    if report.failure is not None:
        hint = [f"next: {report.failure.hint}"] if report.failure.hint else []
        return [report.failure.message, *hint]
    return [
        f"{finding}, {finding.place}" if finding.place else str(finding)
        for finding in report.findings
        if finding.state is not State.OK
    ]


def _list_counts(counts: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(counts.get(state, 0) for state in State)
