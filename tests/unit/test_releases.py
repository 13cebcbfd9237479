"""The names of releases, and what each row must say."""

from __future__ import annotations

from datetime import date
from importlib import resources

import pytest
import yaml

from sshd_keepalive.config import releases
from sshd_keepalive.errors import ConfigError


def test_every_row_has_a_source_and_a_date() -> None:
    text = resources.files("sshd_keepalive.config").joinpath("releases.yaml").read_text()
    rows = yaml.safe_load(text)
    assert {type(row["dated"]) for row in rows.values()} == {date}
    assert all(row["source"] and row["openssh"] for row in rows.values())
    assert list(rows) == list(releases.load_table())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("debian-13", "debian-13 (OpenSSH 10.0p2)"),
        ("RHEL-8", "rhel-8 (OpenSSH 8.0p1+include)"),
        ("9.2", "OpenSSH 9.2p1"),
        ("OpenSSH_9.9p2", "OpenSSH 9.9p2"),
    ],
)
def test_a_name_or_a_number(text: str, shown: str) -> None:
    assert str(releases.find(text)) == shown


@pytest.mark.parametrize("text", ["debain-13", "", "13", "debian-7.1"])
def test_another_word_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a release"):
        releases.find(text)
