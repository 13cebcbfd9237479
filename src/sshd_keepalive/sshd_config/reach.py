"""Connections that reach a Match block, made up from its own patterns.

Each criterion offers a few values (the first positive pattern with its wildcards filled in, the first
addresses of a network, …); a combination that the block accepts is the answer. What cannot be made up from
the file, a member of a group for example, is left to the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product
from typing import Final

from sshd_keepalive.model import Context
from sshd_keepalive.sshd_config import match, patterns
from sshd_keepalive.sshd_config.limits import MAX_NAME_BYTES, Work
from sshd_keepalive.sshd_config.match import Block, Criterion
from sshd_keepalive.sshd_config.version import Version

#: Stands for everybody no pattern names: addresses of RFC 5737, a name of RFC 2606.
STRANGER: Final = Context(
    user="nobody-in-particular",
    host="stranger.invalid",
    address="192.0.2.1",
    local_address="192.0.2.2",
    local_port=22,
)
_TRIES: Final = 400
_OFFERS: Final = 200  # values that are tried for one field
_CHOICES: Final = 6  # of them that are combined with those of other fields
_FILLINGS: Final = ("a", "", "b", "1", "x1", "1.1", "1.1.1", "0.0.1", ":1", "q")


def can_match(block: Block) -> bool:
    """Whether any connection at all can meet the block, as far as its patterns tell.

    A list without a positive pattern matches nobody, and no connection comes in on port 0.
    """
    return not any(_is_hopeless(criterion) for around in block.chain() for criterion in around.criteria)


def _is_hopeless(criterion: Criterion) -> bool:
    if criterion.name in ("all", "invalid-user"):
        return False
    if criterion.name == "localport":
        return not criterion.argument.strip(b"0")
    return not patterns.positive(criterion.argument)


def context(block: Block, version: Version, work: Work | None = None) -> Context | None:
    """A connection that surely reaches the block; None when none can be made up.

    Fields no criterion speaks of are STRANGER's. `groups` is filled where a group is asked for: whoever puts
    the question to a host must find a user who is in them.

    Args:
        work: the host's budget; by default one for this block alone.
    Raises:
        HostError: kind `observe`, cause `too_large`.
    """
    work = work or Work()
    wanted: dict[str, list[Criterion]] = {}
    for around in block.chain():
        for criterion in around.criteria:
            wanted.setdefault(criterion.name, []).append(criterion)
    fields = ("user", "group", "host", "address", "localaddress", "localport")
    choices = [_choices(name, wanted.get(name, []), work) for name in fields]
    for user, group, host, address, local_address, local_port in islice(product(*choices), _TRIES):
        made = Context(
            user=user if user is not None else STRANGER.user,
            host=host if host is not None else STRANGER.host,
            address=address if address is not None else STRANGER.address,
            local_address=local_address if local_address is not None else STRANGER.local_address,
            local_port=int(local_port) if local_port is not None else STRANGER.local_port,
            groups=None if group is None else (group,),
        )
        work.spend(4 + block.steps)
        if match.applies(block, made, version):
            return made
    return None


def _choices(name: str, criteria: list[Criterion], work: Work) -> list[str | None]:
    """Values to try for one field; [None] when no criterion speaks of it."""
    if not criteria:
        return [None]
    if name == "localport":
        return [c.argument.decode("latin-1") for c in criteria if c.argument.strip(b"0").isdigit()] or [None]
    offers = _addresses if "address" in name else _names
    steps = sum(criterion.steps for criterion in criteria)
    work.spend(steps)
    positive = (pattern for c in criteria for pattern in patterns.positive(c.argument)[:8])
    offered = (value for pattern in positive if len(pattern) <= MAX_NAME_BYTES for value in offers(pattern))
    meeting: dict[str | None, None] = {}
    for value in islice(offered, _OFFERS):
        work.spend(steps)
        if value and all(_meets(name, c, value) for c in criteria):  # nobody is called ""
            meeting[value] = None
        if len(meeting) == _CHOICES:
            break
    return [*meeting] or [None]


def _meets(name: str, criterion: Criterion, value: str) -> bool:
    if "address" in name:
        try:
            return patterns.address_result(value, criterion.argument) == 1
        except patterns.BadPattern:
            return False
    text = value.encode("utf-8", "surrogateescape")
    return patterns.list_result(text, criterion.argument, fold=name == "host") == 1


def _names(pattern: bytes) -> Iterator[str]:
    text = pattern.decode("utf-8", "surrogateescape")
    for filling in _FILLINGS if "*" in text or "?" in text else ("",):
        yield text.replace("*", filling).replace("?", filling[:1] or "z")


def _addresses(pattern: bytes) -> Iterator[str]:
    try:
        network = patterns.parse_network(pattern)
    except patterns.BadPattern:
        return
    if network is None:
        yield from _names(pattern)
        return
    for offset in (0, 1, 2, 10, network.num_addresses // 2, network.num_addresses - 1):
        if offset < network.num_addresses:
            yield str(network[offset])
