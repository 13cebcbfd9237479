"""A host held against its policy: one finding per setting and scope.

Three readings must agree before anything passes: the files as we read them, the files as the host's own
`sshd -T` reads them, and what the running sshd has loaded. Where one is missing or differs, the verdict is
UNKNOWN or FAIL, never PASS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from sshd_keepalive.errors import ParseError
from sshd_keepalive.model import (
    COMMAND_LINE,
    COUNT_MAX,
    GLOBAL,
    INTERVAL,
    SPELLING,
    Caveat,
    Finding,
    MatchOverrides,
    Policy,
    Setting,
    Snapshot,
    Verdict,
)
from sshd_keepalive.planning.policy import for_release
from sshd_keepalive.sshd_config import command_line as start
from sshd_keepalive.sshd_config import keepalive as consequence
from sshd_keepalive.sshd_config import match
from sshd_keepalive.sshd_config import resolve as resolving
from sshd_keepalive.sshd_config import tree as trees
from sshd_keepalive.sshd_config.resolve import KEYWORDS
from sshd_keepalive.sshd_config.tree import Event, Tree

DAEMON: Final = "daemon"
# sshd's words for a file it will not take. Everything else it says (no host keys, no privileges, no privsep
# directory, a criterion missing from -C in 7.7 to 8.0) speaks of the asking, not of the file.
_ASKING: Final = "in configuration but"
_LINE: Final = re.compile(r"line \d+: ", re.IGNORECASE)
_REFUSAL: Final = re.compile(
    r"bad configuration option|terminating, \d+ bad|"
    r"recursive configuration includes|: invalid quotes|bad match condition|invalid match|"
    r"(?<!argument)\bgarbage\b|^(?:/\S+): (?:no such file or directory|is a directory)",
    re.IGNORECASE,
)
#: With more scopes than these, what a line inside a block hides is not told: each answer reads the whole tree.
_MANY: Final = 500
_OPTION_STEPS: Final = 100  # what one -o option costs to read; see `sshd_config.limits`
_NOT_ASKED: Final = "sshd itself could not be asked"


def judge(snapshot: Snapshot, policy: Policy) -> tuple[Finding, ...]:
    """Hold a host against a policy. Never raises for what is on the host.

    Returns:
        Both settings for GLOBAL, then one finding for each line of a Match block that can decide a setting for
        somebody, then `daemon` where the running sshd has not read the present files.
    """
    refusal = broken(snapshot)
    try:
        tree = resolving.tree(snapshot)
        policy = for_release(policy, tree.version)
        tree.events()
    except ParseError as error:
        reason = f"sshd refuses the configuration: {refusal}" if refusal else _one_sided(snapshot, error)
        return (*_unreadable(policy, reason), *_daemon(snapshot, None))
    if refusal:
        return (*_unreadable(policy, f"sshd refuses the configuration: {refusal}"), *_daemon(snapshot, None))
    unknown = unknown_start(snapshot)
    doubts = {keyword: unknown or doubt(snapshot, tree, keyword) for keyword in KEYWORDS}
    found = tree.remembered(("findings", policy), lambda: tuple(_findings(tree, policy)))
    findings = [_with_doubt(finding, doubts[finding.setting.lower()]) for finding in found]
    return (*findings, *_daemon(snapshot, other_start(snapshot, tree)))


def caveat(tree: Tree, policy: Policy) -> Caveat | None:
    """Tell how the interval that everybody gets does not mean what it reads; None where it does.

    A policy by effect has taken that into account.
    """
    interval_s = int(resolving.resolve(tree)[INTERVAL].value)
    if policy.goal is not None or interval_s <= 0 or not consequence.probes_late(tree.version):
        return None
    return Caveat(
        interval_s=interval_s,
        keep_alive_after_s=consequence.intervals_per_request(tree.version) * interval_s,
        release=f"{tree.version.major}.{tree.version.minor}",
        cure_interval_s=consequence.pair_for(tree.version, interval_s, None, 0)[0],
    )


def broken(snapshot: Snapshot) -> str | None:
    """sshd's own words, if it refuses the files of the host; None if it takes them or was not asked."""
    for dump in snapshot.dumps:
        if dump.error is not None and any(map(_is_refusal, dump.error.split("\n"))):
            return " ".join(dump.error.split())
    return None


def _is_refusal(line: str) -> bool:
    """Whether one line of sshd's words speaks of the file; in linear time, since a host may send any text."""
    asking = line.lower().rfind(_ASKING)  # whatever stands before it speaks of the asking
    return _REFUSAL.search(line) is not None or _LINE.search(line, max(0, asking)) is not None


def doubt(snapshot: Snapshot, tree: Tree, keyword: str) -> str | None:
    """Why our reading of a setting cannot be trusted on this host; None if `sshd -T` confirms it.

    A dump may be missing for some connections as long as one was had and none contradicts.
    """
    confirmed = False
    errors: list[str] = []
    for dump in snapshot.dumps:
        if dump.error is not None:
            errors.append(" ".join(dump.error.split()))
            continue
        theirs = dump.value(keyword)
        ours = [str(number) for number in resolving.possible(tree, dump.context)[keyword]]
        if theirs is None:
            return f"sshd -T prints no {SPELLING[keyword]}"
        if theirs not in ours:
            reading = " or ".join(ours)
            return f"sshd -T says {theirs} for {dump.context}, we read {reading} in the files"
        confirmed = True
    if confirmed:
        return None
    return f"{_NOT_ASKED}: {errors[0]}" if errors else _NOT_ASKED


def other_start(snapshot: Snapshot, tree: Tree) -> str | None:
    """How the next start of sshd would differ from the last one in what decides the settings; None: in nothing.

    The options come from the unit and its environment files, which may have changed since.
    """
    daemon = snapshot.daemon
    if daemon is None or daemon.pid is None or daemon.next_command is None:
        return None
    then, now = (_deciding_options(command, tree) for command in (daemon.next_command, daemon.command_line))
    if then != now:
        return f"started anew, sshd would have {then}; the running one has {now}"
    file = start.config(daemon.next_command)  # an init script may name one where nobody sees it
    if file is not None and file != start.config(daemon.command_line):
        return f"started anew, sshd would read {file}; the running one reads {tree.main}"
    return None


def unknown_start(snapshot: Snapshot) -> str | None:
    """Why the -o options of a daemon that is started for each connection are not known; None: they are."""
    daemon = snapshot.daemon
    if daemon is None or daemon.pid is not None or daemon.next_command is not None:
        return None
    return "sshd is started for each connection, and with which options could not be found out"


def _deciding_options(command: str, tree: Tree) -> str:
    """Those options of a command line that decide: the first -o of each setting, and what sshd would not take."""
    found: dict[str, str] = {}
    for option in start.options(command):
        tree.work.spend(_OPTION_STEPS)
        asked = trees.of_files({tree.main: b""}, main=tree.main, version=tree.version, options=(option,))
        try:
            events = asked.events()
        except ParseError:  # sshd would not start with it
            found.setdefault(option, f"-o {option}")
            continue
        found |= {
            e.line.keyword: f"-o {option}" for e in events if e.number is not None and e.line.keyword not in found
        }
    return " ".join(found[key] for key in sorted(found)) or "no such option"


def contradiction(snapshot: Snapshot) -> str | None:
    """Both readings, where the host's sshd reads its files otherwise than we do; None: not so, as far as it was asked.

    Whatever we would write then rests on a misreading.
    """
    tree = resolving.tree(snapshot)
    try:
        doubts = [doubt(snapshot, tree, keyword) for keyword in KEYWORDS]
    except ParseError as error:
        return _one_sided(snapshot, error) if any(dump.error is None for dump in snapshot.dumps) else None
    return next((why for why in doubts if why is not None and not why.startswith(_NOT_ASKED)), None)


def is_exempt(event: Event, policy: Policy, tree: Tree) -> bool:
    """Whether the policy leaves a line inside a Match block alone; one that counts for everybody never is."""
    if policy.match_overrides is not MatchOverrides.KEEP or event.block is None:
        return False
    return not match.at_start(event.block, tree.version)


def _findings(tree: Tree, policy: Policy) -> Iterator[Finding]:
    wanted = policy.wanted()
    everybody = resolving.resolve(tree)
    pair = {keyword: int(everybody[keyword].value) for keyword in KEYWORDS}
    said = consequence.of(tree.version, pair[INTERVAL], pair[COUNT_MAX]).sentence
    late = consequence.probes_late(tree.version) and pair[INTERVAL] > 0
    for keyword in KEYWORDS:
        setting = everybody[keyword]
        right = pair[keyword] == wanted[keyword]
        reason = said if not right or (late and keyword == INTERVAL) else ""
        if not right and setting.place is not None and setting.place.path == COMMAND_LINE:
            reason = f"an -o option of the running sshd decides, no file can change it; {said}"
        yield _finding(setting, GLOBAL, wanted[keyword], right=right, reason=reason)
    scopes = resolving.scopes(tree)
    contexts = {scope.place: scope for scope in scopes}
    for event in resolving.overrides(tree):
        keyword = event.line.keyword
        assert event.block is not None  # overrides() gives lines inside Match blocks
        assert event.number is not None
        if event.place == everybody[keyword].place and match.at_start(event.block, tree.version):
            continue  # told as what everybody gets
        scope = contexts[event.block.place]
        reachable = scope.context is not None and len(scopes) <= _MANY
        effective = resolving.resolve(tree, scope.context) if reachable else everybody
        here = {**{k: int(effective[k].value) for k in KEYWORDS}, keyword: event.number}
        right = event.number == wanted[keyword]
        exempt = not right and is_exempt(event, policy, tree)
        reason = "" if right else consequence.of(tree.version, here[INTERVAL], here[COUNT_MAX]).sentence
        if exempt:
            reason = f"kept, as match_overrides: keep asks; {reason}"
        setting = Setting(
            keyword=keyword,
            value=str(event.number),
            place=event.place,
            hides=effective[keyword].hides if effective[keyword].place == event.place else (),
        )
        yield _finding(setting, str(scope), wanted[keyword], right=right or exempt, reason=reason)


def _finding(setting: Setting, scope: str, wanted: int, *, right: bool, reason: str) -> Finding:
    return Finding(
        setting=SPELLING[setting.keyword],
        scope=scope,
        wanted=str(wanted),
        value=setting.value,
        verdict=Verdict.PASS if right else Verdict.FAIL,
        place=setting.place,
        hides=setting.hides,
        reason=reason,
    )


def _with_doubt(finding: Finding, why: str | None) -> Finding:
    """A contradicted reading is UNKNOWN; an unconfirmed one is no PASS, but a value that is wrong stays wrong."""
    if why is None or (finding.verdict is Verdict.FAIL and why.startswith(_NOT_ASKED)):
        return finding
    return replace(finding, verdict=Verdict.UNKNOWN, reason=why)


def _unreadable(policy: Policy, reason: str) -> Iterator[Finding]:
    for keyword, wanted in policy.wanted().items():
        yield Finding(
            setting=SPELLING[keyword],
            scope=GLOBAL,
            wanted=str(wanted),
            value="",
            verdict=Verdict.UNKNOWN,
            reason=reason,
        )


def _one_sided(snapshot: Snapshot, error: ParseError) -> str:
    said = next((dump for dump in snapshot.dumps if dump.error is None), None)
    if said is None:
        return f"the configuration cannot be read: {error}"
    pair = "/".join(said.value(keyword) or "?" for keyword in KEYWORDS)
    return f"sshd -T reads {pair} for {said.context}, but we cannot follow it: {error}"


def _daemon(snapshot: Snapshot, started: str | None) -> Iterator[Finding]:
    daemon = snapshot.daemon
    if started is not None:
        yield Finding(
            setting=DAEMON,
            scope=GLOBAL,
            wanted="the start options of its unit",
            value="older options",
            verdict=Verdict.FAIL,
            reason=f"pending restart: {started}",
        )
    if daemon is None or not daemon.stale:
        return
    since = f" (loaded {daemon.loaded_at:%Y-%m-%d %H:%M:%S} UTC)" if daemon.loaded_at else ""
    yield Finding(
        setting=DAEMON,
        scope=GLOBAL,
        wanted="the present files",
        value="older files",
        verdict=Verdict.FAIL,
        reason=f"pending restart: the running sshd{since} has not read {', '.join(daemon.stale)}",
    )
