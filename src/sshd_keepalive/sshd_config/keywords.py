"""What the releases of OpenSSH know: keywords, where each may stand, algorithms, and how repeated lines count.

Sources: servconf.c and servconf.h of every release from 7.4 to 10.5 (keywords[], SSHD_CONFIG_ENTRIES,
process_server_config_line), cipher.c, mac.c, kex.c, kex-names.c and sshkey.c; compared with real servers in tests/sshd.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from sshd_keepalive.model import COUNT_MAX, INTERVAL
from sshd_keepalive.sshd_config.tokens import Token
from sshd_keepalive.sshd_config.version import Version

Release = tuple[int, int]


class Releases(NamedTuple):
    """The releases from `first` up to, but without, `end`."""

    first: Release = (0, 0)
    end: Release = (1000, 0)

    def has(self, version: Version) -> bool:
        """Whether a release is one of them."""
        return self.first <= (version.major, version.minor) < self.end


_ALL: Final = (Releases(),)


def _since(major: int, minor: int) -> tuple[Releases, ...]:
    return (Releases(first=(major, minor)),)


def _without(major: int, minor: int) -> tuple[Releases, ...]:
    """Give all releases but one."""
    return Releases(end=(major, minor)), Releases(first=(major, minor + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyword:
    """In which releases sshd takes a keyword, and takes it inside a Match block that depends on the connection."""

    known: tuple[Releases, ...] = _ALL
    in_match: tuple[Releases, ...] = _ALL


def _table() -> dict[str, Keyword]:
    anywhere = (
        "acceptenv", "allowagentforwarding", "allowgroups", "allowstreamlocalforwarding", "allowtcpforwarding",
        "allowusers", "authenticationmethods", "authorizedkeyscommand", "authorizedkeyscommanduser",
        "authorizedkeysfile", "authorizedkeysfile2", "authorizedprincipalscommand", "authorizedprincipalscommanduser",
        "authorizedprincipalsfile", "banner", "chrootdirectory", "denygroups", "denyusers", "disableforwarding",
        "forcecommand", "gatewayports", "hostbasedacceptedkeytypes", "hostbasedauthentication",
        "hostbasedusesnamefrompacketonly", "include", "ipqos", "kbdinteractiveauthentication",
        "kerberosauthentication", "match", "maxauthtries", "maxsessions", "passwordauthentication",
        "permitemptypasswords", "permitopen", "permitrootlogin", "permittty", "permittunnel", "permituserrc",
        "pubkeyacceptedkeytypes", "pubkeyauthentication", "rekeylimit", "revokedkeys", "rhostsrsaauthentication",
        "rsaauthentication", "streamlocalbindmask", "streamlocalbindunlink", "trustedusercakeys", "x11displayoffset",
        "x11forwarding", "x11uselocalhost",
    )  # fmt: skip
    global_only = (
        "addressfamily", "afstokenpassing", "checkmail", "ciphers", "compression", "dsaauthentication",
        "fingerprinthash", "hostcertificate", "hostdsakey", "hostkey", "hostkeyagent", "hostkeyalgorithms",
        "ignoreuserknownhosts", "keepalive", "kerberosgetafstoken", "kerberosorlocalpasswd", "kerberostgtpassing",
        "kerberosticketcleanup", "kexalgorithms", "keyregenerationinterval", "listenaddress", "logingracetime", "macs",
        "maxstartups", "permituserenvironment", "pidfile", "port", "printlastlog", "printmotd", "protocol",
        "reversemappingcheck", "rhostsauthentication", "serverkeybits", "strictmodes", "syslogfacility",
        "tcpkeepalive", "usedns", "uselogin", "usepam", "useprivilegeseparation", "verifyreversemapping",
        "versionaddendum", "xauthlocation",
    )  # fmt: skip
    added = {
        "casignaturealgorithms": (7, 9), "channeltimeout": (9, 2), "exposeauthinfo": (7, 6),
        "hostbasedacceptedalgorithms": (8, 5), "logverbose": (8, 5), "permitlisten": (7, 8),
        "pubkeyacceptedalgorithms": (8, 5), "pubkeyauthoptions": (8, 2), "rdomain": (7, 7), "refuseconnection": (9, 9),
        "requiredrsasize": (9, 1), "setenv": (7, 8), "unusedconnectiontimeout": (9, 2),
    }  # fmt: skip
    added_global_only = {
        "modulifile": (8, 6), "persourcemaxstartups": (8, 5), "persourcenetblocksize": (8, 5),
        "persourcepenalties": (9, 8), "persourcepenaltyexemptlist": (9, 8), "securitykeyprovider": (8, 2),
        "sshdauthpath": (10, 0), "sshdsessionpath": (9, 8), "gssapidelegatecredentials": (10, 3),
    }  # fmt: skip
    return {
        **dict.fromkeys(anywhere, Keyword()),
        **dict.fromkeys(global_only, Keyword(in_match=())),
        **{name: Keyword(known=_since(*release)) for name, release in added.items()},
        **{name: Keyword(known=_since(*release), in_match=()) for name, release in added_global_only.items()},
        INTERVAL: Keyword(in_match=_since(7, 4)),
        COUNT_MAX: Keyword(in_match=_since(7, 4)),
        "challengeresponseauthentication": Keyword(in_match=_since(8, 7)),
        "skeyauthentication": Keyword(in_match=_since(8, 7)),
        "ignorerhosts": Keyword(in_match=_since(8, 3)),
        "loglevel": Keyword(in_match=_since(7, 6)),
        "subsystem": Keyword(in_match=_since(9, 5)),
        "pamservicename": Keyword(known=_since(9, 8), in_match=_without(10, 4)),
        # 10.4 alone knew these by other names (servconf.h 1.178 and 1.179).
        "gssapiauthentication": Keyword(known=_without(10, 4)),
        "gssapicleanupcredentials": Keyword(known=_without(10, 4), in_match=()),
        "gssapistrictacceptorcheck": Keyword(known=_without(10, 4), in_match=()),
        "pamauthenticationviakbdint": Keyword(known=(Releases(end=(10, 4)),), in_match=()),
    }


#: Folded name → what the releases without a vendor's changes do with it. Others are a vendor's, or mistyped.
KEYWORDS: Final = _table()
#: Other names of the same keyword, in every release.
_ALIASES: Final = {"keepalive": "tcpkeepalive", "dsaauthentication": "pubkeyauthentication", "hostdsakey": "hostkey"}
#: Of these sshd takes the last line before the release, and the first from then on.
FIRST_COUNTS_SINCE: Final = {
    "ipqos": (10, 3), "maxstartups": (10, 1), "persourcemaxstartups": (9, 5), "persourcenetblocksize": (10, 1),
}  # fmt: skip
#: Of these every line counts, or every line with another name.
ACCUMULATING: Final = frozenset({
    "acceptenv", "allowgroups", "allowusers", "denygroups", "denyusers", "hostcertificate", "hostkey", "include",
    "listenaddress", "match", "port", "subsystem",
})  # fmt: skip
#: One setting from 8.7 on.
KEYBOARD_INTERACTIVE: Final = frozenset({
    "challengeresponseauthentication", "kbdinteractiveauthentication", "skeyauthentication",
})  # fmt: skip
#: Their value is the text as it stands on the line, quotes included.
RAW: Final = frozenset({"authorizedkeyscommand", "authorizedprincipalscommand", "forcecommand", "versionaddendum"})
#: Their words may be any text; the words of all others hold no quote, no backslash and no `#`.
FREE_TEXT: Final = RAW | {
    "acceptenv", "allowgroups", "allowusers", "authorizedkeyscommanduser", "authorizedkeysfile",
    "authorizedprincipalscommanduser", "authorizedprincipalsfile", "banner", "chrootdirectory", "denygroups",
    "denyusers", "hostcertificate", "hostkey", "hostkeyagent", "include", "logverbose", "match", "modulifile",
    "pamservicename", "permituserenvironment", "pidfile", "revokedkeys", "securitykeyprovider", "setenv",
    "sshdauthpath", "sshdsessionpath", "subsystem", "trustedusercakeys", "xauthlocation",
}  # fmt: skip
#: Their value is a time, or an integer, as that of the two keep-alive settings is.
TIMES: Final = frozenset({"logingracetime", "unusedconnectiontimeout"})
INTEGERS: Final = frozenset({"maxauthtries", "maxsessions", "requiredrsasize", "x11displayoffset"})
_ALGORITHM_LISTS: Final = frozenset({
    "casignaturealgorithms", "ciphers", "hostbasedacceptedalgorithms", "hostbasedacceptedkeytypes", "hostkeyalgorithms",
    "kexalgorithms", "macs", "pubkeyacceptedalgorithms", "pubkeyacceptedkeytypes",
})  # fmt: skip
#: Algorithms that some releases do not know. A list with one of them is refused, unless it begins with `-`.
_ALGORITHMS: Final = {
    **dict.fromkeys(
        (
            "arcfour", "arcfour128", "arcfour256", "blowfish-cbc", "cast128-cbc", "hmac-ripemd160",
            "hmac-ripemd160-etm@openssh.com", "hmac-ripemd160@openssh.com",
        ),
        Releases(end=(7, 6)),
    ),
    "rijndael-cbc@lysator.liu.se": Releases(end=(8, 5)),
    **dict.fromkeys(("rsa-sha2-256-cert-v01@openssh.com", "rsa-sha2-512-cert-v01@openssh.com"), Releases((7, 8))),
    "sntrup4591761x25519-sha512@tinyssh.org": Releases((8, 0), (8, 5)),
    **dict.fromkeys(
        (
            "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
            "sk-ssh-ed25519-cert-v01@openssh.com", "sk-ssh-ed25519@openssh.com",
        ),
        Releases((8, 2)),
    ),
    "webauthn-sk-ecdsa-sha2-nistp256@openssh.com": Releases((8, 4)),
    "sntrup761x25519-sha512@openssh.com": Releases((8, 5)),
    "sntrup761x25519-sha512": Releases((9, 9)),
    "mlkem768x25519-sha256": Releases((9, 9)),
    "mlkem768nistp256-sha256": Releases((10, 5)),
    **dict.fromkeys(("ssh-dss", "ssh-dss-cert-v01@openssh.com"), Releases(end=(10, 0))),
}  # fmt: skip
#: IPQoS words that stand for no value any more from 10.1 on, and in Debian's 10.0 (asked); by their numbers, which do.
TOS_NUMBERS: Final = {b"lowdelay": b"16", b"throughput": b"8", b"reliability": b"4"}


def fold(keyword: str) -> str:
    """Resolve a folded name: the keyword itself, or the one that it is an alias of."""
    return _ALIASES.get(keyword, keyword)


def is_known(keyword: str, version: Version) -> bool | None:
    """Whether a release takes a folded keyword; None for a vendor's keyword, or a mistyped one."""
    if keyword == "include":
        return version.include
    row = KEYWORDS.get(keyword)
    return None if row is None else any(releases.has(version) for releases in row.known)


def is_allowed_in_match(keyword: str, version: Version) -> bool:
    """Whether a release takes a keyword inside a Match block that depends on the connection, if it takes it at all."""
    row = KEYWORDS.get(keyword)
    return row is None or any(releases.has(version) for releases in row.in_match)


def is_global_only(keyword: str, version: Version) -> bool:
    """Whether sshd surely refuses the keyword inside a Match block: what differs by release is left to the host."""
    if keyword in (INTERVAL, COUNT_MAX):
        return not version.keepalive_in_match
    row = KEYWORDS.get(fold(keyword))
    return row is not None and row.in_match == ()


def find_unknown_algorithms(keyword: str, words: Iterable[bytes], version: Version) -> tuple[str, ...]:
    """Give the algorithms of a list that a release does not know and refuses."""
    text = next(iter(words), b"").decode("latin-1")
    if keyword not in _ALGORITHM_LISTS or text.startswith("-"):
        return ()
    names = text.lstrip("+^").split(",")
    return tuple(name for name in names if name in _ALGORITHMS and not _ALGORITHMS[name].has(version))


def is_garbage(token: Token, version: Version) -> bool:
    """Whether a word after the last one expected makes sshd refuse the line; up to 8.6 an empty word does not."""
    return bool(token.text) or version.at_least(8, 7)
