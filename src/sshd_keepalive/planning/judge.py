"""Compare a host with its policy: one finding per setting and scope.

Three readings must agree before anything passes: the files as we read them, the files as the host's own
`sshd -T` reads them, and what the running sshd has loaded. Where one is missing or differs, the state is
UNKNOWN or DRIFT, never OK.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from sshd_keepalive.errors import ParseError
from sshd_keepalive.model import (
    COUNT_MAX,
    GLOBAL,
    INTERVAL,
    SPELLING,
    Caveat,
    Finding,
    MatchOverrides,
    Policy,
    Scope,
    Snapshot,
    State,
    Subject,
)
from sshd_keepalive.planning.policy import adapt_to_release
from sshd_keepalive.sshd_config import command_line, keepalive, match
from sshd_keepalive.sshd_config import tree as trees
from sshd_keepalive.sshd_config.reading import Reading
from sshd_keepalive.sshd_config.resolve import KEYWORDS, Setting
from sshd_keepalive.sshd_config.tree import Event
from sshd_keepalive.sshd_config.version import Version

# What sshd prints for a file that it refuses. Its other errors (no host keys, no privileges, no privsep
# directory, a criterion missing from -C in 7.7 to 8.0) are about the call, not about the file.
_ASKING: Final = "in configuration but"
_LINE: Final = re.compile(r"line \d+: ", re.IGNORECASE)
_REFUSAL: Final = re.compile(
    r"bad configuration option|terminating, \d+ bad|"
    r"recursive configuration includes|: invalid quotes|bad match condition|invalid match|"
    r"(?<!argument)\bgarbage\b|^(?:/\S+): (?:no such file or directory|is a directory)",
    re.IGNORECASE,
)
#: With more scopes than these, what a line inside a block hides is not reported: each answer reads the whole tree.
_MANY: Final = 500


def judge(reading: Reading, policy: Policy) -> tuple[Finding, ...]:
    """Compare a host with a policy. Never raises for what is on the host.

    Returns:
        Both settings for GLOBAL, then one finding for each line of a Match block that can decide a setting for
        somebody, then `daemon` where the running sshd has not read the present files.
    """
    snapshot = reading.snapshot
    policy = adapt_to_release(policy, reading.tree.version)
    if refusal := find_refusal(snapshot):
        unreadable = _report_unreadable(policy, f"sshd refuses the configuration: {refusal}")
        return (*unreadable, *_judge_daemon(snapshot, None))
    try:
        unknown = find_unknown_start(snapshot)
        doubts = {keyword: unknown or find_doubt(reading, keyword) for keyword in KEYWORDS}
        findings = [_apply_doubt(finding, doubts[keyword]) for keyword, finding in _judge_settings(reading, policy)]
    except ParseError as error:
        return (*_report_unreadable(policy, _describe_one_sided(snapshot, error)), *_judge_daemon(snapshot, None))
    return (*findings, *_judge_daemon(snapshot, find_other_start(reading)))


def judge_files(reading: Reading, policy: Policy) -> tuple[Finding, ...]:
    """Compare files with a policy, without an sshd to ask.

    Raises:
        ParseError: sshd would refuse the files.
    """
    return tuple(finding for _, finding in _judge_settings(reading, adapt_to_release(policy, reading.tree.version)))


def find_caveat(reading: Reading, policy: Policy) -> Caveat | None:
    """Say where the release does not keep the interval that the files set; None where it does.

    A policy by effect has taken that into account.
    """
    version = reading.tree.version
    interval_s = reading.everybody[INTERVAL].number
    if policy.goal is not None or interval_s <= 0 or not keepalive.has_doubled_interval(version):
        return None
    return Caveat(
        interval_s=interval_s,
        keep_alive_after_s=keepalive.count_intervals(version) * interval_s,
        release=f"{version.major}.{version.minor}",
        cure_interval_s=keepalive.choose_pair(version, interval_s, None, 0)[0],
    )


def find_refusal(snapshot: Snapshot) -> str | None:
    """Find the message of sshd, if it refuses the files of the host; None if it accepts them or was not asked."""
    for dump in snapshot.dumps:
        if dump.error is not None and any(map(_is_refusal, dump.error.split("\n"))):
            return " ".join(dump.error.split())
    return None


def _is_refusal(line: str) -> bool:
    """Whether one line of sshd's message is about the file; in linear time, since a host may send any text."""
    asking = line.lower().rfind(_ASKING)  # what stands before it is about the call
    return _REFUSAL.search(line) is not None or _LINE.search(line, max(0, asking)) is not None


class DoubtKind(Enum):
    """What a reading lacks. Only where sshd was not asked does a value that is wrong stay wrong."""

    NOT_ASKED = "not asked"
    CONTRADICTED = "contradicted"  # sshd reads the same files otherwise
    OPTIONS = "options"  # which -o options count is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Why our reading of a setting cannot be trusted on a host."""

    reason: str
    kind: DoubtKind


def find_doubt(reading: Reading, keyword: str) -> Doubt | None:
    """Compare our reading of a setting with `sshd -T`; None if they agree.

    A dump may be missing for some connections as long as one is there and none contradicts.
    """
    snapshot = reading.snapshot
    for context, dump in snapshot.answers.items():
        theirs = dump.find(keyword)
        if theirs is None:
            return Doubt(reason=f"sshd -T does not print {SPELLING[keyword]}", kind=DoubtKind.CONTRADICTED)
        ours = [str(number) for number in reading.list_possible(context)[keyword]]
        if theirs not in ours:
            reason = f"sshd -T reports {theirs} for {context}, this program reads {' or '.join(ours)} in the files"
            return Doubt(reason=reason, kind=DoubtKind.CONTRADICTED)
    if snapshot.answers:
        return None
    error = next((f": {' '.join(dump.error.split())}" for dump in snapshot.dumps if dump.error), "")
    return Doubt(reason=f"cannot run sshd -T{error}", kind=DoubtKind.NOT_ASKED)


def find_other_start(reading: Reading) -> str | None:
    """Say how the next start of sshd would differ from the last in what decides the settings; None: in nothing.

    The options come from the unit and its environment files, which may have changed since.
    """
    daemon = reading.snapshot.daemon
    if daemon is None or daemon.pid is None or daemon.next_command is None:
        return None
    commands = (daemon.next_command, daemon.command_line)
    then, now = (trees.find_deciding_options(command_line.read_options(command), reading.tree) for command in commands)
    if then != now:
        after, before = (" ".join(f"-o {option}" for option in options) or "no -o option" for options in (then, now))
        return f"after a restart sshd would use {after}; the running sshd uses {before}"
    file = command_line.find_config(daemon.next_command)  # an init script may name one, which the unit does not show
    if file is not None and file != command_line.find_config(daemon.command_line):
        return f"after a restart sshd would read {file}; the running sshd reads {reading.tree.main}"
    return None


def find_unknown_start(snapshot: Snapshot) -> Doubt | None:
    """Say that the -o options of a daemon that is started for each connection are not known; None: they are."""
    daemon = snapshot.daemon
    if daemon is None or daemon.pid is not None or daemon.next_command is not None:
        return None
    reason = "sshd is started for each connection; cannot find out with which -o options"
    return Doubt(reason=reason, kind=DoubtKind.OPTIONS)


def find_contradiction(reading: Reading) -> str | None:
    """Give both readings where the host's sshd reads its files differently; None: not so, as far as it was asked.

    An edit would rest on a misreading.
    """
    snapshot = reading.snapshot
    try:
        doubts = [find_doubt(reading, keyword) for keyword in KEYWORDS]
    except ParseError as error:
        return _describe_one_sided(snapshot, error) if snapshot.answers else None
    return next((doubt.reason for doubt in doubts if doubt and doubt.kind is DoubtKind.CONTRADICTED), None)


def is_exempt(event: Event, policy: Policy, version: Version) -> bool:
    """Whether the policy leaves a line inside a Match block alone; one that counts for everybody never is."""
    if policy.match_overrides is not MatchOverrides.KEEP or event.block is None:
        return False
    return not match.is_active_at_start(event.block, version)


def _judge_settings(reading: Reading, policy: Policy) -> Iterator[tuple[str, Finding]]:
    """Give each finding with its folded keyword."""
    wanted = policy.wanted
    version, everybody = reading.tree.version, reading.everybody
    pair = {keyword: everybody[keyword].number for keyword in KEYWORDS}
    effect = keepalive.compute_consequence(version, pair[INTERVAL], pair[COUNT_MAX]).sentence
    late = keepalive.has_doubled_interval(version) and pair[INTERVAL] > 0
    for keyword in KEYWORDS:
        setting = everybody[keyword]
        right = pair[keyword] == wanted[keyword]
        reason = effect if not right or (late and keyword == INTERVAL) else ""
        if not right and setting.place is not None and setting.place.is_option:
            reason = f"an -o option of the running sshd sets the value and overrides every file; {effect}"
        yield keyword, _make_finding(setting, GLOBAL, wanted[keyword], right=right, reason=reason)
    few = len(reading.scopes) <= _MANY
    deciding = {each.scope.place: each for each in reading.scopes}
    for event in reading.overrides:
        keyword = event.line.keyword
        assert event.block is not None  # overrides() gives lines inside Match blocks
        assert event.number is not None
        if event.place == everybody[keyword].place and match.is_active_at_start(event.block, version):
            continue  # reported as the value for everybody
        here = deciding[event.block.place]
        effective = reading.resolve(here.context) if here.context is not None and few else everybody
        pair = {**{k: effective[k].number for k in KEYWORDS}, keyword: event.number}
        right = event.number == wanted[keyword]
        exempt = not right and is_exempt(event, policy, version)
        reason = "" if right else keepalive.compute_consequence(version, pair[INTERVAL], pair[COUNT_MAX]).sentence
        if exempt:
            reason = f"kept because of match_overrides: keep; {reason}"
        setting = effective.find(event)
        yield keyword, _make_finding(setting, here.scope, wanted[keyword], right=right or exempt, reason=reason)


def _make_finding(setting: Setting, scope: Scope, wanted: int, *, right: bool, reason: str) -> Finding:
    return Finding(
        setting=SPELLING[setting.keyword],
        scope=scope,
        wanted=str(wanted),
        value=setting.value,
        number=setting.number,
        wanted_number=wanted,
        state=State.OK if right else State.DRIFT,
        place=setting.place,
        hides=setting.hides,
        reason=reason,
    )


def _apply_doubt(finding: Finding, doubt: Doubt | None) -> Finding:
    """Make a contradicted reading UNKNOWN, and an unconfirmed one not OK; a value that is wrong stays wrong."""
    if doubt is None or (finding.state is State.DRIFT and doubt.kind is DoubtKind.NOT_ASKED):
        return finding
    return replace(finding, state=State.UNKNOWN, reason=doubt.reason)


def _report_unreadable(policy: Policy, reason: str) -> Iterator[Finding]:
    for keyword, wanted in policy.wanted.items():
        yield Finding(
            setting=SPELLING[keyword],
            wanted=str(wanted),
            wanted_number=wanted,
            value="",
            state=State.UNKNOWN,
            reason=reason,
        )


def _describe_one_sided(snapshot: Snapshot, error: ParseError) -> str:
    for context, dump in snapshot.answers.items():
        pair = "/".join(dump.find(keyword) or "?" for keyword in KEYWORDS)
        return f"sshd -T reads {pair} for {context}, but this program cannot read the files: {error}"
    return f"cannot read the configuration: {error}"


def _judge_daemon(snapshot: Snapshot, other_start: str | None) -> Iterator[Finding]:
    pending = Finding(setting=Subject.DAEMON, value="", state=State.DRIFT)
    if other_start is not None:
        reason = f"pending restart: {other_start}"
        yield replace(pending, wanted="the start options of its unit", value="older options", reason=reason)
    daemon = snapshot.daemon
    if daemon is not None and daemon.stale:
        since = f" (loaded {daemon.loaded_at:%Y-%m-%d %H:%M:%S} UTC)" if daemon.loaded_at else ""
        reason = f"pending restart: the running sshd{since} has not read {', '.join(daemon.stale)}"
        yield replace(pending, wanted="the present files", value="older files", reason=reason)
