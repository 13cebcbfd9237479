from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from sshd_keepalive.config import options
from sshd_keepalive.config.options import Source
from sshd_keepalive.errors import ConfigError

KNOWN = {
    "check": {"forks": False, "inventory": True, "no-progress": False},
    "apply": {"forks": False, "inventory": True, "canary": False},
}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(options.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def read(named: str | None = "sshd-keepalive.yaml") -> dict[str, Any]:
    source = options.find(named)
    assert source is not None
    return options.read(source, KNOWN)


def test_nothing_is_found_where_nothing_is() -> None:
    assert options.find() is None


def test_common_options_reach_the_commands_that_have_them(place: Path) -> None:
    (place / "sshd-keepalive.yaml").write_text(
        "forks: 50\ninventory: hosts.yaml\nno-progress: true\napply:\n  forks: 5\n  canary: 1\n"
    )
    assert read() == {
        "check": {"forks": "50", "inventory": ["hosts.yaml"], "no-progress": True},
        "apply": {"forks": "5", "inventory": ["hosts.yaml"], "canary": "1"},
    }


def test_the_first_file_counts(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = place / "config" / "sshd-keepalive" / "config.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("forks: 1\n")
    assert options.find() == Source(own)
    (place / "sshd-keepalive.yaml").write_text("forks: 2\n")
    assert options.find() == Source(Path("sshd-keepalive.yaml"), is_named=False)
    assert options.find(str(own)) == Source(own)
    monkeypatch.setenv(options.VARIABLE, str(own))
    assert options.find() == Source(own)
    assert options.find("sshd-keepalive.yaml") == Source(Path("sshd-keepalive.yaml"))
    monkeypatch.setenv(options.VARIABLE, str(place / "gone"))
    with pytest.raises(ConfigError, match="the file does not exist"):
        options.find()


@pytest.mark.parametrize("named", [None, "sshd-keepalive.yaml"])
@pytest.mark.parametrize(("mode", "who"), [(0o666, "everybody"), (0o664, "its group")])
def test_a_file_that_others_may_write_is_not_read(place: Path, mode: int, who: str, named: str | None) -> None:
    file = place / "sshd-keepalive.yaml"
    file.write_text("forks: 2\n")
    file.chmod(mode)
    with pytest.raises(ConfigError, match=f"is not read: {who} may write to"):
        options.find(named)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("given", ["file", "link", "target"])
def test_a_file_of_another_account_is_not_read(place: Path, given: str) -> None:
    file = place / "sshd-keepalive.yaml"
    if given == "file":
        file.write_text("forks: 2\n")
        os.chown(file, 65534, -1)
    else:
        target = place / "own.yaml"
        target.write_text("forks: 2\n")
        file.symlink_to("own.yaml")
        assert options.find() is not None
        os.chown(file if given == "link" else target, 65534, -1, follow_symlinks=False)
    with pytest.raises(ConfigError, match="belongs to"):
        options.find()


@pytest.mark.parametrize(
    ("text", "line", "option"),
    [
        ("forks: 5\ninventory: hosts.yaml\n", 2, "inventory"),
        ("check:\n  forks: 5\n  no-progress: true\napply: {canary: 1}\n", 4, "canary"),
    ],
)
def test_the_working_directory_chooses_only_what_is_harmless(place: Path, text: str, line: int, option: str) -> None:
    (place / "sshd-keepalive.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(None)
    assert str(caught.value).startswith(f"sshd-keepalive.yaml:{line}: {option} is not allowed in a file")
    assert "--config sshd-keepalive.yaml" in str(caught.value.hint)
    assert read()


def test_what_is_harmless_is_taken_from_the_working_directory(place: Path) -> None:
    (place / "sshd-keepalive.yaml").write_text("forks: 5\ncheck: {no-progress: true}\n")
    assert read(None) == {"check": {"forks": "5", "no-progress": True}, "apply": {"forks": "5"}}


def test_harmless_options_are_numbers_choices_switches_and_names_of_what_is_installed() -> None:
    """An option that takes any text is none of them, whatever it is called."""
    import click

    from sshd_keepalive.cli import COMMANDS, command
    from sshd_keepalive.cli.base import spell

    found = [
        (spell(option), option.type)
        for name in COMMANDS
        for option in getattr(command.get_command(click.Context(command), name), "params", ())
        if isinstance(option, click.Option)
    ]
    assert {name for name, _ in found} >= options.HARMLESS
    free = {name for name, kind in found if name in options.HARMLESS and isinstance(kind, click.types.StringParamType)}
    assert free == {"format", "benchmark"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frks: 1\n", "1:1: unknown key 'frks', did you mean 'forks'?"),
        ("apply: {canry: 1}\n", "1:9: unknown key 'canry', did you mean 'canary'?"),
        ("apply: yes\n", "1:8: apply is a command: write its options below it"),
        ("forks: [1, 2]\n", "1:8: forks takes one value"),
        ("forks:\n", "1:7: a value is missing: write one or leave the key out"),
        ("- a\n", "1:1: keys with values (`key: value`) are expected here, not a list"),
    ],
)
def test_mistakes_are_reported_with_their_place(place: Path, text: str, message: str) -> None:
    (place / "sshd-keepalive.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read()
    assert str(caught.value) == f"sshd-keepalive.yaml:{message}"


def test_an_empty_file_says_nothing(place: Path) -> None:
    (place / "sshd-keepalive.yaml").write_text("# nothing yet\n")
    assert read() == {}
