"""Text for people: what matters about each host, worst last, and the next command to type."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

from sshd_keepalive import benchmarks
from sshd_keepalive.diagnosis import losses
from sshd_keepalive.history import outcome
from sshd_keepalive.model import GLOBAL, End, Finding, HostReport, Run, State
from sshd_keepalive.quoting import printable

_NAMED = 5  # hosts of a group that are named; the reports for machines name all


def render(run: Run) -> str:
    """Every host, problem hosts last, then the summary."""
    ranked = sorted(run.hosts, key=outcome.rank)
    shown_diffs = diffs(run)
    parts = [host(report) for report in ranked if needs_telling(report)]
    return "".join([*shown_diffs, *parts, totals(run)])


def is_fine(report: HostReport) -> bool:
    """Nothing about this host wants attention."""
    return outcome.rank(report) <= outcome.badness(End.APPLIED) and not (report.notes or report.changes)


def needs_telling(report: HostReport) -> bool:
    """There is more to say of this host than the diff under its name, or the line of all that were not begun."""
    if report.end is End.NOT_BEGUN:
        return False
    return not outcome.would_change(report) or bool(report.notes or report.changes)


def host(report: HostReport, *, steps: bool = False) -> str:
    """The lines of one host: the word, the name, what is wrong and which line decides; all steps on request."""
    word = outcome.word(report)
    lines = [f"{word:<11} {printable(report.host.name)}"]
    lines[0] += _headline(report)
    # What a change is about stands in its diff.
    told = [f for f in report.findings if f.state is not State.OK and (steps or not outcome.would_change(report))]
    told += [f for f in _seen(report) if not _fits_headline(report)]
    for reason, findings in groupby(told, key=lambda finding: finding.reason):
        lines += [_finding(finding) for finding in findings]
        if reason:
            lines.append(f"        {reason}")
    lines += [f"    {line}" for line in (losses.table(report.losses) if report.losses else ())]
    said = report.failure.message if report.failure else ""
    for step in report.steps:
        if steps or not (step.ok or step.detail in said):
            lines.append(f"    {'did' if step.ok else 'failed'} {step.name}: {step.detail}  ({step.seconds_s:.2f} s)")
    if report.failure is not None:
        lines.append(f"    {report.failure.kind}: {report.failure.message}")
        if report.failure.hint:
            lines.append(f"    next: {report.failure.hint}")
    lines += [f"    changed: {change}" for change in report.changes]
    lines += [f"    note: {note}" for note in report.notes]
    return "".join(printable(line.replace("\n", " ")) + "\n" for line in lines)


def _finding(finding: Finding) -> str:
    """`ClientAliveInterval 0, wanted 300 for Match User root  /etc/ssh/sshd_config:98`."""
    place = f"  {finding.place}" if finding.place else ""
    if _is_seen(finding):
        scope = "" if finding.scope == GLOBAL else f" ({finding.scope})"
        wanted = f", wanted {finding.wanted}" if finding.wanted and finding.state is not State.OK else ""
        return f"    {finding.setting}{scope}: {finding.value}{wanted}{place}"
    value = f"{finding.setting} {finding.value}" if finding.value else finding.setting
    wanted = f", wanted {finding.wanted}" if finding.wanted else ""
    return f"    {value}{wanted}{finding.for_whom}{place}"


def _is_seen(finding: Finding) -> bool:
    """It is told whatever its state."""
    return finding.setting.is_observation


def _seen(report: HostReport) -> list[Finding]:
    return [f for f in report.findings if f.state is State.OK and _is_seen(f)]


def _fits_headline(report: HostReport) -> bool:
    """One observation of a probe that has nothing to add."""
    seen = _seen(report)
    return len(seen) == 1 and seen[0].scope == GLOBAL and not seen[0].reason


def _headline(report: HostReport) -> str:
    """What there is to say beside the name: of a probe what is configured, loaded, observed; else the values."""
    if report.configured is not None:
        words = [str(report.configured)]
    elif report.state is State.OK:
        words = [f"{f.setting} {f.value}" for f in report.findings if f.scope == GLOBAL and not _is_seen(f)]
        words += [f"but {report.caveat.effect}"] if report.caveat else []
    else:
        words = []
    if _fits_headline(report):
        words += [f"{f.setting} {f.value}" for f in _seen(report)]
    if not words:
        return ""
    seconds = f", {report.seconds_s:.1f} s" if report.end is not None and report.state is State.OK else ""
    return f"  {', '.join(words)}{seconds}"


def diffs(run: Run) -> list[str]:
    """Each different change once, with the hosts it is for."""
    groups: dict[tuple[str, str, str, bool], list[str]] = {}
    for report in run.hosts:
        if report.diff or report.restarts:
            beware = f"beware: {report.caveat}\n" if report.caveat else ""
            groups.setdefault((report.diff, report.value_diff, beware, report.restarts), []).append(report.host.name)
    texts = []
    for (text, values, beware, restarts), names in groups.items():
        title = f"{len(names)} host{'s' * (len(names) > 1)}: {', '.join(names)}"
        restart = (
            "restart sshd\n" if restarts and text else "restart sshd: it is older than its files\n" if restarts else ""
        )
        texts.append(printable(f"{title}\n{text}{values}{beware}{restart}\n"))
    return texts


def alike(run: Run) -> list[str]:
    """One line for each drift and each kind of failure that several hosts share; the most common last."""
    groups: dict[str, list[str]] = {}
    for report in run.hosts:
        if report.end is End.NOT_BEGUN and report.failure is not None:
            what = f"{End.NOT_BEGUN}: {report.failure.message}"
        elif report.failure is not None:
            kind, cause = report.failure.kind, report.failure.cause
            what = f"{kind} ({cause})" if cause and cause != kind else kind
        elif not outcome.would_change(report) and (wrong := _wrong(report)):  # changes: grouped by diff
            what = f"{outcome.word(report)}: {', '.join(wrong)}"
        else:
            continue
        groups.setdefault(what, []).append(report.host.name)
    shared = sorted(groups.items(), key=lambda item: len(item[1]))
    return [_line_of_group(what, names) for what, names in shared if len(names) > 1 or what.startswith(End.NOT_BEGUN)]


def caveats(run: Run) -> list[str]:
    """One line for each way in which compliant values do not mean what they read."""
    groups: dict[str, list[str]] = {}
    for report in run.hosts:
        if report.caveat is not None and report.state is State.OK:
            groups.setdefault(f"{outcome.word(report)}, but {report.caveat}", []).append(report.host.name)
    return [_line_of_group(what, names) for what, names in groups.items()]


def _line_of_group(what: str, names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    hosts = f"{len(names)} host{'s' * (len(names) > 1)}"
    return printable(f"{hosts}  {what}  [{', '.join(names[:_NAMED])}{more}]") + "\n"


def _wrong(report: HostReport) -> list[str]:
    """The settings that are not compliant, without the lines they stand in: those differ from host to host."""
    return [
        f"{f.setting} {f.value}" + (f" for {f.block or f.scope}" if f.scope != GLOBAL else "")
        for f in report.findings
        if f.state is not State.OK
    ]


def totals(run: Run) -> str:
    """What several hosts have in common, what the benchmarks say, then `5 hosts: 3 ok, 2 drift`."""
    counts = Counter(outcome.word(report) for report in run.hosts)
    order = sorted(counts, key=outcome.badness)
    told = ", ".join(f"{counts[word]} {word}" for word in order)
    hosts = f"{len(run.hosts)} host{'s' * (len(run.hosts) != 1)}"
    if n_change := sum(map(outcome.would_change, run.hosts)):
        told += f"; {n_change} to change"
    return "".join([*alike(run), *caveats(run)]) + _benchmarks(run) + (f"{hosts}: {told}\n" if told else "no hosts\n")


def _benchmarks(run: Run) -> str:
    """One line a benchmark, what it asks and how many hosts pass, then what would satisfy all of them."""
    lines = []
    for row in run.benchmarks:
        of = benchmarks.count_states(run, row)
        asks = f"interval {row.interval_s}, count {row.count_max}"
        unknown = f", {of[State.UNKNOWN]} unknown" if of[State.UNKNOWN] else ""
        told = "" if row.checked != "told" else "  (not verified)"
        lines.append(f"benchmark {row.name}: {of[State.OK]} ok, {of[State.DRIFT]} drift{unknown}; {asks}{told}\n")
    return "".join(lines) + (f"benchmarks: {benchmarks.sentence(run)}\n" if lines else "")
