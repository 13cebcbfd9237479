"""The keywords of sshd_config: which may stand inside Match, which repeat, how `sshd -T` prints their values.

A keyword is in the table only if its rules and its printed form are the same in every release and build that was
compared. Others, a vendor's for example, are kept as they stand and judged by nobody but the host's own sshd.
Source: OpenSSH servconf.c (keywords[], process_server_config_line, dump_config), 7.4 to 10.6; compared with
real servers in tests/sshd.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sshd_keepalive.model import COUNT_MAX, INTERVAL, Line, Token
from sshd_keepalive.sshd_config import values
from sshd_keepalive.sshd_config.version import Version

#: Never allowed in a Match block that depends on the connection, in any release.
_GLOBAL_ONLY: Final = frozenset({
    "addressfamily", "ciphers", "compression", "fingerprinthash", "hostcertificate", "hostkey", "hostkeyagent",
    "hostkeyalgorithms", "kexalgorithms", "listenaddress", "logingracetime", "macs", "maxstartups",
    "keyregenerationinterval", "persourcemaxstartups", "persourcenetblocksize", "pidfile", "port", "printlastlog",
    "printmotd", "protocol", "serverkeybits", "strictmodes", "uselogin", "useprivilegeseparation",
    "syslogfacility", "tcpkeepalive", "usedns", "usepam", "versionaddendum", "xauthlocation",
})  # fmt: skip
#: Keywords of which every line counts, not only the first.
_REPEATING: Final = frozenset({"acceptenv", "allowgroups", "allowusers", "denygroups", "denyusers", "port"})
#: Other names of the same keyword, in every release.
_ALIASES: Final = {"keepalive": "tcpkeepalive", "dsaauthentication": "pubkeyauthentication", "hostdsakey": "hostkey"}

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


def folded(keyword: str) -> str:
    """The keyword a folded name stands for: itself, or what it is an alias of."""
    return _ALIASES.get(keyword, keyword)


def is_global_only(keyword: str, version: Version) -> bool:
    """Whether sshd refuses the keyword inside a Match block."""
    if keyword in (INTERVAL, COUNT_MAX):
        return not version.keepalive_in_match
    return folded(keyword) in _GLOBAL_ONLY


def repeats(keyword: str) -> bool:
    """Whether all lines of the keyword count; of any other the first one does."""
    return keyword in _REPEATING


def is_garbage(token: Token, version: Version) -> bool:
    """Whether a word after the last one expected makes sshd refuse the line; up to 8.6 an empty word does not."""
    return bool(token.text) or version.at_least(8, 7)


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
        number = values.count(words[0], version)
    except values.BadValue:
        return None
    return None if number is None else (str(number),)


def _time(words: list[bytes], version: Version) -> Printed | None:
    try:
        return (str(values.seconds(words[0], version)),)
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
