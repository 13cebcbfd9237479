"""Match lines: which criteria they hold, whether a connection meets them, and an example of one that does.

An answer has three values. None means that neither the file nor the connection as given decides: a group
whose members only the host knows, a routing domain, a suffix that a vendor adds to its version.
Source: OpenSSH servconf.c, match_cfg_line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice, product, takewhile
from typing import Any, Final

from sshd_keepalive.model import BLANK, Context, Place, Scope
from sshd_keepalive.sshd_config import patterns
from sshd_keepalive.sshd_config.document import Line
from sshd_keepalive.sshd_config.limits import MAX_NAME_BYTES, Work
from sshd_keepalive.sshd_config.tokens import Token, decode, encode
from sshd_keepalive.sshd_config.version import Tokeniser, Version

_SINCE: Final = {
    "User": (0, 0), "Group": (0, 0), "Host": (0, 0), "Address": (0, 0), "LocalAddress": (6, 1), "LocalPort": (6, 1),
    "all": (6, 5), "RDomain": (7, 7), "Invalid-User": (9, 9), "Version": (10, 0),
}  # fmt: skip
#: Criterion → the first release that knows it.
SINCE: Final = {name.lower(): release for name, release in _SINCE.items()}
SPELLING: Final = {name.lower(): name for name in _SINCE}
_BARE: Final = frozenset({"all", "invalid-user"})
#: What a vendor may add behind the release in `Match Version`; it decides only if such a text makes a difference.
_SUFFIXES: Final = (b"", b" Debian-1")
_PORT: Final = re.compile(rb"[ \t\n\v\f\r]*\+?0*([0-9]{1,5})\Z")


class BadMatch(ValueError):
    """sshd would refuse this Match line; the text says why."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition of a Match line."""

    name: str  # folded, a key of SINCE
    argument: bytes = b""

    @property
    def steps(self) -> int:
        """What it costs to ask whether a connection meets it; see `limits.Work`."""
        return 4 + patterns.estimate_steps(self.argument)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """What stands between a Match line and the next, or the end of its file. Compared by identity.

    A block inside a file that another block includes applies only where that one does: `outer`.
    """

    place: Place
    text: str  # the line, words joined by one space
    criteria: tuple[Criterion, ...]
    outer: Block | None = None
    dead: bool = False  # no connection ever reaches it (8.2 and 8.3, in a globally included file)
    label: str = field(init=False)  # the lines that must all match, outermost first
    steps: int = field(init=False)  # what it costs to ask whether a connection meets all of them; see `limits.Work`

    def __post_init__(self) -> None:
        outer = self.outer
        object.__setattr__(self, "label", self.text if outer is None else f"{outer.label} / {self.text}")
        steps = sum(criterion.steps for criterion in self.criteria)
        object.__setattr__(self, "steps", steps if outer is None else steps + outer.steps)

    def chain(self) -> Iterator[Block]:
        """List this block and the ones around it."""
        block: Block | None = self
        while block is not None:
            yield block
            block = block.outer

    @property
    def scope(self) -> Scope:
        """The block as a finding names it."""
        return Scope(text=self.label, place=self.place)

    @property
    def is_dead(self) -> bool:
        """Whether no connection ever reaches it."""
        return any(block.dead for block in self.chain())


def parse_criteria(line: Line, version: Version) -> tuple[Criterion, ...]:
    """Read the criteria of a Match line.

    Raises:
        BadMatch: this release would refuse the line.
    """
    criteria: list[Criterion] = []
    words = [token.text for token in line.arguments]
    argv = version.match_tokeniser is Tokeniser.ARGV
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word.startswith(b"#"):
            at = len(words)
            break
        if not word and not argv:
            break
        name, equals, _ = word.decode("latin-1").lower().partition("=")
        if not (argv and equals and version.match_equals and name in SINCE and name not in _BARE):
            name, equals = word.decode("latin-1").lower(), ""
        if name not in SINCE or not version.at_least(*SINCE[name]):
            raise BadMatch(f"unsupported Match criterion {name!r}")
        if name == "all":
            if criteria or (at < len(words) and words[at] and not words[at].startswith(b"#")):
                raise BadMatch("'all' cannot be combined with other criteria")
            if any(words[at + 1 :]) and not words[at].startswith(b"#"):
                raise BadMatch("text after the Match criteria")
            return (Criterion("all"),)
        if name in _BARE:
            criteria.append(Criterion(name))
            continue
        if equals:
            value = word[len(name) + 1 :]
        else:
            value = words[at] if at < len(words) else b""
            at += 1
        if not value or value.startswith(b"#"):
            raise BadMatch(f"no value for the Match criterion {name!r}")
        _check(name, value, version)
        criteria.append(Criterion(name, value))
    if any(words[at:]):
        raise BadMatch("text after the Match criteria")
    if not criteria:
        raise BadMatch("Match without criteria")
    return tuple(criteria)


def render_text(arguments: tuple[Token, ...]) -> str:
    """Render a Match line: words joined by one space, bytes that are not UTF-8 escaped."""
    texts = takewhile(lambda text: not text.startswith(b"#"), (token.text for token in arguments))
    words = b" ".join(filter(None, texts))
    return f"Match {words.decode('utf-8', 'backslashreplace')}"


def _check(name: str, value: bytes, version: Version) -> None:
    if name in ("address", "localaddress") and version.at_least(8, 4):
        try:
            patterns.match_addresses(None, value)
        except patterns.BadPattern as error:
            raise BadMatch(str(error)) from None
    if name == "localport" and value[:1] in b"-+0123456789" and _read_port(value) is None:
        raise BadMatch(f"{value.decode('latin-1')} is not a port")


def _read_port(value: bytes) -> int | None:
    match = _PORT.match(value)
    return int(match[1]) if match and int(match[1]) <= 65535 else None


def is_active_at_start(block: Block, version: Version) -> bool | None:
    """Whether the block is active when the daemon reads its file, before any connection.

    Only `all` and `Version` can be; global-only keywords are allowed there, and values count as global.
    """
    return _are_criteria_met(block, BLANK, version)


def is_met(block: Block, context: Context, version: Version) -> bool | None:
    """Whether a connection meets every criterion of the block and of those around it; None: not known."""
    return False if block.is_dead else _are_criteria_met(block, context, version)


def _are_criteria_met(block: Block, context: Context, version: Version) -> bool | None:
    answer: bool | None = True
    for around in block.chain():
        for criterion in around.criteria:
            met = is_criterion_met(criterion, context, version)
            if met is False:
                return False
            answer = answer and met
    return answer


def is_criterion_met(criterion: Criterion, context: Context, version: Version) -> bool | None:
    """Whether a connection meets one criterion. What a context leaves out, only `all` and `Version` survive."""
    name, argument = criterion.name, criterion.argument
    if name == "all":
        return True
    if name == "version":
        return _is_version_met(argument, version)
    if name == "user":
        return context.user is not None and patterns.match_list(encode(context.user), argument) == 1
    if name == "group":
        return _is_group_met(argument, context)
    if name == "host":
        return context.host is not None and patterns.match_list(encode(context.host), argument, fold=True) == 1
    if name in ("address", "localaddress"):
        address = context.address if name == "address" else context.local_address
        if address is not None and b"/+" in argument:
            return None  # 8.4 and 10.0 take +8 for the length of a mask, 9.2 does not
        try:
            return address is not None and patterns.match_addresses(address, argument) == 1
        except patterns.BadPattern:
            return None  # up to 8.3 such a line passes every test and kills the connection
    if name == "localport":
        port = _read_port(argument)
        if context.local_port is None:
            return False
        return None if port is None else port == context.local_port
    return None if context.user is not None else False  # rdomain, invalid-user: nothing here says


def _is_group_met(argument: bytes, context: Context) -> bool | None:
    if context.groups is None:
        return None if context.user is not None and patterns.list_positive(argument) else False
    results = [patterns.match_list(encode(group), argument) for group in context.groups]
    return -1 not in results and 1 in results


def _is_version_met(argument: bytes, version: Version) -> bool | None:
    results = {patterns.match_list(version.release.encode() + suffix, argument) == 1 for suffix in _SUFFIXES}
    return results.pop() if len(results) == 1 else None


# ------------------------------------------------------------------------- connections that reach a block

#: Stands for everybody no pattern names: addresses of RFC 5737, a name of RFC 2606.
STRANGER: Final = Context(
    user="nobody-in-particular",
    host="stranger.invalid",
    address="192.0.2.1",
    local_address="192.0.2.2",
    local_port=22,
)
#: Criterion → the field of a context that it looks at.
_FIELDS: Final = {
    "user": "user", "group": "groups", "host": "host", "address": "address", "localaddress": "local_address",
    "localport": "local_port",
}  # fmt: skip
_TRIES: Final = 400
_OFFERS: Final = 200  # values that are tried for one field
_CHOICES: Final = 6  # of them that are combined with those of other fields
_FILLINGS: Final = ("a", "", "b", "1", "x1", "1.1", "1.1.1", "0.0.1", ":1", "q")


def can_match(block: Block) -> bool:
    """Whether any connection at all can meet the block, as far as its patterns tell.

    A list without a positive pattern never matches, and no connection comes in on port 0.
    """
    return not any(_is_hopeless(criterion) for around in block.chain() for criterion in around.criteria)


def _is_hopeless(criterion: Criterion) -> bool:
    if criterion.name in ("all", "invalid-user"):
        return False
    if criterion.name == "localport":
        return not criterion.argument.strip(b"0")
    return not patterns.list_positive(criterion.argument)


def find_connection(block: Block, version: Version, work: Work | None = None) -> Context | None:
    """Find a connection that surely reaches the block, from its own patterns; None when none can be made up.

    Each criterion offers a few values: the first positive pattern with its wildcards filled in, the first addresses of
    a network. A combination that the block accepts is the answer. What the file does not tell, a member of a group for
    example, is left to the host.
    Fields that no criterion names are STRANGER's. `groups` is filled where a criterion names a group: to ask a
    host, find a user of the host who is in them.

    Args:
        work: the host's budget; by default one for this block alone.
    Raises:
        HostError: kind `observe`, cause `too_large`.
    """
    work = work or Work()
    criteria: dict[str, list[Criterion]] = {}
    for around in block.chain():
        for criterion in around.criteria:
            criteria.setdefault(criterion.name, []).append(criterion)
    choices = [_list_choices(name, criteria[name], version, work) for name in _FIELDS if name in criteria]
    for fields in islice(product(*choices), _TRIES):
        context = replace(STRANGER, **{name: value for field in fields for name, value in field.items()})
        work.spend(4 + block.steps)
        if is_met(block, context, version):
            return context
    return None


def _list_choices(name: str, criteria: list[Criterion], version: Version, work: Work) -> list[dict[str, Any]]:
    """List values of one field to try, as arguments of a context; without one that works, the field is left alone."""
    if name == "localport":
        ports = (c.argument.decode("latin-1") for c in criteria if c.argument.strip(b"0").isdigit())
        return [{"local_port": int(port)} for port in ports] or [{}]
    offers = _make_addresses if "address" in name else _make_names
    steps = sum(criterion.steps for criterion in criteria)
    work.spend(steps)
    positive = (pattern for c in criteria for pattern in patterns.list_positive(c.argument)[:8])
    offered = (value for pattern in positive if len(pattern) <= MAX_NAME_BYTES for value in offers(pattern))
    meeting: dict[str, dict[str, Any]] = {}
    for value in islice(offered, _OFFERS):
        work.spend(steps)
        field: dict[str, Any] = {_FIELDS[name]: (value,) if name == "group" else value}
        context = replace(STRANGER, **field)
        if value and all(is_criterion_met(c, context, version) for c in criteria):  # no account has an empty name
            meeting[value] = field
        if len(meeting) == _CHOICES:
            break
    return [*meeting.values()] or [{}]


def _make_names(pattern: bytes) -> Iterator[str]:
    text = decode(pattern)
    for filling in _FILLINGS if "*" in text or "?" in text else ("",):
        yield text.replace("*", filling).replace("?", filling[:1] or "z")


def _make_addresses(pattern: bytes) -> Iterator[str]:
    try:
        network = patterns.parse_network(pattern)
    except patterns.BadPattern:
        return
    if network is None:
        yield from _make_names(pattern)
        return
    for offset in (0, 1, 2, 10, network.num_addresses // 2, network.num_addresses - 1):
        if offset < network.num_addresses:
            yield str(network[offset])
