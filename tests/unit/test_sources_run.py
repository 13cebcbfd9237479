"""Inventories that a program prints or that come in on standard input, whatever goes wrong on the way."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sshd_keepalive import inventories
from sshd_keepalive.config.program import run_program
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.inventories import command, stdin

GROUPS = {
    "etl": {"hosts": ["a", "b"], "vars": {"ansible_user": "ops"}},
    "_meta": {"hostvars": {"b": {"ansible_port": 2200}}},
}


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    monkeypatch.chdir(tmp_path)

    def make(text: str) -> Path:
        path = tmp_path / "list hosts"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    return make


def told(source: str) -> list[tuple[str, str | None, int]]:
    return [(host.name, host.user, host.port) for host in inventories.load([source])]


def test_a_program_is_run_by_its_path_by_words_and_when_it_is_recognised(script: Callable[[str], Path]) -> None:
    path = script(f"test \"$#\" = 1 && test \"$1\" = --list && printf '%s' '{json.dumps(GROUPS)}'")
    expected = [("a", "ops", 22), ("b", "ops", 2200)]
    assert told(f"command:{path}") == expected
    assert told("command:list hosts") == expected
    assert told("command:'./list hosts'") == expected
    assert told("command:'./list hosts'?timeout=20") == expected
    assert told("list hosts") == expected
    path.write_text(path.read_text() + "[web]\nHost a\nall:\n")  # what a program holds is not looked at
    assert inventories.recognise("list hosts")[0] == "command"
    path.chmod(0o644)
    assert inventories.recognise("list hosts")[0] != "command"


def test_a_program_without_meta_is_asked_for_each_host(script: Callable[[str], Path]) -> None:
    script('if test "$1" = --list; then echo \'{"g": ["a", "b"]}\'; else echo "{\\"ansible_user\\": \\"of-$2\\"}"; fi')
    assert told("list hosts") == [("a", "of-a", 22), ("b", "of-b", 22)]


def test_names_that_a_shell_would_not_take_as_they_are_are_refused(script: Callable[[str], Path]) -> None:
    groups = {"web$(touch${IFS}x)": ["a b", "größe-1.eu_2:3=4+5@6"], "_meta": {"hostvars": {}}}
    path = script(f"cat <<'END'\n{json.dumps(groups)}\nEND")
    with pytest.raises(ConfigError) as caught:
        command.load(str(path))
    assert str(caught.value).endswith(
        "list hosts prints names with characters other than letters, digits and ._:=+@-: 'a b', 'web$(touch${IFS}x)'"
    )
    del groups["web$(touch${IFS}x)"]
    groups["ok"] = ["größe-1.eu_2:3=4+5@6"]
    path = script(f"cat <<'END'\n{json.dumps(groups)}\nEND")
    with pytest.raises(ConfigError, match="is not an address"):  # the name itself is taken
        command.load(str(path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo hello", "the output is not JSON (line 1, column 1): it begins with 'hello'"),
        ("printf '\\000\\377'", "the output is not JSON"),
        ("exit 3", "failed with exit code 3"),
        ("echo no token >&2; exit 3", "failed with exit code 3: 'no token'"),
        ("kill -9 $$", "was killed by signal 9"),
        ("true", "it is empty"),
    ],
)
def test_garbage_is_reported(script: Callable[[str], Path], text: str, said: str) -> None:
    path = script(text)
    with pytest.raises(ConfigError) as caught:
        command.load(str(path))
    assert said in str(caught.value)
    assert "list hosts" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["sleep 60", "sleep 60 & wait", "exec >&- 2>&-; sleep 60", "trap '' TERM; echo '{'; sleep 60"]
)
def test_a_program_that_hangs_is_ended_with_all_it_started(script: Callable[[str], Path], text: str) -> None:
    path = script(text)
    begin = time.monotonic()
    with pytest.raises(ConfigError, match=r"did not end within 0\.3 s"):
        run_program([str(path)], limit_s=0.3, environment={"STARTED_BY": str(path)})
    assert time.monotonic() - begin < 50  # not the 60 s of the program
    until = time.monotonic() + 50
    while alive(str(path)) and time.monotonic() < until:  # who is killed is not gone at once
        time.sleep(0.01)
    assert alive(str(path)) == []


def alive(started_by: str) -> list[str]:
    """Processes that still run; of one that ended and that nobody waited for nothing can be read."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"STARTED_BY={started_by}".encode() in environment.read_bytes().split(b"\0"):
                found.append(environment.parent.name)
    return found


def test_what_a_program_leaves_running_does_not_hold_us(script: Callable[[str], Path]) -> None:
    path = script("sleep 60 & echo done")
    assert run_program([str(path)]) == b"done\n"


@pytest.mark.parametrize("text", ["yes", "yes >&2"])
def test_too_much_output_is_cut(script: Callable[[str], Path], text: str) -> None:
    path = script(text)
    with pytest.raises(ConfigError, match="prints more than 1 MiB"):
        run_program([str(path)], most_bytes=1024 * 1024)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("command:./gone", "./gone cannot be run: No such file or directory"),
        ("command:", "command: needs a program"),
        ("command:'x", "No closing quotation"),
        ("command:x?tmeout=1", "'tmeout' is not an option of this kind, did you mean 'timeout'?"),
        ("command:x?timeout=soon", "timeout is a number of seconds"),
    ],
)
def test_a_file_that_is_not_a_program_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        inventories.load([source])
    assert said in str(caught.value)


def test_the_list_on_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "# mine\n\nops@web[1:2]:2200 # two\n [2001:db8::5]:22\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    assert told("-") == [("web1:2200", "ops", 2200), ("web2:2200", "ops", 2200), ("2001:db8::5", None, 22)]


def test_all_mistakes_of_the_list_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = b"a\nroot:hunter2@b\nx y\n\xff\na\njo@a\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    with pytest.raises(ConfigError) as caught:
        stdin.load("")
    assert [line.split(":")[1] for line in str(caught.value).splitlines()] == ["2", "3", "4", "6"]
    assert "hunter2" not in str(caught.value)
    assert "'a' is given differently in standard input:1" in str(caught.value)


def test_an_empty_list_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"# none\n")))
    with pytest.raises(ConfigError, match="standard input contains no host"):
        stdin.load("")


def test_hosts_of_several_sources_are_listed(script: Callable[[str], Path]) -> None:
    path = script(f"printf '%s' '{json.dumps(GROUPS)}'")
    done = subprocess.run(
        [sys.executable, "-m", "sshd_keepalive", "hosts", "-i", str(path), "-i", "-"],
        input="c\nA\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "4 hosts")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("fault", ["owner", "group", "everybody", "directory", "link", "target"])
def test_a_program_that_others_may_have_written_is_run_only_when_its_kind_is_named(tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    program = folder / "list-hosts"
    program.write_text(f'#!/bin/sh\ntouch {tmp_path}/ran\necho \'{{"all": {{"hosts": ["h"]}}, "_meta": {{}}}}\'\n')
    program.chmod({"group": 0o775, "everybody": 0o777}.get(fault, 0o755))
    given = program
    if fault in ("link", "target"):
        given = tmp_path / "link"
        given.symlink_to(program)
        assert inventories.recognise(str(given))[0] == "command"
    if fault == "directory":
        folder.chmod(0o775)
    elif fault not in ("group", "everybody"):
        os.chown(given if fault == "link" else program, 65534, -1, follow_symlinks=False)
    with pytest.raises(ConfigError, match="is a program, which is not run") as caught:
        inventories.load([str(given)])
    assert not (tmp_path / "ran").exists()
    assert [host.name for host in inventories.load([f"command:{given}"])] == ["h"]
    assert f"command:{given}" in str(caught.value.hint)
