"""A run as a short message for people who look at something else: what changed, what is wrong, in that order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from sshd_keepalive.history import outcome
from sshd_keepalive.model import HostReport, PastRun, Run, Verdict
from sshd_keepalive.quoting import printable
from sshd_keepalive.spelling import cut_lines

_MOST: Final = 20  # hosts told one by one: a message is read on a telephone


class When(Enum):
    """What makes a run worth a message."""

    CHANGE = "change"  # something is not as in the last recorded run
    DRIFT = "drift"  # something is not as wanted
    ALWAYS = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is sent: plain text, printable."""

    subject: str  # one line
    body: str  # ends in a line end


def is_due(run: Run, when: When) -> bool:
    """Whether a run is worth a message.

    CHANGE compares with the last of `run.past`, and believes `drift` of each host. Where nothing was recorded before,
    there is nothing to compare with: then a run is due that is not as wanted.
    """
    if when is When.ALWAYS:
        return True
    if when is When.DRIFT or not run.past:
        return bool(_wrong(run)) or run.exit_code != 0
    return any(report.drift for report in run.hosts) or _numbers(run) != _numbers_of(run.past[-1])


def compose(run: Run) -> Notice:
    """The message for a run."""
    wrong = _wrong(run)
    subject = f"sshd-keepalive: {_headline(run, len(wrong))}"
    if run.past and (before := n_wrong(run.past[-1])) != len(wrong):
        subject += f", {before} before" if wrong else f"; {before} {'was' if before == 1 else 'were'} not"
    changed = [report for report in run.hosts if report.drift]
    lines = [f"Run {run.id}, {run.command}, {run.started_at:%Y-%m-%d %H:%M} UTC, exit code {run.exit_code}"]
    lines += _section("Changed since the last recorded run:", changed, _changes)
    lines += _section("Not as wanted:", wrong, _reasons)
    lines += _caveats(run)
    text = "\n".join(printable(" ".join(line.splitlines())) for line in lines)
    return Notice(subject=printable(subject), body=f"{text}\n")


def _headline(run: Run, n_wrong: int) -> str:
    """One clause; a waived host is told apart from those that are as wanted."""
    n_hosts = len(run.hosts)
    n_waived = outcome.counts(run)[Verdict.WAIVED]
    hosts = f"{n_hosts} host{'s' * (n_hosts != 1)}"
    if n_wrong:
        return f"{n_wrong} of {hosts} {'is' if n_wrong == 1 else 'are'} not as wanted"
    if n_waived:
        return f"{hosts}, {n_hosts - n_waived} as wanted, {n_waived} waived"
    return f"{hosts}, all as wanted" if n_hosts else "no hosts"


def n_wrong(past: PastRun) -> int:
    """How many hosts of a recorded run were not as wanted; a waived one is not among them."""
    return past.n_fail + past.n_unknown


def _wrong(run: Run) -> list[HostReport]:
    """The hosts that are neither as wanted nor waived, worst first."""
    return [report for report in outcome.worst_first(run) if report.verdict not in (Verdict.PASS, Verdict.WAIVED)]


def _section(title: str, reports: list[HostReport], told: Callable[[HostReport], list[str]]) -> list[str]:
    if not reports:
        return []
    lines = ["", title]
    hosts = ["\n    ".join((f"- {report.host.name}: {outcome.word(report)}", *told(report))) for report in reports]
    return [*lines, *cut_lines(hosts, _MOST, "- and {n} more")]


def _caveats(run: Run) -> list[str]:
    told = [f"- {len(names)} host{'s' * (len(names) != 1)}: {text}" for text, names in outcome.caveats(run).items()]
    return ["", "As wanted, but:", *told] if told else []


def _changes(report: HostReport) -> list[str]:
    return list(report.drift)


def _reasons(report: HostReport) -> list[str]:
    """The values that are wrong with the lines that decide them, or why the host could not be judged."""
    if report.failure is not None:
        hint = [f"next: {report.failure.hint}"] if report.failure.hint else []
        return [report.failure.message, *hint]
    return [
        f"{finding.setting} {finding.value}, wanted {finding.wanted}" + (f", {finding.place}" if finding.place else "")
        for finding in report.findings
        if finding.verdict is not Verdict.PASS
    ]


def _numbers(run: Run) -> tuple[int, ...]:
    counts = outcome.counts(run)
    return tuple(counts[verdict] for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN, Verdict.WAIVED))


def _numbers_of(past: PastRun) -> tuple[int, ...]:
    return past.n_pass, past.n_fail, past.n_unknown, past.n_waived
