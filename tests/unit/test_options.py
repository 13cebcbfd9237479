from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sshd_keepalive.config import options
from sshd_keepalive.errors import ConfigError

KNOWN = {
    "check": {"forks": False, "inventory": True, "no_progress": False},
    "apply": {"forks": False, "inventory": True, "canary": False},
}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(options.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def test_nothing_is_found_where_nothing_is() -> None:
    assert options.discover(KNOWN) == {}


def test_common_options_reach_the_commands_that_have_them(place: Path) -> None:
    (place / "sshd-keepalive.yaml").write_text(
        "forks: 50\ninventory: hosts.yaml\nno-progress: true\napply:\n  forks: 5\n  canary: 1\n"
    )
    assert options.discover(KNOWN) == {
        "check": {"forks": "50", "inventory": ["hosts.yaml"], "no_progress": True},
        "apply": {"forks": "5", "inventory": ["hosts.yaml"], "canary": "1"},
    }


def test_the_first_file_counts(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = place / "config" / "sshd-keepalive" / "config.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("forks: 1\n")
    assert options.find() == own
    (place / "sshd-keepalive.yaml").write_text("forks: 2\n")
    assert options.find() == Path("sshd-keepalive.yaml")
    monkeypatch.setenv(options.VARIABLE, str(own))
    assert options.find() == own
    monkeypatch.setenv(options.VARIABLE, str(place / "gone"))
    with pytest.raises(ConfigError, match="there is no such file"):
        options.find()


def test_a_file_that_everybody_can_write_is_not_believed(place: Path) -> None:
    file = place / "sshd-keepalive.yaml"
    file.write_text("forks: 2\n")
    file.chmod(0o666)
    with pytest.raises(ConfigError, match="can be written by everybody"):
        options.find()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frks: 1\n", "1:1: unknown key 'frks', did you mean 'forks'?"),
        ("apply: {canry: 1}\n", "1:9: unknown key 'canry', did you mean 'canary'?"),
        ("apply: yes\n", "1:8: apply is a command, its options stand under it"),
        ("forks: [1, 2]\n", "1:8: forks takes one value"),
        ("forks:\n", "1:7: a value is missing: write one or leave the key out"),
        ("- a\n", "1:1: keys with values (`key: value`) are expected here, not a list"),
    ],
)
def test_mistakes_are_told_with_their_place(place: Path, text: str, message: str) -> None:
    (place / "sshd-keepalive.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        options.discover(KNOWN)
    assert str(caught.value) == f"sshd-keepalive.yaml:{message}"


def test_an_empty_file_says_nothing(place: Path) -> None:
    (place / "sshd-keepalive.yaml").write_text("# nothing yet\n")
    found: dict[str, Any] = options.discover(KNOWN)
    assert found == {}
