"""Which OpenSSH reads a file, and what that release can do.

Every boundary below was found by asking the binaries (7.4 to 10.5), not by reading release notes;
`tests/cases/facts.jsonl` holds the questions and the answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from sshd_keepalive.errors import ParseError
from sshd_keepalive.model import COMMAND_LINE

_NUMBERS: Final = re.compile(r"(?<!\d)(\d+)\.(\d+)(?:\.\d+)?(?:p(\d+))?")
_BACKPORT: Final = "+include"


class Tokeniser(Enum):
    """How the text after a keyword becomes arguments."""

    DELIMITED = "delimited"  # up to 8.6: cut at the first `#`, double quotes only, one `=` between any two words
    ARGV = "argv"  # from 8.7: like a shell word list, `#` only at the start of a word


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """An OpenSSH release, 9.2p1; ordered by number.

    `include_backport` marks a release below 8.2 whose vendor added Include (RHEL 8's 8.0p1-12 and later); such
    a build also applies Match blocks of included files, unlike upstream 8.2 and 8.3.
    """

    major: int
    minor: int
    portable: int = 1
    include_backport: bool = False

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read "9.2p1", "OpenSSH_9.2p1 Debian-2", or "8.0p1+include" for a build with Include added.

        Raises:
            ParseError: the text has no version number.
        """
        match = _NUMBERS.search(text)
        if match is None:
            raise ParseError(f"cannot find an OpenSSH version in {text[:60]!r}", path=COMMAND_LINE, line=0)
        major, minor, portable = match.groups()
        return cls(int(major), int(minor), int(portable or 1), _BACKPORT in text)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}p{self.portable}{_BACKPORT if self.include_backport else ''}"

    def at_least(self, major: int, minor: int) -> bool:
        """Whether this is release major.minor or a later one."""
        return (self.major, self.minor) >= (major, minor)

    def with_include(self) -> Version:
        """Give the same release, known to understand Include."""
        return self if self.include else replace(self, include_backport=True)

    @property
    def include(self) -> bool:
        """`Include` is a keyword."""
        return self.at_least(8, 2) or self.include_backport

    @property
    def relative_include(self) -> bool:
        """A relative Include finds its files; in 8.2 it never does."""
        return self.include and (self.major, self.minor) != (8, 2)

    @property
    def match_in_include(self) -> bool:
        """Match blocks of a globally included file apply to connections; not so in upstream 8.2 and 8.3 (bz 3122)."""
        return self.at_least(8, 4) or self.include_backport

    @property
    def tokeniser(self) -> Tokeniser:
        """How arguments are split."""
        return Tokeniser.ARGV if self.at_least(8, 7) else Tokeniser.DELIMITED

    @property
    def match_tokeniser(self) -> Tokeniser:
        """How the criteria of a Match line are split; they kept the old way until 9.8."""
        return Tokeniser.ARGV if self.at_least(9, 9) else Tokeniser.DELIMITED

    @property
    def match_equals(self) -> bool:
        """`Match User=root` is understood; 9.9p1 alone refuses it."""
        return (self.major, self.minor, self.portable) != (9, 9, 1)

    @property
    def keepalive_in_match(self) -> bool:
        """The two keep-alive settings may stand inside Match; refused before 7.4."""
        return self.at_least(7, 4)

    @property
    def channel_timeout_in_match(self) -> bool:
        """ChannelTimeout and RekeyLimit inside Match take effect; before 10.5 `sshd -T -C` only prints them."""
        return self.at_least(10, 5)

    @property
    def max_line_bytes(self) -> int | None:
        """The longest line, without its newline; None for no limit. Up to 7.7 a buffer of 4096 bytes was used."""
        return None if self.at_least(7, 8) else 4093

    @property
    def max_config_bytes(self) -> int:
        """Main and included text together; beyond it `sshd -t` may pass and every connection die (up to 10.0)."""
        return 4 * 1024 * 1024 if self.at_least(10, 1) else 256 * 1024

    @property
    def release(self) -> str:
        """What `Match Version` is compared with, without a vendor's suffix."""
        return f"OpenSSH_{self.major}.{self.minor}p{self.portable}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A release as it is built: OpenSSH's own, or a distribution's with the keywords that it adds."""

    version: Version
    name: str = ""  # "debian-13"; empty for OpenSSH's own
    keywords: frozenset[str] = frozenset()  # folded
    has_all_keywords: bool = False  # it has no others: the binary was asked

    def __str__(self) -> str:
        """`debian-13 (OpenSSH 10.0p2)`."""
        return f"{self.name} (OpenSSH {self.version})" if self.name else f"OpenSSH {self.version}"


#: What offline reading assumes when the release that will read the file is not named.
NEWEST: Final = Version(10, 0, 2)
