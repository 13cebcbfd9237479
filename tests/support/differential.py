"""One generated tree, read by us and by a real sshd, before and after our plan; every difference is a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from sshd_keepalive.errors import HostError, ParseError, PlanError
from sshd_keepalive.model import (
    COUNT_MAX,
    INTERVAL,
    Context,
    Daemon,
    Dump,
    Glob,
    Host,
    MatchOverrides,
    Place,
    RemoteFile,
    Snapshot,
    State,
)
from sshd_keepalive.planning import judge, plan
from sshd_keepalive.sshd_config import include, match
from sshd_keepalive.sshd_config.document import parse
from sshd_keepalive.sshd_config.reading import read
from sshd_keepalive.sshd_config.tree import Tree, build_from_files, find_missing_globs
from sshd_keepalive.sshd_config.version import Version
from tests.support import readings
from tests.support.configs import Case, case
from tests.support.oracle import CONFIG_DIR, Oracle
from tests.support.printed import possible as possible_values
from tests.support.printed import resolve_all, values_of

BLANK = Context()
KEYS = (INTERVAL, COUNT_MAX)
_QUOTED = re.compile(r'"[^"\n]*"')
_NAMED = re.compile(r"(/\S.*?):? line (\d+): ")
_NOT_THE_FILE = "not in connection test specification"


def snapshot_of(made: Case, version: str, dumps: tuple[Dump, ...]) -> Snapshot:
    """What a look at a host with these files would have found."""
    found = Snapshot(
        host=Host(name="h", address="h", sshd_config=made.main, policy=made.policy),
        taken_at=datetime(2026, 1, 1, tzinfo=UTC),
        version=version,
        files=tuple(RemoteFile(path=path, content=content) for path, content in made.files.items()),
        globs=(),
        dumps=dumps,
        daemon=Daemon(pid=1, options=made.options),
    )
    while missing := find_missing_globs(read(found).tree):
        expanded = tuple(Glob(pattern=pattern, paths=include.expand(pattern, made.files)) for pattern in missing)
        found = replace(found, globs=found.globs + expanded)
    return found


def named_lines(refusal: str) -> list[Place]:
    """Give the lines that sshd names in its words."""
    return [Place(path=path, line=int(number)) for path, number in _NAMED.findall(refusal)]


def differences(oracle: Oracle, seed: int) -> list[str]:
    """Ask the oracle about the tree of a seed; every way in which it contradicts us."""
    made = case(seed, f"{CONFIG_DIR}/c{seed}", relative_to=CONFIG_DIR)
    oracle.write(made.files)
    try:
        return [f"seed {seed}: {text}" for text in _compared(oracle, made)]
    finally:
        oracle.remove(made.base)


def _compared(oracle: Oracle, made: Case) -> Iterator[str]:
    groups = {user: oracle.groups(user) for user in {c.user for c in made.contexts if c.user}}
    contexts = [replace(c, groups=groups[c.user]) if c.user else c for c in made.contexts]
    version = Version.parse(oracle.version)
    tree = build_from_files(made.files, main=made.main, version=version, options=made.options)
    try:
        tree.events()
    except HostError as error:
        if error.cause != "too_large":  # is not judged, so there is nothing to compare
            raise
        return
    except ParseError as error:
        dumps = oracle.ask(made.main, [BLANK, match.STRANGER], *made.options)
        dump = next((dump for dump in dumps if not (dump.error and _NOT_THE_FILE in dump.error)), dumps[0])
        if dump.error is None:
            yield f"we refuse ({error}), sshd reads it"
        yield from _refused(made, oracle.version, dump)
        return
    for scope in readings.scopes(tree):
        if scope.context is not None and scope.context.groups is None and scope.context not in contexts:
            contexts.append(scope.context)
    before = oracle.ask(made.main, contexts, *made.options)
    if any(dump.error and _is_left_to_the_host(dump.error, made, version) for dump in before):
        return
    # With a Match LocalPort, plain -T is refused by every release asked: the question, not the file.
    before = [dump for dump in before if not (dump.error and _NOT_THE_FILE in dump.error)]
    contexts = [dump.context for dump in before]
    yield from _read_alike(tree, before)
    if any(dump.error for dump in before):
        return
    yield from _planned(oracle, made, contexts, before)


def _is_left_to_the_host(refusal: str, made: Case, version: Version) -> bool:
    """Other keywords, and their values, are for the host's sshd to know; a NUL byte glues lines to such ones."""
    if "Bad configuration option" in refusal:
        return True
    if any(b"\0" in content for content in made.files.values()):
        return "ClientAlive" not in _QUOTED.sub("", refusal)  # a value may have swallowed the next line
    for place in named_lines(refusal):
        lines = parse(place.path, made.files[place.path], version=version).lines
        if lines[place.line - 1].keyword not in (*KEYS, "match", "include"):
            return True
    return False


def _refused(made: Case, version: str, dump: Dump) -> Iterator[str]:
    snapshot = snapshot_of(made, version, (dump,))
    if dump.error is not None and judge.find_refusal(snapshot) is None:
        yield f"sshd's refusal is not recognised as one: {dump.error}"
    verdicts = {finding.state for finding in judge.judge(read(snapshot), made.policy)}
    if verdicts != {State.UNKNOWN}:
        yield f"a refused tree is judged {verdicts}"
    try:
        plan.plan(read(snapshot), made.policy)
        yield "a refused tree is planned for"
    except ParseError:
        pass


def _read_alike(tree: Tree, dumps: list[Dump]) -> Iterator[str]:
    for dump in dumps:
        who = dump.context
        if dump.error is not None:
            yield f"sshd refuses {who}, we read it: {dump.error}"
            continue
        ours = resolve_all(tree, dump.context)
        for keyword in dict.fromkeys(setting.keyword for setting in ours.settings):
            theirs = tuple(value for name, value in dump.settings if name == keyword)
            possible = [values_of(ours, keyword)]
            if keyword in KEYS:
                possible = [(str(number),) for number in possible_values(tree, dump.context)[keyword]]
            elif ours.undecided:
                continue
            if theirs not in possible:
                yield f"{keyword} for {who}: sshd {theirs}, we {possible}"


def _planned(oracle: Oracle, made: Case, contexts: list[Context], before: list[Dump]) -> Iterator[str]:
    policy = made.policy
    asked = tuple(replace(dump, context=replace(dump.context, groups=None)) for dump in before)
    if BLANK not in contexts:
        asked = (Dump(context=BLANK, error=f"'Match LocalPort' in configuration but 'lport' {_NOT_THE_FILE}"), *asked)
    snapshot = snapshot_of(made, oracle.version, asked)
    try:
        planned = plan.plan(read(snapshot), policy)
    except PlanError as error:
        if not made.options:
            yield f"no plan: {error}"
        return
    except ParseError as error:
        if not any(b"\0" in content for content in made.files.values()):
            yield f"no plan: {error}"
        return
    verdicts = {finding.state for finding in judge.judge(read(snapshot), policy)}
    if State.UNKNOWN in verdicts:
        yield "sshd agrees, yet something is UNKNOWN"
    if planned.is_empty != (verdicts == {State.OK}):
        yield f"the plan is {'empty' if planned.is_empty else 'not empty'}, the verdicts are {verdicts}"
    if planned.is_empty:
        return
    oracle.write({content.path: content.after for content in planned.contents})
    everyone = [*contexts, *(p.context for p in planned.predictions)]
    after = oracle.ask(made.main, everyone, *made.options)
    wanted = {keyword: str(number) for keyword, number in policy.wanted.items()}
    for dump in after:
        if dump.error is not None:
            yield f"sshd refuses the result for {dump.context}: {dump.error}"
            return
        if policy.match_overrides is MatchOverrides.OVERRIDE:
            for keyword in KEYS:
                if dump.find(keyword) != wanted[keyword]:
                    yield f"{keyword} after the plan for {dump.context}: {dump.find(keyword)}"
    for old, new in zip(before, after, strict=False):
        if _others(old) != _others(new):
            yield f"another setting changed for {old.context}"
    for prediction, dump in zip(planned.predictions, after[len(contexts) :], strict=True):
        theirs = tuple((keyword, dump.find(keyword)) for keyword in KEYS)
        if theirs != prediction.after:
            yield f"predicted {prediction.after} for {dump.context}, sshd says {theirs}"
    files = {**made.files, **{content.path: content.after for content in planned.contents}}
    again = plan.plan(read(snapshot_of(replace(made, files=files), oracle.version, tuple(after[:1]))), policy)
    if again.contents:
        yield f"planning again changes {[content.path for content in again.contents]}"


def _others(dump: Dump) -> list[tuple[str, str]]:
    return [pair for pair in dump.settings if pair[0] not in KEYS]
