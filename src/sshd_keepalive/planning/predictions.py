"""What the host's own sshd must say before and after a plan, for connections about which we are certain.

The host is asked all of these on the candidate files, before anything is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from sshd_keepalive.model import GLOBAL, Context, Prediction
from sshd_keepalive.sshd_config import reach
from sshd_keepalive.sshd_config.reading import Reading
from sshd_keepalive.sshd_config.resolve import BLANK

#: More connections than these are proved by us alone.
_MAX_PREDICTIONS: Final = 64


def predictions(before: Reading, after: Reading) -> Iterator[Prediction]:
    """What `sshd -T -C` must print before and after, for connections about which nothing is undecided."""
    found = (
        Prediction(context=context, before=old, after=new, scope=scope)
        for scope, context in _contexts(before)
        if (old := _decided(before, context)) and (new := _decided(after, context))
    )
    return islice(found, _MAX_PREDICTIONS)


def _contexts(reading: Reading) -> Iterator[tuple[str, Context]]:
    """Whom to ask about: everybody, root, the login of the tool, and one connection for each scope.

    A connection that needs a member of a group cannot be made up. Without a Match line all are the same.
    """
    snapshot = reading.snapshot
    refused = {dump.context for dump in snapshot.dumps if dump.error is not None}
    found: dict[Context, str] = {} if BLANK in refused and len(snapshot.dumps) > len(refused) else {BLANK: GLOBAL}
    if any(event.line.keyword == "match" for event in reading.tree.events()):
        for dump in snapshot.dumps:
            if dump.context not in refused and dump.context.user is not None:
                found.setdefault(dump.context, GLOBAL)
        asked = {context.user for context in found}
        for user in ("root", snapshot.host.user):
            if user is not None and user not in asked:
                found.setdefault(replace(reach.STRANGER, user=user), GLOBAL)
        for scope in reading.scopes:
            if scope.place is not None and scope.context is not None and scope.context.groups is None:
                found.setdefault(scope.context, str(scope))
        if BLANK not in found:
            found.setdefault(reach.STRANGER, GLOBAL)
    yield from ((scope, context) for context, scope in found.items())


def _decided(reading: Reading, context: Context) -> tuple[tuple[str, str], ...] | None:
    """Both values for a connection; None if a block that may or may not match would change one of them.

    What the host has printed for this very connection decides where it can.
    """
    dump = next((d for d in reading.snapshot.dumps if d.context == context and d.error is None), None)
    pair: list[tuple[str, str]] = []
    for keyword, numbers in reading.possible(context).items():
        said = None if dump is None else dump.value(keyword)
        if said is not None and said in [str(number) for number in numbers]:
            pair.append((keyword, said))
        elif len(numbers) == 1:
            pair.append((keyword, str(numbers[0])))
        else:
            return None
    return tuple(pair)
