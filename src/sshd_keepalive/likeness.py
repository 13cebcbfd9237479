"""Hosts that are alike once, in sentences: the same in the text and in the HTML report."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from sshd_keepalive.history import outcome
from sshd_keepalive.model import GLOBAL, End, Finding, HostReport, State, Subject
from sshd_keepalive.spelling import join_first

N_NAMED: Final = 8  # hosts of a group that are named; -v and the reports for machines name all
ERROR: Final = "error: "
NEXT: Final = "next: "  # before the next step
_ANSWERED: Final = (Subject.OBSERVED, Subject.IDLE_LIMIT)  # the answer of a probe is about them
_ALWAYS: Final = (Subject.SESSION, Subject.LOST_SESSIONS, Subject.SILENT_CLIENT)  # are shown in every state


def is_fine(report: HostReport) -> bool:
    """Whether nothing about this host wants attention."""
    return outcome.rank_report(report) <= outcome.rank_word(End.APPLIED) and not (report.all_notes or report.changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """Hosts that are alike."""

    word: outcome.Word
    title: str  # a name, or how many and which
    headline: str  # the answer of a probe, or the values; "" where the lines say it
    lines: tuple[str, ...]  # about the first host
    first: str  # the name of the host of which other lines would differ; "" where all are the same


def group_alike(reports: Iterable[HostReport], *, verbose: int = 0) -> list[Likeness]:
    """Group hosts that are alike, worst first, and of those of one word the largest group first."""
    groups: dict[Hashable, list[HostReport]] = {}
    for report in reports:
        key = report.host.name if verbose or report.losses else _build_key(report)
        groups.setdefault(key, []).append(report)
    ranked = sorted(groups.values(), key=lambda group: (-outcome.rank_report(group[0]), -len(group)))
    return [_describe(group, verbose) for group in ranked]


def _build_key(report: HostReport) -> Hashable:
    """Build what hosts of a group have in common: all but line numbers, reasons and messages, which may name a host."""
    failure = report.failure
    return (
        outcome.pick_word(report),
        _write_headline(report),
        tuple(
            (f.setting, f.scope.label, f.value, f.wanted, f.place and f.place.path) for f in _select_findings(report, 0)
        ),
        failure and (failure.kind, failure.cause),
        report.caveat,
        report.changes,
        report.all_notes,
    )


def _describe(group: list[HostReport], verbose: int) -> Likeness:
    first = group[0]
    names = [report.host.name for report in group]
    headline = _write_headline(first)
    title = names[0] if len(names) == 1 else f"{len(names)} hosts"
    if len(names) > 1 and not (headline and is_fine(first)):
        title += f": {join_first(names, N_NAMED)}"
    bodies = [tuple(_write_lines(report, verbose)) for report in group]
    return Likeness(
        word=outcome.pick_word(first),
        title=title,
        headline=headline,
        lines=bodies[0],
        first=names[0] if any(body != bodies[0] for body in bodies) else "",
    )


def _write_lines(report: HostReport, verbose: int) -> Iterator[str]:
    """Write what is wrong and which line decides, what failed and what to do, what changed; on request all steps."""
    for reason, findings in groupby(_select_findings(report, verbose), key=lambda finding: finding.reason):
        for finding in findings:
            yield _format_finding(finding)
        if reason and reason not in report.answer:
            yield f"    {reason}"
    if report.losses:
        from sshd_keepalive.diagnosis import losses

        yield from losses.render_table(report.losses)
    if report.caveat is not None and report.state is State.OK:
        yield str(report.caveat)
    failure = report.failure
    for step in report.steps:
        if verbose or not (step.ok or (failure and step.detail in failure.message)):
            yield f"{step}  ({step.seconds_s:.2f} s)"
    if failure is not None and report.end is not End.NOT_BEGUN:
        yield f"{failure.kind}: {failure.message}"
        if failure.hint:
            yield f"{NEXT}{failure.hint}"
    yield from (f"changed: {change}" for change in report.changes)
    yield from (f"note: {note}" for note in report.all_notes)
    if verbose:
        yield _describe_circumstances(report)
    if verbose > 1:
        yield from (f"{name}: {value}" for name, value in report.facts)


def _describe_circumstances(report: HostReport) -> str:
    """Release, deciding files, unit, login, time."""
    facts = dict(report.facts)
    parts = [f"OpenSSH {report.version}"] if report.version else []
    parts += dict.fromkeys(str(finding.place) for finding in report.findings if finding.place)
    parts += [facts["unit"]] if "unit" in facts else []
    parts += [f"login with {facts['login']}"] if "login" in facts else []
    return ", ".join([*parts, f"{report.seconds_s:.1f} s"])


def _select_findings(report: HostReport, verbose: int) -> list[Finding]:
    """Select the findings that are wrong, and the sessions.

    Without -v only sessions where something else tells what is wrong: the diff of a plan, a change that failed.
    """
    if verbose:
        return [f for f in report.findings if f.state is not State.OK or f.setting.is_observation]
    is_told = outcome.is_change_planned(report) or (report.end is not None and report.failure is not None)
    return [
        finding
        for finding in report.findings
        if finding.setting in _ALWAYS
        or not (is_told or finding.state is State.OK or (report.answer and finding.setting in _ANSWERED))
    ]


def _format_finding(finding: Finding) -> str:
    """Write `ClientAliveInterval 0, wanted 300 for Match User root  /etc/ssh/sshd_config:98`: one place is enough."""
    place = f"  {finding.place}" if finding.place else ""
    if finding.setting.is_observation:
        scope = "" if finding.scope == GLOBAL else f" ({finding.scope})"
        wanted = f", wanted {finding.wanted}" if finding.wanted and finding.state is not State.OK else ""
        return f"{finding.setting}{scope}: {finding.value}{wanted}{place}"
    if place:
        finding = replace(finding, scope=replace(finding.scope, place=None))
    return f"{finding}{place}"


def _write_headline(report: HostReport) -> str:
    """Write what stands beside the name: the answer of a probe, or the values."""
    if report.end is End.NOT_BEGUN and report.failure is not None:
        return report.failure.message
    if report.answer or report.state is not State.OK:
        return report.answer
    return ", ".join(
        f"{f.setting} {f.value}" for f in report.findings if f.scope == GLOBAL and not f.setting.is_observation
    )
