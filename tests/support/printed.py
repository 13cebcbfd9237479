"""What `sshd -T` prints for keywords beside the two keep-alive settings, to hold more lines against real servers.

A keyword is in the table only if its rules and its printed form are the same in every release and build that was
compared. Source: OpenSSH servconf.c (dump_config), 7.4 to 10.6; compared with real servers in tests/sshd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from sshd_keepalive.model import BLANK, GLOBAL, Context, Place, Scope
from sshd_keepalive.sshd_config import match, values
from sshd_keepalive.sshd_config.document import Line
from sshd_keepalive.sshd_config.resolve import KEYWORDS, Effective, Layers
from sshd_keepalive.sshd_config.tree import Event, Tree
from sshd_keepalive.sshd_config.version import Version
from tests.support import readings

#: Keywords of which every line counts, not only the first.
_REPEATING: Final = frozenset({"acceptenv", "allowgroups", "allowusers", "denygroups", "denyusers", "port"})
_FORWARDING: Final = {"yes": "yes", "all": "yes", "no": "no", "local": "local", "remote": "remote"}
_FLAG: Final = {"yes": "yes", "no": "no"}
_WORDS: Final = {
    **dict.fromkeys(
        (
            "allowagentforwarding", "disableforwarding", "exposeauthinfo", "hostbasedauthentication",
            "ignoreuserknownhosts", "passwordauthentication", "permitemptypasswords", "permittty", "permituserrc",
            "printlastlog", "printmotd", "pubkeyauthentication", "streamlocalbindunlink", "strictmodes",
            "usedns", "x11forwarding", "x11uselocalhost",
        ),
        _FLAG,
    ),
    "addressfamily": {"any": "any", "inet": "inet", "inet6": "inet6"},
    "allowstreamlocalforwarding": _FORWARDING,
    "allowtcpforwarding": _FORWARDING,
    "gatewayports": {"yes": "yes", "no": "no", "clientspecified": "clientspecified"},
}  # fmt: skip
_ROOT_LOGIN: Final = {
    "yes": "yes",
    "no": "no",
    "forced-commands-only": "forced-commands-only",
    "prohibit-password": "without-password",
    "without-password": "without-password",
}
_INTEGERS: Final = frozenset({"maxauthtries", "maxsessions", "x11displayoffset"})

Printed = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedSetting:
    """As `resolve.Setting`, with a value of any form."""

    keyword: str  # folded
    value: str
    place: Place
    scope: Scope
    hides: tuple[Place, ...]
    chain: tuple[Place, ...]


def resolve_all(tree: Tree, context: Context | None = None) -> Effective:
    """What a reading gives, and after it every other keyword of the table that a line sets."""
    context = context or BLANK
    layers = Layers(tree.events(), tree.version, lambda block: match.is_met(block, context, tree.version))
    others = [k for k in dict.fromkeys((*layers.everybody, *layers.connection)) if k not in (*KEYWORDS, *_STRUCTURE)]
    more = tuple(setting for keyword in others for setting in _settings(layers, keyword))
    effective = readings.resolve(tree, context)
    return replace(effective, settings=effective.settings + more, undecided=tuple(layers.undecided))


def lay(tree: Tree, context: Context) -> Layers:
    """What decides the two keep-alive settings for one connection, worked out anew."""
    lines = readings.read_tree(tree).lines
    return Layers(lines, tree.version, lambda block: match.is_met(block, context, tree.version))


def possible(tree: Tree, context: Context) -> dict[str, tuple[int, ...]]:
    """Every value both keep-alive settings may have for a connection."""
    return lay(tree, context).list_possible()


def values_of(effective: Effective, keyword: str) -> tuple[str, ...]:
    """All values of a folded keyword, in order."""
    return tuple(setting.value for setting in effective.settings if setting.keyword == keyword)


_STRUCTURE: Final = ("include", "match")


def _settings(layers: Layers, keyword: str) -> Iterator[PrintedSetting]:
    """The settings of one keyword; a keyword that repeats keeps all lines of its layer."""
    events = [*layers.list_counting(keyword)]
    if keyword not in _REPEATING:
        first, *rest = events
        for value in (printed(keyword, first.line, layers.version) or ())[:1]:
            yield _setting(first, keyword, value, rest)
        return
    if keyword == "port" and "include" in layers.everybody and not layers.version.match_in_include:
        return  # bz 3169: upstream 8.2 and 8.3 lose the ports below an Include
    layer = dict.fromkeys(layers.list_of_connection(keyword) or layers.everybody.get(keyword, ()))
    for event in layer:
        for value in printed(keyword, event.line, layers.version) or ():
            yield _setting(event, keyword, value, (other for other in events if other not in layer))


def _setting(event: Event, keyword: str, value: str, hidden: Iterable[Event]) -> PrintedSetting:
    hides: tuple[Place, ...] = tuple(other.place for other in hidden)
    scope = event.block.scope if event.block else GLOBAL
    return PrintedSetting(keyword=keyword, value=value, place=event.place, scope=scope, hides=hides, chain=event.chain)


def printed(keyword: str, line: Line, version: Version) -> Printed | None:
    """The values `sshd -T` prints for a line of this (folded) keyword; None where the table does not tell."""
    words = [token.text for token in line.arguments]
    if not words or not words[0]:
        return None
    render = _PRINTERS.get(keyword)
    return None if render is None else render(words, version)


def _word(table: dict[str, str]) -> Callable[[list[bytes], Version], Printed | None]:
    def render(words: list[bytes], version: Version) -> Printed | None:
        found = table.get(words[0].decode("latin-1").lower())
        return None if found is None else (found,)

    return render


def _tcp_keep_alive(words: list[bytes], version: Version) -> Printed | None:
    """10.6 prints true and false."""
    found = _word(_FLAG)(words, version)
    return found if found is None or not version.at_least(10, 6) else ({"yes": "true", "no": "false"}[found[0]],)


def _permit_root_login(words: list[bytes], version: Version) -> Printed | None:
    """The new word for keys only is printed from 10.1 on."""
    found = _word(_ROOT_LOGIN)(words, version)
    return ("prohibit-password",) if found == ("without-password",) and version.at_least(10, 1) else found


def _integer(words: list[bytes], version: Version) -> Printed | None:
    try:
        number = values.read_count(words[0], version)
    except values.BadValue:
        return None
    return None if number is None else (str(number),)


def _time(words: list[bytes], version: Version) -> Printed | None:
    try:
        return (str(values.read_seconds(words[0], version)),)
    except values.BadValue:
        return None


def _each(words: list[bytes], version: Version) -> Printed | None:
    return tuple(word.decode("utf-8", "surrogateescape") for word in words if word)


def _path(words: list[bytes], version: Version) -> Printed | None:
    """A path, or `none`; others depend on where sshd was started, and by whom."""
    path = words[0].decode("utf-8", "surrogateescape")
    if path.startswith("/"):
        return (path,)
    return ("none",) if path.lower() == "none" else None


def _port(words: list[bytes], version: Version) -> Printed | None:
    return (str(int(words[0])),) if words[0].isdigit() and len(words[0]) < 6 else None


_PRINTERS: Final[dict[str, Callable[[list[bytes], Version], Printed | None]]] = {
    **{keyword: _word(table) for keyword, table in _WORDS.items()},
    **dict.fromkeys(_INTEGERS, _integer),
    **dict.fromkeys(("acceptenv", "allowgroups", "allowusers", "denygroups", "denyusers"), _each),
    "banner": _path,
    "logingracetime": _time,
    "permitrootlogin": _permit_root_login,
    "port": _port,
    "tcpkeepalive": _tcp_keep_alive,
}
