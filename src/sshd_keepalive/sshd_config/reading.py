"""What sshd makes of the files of one host, worked out once and handed to everything that decides.

A pass over a host builds one reading of what it found, and one of the files as a plan leaves them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property

from sshd_keepalive.model import (
    BLANK,
    DEFAULT_CONFIG,
    GLOBAL,
    Context,
    Glob,
    Host,
    NewContent,
    RemoteFile,
    Scope,
    Snapshot,
)
from sshd_keepalive.sshd_config import match
from sshd_keepalive.sshd_config import tree as trees
from sshd_keepalive.sshd_config.limits import Work
from sshd_keepalive.sshd_config.match import Block
from sshd_keepalive.sshd_config.resolve import KEYWORDS, Earlier, Effective, Layers
from sshd_keepalive.sshd_config.tree import Event, Tree
from sshd_keepalive.sshd_config.version import NEWEST, Version


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidingScope:
    """A Match block that decides, with a connection that reaches it; GLOBAL for all other connections."""

    scope: Scope
    context: Context | None  # an example of a connection that reaches the block; None: none can be constructed


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """The files of a host as sshd reads them: the tree, what everybody gets, what each Match block changes.

    All attributes but the first two are worked out when they are first asked for. They raise ParseError where sshd
    would refuse the files, and HostError (kind `observe`, cause `too_large`) where the files ask for too much work.
    Not shared between threads.
    """

    snapshot: Snapshot  # what was found, or would be found: after an edit it has no dumps
    tree: Tree
    _after: dict[tuple[NewContent, ...], Reading] = field(default_factory=dict, init=False, repr=False)
    _layers: dict[tuple[bool | None, ...], Layers] = field(default_factory=dict, repr=False)
    _effective: dict[Context, Effective] = field(default_factory=dict, repr=False)

    @cached_property
    def lines(self) -> tuple[Event, ...]:
        """The lines of the two keep-alive settings, in reading order."""
        events = self.tree.events()
        self.tree.work.spend(len(events))
        return tuple(event for event in events if event.line.keyword in KEYWORDS)

    @cached_property
    def overrides(self) -> tuple[Event, ...]:
        """The lines inside Match blocks that can decide a setting for some connection, in reading order.

        Left out: blocks no connection reaches, and lines that an earlier one always beats (in the same block, in
        `Match all`, or in a block whose conditions are among this one's).
        """
        overrides: list[Event] = []
        decided: set[str] = set()  # keywords with a global line so far
        earlier = Earlier(self.tree.work)
        for event in self.lines:
            keyword, block = event.line.keyword, event.block
            if event.number is None:
                continue
            if block is None:
                decided.add(keyword)
                continue
            # What no connection reaches can still count at the daemon's start, where the first value wins.
            unreachable = block.is_dead or not match.can_match(block)
            if unreachable and (keyword in decided or match.is_active_at_start(block, self.tree.version) is False):
                continue
            if not earlier.is_beaten(keyword, block):
                earlier.add(keyword, block)
                overrides.append(event)
        return tuple(overrides)

    @cached_property
    def scopes(self) -> tuple[DecidingScope, ...]:
        """Everybody, then every Match block that can decide a setting, with a connection that reaches it."""
        version, work = self.tree.version, self.tree.work
        blocks = dict.fromkeys(event.block for event in self.overrides if event.block is not None)
        return (
            DecidingScope(scope=GLOBAL, context=BLANK),
            *(DecidingScope(scope=b.scope, context=match.find_connection(b, version, work)) for b in blocks),
        )

    @cached_property
    def everybody(self) -> Effective:
        """What every connection gets for which no Match block decides."""
        return self.resolve(BLANK)

    def resolve(self, context: Context) -> Effective:
        """Give the values that sshd would use for one connection, and where each comes from."""
        effective = self._effective.get(context)
        if effective is None:
            effective = self._effective[context] = self._lay(context).resolve()
        return effective

    def list_possible(self, context: Context) -> dict[str, tuple[int, ...]]:
        """Give every value that both settings may have for a connection; see `Layers.list_possible`."""
        return self._lay(context).list_possible()

    def _lay(self, context: Context) -> Layers:
        """Resolve once for all connections that meet the same of the blocks that matter."""
        version, work = self.tree.version, self.tree.work
        work.spend(len(self._blocks) + sum(4 + block.steps for block in self._blocks))
        states = tuple(match.is_met(block, context, version) for block in self._blocks)
        layers = self._layers.get(states)
        if layers is None:
            work.spend(len(self.lines))
            is_met = dict(zip(self._blocks, states, strict=True))
            layers = self._layers[states] = Layers(self.lines, version, is_met.__getitem__)
        return layers

    @cached_property
    def _blocks(self) -> tuple[Block, ...]:
        return tuple(dict.fromkeys(event.block for event in self.lines if event.block is not None))

    def after(self, contents: tuple[NewContent, ...]) -> Reading:
        """Give the reading of the same host once these contents are there; it is built once."""
        if not contents:
            return self
        if contents not in self._after:
            self._after[contents] = self._read_after(contents)
        return self._after[contents]

    def _read_after(self, contents: tuple[NewContent, ...]) -> Reading:
        written = {content.path: content.after for content in contents if not content.gone}
        gone = {content.path for content in contents if content.gone}
        tree = self.tree.change_files(written, gone)
        files = {file.path: file for file in self.snapshot.files if file.path not in gone}
        for path, content in written.items():
            file = files.get(path)
            files[path] = RemoteFile(path=path, content=content) if file is None else replace(file, content=content)
        globs = tuple(Glob(pattern=pattern, paths=paths) for pattern, paths in (tree.globs or {}).items())
        snapshot = replace(self.snapshot, files=tuple(files.values()), globs=globs, dumps=())
        return Reading(snapshot=snapshot, tree=tree)


def read_files(
    files: Mapping[str, bytes],
    *,
    main: str = DEFAULT_CONFIG,
    version: Version = NEWEST,
    globs: Mapping[str, tuple[str, ...]] | None = None,
    options: tuple[str, ...] = (),
) -> Reading:
    """Read files without a server's own answer: path → bytes, all that an Include can reach.

    Args:
        globs: absolute pattern of an Include → the files it names; by default it is matched against the paths given.
    """
    snapshot = Snapshot(
        host=Host(name="localhost", address="localhost", sshd_config=main),
        taken_at=datetime.min.replace(tzinfo=UTC),
        version=str(version),
        files=tuple(RemoteFile(path=path, content=content) for path, content in files.items()),
        globs=(),
        dumps=(),
        daemon=None,
    )
    return Reading(
        snapshot=snapshot, tree=trees.build_from_files(files, main=main, version=version, globs=globs, options=options)
    )


def read(snapshot: Snapshot, expected: Reading | None = None) -> Reading:
    """Read what was found on a host.

    Args:
        expected: a reading of what should be there; its work is used again if that is what is there, to the byte.
    Raises:
        ParseError: the release is not known.
    """
    if expected is not None and trees.is_alike(snapshot, expected.snapshot):
        return replace(expected, snapshot=snapshot, tree=replace(expected.tree, work=Work()))
    return Reading(snapshot=snapshot, tree=trees.build_from_snapshot(snapshot))
