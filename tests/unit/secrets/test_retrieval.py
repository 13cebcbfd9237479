from __future__ import annotations

import os
import pickle
import platform
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sshd_keepalive import program
from sshd_keepalive.errors import ConfigError, KeepaliveError
from sshd_keepalive.secrets.retrieval import Secret, Secrets


def get(reference: str, **options: object) -> str:
    return Secrets(**options).get(reference, purpose="sudo password of ops").reveal()


def error(reference: str, **options: object) -> KeepaliveError:
    with pytest.raises(KeepaliveError) as caught:
        get(reference, **options)
    return caught.value


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", " s3cret ")
    assert get("env:A_SECRET") == " s3cret "
    monkeypatch.setenv("A_SECRET", "s3cret\n")
    assert "more than one line" in str(error("env:A_SECRET"))
    monkeypatch.delenv("A_SECRET")
    assert "A_SECRET" in str(error("env:A_SECRET"))


@pytest.mark.parametrize(
    ("content", "value"), [(b"s3cret", "s3cret"), (b"s3cret\n", "s3cret"), (b" s 3 \r\n", " s 3 ")]
)
def test_file(tmp_path: Path, content: bytes, value: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(0o600)
    assert get(f"file:{path}") == value


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb\n", b"\xff\xfe", b"x" * 70_000])
def test_a_file_that_holds_no_secret(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(0o600)
    assert isinstance(error(f"file:{path}"), ConfigError)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret"
    path.write_text("s3cret")
    path.chmod(mode)
    failure = error(f"file:{path}")
    assert "others may read it" in str(failure)
    assert "chmod 600" in (failure.hint or "")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "No such file" in str(error(f"file:{tmp_path}/none"))


def test_command() -> None:
    assert get("command:printf '%s\\n' 'a b'") == "a b"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ("false", "exit status 1"),
        ("/nowhere/pass show x", "No such file"),
        ("printf 'a", "quotation"),
        ("true", "empty"),
    ],
)
def test_a_command_that_gives_nothing(argv: str, said: str) -> None:
    assert said in str(error(f"command:{argv}"))


def test_a_command_gets_no_shell_and_no_input() -> None:
    assert get("command:echo $HOME ; echo x") == "$HOME ; echo x"
    assert "empty" in str(error("command:cat"))


def test_prompt_asks_once_for_each_purpose() -> None:
    asked: list[str] = []

    def prompt(purpose: str) -> str:
        asked.append(purpose)
        return "s3cret"

    secrets = Secrets(prompt)
    for _ in range(3):
        secrets.get("prompt", purpose="sudo password of ops")
        secrets.ask("passphrase of ~/.ssh/id_rsa")
    assert asked == ["sudo password of ops", "passphrase of ~/.ssh/id_rsa"]


def test_a_prompt_without_a_terminal() -> None:
    failure = error("prompt")
    assert "cannot ask without a terminal" in str(failure)
    assert failure.hint


@pytest.mark.parametrize("reference", ["hunter2", "env:", "file:", "vault:x", "keyring:nouser", ""])
def test_what_is_no_reference_is_not_repeated(reference: str) -> None:
    failure = error(reference)
    assert "hunter2" not in f"{failure}{failure.hint}"


def test_a_missing_keyring_is_named_with_the_reference_the_machine_and_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    failure = error("keyring:service/ops")
    assert str(failure) == f"keyring:service/ops: keyring is not installed on {platform.node()}"
    assert failure.hint == program.suggest_extra("keyring")


def test_each_is_resolved_once_by_all_threads(tmp_path: Path) -> None:
    count = tmp_path / "count"
    script = tmp_path / "pass"
    script.write_text(f"#!/bin/sh\necho x >>{count}\nsleep 0.05\necho s3cret\n")
    script.chmod(0o700)
    secrets = Secrets()
    threads = [
        threading.Thread(target=secrets.get, args=(f"command:{script}",), kwargs={"purpose": "p"}) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count.read_text() == "x\n"


def test_a_failure_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = Secrets()
    with pytest.raises(ConfigError):
        secrets.get("env:LATE", purpose="p")
    monkeypatch.setenv("LATE", "x")
    with pytest.raises(ConfigError):
        secrets.get("env:LATE", purpose="p")


def test_no_representation_shows_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "A_SECRET", "s3cret")
    secrets = Secrets()
    secret = secrets.get("env:A_SECRET", purpose="p")
    assert "s3cret" not in f"{secret!r} {secret} {secrets!r} {secrets.__dict__}"
    for one in (secret, secrets):
        with pytest.raises(TypeError):
            pickle.dumps(one)
    assert Secret("x").reveal() == "x"


def test_a_process_that_holds_a_secret_leaves_no_core() -> None:
    code = (
        "import resource as r; from sshd_keepalive.secrets.retrieval import Secrets; "
        "r.setrlimit(r.RLIMIT_CORE, (1, 1)); Secrets().get('env:A_SECRET', purpose='x'); "
        "print(r.getrlimit(r.RLIMIT_CORE)[0])"
    )
    environment = {**os.environ, "A_SECRET": "s3cret"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
