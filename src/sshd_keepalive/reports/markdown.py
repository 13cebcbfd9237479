"""Markdown as GitHub and GitLab read it: the totals, then the hosts that want attention, worst first."""

import re
from collections import Counter
from collections.abc import Sequence

from sshd_keepalive import benchmarks
from sshd_keepalive.history import outcome
from sshd_keepalive.model import HostReport, Run, State
from sshd_keepalive.quoting import printable
from sshd_keepalive.reports import flatten, format_time
from sshd_keepalive.spelling import write_count


def render(run: Run) -> str:
    """Render the page. Text from a host is in code spans and code blocks only, where nothing is interpreted."""
    hosts = outcome.sort_worst_first(run)
    words = Counter(outcome.pick_word(report) for report in hosts)
    totals = ", ".join(f"**{words[word]}** {word}" for word in sorted(words, key=outcome.rank_word, reverse=True))
    parts = [
        f"# sshd-keepalive {run.command}\n",
        f"{write_count(len(hosts), 'host')}{': ' * bool(totals)}{totals}\n",
        f"Run `{run.id}`, ended {format_time(run.ended_at)}, exit code {run.exit_code}.\n",
    ]
    wrong = [report for report in hosts if outcome.pick_word(report) is not State.OK]
    if wrong:
        parts.append(_render_table(("Host", "Groups", "State", "Why"), [_build_host_row(report) for report in wrong]))
    if caveats := outcome.group_caveats(run):
        parts.append("## Values with another effect on this release\n")
        rows = [(_render_code(text), " ".join(map(_render_code, names))) for text, names in caveats.items()]
        parts.append(_render_table(("Caveat", "Hosts"), rows))
    changed = [(_render_code(report.host.name), _render_code(change)) for report in hosts for change in report.changes]
    if changed:
        parts.append("## Changed since the last recorded run\n")
        parts.append(_render_table(("Host", "Change"), changed))
    if run.benchmarks:
        parts += ["## Benchmarks\n", _render_benchmarks(run), f"{benchmarks.conclude(run)}\n"]
    diffs: dict[str, list[str]] = {}
    for report in hosts:
        if report.diff:
            diffs.setdefault(report.diff, []).append(_render_code(report.host.name))
    if diffs:
        parts.append("## Changes\n")
        parts += [f"{', '.join(names)}:\n\n{_render_block(diff)}" for diff, names in diffs.items()]
    return "\n".join(parts)


def _build_host_row(report: HostReport) -> tuple[str, ...]:
    host = report.host
    groups = " ".join(_render_code(group) for group in host.groups)
    return _render_code(host.name), groups, outcome.pick_word(report), "<br>".join(_list_reasons(report))


def _list_reasons(report: HostReport) -> list[str]:
    reasons = [
        f"{finding} {finding.place}" if finding.place else str(finding)
        for finding in report.findings
        if finding.state is not State.OK
    ]
    if report.failure:
        reasons.append(f"{report.failure.kind}: {report.failure.message}")
    if report.host.waiver and report.state is State.WAIVED:
        reasons.append(str(report.host.waiver))
    return [*map(_render_code, dict.fromkeys((*reasons, *report.all_notes)))]  # a check notes its waiver, too


def _render_benchmarks(run: Run) -> str:
    states = (State.OK, State.DRIFT, State.UNKNOWN)
    rows = []
    for row in run.benchmarks:
        counts = benchmarks.count_states(run, row)
        numbers = (str(counts[state]) for state in states)
        rows.append(
            (_render_code(row.name), _render_code(row.title), f"{row.interval_s}", f"{row.count_max}", *numbers)
        )
    return _render_table(("Benchmark", "Title", "Interval", "Count", *states), rows)


def _render_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _render_code(text: str) -> str:
    """Write a code span for a cell: with a fence longer than any run of backticks in it, and no bar that ends the cell.

    Source: CommonMark 0.31, 6.1; GitHub Flavored Markdown, 4.10 (a bar in a cell is escaped in code, too).
    """
    text = flatten(text).replace("|", "\\|")
    fence = "`" * (_measure_longest(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}" if text.strip() else ""


def _render_block(text: str) -> str:
    fence = "`" * max(3, _measure_longest(text) + 1)
    return f"{fence}diff\n{printable(text).rstrip()}\n{fence}\n"


def _measure_longest(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
