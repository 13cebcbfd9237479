"""All files of one configuration, unrolled into the order in which sshd reads them.

Includes are followed where they stand; each line is kept with the block it belongs to and the Include lines
that led to it. What sshd would refuse while reading is a ParseError here, as far as the files alone tell; the
rest is left to the host's own `sshd -t`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from sshd_keepalive.errors import ParseError
from sshd_keepalive.model import COMMAND_LINE, COUNT_MAX, DEFAULT_CONFIG, INTERVAL, Place, Snapshot
from sshd_keepalive.sshd_config import command_line, include, keywords, match, values
from sshd_keepalive.sshd_config.document import Document, Line, parse, tokenise
from sshd_keepalive.sshd_config.limits import MAX_GLOB_BYTES, Work, make_too_large
from sshd_keepalive.sshd_config.match import Block
from sshd_keepalive.sshd_config.tokens import encode
from sshd_keepalive.sshd_config.version import NEWEST, Version

MAX_DEPTH: Final = 16  # servconf.c, SERVCONF_MAX_DEPTH: the main file and 16 levels below it
_MAX_READS: Final = 20_000  # files read, repeats counted; sshd has no such limit and would not come back
_BOMS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_OPTION_STEPS: Final = 100  # what one -o option costs to read
_VENDOR_CONFIG: Final = "/usr/etc/ssh/sshd_config"


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """One line with a keyword, where the reading order puts it."""

    line: Line
    place: Place
    block: Block | None  # None: global
    chain: tuple[Place, ...]  # the Include lines that lead here, outermost first
    number: int | None = None  # the value of a keep-alive setting; None also for one that counts as not written


@dataclass(frozen=True, slots=True)
class Tree:
    """The files of one configuration and how to read them. Build it with `of_files` or `of_snapshot`."""

    main: str
    documents: Mapping[str, Document]
    version: Version
    globs: Mapping[str, tuple[str, ...]] | None  # absolute pattern → paths; None: look among the documents
    options: tuple[str, ...] = ()  # values of the daemon's -o options
    same: Mapping[str, str] = field(default_factory=dict)  # another path of a file → the one it is known by
    work: Work = field(default_factory=Work, compare=False, repr=False)  # one host's, trees after an edit included
    _events: list[Event] = field(default_factory=list, compare=False, repr=False)

    def events(self) -> Sequence[Event]:
        """Every line with a keyword, in reading order; daemon options first. Read once, then remembered.

        Raises:
            ParseError: sshd would refuse the files (path and line of the first reason).
            HostError: kind `observe`, cause `too_large`.
        """
        if not self._events:
            self._events[:] = [*_Unrolling(self).run()]  # all of them, or none
        return self._events

    def read_as(self, version: Version) -> Tree:
        """Give the same files as another release reads them."""
        documents = {
            path: parse(path, b"".join([line.raw for line in document.lines]), version=version)
            for path, document in self.documents.items()
        }
        return replace(self, version=version, documents=documents, _events=[])

    def comment_out(self, place: Place) -> Tree:
        """Give the same tree after one line was made a comment."""
        lines = self.documents[place.path].lines
        kept = tuple(Line(number=n, raw=line.raw) if n == place.line else line for n, line in enumerate(lines, 1))
        documents = {**self.documents, place.path: Document(path=place.path, lines=kept)}
        return replace(self, documents=documents, _events=[])

    def change_files(self, contents: Mapping[str, bytes], gone: Collection[str] = ()) -> Tree:
        """Give the same tree after some files were written or created, and others were removed."""
        documents = {**self.documents, **{path: parse(path, c, version=self.version) for path, c in contents.items()}}
        documents = {path: document for path, document in documents.items() if path not in gone}
        globs = self.globs
        if globs is not None:
            for pattern, paths in globs.items():
                self.work.spend(include.estimate_steps(pattern, len(paths) + len(contents)))
            globs = {
                pattern: include.expand(
                    pattern, {*paths, *(p for p in contents if include.is_match(pattern, p))} - {*gone}
                )
                for pattern, paths in globs.items()
            }
        return replace(self, documents=documents, globs=globs, _events=[])


def build_from_files(
    files: Mapping[str, bytes],
    *,
    main: str = DEFAULT_CONFIG,
    version: Version = NEWEST,
    globs: Mapping[str, tuple[str, ...]] | None = None,
    options: tuple[str, ...] = (),
) -> Tree:
    """Build a tree from path → bytes. Without `globs`, Include patterns are matched against the paths given."""
    documents = {path: parse(path, content, version=version) for path, content in files.items()}
    return Tree(main, documents, version, globs, options)


def build_from_snapshot(snapshot: Snapshot) -> Tree:
    """Build a tree from what was found on a host.

    Raises:
        ParseError: the release is not known.
    """
    daemon = snapshot.daemon
    first: dict[str, str] = {}  # by where a link leads: a file with two paths is edited once
    for file in snapshot.files:
        first.setdefault(file.real_path or file.path, file.path)
    built = build_from_files(
        snapshot.contents,
        main=_main_path(snapshot),
        version=read_release(snapshot),
        globs={glob.pattern: glob.paths for glob in snapshot.globs},
        options=daemon.options if daemon else (),
    )
    first_names = {file.path: first[file.real_path or file.path] for file in snapshot.files}
    return replace(built, same={path: other for path, other in first_names.items() if path != other})


def is_alike(one: Snapshot, other: Snapshot) -> bool:
    """Whether both snapshots give the same tree."""
    return _inputs(one) == _inputs(other)


def _inputs(snapshot: Snapshot) -> tuple[object, ...]:
    """List all that `of_snapshot` looks at."""
    return (
        {file.path: (file.content, file.real_path) for file in snapshot.files},
        {glob.pattern: glob.paths for glob in snapshot.globs},
        (snapshot.version, snapshot.has_include_backport, snapshot.config_path, snapshot.host.sshd_config),
        (snapshot.daemon.options, command_line.find_config(snapshot.daemon.command_line)) if snapshot.daemon else None,
    )


def read_release(snapshot: Snapshot) -> Version:
    """Give the release that reads the files of a host.

    Raises:
        ParseError: the release is not known.
    """
    version = Version.parse(snapshot.version)
    return version.with_include() if snapshot.has_include_backport else version


def _main_path(snapshot: Snapshot) -> str:
    """Find the file the daemon reads first: its -f, else the inventory's, else the vendor's where that is absent.

    A snapshot names the file that was used on the host; where it does not, the command line of the daemon does.
    """
    named = command_line.find_config(snapshot.daemon.command_line) if snapshot.daemon else None
    choices = [snapshot.config_path, *([named] if named else []), snapshot.host.sshd_config, _VENDOR_CONFIG]
    return next((path for path in choices if path in snapshot.contents), snapshot.host.sshd_config)


class _Unrolling:
    """One pass over the files. The only state: how many files were read, and which patterns were not looked up.

    Args:
        missing: collects these patterns, each of which then names nothing; without it the first one is an error.
    """

    def __init__(self, tree: Tree, missing: dict[str, None] | None = None) -> None:
        self.tree = tree
        self.version = tree.version
        self.missing = missing
        self.reads = 0

    def run(self) -> Iterator[Event]:
        yield from self.options()
        yield from self._file(self.tree.main, None, (), dead_matches=False)

    def options(self) -> Iterator[Event]:
        place = Place(path=COMMAND_LINE, line=0)
        for option in self.tree.options:
            line = tokenise(0, encode(option), self.version)
            if line.keyword in ("match", "include"):
                raise ParseError(f"{line.keyword} is not allowed as a daemon option", path=place.path, line=0)
            if line.keyword:
                yield self._event(line, place, None, ())

    def _file(self, path: str, outer: Block | None, chain: tuple[Place, ...], *, dead_matches: bool) -> Iterator[Event]:
        document = self.tree.documents.get(path)
        here = chain[-1] if chain else Place(path=path, line=0)
        if document is None:
            why = f"{path} is included but could not be read (deleted, or no permission)" if chain else "no such file"
            raise ParseError(why, path=here.path, line=here.line)
        if len(chain) > MAX_DEPTH:
            loops = any(place.path == path for place in chain)
            why = f"too many levels of Include{f': {path} includes itself' if loops else ''}"
            raise ParseError(why, path=here.path, line=here.line)
        self.reads += 1
        if self.reads > _MAX_READS:
            raise ParseError(f"more than {_MAX_READS} files to read", path=here.path, line=here.line)
        self.tree.work.spend(50 + len(document.lines) // 2)
        _refuse_encoding(document)
        block = outer
        for line in document.lines:
            if not line.keyword:
                continue
            place = Place(path=path, line=line.number)
            event = self._event(line, place, block, chain)
            if line.keyword == "match":
                block = self._block(line, place, outer, dead=dead_matches and outer is None)
            yield event
            if line.keyword == "include":
                # Upstream 8.2 and 8.3: Match lines of a globally included file never meet a connection.
                dead = block is None and not self.version.match_in_include
                for member in self._members(line, place):
                    yield from self._file(member, block, (*chain, place), dead_matches=dead)

    def _event(self, line: Line, place: Place, block: Block | None, chain: tuple[Place, ...]) -> Event:
        self.tree.work.spend(8 + len(line.raw) // 16)
        if line.problem:
            raise ParseError(line.problem, path=place.path, line=place.line)
        if self._is_misplaced(line.keyword, block):
            raise ParseError(f"{line.keyword} is not allowed within a Match block", path=place.path, line=place.line)
        number = self._number(line, place) if line.keyword in (INTERVAL, COUNT_MAX) else None
        return Event(line, place, block, chain, number)

    def _is_misplaced(self, keyword: str, block: Block | None) -> bool:
        if block is None or not keywords.is_global_only(keyword, self.version):
            return False
        return match.is_active_at_start(block, self.version) is False

    def _number(self, line: Line, place: Place) -> int | None:
        first = line.arguments[0].text if line.arguments else b""
        try:
            if not first:
                raise values.BadValue("no value")
            number = values.read_number(line.keyword, first, self.version)
        except values.BadValue as error:
            shown = first.decode("utf-8", "backslashreplace")
            message = f"bad value {shown!r} for {line.keyword}: {error}"
            raise ParseError(message, path=place.path, line=place.line) from None
        if len(line.arguments) > 1 and keywords.is_garbage(line.arguments[1], self.version):
            raise ParseError(f"text after the value of {line.keyword}", path=place.path, line=place.line)
        return number

    def _block(self, line: Line, place: Place, outer: Block | None, *, dead: bool) -> Block:
        try:
            criteria = match.parse_criteria(line, self.version)
        except match.BadMatch as error:
            raise ParseError(str(error), path=place.path, line=place.line) from None
        block = Block(place, match.render_text(line.arguments), criteria, outer, dead)
        self.tree.work.spend(len(line.raw) + len(block.label) // 8)
        return block

    def _members(self, line: Line, place: Place) -> Iterator[str]:
        if not self.version.include:
            raise ParseError(f"OpenSSH {self.version} does not support Include", path=place.path, line=place.line)
        words = [token.text for token in line.arguments]
        self.tree.work.spend(8 * len(words))
        if not words or not words[0] or (b"" in words and self.version.at_least(8, 7)):
            raise ParseError("Include without a file name", path=place.path, line=place.line)
        if b"" in words:  # up to 8.6 it ends the list, and nothing may follow
            following = line.arguments[words.index(b"") + 1 :][:1]
            if any(keywords.is_garbage(token, self.version) for token in following):
                raise ParseError("text after the file names", path=place.path, line=place.line)
        for pattern in include.list_patterns(line, self.version):
            yield from (self.tree.same.get(path, path) for path in self._expand(pattern, place))

    def _expand(self, pattern: str, place: Place) -> tuple[str, ...]:
        tree = self.tree
        if len(pattern) > MAX_GLOB_BYTES:
            raise make_too_large(f"{place} includes a pattern of more than {MAX_GLOB_BYTES} bytes")
        if tree.globs is None:
            tree.work.spend(include.estimate_steps(pattern, len(tree.documents)))
            return include.expand(include.collapse(pattern, tree.documents), tree.documents)
        paths = tree.globs.get(pattern)
        if paths is not None:
            return paths
        if include.is_literal(pattern) and pattern in tree.documents:
            return (pattern,)
        if self.missing is None:
            raise ParseError(
                f"the host was not asked which files Include {pattern} matches", path=place.path, line=place.line
            )
        tree.work.spend(1000)  # each needs a question to the host
        self.missing[pattern] = None
        return ()


def find_deciding_options(options: Collection[str], tree: Tree) -> tuple[str, ...]:
    """List the options that decide: the first of each keep-alive setting, and what sshd would not start with."""
    deciding: dict[str, str] = {}
    for option in options:
        tree.work.spend(_OPTION_STEPS)
        try:
            events = [*_Unrolling(replace(tree, options=(option,))).options()]
        except ParseError:  # sshd would not start with it
            deciding.setdefault(option, option)
            continue
        for event in events:
            if event.number is not None:
                deciding.setdefault(event.line.keyword, option)
    return tuple(deciding[key] for key in sorted(deciding))


def read_line(tree: Tree, event: Event, raw: bytes) -> Event:
    """Read another line in the place of an event, as the release of the tree reads it.

    Raises:
        ParseError: sshd would refuse the line.
    """
    line = tokenise(event.place.line, raw, tree.version)
    return _Unrolling(tree)._event(line, event.place, event.block, event.chain)


def list_members(tree: Tree, path: str, line: Line) -> tuple[str, ...]:
    """List the files that one Include line brings in, in the order in which sshd reads them."""
    return tuple(_Unrolling(tree)._members(line, Place(path=path, line=line.number)))


def find_missing_globs(tree: Tree) -> tuple[str, ...]:
    """List absolute Include patterns that the tree needs and that were not looked up; ask the host, then ask again.

    Files that cannot be read further, for another reason, need nothing more: `events` raises the reason.
    """
    if tree.globs is None or tree._events:
        return ()
    missing: dict[str, None] = {}
    with suppress(ParseError):
        events = [*_Unrolling(tree, missing).run()]
        if not missing:
            tree._events[:] = events
    return tuple(missing)


def _refuse_encoding(document: Document) -> None:
    first = document.lines[0].raw if document.lines else b""
    if first.startswith(_BOMS):
        raise ParseError("the file begins with a byte order mark", path=document.path, line=1)
