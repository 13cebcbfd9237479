"""Compare a host with its last record: values, deciding lines, and who may have changed them.

One sentence per change, to follow the name of the host. A value that returns after our change replaced
it is a relapse: a program on the host has reverted the change, and is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Final

from sshd_keepalive.model import GLOBAL, DecidingFile, Finding, HostReport, State, Subject
from sshd_keepalive.quoting import printable

#: The command whose records do not say whether a host is as its policy wants it.
LOG_COMMAND: Final = "losses"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The report of a host in an earlier run."""

    run_id: str
    command: str
    started_at: datetime
    report: HostReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """A value that `apply` replaced."""

    run_id: str
    started_at: datetime
    setting: Subject
    scope: str  # see `scope_of`
    value: str


def find_changes(
    now: HostReport, last: Recorded | None, judged: Recorded | None = None, replaced: Sequence[Replaced] = ()
) -> tuple[str, ...]:
    """Compare a host with what was recorded of it.

    Args:
        last: the last record; None: there is none, and nothing is told.
        judged: the last record in which the host could be judged; values are compared with that one.
        replaced: values that were replaced by our changes, in any order.
    """
    if last is None:
        return ()
    told = list(_compare_states(now, last))
    if judged is not None and now.findings:
        told += _compare_settings(now, judged, replaced)
        told += _compare_files(now, judged.report)
        told += _compare_facts(now, judged.report)
    return tuple(told)


def describe_scope(finding: Finding) -> str:
    """Describe the scope of a finding, printable and without its place, so that a moved Match line stays the same."""
    return printable(finding.scope.label)


def _compare_states(now: HostReport, last: Recorded) -> Iterator[str]:
    before = last.report
    if before.state.is_judged and not now.state.is_judged:
        why = f": {now.failure.message}" if now.failure else ""
        yield f"cannot be judged now, could be on {_format_day(last.started_at)}{why}"
    elif now.state.is_judged and not before.state.is_judged:
        yield f"can be judged again, could not be on {_format_day(last.started_at)}"
    elif now.state is State.WAIVED and before.state is not State.WAIVED:
        yield "is waived now"
    elif before.state is State.WAIVED and now.state is State.DRIFT:
        waiver = before.host.waiver
        yield f"is no longer waived{f': {waiver.reason}' if waiver else ''}"


_Key = tuple[Subject, str]  # setting and scope


def _group_by_key(report: HostReport) -> dict[_Key, list[Finding]]:
    found: dict[_Key, list[Finding]] = {}
    for finding in report.findings:
        found.setdefault((finding.setting, describe_scope(finding)), []).append(finding)
    return found


def _compare_settings(now: HostReport, judged: Recorded, replaced: Sequence[Replaced]) -> Iterator[str]:
    present, earlier = _group_by_key(now), _group_by_key(judged.report)
    relapses = {(old.setting, old.scope, old.value): old for old in sorted(replaced, key=lambda old: old.started_at)}
    for key in dict.fromkeys((*present, *earlier)):
        for finding, before in zip_longest(present.get(key, ()), earlier.get(key, ())):
            if key[0] == Subject.DAEMON:
                yield from _compare_daemon(finding, before)
                continue
            some = finding or before
            assert some is not None  # the longer of the two lists goes on
            name = key[0] if some.scope == GLOBAL else f"{key[0]} for {key[1]}"
            if finding is None:
                was = f"{before.value} at {_describe_place(before)} on {_format_day(judged.started_at)}"
                yield f"{name} is no longer set, was {was}"
                continue
            relapse = relapses.get((*key, finding.value)) if finding.state is State.DRIFT else None
            yield from _compare_setting(name, finding, before, judged, now, relapse)


def _compare_setting(
    name: str,
    finding: Finding,
    before: Finding | None,
    judged: Recorded,
    now: HostReport,
    relapse: Replaced | None,
) -> Iterator[str]:
    since = _format_day(judged.started_at)
    decides = f"{_describe_place(finding)} decides{_describe_file(_find_file(now, finding), now)}"
    if not finding.value or (before is not None and not before.value):
        pass  # not judged then or now: told as such
    elif (before is None or before.value != finding.value) and relapse is not None:
        yield (
            f"relapse: {name} is {finding.value} again, which apply replaced on {_format_day(relapse.started_at)} "
            f"(run {relapse.run_id}); {decides}"
        )
    elif before is None:
        yield f"{name} is set to {finding.value} now, was not on {since}; {decides}"
    elif before.value != finding.value:
        yield f"{name} is {finding.value}, was {before.value} on {since}; {decides}{_mention_place(finding, before)}"
    elif before.place != finding.place:
        yield f"{name} is still {finding.value}, but {decides}{_mention_place(finding, before)}"
    if before is not None and before.wanted != finding.wanted:
        yield f"the policy wants {name} {finding.wanted} now, wanted {before.wanted} on {since}"


def _compare_daemon(finding: Finding | None, before: Finding | None) -> Iterator[str]:
    if before is None and finding is not None:
        yield finding.reason
    elif finding is None:
        yield "the running sshd has read the present files now"


def _compare_files(now: HostReport, before: HostReport) -> Iterator[str]:
    """Report changed files and managers where values and places are the same."""
    told = {
        finding.place.path
        for finding, was in ((f, _find_same(f, before)) for f in now.findings)
        if finding.place is not None and (was is None or (was.value, was.place) != (finding.value, finding.place))
    }
    files = {file.path: file for file in before.deciding_files}
    for file in now.deciding_files:
        was = files.get(file.path)
        if was is None or file.path in told:
            continue
        if file.owner != was.owner:
            by = f"says that {file.owner} writes it" if file.owner else "no longer says that anybody writes it"
            yield f"{file.path} {by}{_mention_owner(was.owner)}"
        elif file.changed_at != was.changed_at and file.changed_at is not None:
            yield f"{file.path} was changed on {_format_minute(file.changed_at)}, the values are the same"


def _mention_owner(owner: str) -> str:
    return f", before it was {owner}" if owner else ""


def _find_same(finding: Finding, before: HostReport) -> Finding | None:
    key = finding.setting, describe_scope(finding)
    return next((was for was in before.findings if (was.setting, describe_scope(was)) == key), None)


def _compare_facts(now: HostReport, before: HostReport) -> Iterator[str]:
    if come := [name for name in now.agents if name not in before.agents]:
        yield f"{', '.join(come)} came to the host"
    if gone := [name for name in before.agents if name not in now.agents]:
        yield f"{', '.join(gone)} left the host"
    if now.version and before.version and now.version != before.version:
        yield f"OpenSSH is {now.version}, was {before.version}"


def _find_file(report: HostReport, finding: Finding) -> DecidingFile | None:
    path = finding.place.path if finding.place else None
    return next((file for file in report.deciding_files if file.path == path), None)


def _describe_file(file: DecidingFile | None, now: HostReport) -> str:
    """Describe when the file was changed and its manager; without one, programs on the host that may write it."""
    if file is None:
        return ""
    changed = f", changed on {_format_minute(file.changed_at)}" if file.changed_at else ""
    if file.owner:
        return f"{changed}, written by {file.owner}"
    return f"{changed}; on this host: {', '.join(now.agents)}" if now.agents else changed


def _mention_place(finding: Finding, before: Finding) -> str:
    return f", {_describe_place(before)} before" if before.place != finding.place else ""


def _describe_place(finding: Finding) -> str:
    return str(finding.place) if finding.place else "the compiled-in default"


def _format_day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"


def _format_minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
