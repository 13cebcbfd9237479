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

from sshd_keepalive.model import GLOBAL, Finding, HostReport, Scope, State, Subject
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
    scope: Scope  # printable, without a place
    value: str


def find_changes(
    now: HostReport, last: Recorded | None, judged: Recorded | None = None, replaced: Sequence[Replaced] = ()
) -> tuple[str, ...]:
    """Compare a host with what was recorded of it.

    Args:
        last: the last record; None: the host was not recorded, so it has no changes.
        judged: the last record in which the host could be judged; values are compared with that one.
        replaced: values that were replaced by our changes, in any order.
    """
    if last is None:
        return ()
    changes = list(_compare_states(now, last))
    if judged is not None and now.findings:
        changes += _compare_settings(now, judged, replaced)
        changes += _compare_files(now, judged.report)
        changes += _compare_facts(now, judged.report)
    return tuple(changes)


def _compare_states(now: HostReport, last: Recorded) -> Iterator[str]:
    before = last.report
    if before.state.is_judged and not now.state.is_judged:
        why = f": {now.failure.message}" if now.failure else ""
        yield f"cannot be judged; could be judged on {_format_day(last.started_at)}{why}"
    elif now.state.is_judged and not before.state.is_judged:
        yield f"can be judged again; could not be judged on {_format_day(last.started_at)}"
    elif now.state is State.WAIVED and before.state is not State.WAIVED:
        yield "is waived now"
    elif before.state is State.WAIVED and now.state is State.DRIFT:
        waiver = before.host.waiver
        yield f"is no longer waived{f': {waiver.reason}' if waiver else ''}"


_Key = tuple[Subject, Scope]


def _make_key(finding: Finding) -> _Key:
    """Make the key of a finding: its scope is printable, without its place: a moved Match line stays the same."""
    return finding.setting, Scope(text=printable(finding.scope.text))


def _group_by_key(report: HostReport) -> dict[_Key, list[Finding]]:
    groups: dict[_Key, list[Finding]] = {}
    for finding in report.findings:
        groups.setdefault(_make_key(finding), []).append(finding)
    return groups


def _compare_settings(now: HostReport, judged: Recorded, replaced: Sequence[Replaced]) -> Iterator[str]:
    present, earlier = _group_by_key(now), _group_by_key(judged.report)
    relapses = {(old.setting, old.scope, old.value): old for old in sorted(replaced, key=lambda old: old.started_at)}
    for key in dict.fromkeys((*present, *earlier)):
        setting, scope = key
        name = setting if scope == GLOBAL else f"{setting} for {scope}"
        for finding, before in zip_longest(present.get(key, ()), earlier.get(key, ())):
            if setting is Subject.DAEMON:
                if finding is None or before is None:
                    yield finding.reason if finding else "the running sshd has read the present files now"
            elif finding is None:
                was = f"{before.value} at {_describe_place(before)} on {_format_day(judged.started_at)}"
                yield f"{name} is no longer set, was {was}"
            else:
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
    decides = f"{_describe_place(finding)} decides{_describe_file(finding, now)}"
    if not finding.value or (before is not None and not before.value):
        pass  # not judged then or now: reported as a change of state
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


def _compare_files(now: HostReport, before: HostReport) -> Iterator[str]:
    """Report changed files and managers where values and places are the same."""
    unchanged = {(_make_key(finding), finding.value, finding.place) for finding in before.findings}
    reported = {f.place.path for f in now.findings if f.place and (_make_key(f), f.value, f.place) not in unchanged}
    files = {file.path: file for file in before.deciding_files}
    for file in now.deciding_files:
        was = files.get(file.path)
        if was is None or file.path in reported:
            continue
        if file.owner != was.owner:
            owners = f"{file.owner or 'no program'} now, by {was.owner or 'no program'} before"
            yield f"{file.path} is managed by {owners}"
        elif file.changed_at != was.changed_at and file.changed_at is not None:
            yield f"{file.path} was changed on {_format_minute(file.changed_at)}, the values are the same"


def _compare_facts(now: HostReport, before: HostReport) -> Iterator[str]:
    if new := [name for name in now.agents if name not in before.agents]:
        yield f"new on the host: {', '.join(new)}"
    if gone := [name for name in before.agents if name not in now.agents]:
        yield f"no longer on the host: {', '.join(gone)}"
    if now.version and before.version and now.version != before.version:
        yield f"OpenSSH is {now.version}, was {before.version}"


def _describe_file(finding: Finding, now: HostReport) -> str:
    """Describe when the file was changed and its manager; without one, programs on the host that may write it."""
    path = finding.place.path if finding.place else None
    file = next((file for file in now.deciding_files if file.path == path), None)
    if file is None:
        return ""
    changed = f", changed on {_format_minute(file.changed_at)}" if file.changed_at else ""
    if file.owner:
        return f"{changed}, managed by {file.owner}"
    return f"{changed}; on this host: {', '.join(now.agents)}" if now.agents else changed


def _mention_place(finding: Finding, before: Finding) -> str:
    return f", {_describe_place(before)} before" if before.place != finding.place else ""


def _describe_place(finding: Finding) -> str:
    return str(finding.place) if finding.place else "the compiled-in default"


def _format_day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"


def _format_minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
