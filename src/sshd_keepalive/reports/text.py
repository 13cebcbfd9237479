"""Text for people: hosts that are alike once, worst first, then the totals."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from itertools import groupby

from sshd_keepalive import benchmarks
from sshd_keepalive.diagnosis import losses
from sshd_keepalive.history import outcome
from sshd_keepalive.model import GLOBAL, End, Finding, HostReport, Run, State, Subject
from sshd_keepalive.quoting import printable

_NAMED = 8  # hosts of a group that are named; -v and the reports for machines name all
_COLUMN = 12  # of the names; the longest word is rolled_back
_ALWAYS = (Subject.SESSION, Subject.LOST_SESSIONS, Subject.SILENT_CLIENT)  # are shown whatever their state
_NEXT = "next: "  # before a command to paste: such a line is never wrapped


def render(run: Run) -> str:
    """What would change or was changed, the hosts, the totals."""
    return "".join([*diffs(run), hosts(run.hosts), totals(run)])


def is_fine(report: HostReport) -> bool:
    """Nothing about this host wants attention."""
    return outcome.rank(report) <= outcome.badness(End.APPLIED) and not (report.notes or report.changes)


def hosts(reports: Iterable[HostReport], *, verbose: int = 0, width: int | None = None) -> str:
    """Tell of hosts that are alike once, worst first.

    Args:
        verbose: 1: every host by itself, with its steps; 2: also what was read.
        width: columns; None: lines of any length.
    """
    groups: dict[Hashable, list[HostReport]] = {}
    for report in reports:
        if verbose or _has_more_than_its_diff(report):
            key = report.host.name if verbose or report.losses else _likeness(report)
            groups.setdefault(key, []).append(report)
    ranked = sorted(groups.values(), key=lambda group: (-outcome.rank(group[0]), -len(group)))
    return _wrapped((line for group in ranked for line in _group(group, verbose)), width)


def _has_more_than_its_diff(report: HostReport) -> bool:
    return not outcome.would_change(report) or bool(report.notes or report.changes or report.failure)


def _likeness(report: HostReport) -> Hashable:
    """What hosts of one group have in common: all but line numbers, reasons and messages, which may name a host."""
    failure = report.failure
    return (
        outcome.word(report),
        _headline(report),
        tuple((f.setting, f.block or f.scope, f.value, f.wanted, f.place and f.place.path) for f in _shown(report, 0)),
        failure and (failure.kind, failure.cause),
        report.caveat,
        report.changes,
        report.notes,
    )


def _group(group: list[HostReport], verbose: int) -> Iterator[str]:
    first = group[0]
    names = [report.host.name for report in group]
    headline = _headline(first)
    title = names[0] if len(names) == 1 else f"{len(names)} hosts"
    if len(names) > 1 and not (headline and is_fine(first)):
        title += f": {_name(names)}"
    yield f"{outcome.word(first):<{_COLUMN}}{title}{f'  {headline}' if headline else ''}"
    bodies = [list(_body(report, verbose)) for report in group]
    yield from bodies[0]
    if any(body != bodies[0] for body in bodies):
        yield f"    (the lines above are those of {names[0]}; -v shows every host)"


def _body(report: HostReport, verbose: int) -> Iterator[str]:
    """What is wrong and which line decides, what failed and what to do, what changed; on request all steps."""
    for reason, findings in groupby(_shown(report, verbose), key=lambda finding: finding.reason):
        for finding in findings:
            yield f"    {_finding(finding)}"
        if reason:
            yield f"        {reason}"
    yield from (f"    {line}" for line in (losses.table(report.losses) if report.losses else ()))
    if report.caveat is not None and report.state is State.OK:
        yield f"    {report.caveat}"
    failure = report.failure
    for step in report.steps:
        if verbose or not (step.ok or (failure and step.detail in failure.message)):
            yield f"    {'did' if step.ok else 'failed'} {step.name}: {step.detail}  ({step.seconds_s:.2f} s)"
    if failure is not None and report.end is not End.NOT_BEGUN:
        yield f"    {failure.kind}: {failure.message}"
        if failure.hint:
            yield f"    {_NEXT}{failure.hint}"
    yield from (f"    changed: {change}" for change in report.changes)
    yield from (f"    note: {note}" for note in report.notes)
    if verbose:
        yield f"    {_describe_circumstances(report)}"
    if verbose > 1:
        yield from (f"    {name}: {value}" for name, value in report.facts)


def _describe_circumstances(report: HostReport) -> str:
    """Release, deciding files, unit, time."""
    facts = dict(report.facts)
    told = [f"OpenSSH {report.version}"] if report.version else []
    told += dict.fromkeys(str(finding.place) for finding in report.findings if finding.place)
    told += [facts["unit"]] if "unit" in facts else []
    return ", ".join([*told, f"{report.seconds_s:.1f} s"])


def _shown(report: HostReport, verbose: int) -> list[Finding]:
    """The findings that are wrong, unless the diff of a plan says so, and the sessions; the answer tells of a probe."""
    if verbose:
        return [f for f in report.findings if f.state is not State.OK or f.setting.is_observation]
    return [
        finding
        for finding in report.findings
        if finding.setting in _ALWAYS
        or (
            finding.state is not State.OK
            and not outcome.would_change(report)
            and not (report.answer and finding.setting is Subject.OBSERVED)
        )
    ]


def _finding(finding: Finding) -> str:
    """`ClientAliveInterval 0, wanted 300 for Match User root  /etc/ssh/sshd_config:98`."""
    place = f"  {finding.place}" if finding.place else ""
    if finding.setting.is_observation:
        scope = "" if finding.scope == GLOBAL else f" ({finding.scope})"
        wanted = f", wanted {finding.wanted}" if finding.wanted and finding.state is not State.OK else ""
        return f"{finding.setting}{scope}: {finding.value}{wanted}{place}"
    value = f"{finding.setting} {finding.value}" if finding.value else finding.setting
    wanted = f", wanted {finding.wanted}" if finding.wanted else ""
    return f"{value}{wanted}{finding.for_whom}{place}"


def _headline(report: HostReport) -> str:
    """What there is to say beside the name: the answer of a probe, or the values."""
    if report.end is End.NOT_BEGUN and report.failure is not None:
        return report.failure.message
    if report.answer or report.state is not State.OK:
        return report.answer
    return ", ".join(
        f"{f.setting} {f.value}" for f in report.findings if f.scope == GLOBAL and not f.setting.is_observation
    )


def diffs(run: Run, *, width: int | None = None) -> list[str]:
    """Each different change once, with the hosts it is for."""
    groups: dict[tuple[str, str, str, bool], list[str]] = {}
    for report in run.hosts:
        if report.diff or report.restarts:
            beware = f"beware: {report.caveat}" if report.caveat else ""
            groups.setdefault((report.diff, report.value_diff, beware, report.restarts), []).append(report.host.name)
    texts = []
    for (text, values, beware, restarts), names in groups.items():
        title = f"{len(names)} host{'s' * (len(names) > 1)}: {', '.join(names)}"
        restart = "restart sshd" if text else "restart sshd: it is older than its files"
        ending = [line for line in (beware, restart if restarts else "") if line]
        texts.append(_wrapped([title], width) + printable(f"{text}{values}") + _wrapped([*ending, ""], width))
    return texts


def totals(run: Run, *, width: int | None = None) -> str:
    """What the benchmarks say, `5 hosts: 3 ok, 2 drift`, and of many hosts the names of those that failed."""
    counts = Counter(outcome.word(report) for report in run.hosts)
    told = ", ".join(f"{counts[word]} {word}" for word in outcome.WORDS if counts[word])
    if n_change := sum(map(outcome.would_change, run.hosts)):
        told += f"; {n_change} to change"
    n_hosts = len(run.hosts)
    summary = f"{n_hosts} host{'s' * (n_hosts != 1)}: {told}" if told else "no hosts"
    failed = []
    if n_hosts > _NAMED:  # the first lines may have left the screen
        for word in outcome.WORDS[outcome.WORDS.index(State.DRIFT) + 1 :]:
            if names := [report.host.name for report in run.hosts if outcome.word(report) is word]:
                failed.append(f"{word}: {_name(names)}")
    return _wrapped([*_benchmarks(run), *([""] if n_hosts > 1 else []), summary, *failed], width)


def _name(hosts: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(hosts) - _NAMED} more" if len(hosts) > _NAMED else ""
    return f"{', '.join(hosts[:_NAMED])}{more}"


def _benchmarks(run: Run) -> list[str]:
    """One line a benchmark, what it asks and how many hosts pass, then what would satisfy all of them."""
    lines = []
    for row in run.benchmarks:
        of = benchmarks.count_states(run, row)
        asks = f"interval {row.interval_s}, count {row.count_max}"
        unknown = f", {of[State.UNKNOWN]} unknown" if of[State.UNKNOWN] else ""
        told = "" if row.checked != "told" else "  (not verified)"
        lines.append(f"benchmark {row.name}: {of[State.OK]} ok, {of[State.DRIFT]} drift{unknown}; {asks}{told}")
    return [*lines, f"benchmarks: {benchmarks.sentence(run)}"] if lines else []


def _wrapped(lines: Iterable[str], width: int | None) -> str:
    """Printable lines, broken between words with a hanging indent."""
    told: list[str] = []
    for line in lines:
        text = printable(line.replace("\n", " "))
        body = text.lstrip()
        if width is None or len(text) <= width or body.startswith(_NEXT):
            told.append(text)
            continue
        indent = len(text) - len(body)
        hanging = " " * (indent + 4 if indent else _COLUMN)
        told += textwrap.wrap(
            text, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False, expand_tabs=False
        )
    return "".join(f"{line}\n" for line in told)
