"""Tables of values, as asked of the binaries of each release."""

from __future__ import annotations

import pytest

from sshd_keepalive.model import COUNT_MAX, INTERVAL
from sshd_keepalive.sshd_config import values
from sshd_keepalive.sshd_config.version import Version

V = Version.parse
REFUSED = "refused"


def seconds(text: str, version: str) -> int | str:
    try:
        return values.read_seconds(text.encode(), V(version))
    except values.BadValue:
        return REFUSED


def count(text: str, version: str) -> int | str | None:
    try:
        return values.read_count(text.encode(), V(version))
    except values.BadValue:
        return REFUSED


@pytest.mark.parametrize("version", ["7.4", "8.0", "8.4", "9.2", "9.8", "10.2", "10.3"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, 300) for text in ("300", "300s", "300S", "5m", "5M", "5m0s", "00300")),
        ("1h30m", 5400),
        ("1d", 86400),
        ("1w", 604800),
        ("2w3d", 1468800),
        *((text, REFUSED) for text in ("1.5m", "300.", "-1", "0x12c", "3e2", "5min", "300ms", "m", "none", "")),
        *((text, REFUSED) for text in ("infinity", "68y", "٣٠٠", "300#x", "300 400", "'300'")),
    ],
)
def test_the_same_in_every_release(text: str, expected: int | str, version: str) -> None:
    assert seconds(text, version) == expected


@pytest.mark.parametrize(
    ("text", "by_release"),
    [
        ("5m300", {"7.4": 600, "7.9": 18300, "8.3": 18300, "8.4": 600, "10.5": 600}),
        ("5m30s", {"7.4": 330, "7.5": 2100, "8.3": 2100, "8.4": 330, "10.5": 330}),
        ("1h30s", {"7.4": 3630, "8.0": 111600, "8.4": 3630}),
        ("+300", {"7.4": 300, "9.7": 300, "9.8": REFUSED}),
        ("1h 30m", {"7.4": 5400, "9.7": 5400, "9.8": REFUSED}),
        ("300s30", {"8.4": 330, "10.2": 330, "10.3": REFUSED}),
        ("300s300s", {"8.4": 600, "10.2": 600, "10.3": REFUSED}),
        ("300.5", {"10.2": REFUSED, "10.3": 300}),
        ("300.0", {"10.2": REFUSED, "10.3": 300}),
        (".5", {"10.2": REFUSED, "10.3": 0}),
        ("5m0.5s", {"10.2": REFUSED, "10.3": 300}),
        ("1.5x", {"10.3": REFUSED}),
        ("2147483648", {"7.4": -2147483648, "8.4": -2147483648, "8.5": REFUSED, "10.5": REFUSED}),
        ("4294967596", {"8.4": 300, "8.5": REFUSED}),
        ("4294967295", {"8.4": REFUSED, "8.5": REFUSED}),
        ("9" * 30, {"8.4": REFUSED, "8.5": REFUSED}),
        ("-0", {"9.7": 0, "9.8": REFUSED}),
    ],
)
def test_where_releases_differ(text: str, by_release: dict[str, int | str]) -> None:
    assert {version: seconds(text, version) for version in by_release} == by_release


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        ("3", 3, 3),
        ("+3", 3, 3),
        ("03", 3, 3),
        ("3abc", 3, REFUSED),
        ("abc", 0, REFUSED),
        ("-5", -5, REFUSED),
        ("4294967299", 3, REFUSED),
        ("-1", None, REFUSED),
        ("9" * 40, None, REFUSED),
        ("2147483648", -2147483648, REFUSED),
    ],
)
def test_counts(text: str, old: int | None, new: int | str) -> None:
    assert count(text, "7.6") == old
    assert count(text, "7.7") == new


def test_which_spellings_every_release_reads_alike() -> None:
    assert values.is_portable(INTERVAL, b"5m")
    assert values.is_portable(COUNT_MAX, b"03")
    assert not any(values.is_portable(INTERVAL, text) for text in (b"+300", b"5m30s", b"4294967596", b".5"))
    assert not values.is_portable(COUNT_MAX, b"+3")


def test_defaults() -> None:
    assert (values.get_default(INTERVAL), values.get_default(COUNT_MAX)) == (0, 3)
