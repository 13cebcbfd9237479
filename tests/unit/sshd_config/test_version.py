"""Versions and what they can do."""

from __future__ import annotations

import pytest

from sshd_keepalive.errors import ParseError
from sshd_keepalive.sshd_config.version import Tokeniser, Version


def test_parsing_and_order() -> None:
    assert str(Version.parse("OpenSSH_9.2p1 Debian-2+deb12u3, OpenSSL 3.0")) == "9.2p1"
    assert Version.parse("9.9") == Version(9, 9, 1)
    assert Version.parse("9.9p1") < Version.parse("9.9p2") < Version.parse("10.0p1")
    assert str(Version.parse("8.0p1+include")) == "8.0p1+include"
    with pytest.raises(ParseError):
        Version.parse("dropbear")


def can(name: str) -> list[str]:
    releases = ("7.4", "8.0", "8.2", "8.3", "8.4", "8.6", "8.7", "9.8", "9.9", "10.1")
    return [release for release in releases if getattr(Version.parse(release), name)]


def test_boundaries() -> None:
    assert can("channel_timeout_in_match") == []
    assert Version.parse("10.5").channel_timeout_in_match
    assert can("include") == ["8.2", "8.3", "8.4", "8.6", "8.7", "9.8", "9.9", "10.1"]
    assert can("relative_include") == ["8.3", "8.4", "8.6", "8.7", "9.8", "9.9", "10.1"]
    assert can("match_in_include") == ["8.4", "8.6", "8.7", "9.8", "9.9", "10.1"]
    assert Version.parse("8.6").tokeniser is Tokeniser.DELIMITED
    assert Version.parse("8.7").tokeniser is Tokeniser.ARGV
    assert Version.parse("9.8").match_tokeniser is Tokeniser.DELIMITED
    assert not Version.parse("9.9p1").match_equals
    assert Version.parse("9.9p2").match_equals
    assert Version.parse("7.7").max_line_bytes == 4093
    assert Version.parse("10.0").max_config_bytes < Version.parse("10.1").max_config_bytes


def test_a_vendors_include_brings_match_with_it() -> None:
    el8 = Version.parse("8.0p1").with_include()
    assert el8.include
    assert el8.match_in_include
    assert el8.relative_include
    assert Version.parse("9.2").with_include() == Version.parse("9.2")
