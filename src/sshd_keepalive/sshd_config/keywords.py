"""The keywords of sshd_config: which may stand inside Match, and which are the same.

A keyword is in the table only if its rules are the same in every release and build that was compared. Others, a
vendor's for example, are kept as they stand and judged by nobody but the host's own sshd.
Source: OpenSSH servconf.c (keywords[], process_server_config_line), 7.4 to 10.6; compared with real servers in
tests/sshd.
"""

from __future__ import annotations

from typing import Final

from sshd_keepalive.model import COUNT_MAX, INTERVAL, Token
from sshd_keepalive.sshd_config.version import Version

#: Never allowed in a Match block that depends on the connection, in any release.
_GLOBAL_ONLY: Final = frozenset({
    "addressfamily", "ciphers", "compression", "fingerprinthash", "hostcertificate", "hostkey", "hostkeyagent",
    "hostkeyalgorithms", "kexalgorithms", "listenaddress", "logingracetime", "macs", "maxstartups",
    "keyregenerationinterval", "persourcemaxstartups", "persourcenetblocksize", "pidfile", "port", "printlastlog",
    "printmotd", "protocol", "serverkeybits", "strictmodes", "uselogin", "useprivilegeseparation",
    "syslogfacility", "tcpkeepalive", "usedns", "usepam", "versionaddendum", "xauthlocation",
})  # fmt: skip
#: Other names of the same keyword, in every release.
_ALIASES: Final = {"keepalive": "tcpkeepalive", "dsaauthentication": "pubkeyauthentication", "hostdsakey": "hostkey"}


def folded(keyword: str) -> str:
    """The keyword a folded name stands for: itself, or what it is an alias of."""
    return _ALIASES.get(keyword, keyword)


def is_global_only(keyword: str, version: Version) -> bool:
    """Whether sshd refuses the keyword inside a Match block."""
    if keyword in (INTERVAL, COUNT_MAX):
        return not version.keepalive_in_match
    return folded(keyword) in _GLOBAL_ONLY


def is_garbage(token: Token, version: Version) -> bool:
    """Whether a word after the last one expected makes sshd refuse the line; up to 8.6 an empty word does not."""
    return bool(token.text) or version.at_least(8, 7)
