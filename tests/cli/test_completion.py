"""What Tab offers, asked as the shells ask; bash itself is asked too."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from sshd_keepalive.cli import COMMANDS, COMPLETES, command
from tests.support.terminal import Terminal


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv(COMPLETES, "x")
    (tmp_path / "hosts.yaml").write_text(
        "groups: {etl: {hosts: {ecs-01: 192.0.2.1, ecs-02: 192.0.2.2}}, db: {hosts: {d: }}}\n"
    )
    (tmp_path / "config-of-ssh").write_text("Host web1 web2\nHost *\n User ops\n")
    (tmp_path / "boom").write_text("#!/bin/sh\ntouch ran\n")
    (tmp_path / "boom").chmod(0o755)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "state/sshd-keepalive/runs").mkdir(parents=True)
    for run in ("20260131T020000Z-3f9a1c", "20260130T020000Z-aaaaaa"):
        (tmp_path / f"state/sshd-keepalive/runs/{run}.jsonl").touch()
    (tmp_path / "html-files").mkdir()
    return tmp_path


def offered(*words: str) -> list[str]:
    *finished, incomplete = words
    found = ShellComplete(command, {}, "sshd-keepalive", COMPLETES).get_completions(finished, incomplete)
    return [f"{item.type}:" if item.type != "plain" else item.value for item in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ch"], ["check"]),
        ([""], list(COMMANDS)),
        (["check", "-i", "hosts.yaml", "e"], ["ecs-01", "ecs-02", "etl"]),
        (["check", "-i", "hosts.yaml", "-l", ""], ["all", "d", "db", "ecs-01", "ecs-02", "etl"]),
        (["apply", "-i", "hosts.yaml", "--limit", "db,!ecs"], ["db,!ecs-01", "db,!ecs-02"]),
        (["plan", "-i", "hosts.yaml", "-J", "ecs-01,d"], ["ecs-01,d", "ecs-01,db"]),
        (["check", "-i", "config-of-ssh", "w"], ["web1", "web2"]),
        (["check", "-i", "hosts.yaml", "-i", "config-of-ssh", "-l", "web2"], ["web2"]),
        (["check", "--format", "j"], ["json", "jsonl", "junit"]),
        (["check", "--out", "js"], ["json:", "jsonl:"]),
        (["check", "--out", "h"], ["html:"]),
        (["check", "--out", "json:ho"], ["json:hosts.yaml"]),
        (["apply", "--resume", "20260131T02"], ["20260131T020000Z-3f9a1c"]),
        (["undo", "--run", ""], ["20260130T020000Z-aaaaaa", "20260131T020000Z-3f9a1c"]),
        (["check", "--notify", "app"], ["apprise:"]),
        (["check", "--benchmark", "stig-u"], ["stig-ubuntu-20.04", "stig-ubuntu-22.04", "stig-ubuntu-24.04"]),
        (["check", "--engine", "thr"], ["thread"]),
        (["check", "-i", "yaml:ho"], ["yaml:hosts.yaml"]),
        (["check", "-i", "ans"], ["ansible:"]),
        (["check", "-i", "hos"], ["file:"]),
        (["check", "-i", ""], ["file:"]),
        (["check", "--private-key", "x"], ["file:"]),
        (["check", "--color", "a"], ["auto", "always"]),
        (["check", "-i", "gone.yaml", "-l", ""], []),
        (["check", "-i", "-", "-l", ""], []),
        (["check", "-i", "boom", "-l", ""], []),
        (["check", ""], []),
        (["completion", ""], ["bash", "zsh", "fish"]),
    ],
    ids=" ".join,
)
def test_is_offered(place: Path, words: list[str], expected: list[str]) -> None:
    assert offered(*words) == expected
    assert not (place / "ran").exists()


def test_the_inventory_of_the_environment_and_of_the_configuration_file_counts(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "sshd-keepalive.yaml").write_text(
        "unknown: 1\ninventory: [hosts.yaml]\napply: {inventory: config-of-ssh}\n"
    )
    assert offered("check", "ec") == []  # nobody has named the file
    assert offered("--config", "sshd-keepalive.yaml", "check", "ec") == ["ecs-01", "ecs-02"]
    monkeypatch.setenv("SSHD_KEEPALIVE_CONFIG", "sshd-keepalive.yaml")
    assert offered("check", "ec") == ["ecs-01", "ecs-02"]
    assert offered("apply", "we") == ["web1", "web2"]
    monkeypatch.setenv("SSHD_KEEPALIVE_INVENTORY", "config-of-ssh")
    assert offered("check", "") == ["all", "web1", "web2"]


@pytest.mark.parametrize(
    ("shell", "asked", "answer"),
    [
        ("bash", {"COMP_LINE": "sshd-keepalive check -i yaml:ho"}, "plain,hosts.yaml\n"),
        (
            "zsh",
            {"COMP_WORDS": "sshd-keepalive hosts -i yaml:hosts.yaml d", "COMP_CWORD": "4"},
            "plain\nd\n_\nplain\ndb\n_\n",
        ),
        ("fish", {"COMP_WORDS": "sshd-keepalive hosts -i hosts.yaml", "COMP_CWORD": "et"}, "plain,etl\n"),
    ],
)
def test_each_shell_is_answered_in_its_protocol(shell: str, asked: dict[str, str], answer: str) -> None:
    assert keepalive_completes(shell, asked) == answer


def keepalive_completes(shell: str, asked: dict[str, str]) -> str:
    code = "import sys, sshd_keepalive.__main__ as m\ntry: m.main()\nfinally: assert 'paramiko' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, COMPLETES: f"{shell}_complete", **asked},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_lines_for_a_shell_are_printed(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COMPLETES)
    printed = CliRunner().invoke(command, ["completion", shell])
    assert (printed.exit_code, printed.stderr) == (0, "")
    assert f"{COMPLETES}={shell}_complete" in printed.stdout
    if path := shutil.which(shell):
        subprocess.run([path, "-n"], input=printed.stdout, text=True, check=True)


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_completes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COMPLETES)
    (place / "sshd-keepalive").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sshd_keepalive "$@"\n')
    (place / "sshd-keepalive").chmod(0o755)
    lines = CliRunner().invoke(command, ["completion", "bash"]).stdout
    line = "./sshd-keepalive check -i yaml:hosts.yaml -l db,ecs"
    asked = f"COMP_LINE='{line}' COMP_POINT={len(line)}; _sshd_keepalive_completion ./sshd-keepalive 2>/dev/null"
    done = subprocess.run(
        ["bash", "--norc", "-c", f'{lines}\n{asked}; printf "%s\\n" "${{COMPREPLY[@]}}"'],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["db,ecs-01", "db,ecs-02"]


#: How each shell is started without anybody's files, and how it loads the completion.
SHELLS = {
    "bash": (("--norc", "--noprofile", "-i"), "source <(sshd-keepalive completion bash)"),
    "zsh": (("-f", "-i"), "autoload -U compinit; compinit -u -D; source <(sshd-keepalive completion zsh)"),
    "fish": (("--no-config", "-i"), "sshd-keepalive completion fish | source"),
}
RUNS = "$(touch${IFS}ran)"
HOSTILE = (
    f"a{RUNS}", "b`touch${IFS}ran`", "c;touch${IFS}ran", f"d'\"{RUNS}", "e$HOME", 'f"', "g|x", "h>ran",
    "i(touch${IFS}ran)", "j~", "k%ran", "l!!", f"m\\{RUNS}", "n#x", "o&touch${IFS}ran", f"p'{RUNS}'",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "quote"), [("bash", ""), *((shell, quote) for shell in ("zsh", "fish") for quote in ("", "'", '"'))]
)
def test_no_shell_runs_or_expands_a_name(place: Path, monkeypatch: pytest.MonkeyPatch, shell: str, quote: str) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    (place / "names.yaml").write_text(json.dumps({"hosts": {f"web-{name}": "192.0.2.9" for name in HOSTILE}}))
    recorder(place, monkeypatch)
    options, load = SHELLS[shell]
    with Terminal(*options, program=(path,), PS1="> ", HISTFILE="") as terminal:
        terminal.answer(f"{load}; echo loa''ded")
        terminal.wait_for("loaded\n")
        for name in HOSTILE:
            terminal.press(f"sshd-keepalive check -i names.yaml {quote}web-{name[0]}\t\n")
            _until_there(place / "got", terminal)
            words = (place / "got").read_text().split("\0")[:-1]
            (place / "got").unlink()
            assert words == ["check", "-i", "names.yaml", f"web-{name}"]
            assert not (place / "ran").exists()


@pytest.mark.parametrize("quote", ["'", '"'])
def test_bash_offers_no_name_inside_quotes_that_needs_some_itself(
    place: Path, monkeypatch: pytest.MonkeyPatch, quote: str
) -> None:
    (place / "names.yaml").write_text(json.dumps({"hosts": {"web$(touch${IFS}ran)": "192.0.2.9", "web1": "192.0.2.8"}}))
    recorder(place, monkeypatch)
    words = f"COMP_WORDS=(sshd-keepalive check -i names.yaml {shlex.quote(quote + 'we')}) COMP_CWORD=4"
    line = f"sshd-keepalive check -i names.yaml {quote}we"
    asked = f"COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}; _sshd_keepalive_completion sshd-keepalive"
    done = subprocess.run(
        ["bash", "-c", f'. <(sshd-keepalive completion bash)\n{words}\n{asked}; printf "%s\n" "${{COMPREPLY[@]}}"'],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["web1"]


def recorder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `sshd-keepalive` that completes as ours does; called by hand it writes its words into the file `got`."""
    monkeypatch.delenv(COMPLETES)
    program = place / "bin" / "sshd-keepalive"
    program.parent.mkdir()
    called = f'"{sys.executable}" -m sshd_keepalive "$@"'
    program.write_text(
        f"#!/bin/sh\ncase ${{{COMPLETES}:+yes}}$1 in yes*|completion) exec {called} ;; esac\n"
        'printf "%s\\0" "$@" >got.part && mv got.part got\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def _until_there(path: Path, terminal: Terminal) -> None:
    ends_at = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < ends_at, terminal.shown
        terminal.read_now()
        time.sleep(0.02)
