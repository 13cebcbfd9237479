"""The program as the operating system sees it: its standard streams, and what a defect of ours ends with."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sshd_keepalive.cli import COMMANDS
from tests.support.cli import PROGRAM, keepalive
from tests.support.devices import FULL, device, is_device

DEFECT = "def load(source):\n    raise RuntimeError('a defect')\n"


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "<&- 2>&-", "<&- >&- 2>&-", ">&-", "2>&-"])
def test_closed_streams_change_no_exit_code(closed: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    words = f"-P -m sshd_keepalive check ops@127.0.0.1:1 --out json:{report}"
    done = subprocess.run(
        f'"{sys.executable}" {words} {closed}',
        shell=True,
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
    assert json.loads(report.read_text())["hosts"][0]["failure"]


def run(*words: str, shell: str = "", path: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """`sshd-keepalive WORDS SHELL`, where SHELL redirects its streams."""
    command = shlex.join([*PROGRAM, *words])
    return subprocess.run(
        ["bash", "-c", f"{command} {shell}"],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def stranger(folder: Path, kind: str, source: str) -> str:
    """Install a module of somebody else's as an extension named `stranger`; gives the PYTHONPATH that finds it."""
    (folder / "stranger.py").write_text(source)
    installed = folder / "stranger-0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Name: stranger\nVersion: 0\n")
    (installed / "entry_points.txt").write_text(f"[sshd_keepalive.{kind}]\nstranger = stranger\n")
    return str(folder)


def test_a_defect_is_never_taken_for_drift(tmp_path: Path) -> None:
    done = run("check", "-i", "stranger:anything", path=stranger(tmp_path, "inventories", DEFECT))
    assert done.returncode == 70
    assert done.stderr.startswith("Traceback")
    assert done.stderr.splitlines()[-3:] == [
        "RuntimeError: a defect",
        "error: this is a defect of sshd-keepalive; no host was changed",
        "next: report the lines above",
    ]


RENDERS_NOTHING = "def render(run):\n    raise RuntimeError('a defect')\n"


@pytest.mark.parametrize(("command", "code"), [("check", 70), ("plan", 70), ("apply", 5), ("undo", 5), ("confirm", 5)])
def test_a_defect_where_hosts_may_be_changed_is_unknown(tmp_path: Path, command: str, code: int) -> None:
    words = [command, "ops@127.0.0.1:1", *(["--yes"] if command in ("apply", "undo") else []), "--format", "stranger"]
    done = run(*words, path=stranger(tmp_path, "reports", RENDERS_NOTHING), XDG_STATE_HOME=str(tmp_path))
    assert (done.returncode, "hosts may have been changed" in done.stderr) == (code, code == 5), done.stderr


#: Every command, with words that make it print something.
PRINTING = {
    "check": ["ops@127.0.0.1:1"],
    "plan": ["ops@127.0.0.1:1"],
    "apply": ["--yes", "ops@127.0.0.1:1"],
    "confirm": ["ops@127.0.0.1:1"],
    "undo": ["--yes", "ops@127.0.0.1:1"],
    "history": [],
    "report": [],
    "why": ["--file", "/etc/ssh/sshd_config"],
    "hosts": ["ops@127.0.0.1:1"],
    "probe": ["ops@127.0.0.1:1"],
    "sessions": ["ops@127.0.0.1:1"],
    "losses": ["ops@127.0.0.1:1"],
    "diagnose": ["/etc/ssh/sshd_config"],
    "schedule": ["list"],
    "client-config": [],
    "config": [],
    "completion": ["bash"],
    "demo": ["--help"],
}
MORE = {command: [*words, "--format", "json"] for command, words in PRINTING.items()}
for command in ("schedule", "completion", "demo"):
    del MORE[command]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A state directory with a recorded run in it."""
    folder = str(tmp_path_factory.mktemp("state"))
    assert run("check", "ops@127.0.0.1:1", "--record", XDG_STATE_HOME=folder).returncode == 3
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], *([c, *w] for c, w in PRINTING.items()), *([c, *w] for c, w in MORE.items())],
    ids=" ".join,
)
def test_output_that_cannot_be_written_is_reported_and_fails(words: list[str], state: str) -> None:
    full = run(*words, shell=">/dev/full", XDG_STATE_HOME=state)
    assert full.returncode == 3
    told = [line for line in full.stderr.splitlines() if "standard output" in line]
    assert told == ["error: cannot write to standard output: No space left on device"]
    assert "Traceback" not in full.stderr
    seen = run(*words, XDG_STATE_HOME=state)
    assert seen.stdout
    closed = run(*words, shell="| exec sleep 0; echo ${PIPESTATUS[0]}", XDG_STATE_HOME=state)
    assert (closed.stdout, closed.stderr) == (f"{seen.returncode}\n", seen.stderr)


def test_every_command_is_tried_with_output_that_cannot_be_written() -> None:
    assert sorted(PRINTING) == sorted(COMMANDS)


@pytest.mark.parametrize("shell", ["2>/dev/full", "2>&-"])
def test_standard_error_that_has_no_reader(shell: str) -> None:
    assert run("check", "ops@127.0.0.1:1", "--verbose", shell=shell).returncode == 3
    assert run("check", "--nonsense", shell=shell).returncode == 2


def test_what_the_encoding_lacks_is_escaped() -> None:
    done = run("check", "größe.invalid", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout.split()[:2]) == (3, ["unreachable", "gr\\xf6\\xdfe.invalid"])


def test_a_report_that_cannot_be_written_to_a_device_is_reported(tmp_path: Path) -> None:
    full = device(tmp_path / "full", FULL)
    done = run("check", "ops@127.0.0.1:1", "--out", f"json:{full}")
    assert (done.returncode, done.stderr) == (3, f"error: cannot write the report to {full}: No space left on device\n")
    assert is_device(full)


@pytest.mark.parametrize(
    ("place", "said"),
    [("", "not KIND:FILE"), ("{}", "this is a directory"), ("{}/no/file", "the directory does not exist")],
)
def test_a_place_for_a_report_that_cannot_be_one_is_reported_first(tmp_path: Path, place: str, said: str) -> None:
    done = run("check", "ops@127.0.0.1:1", "--out", f"json:{place.format(tmp_path)}")
    assert (done.returncode, said in done.stderr, done.stdout) == (2, True, "")


def test_the_version_is_said_without_loading_the_program() -> None:
    """`--version` and completion in a shell are as quick as click itself (`make bench` gives the ratio)."""
    program = "import sys; from sshd_keepalive.__main__ import main; sys.argv[1:] = ['--version']; sys.exit(main())"
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    ours = {name for name in loaded if name.startswith("sshd_keepalive")}
    assert "sshd_keepalive.cli" in ours
    assert not loaded & {"sshd_keepalive.model", "dataclasses", "paramiko", "yaml", "logging", "asyncio"}, ours


def test_the_version_comes_with_those_of_the_libraries_when_asked() -> None:
    ran = keepalive("--version", "-v")
    assert ran.status == 0
    names = [line.split()[0] for line in ran.stdout.splitlines()]
    assert names == ["sshd-keepalive,", "Python", "paramiko", "cryptography", "click"]
    assert keepalive("--version").stdout == ran.stdout.splitlines(keepends=True)[0]


IMPORT_WAITS = """
import sys

class Waits:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "paramiko":
            sys.stdin.readline()

sys.meta_path.insert(0, Waits)
from sshd_keepalive.__main__ import main
main()
"""


def test_the_host_is_contacted_before_paramiko_is_imported(tmp_path: Path) -> None:
    """The import takes about as long as the TCP handshake with a host that is far away."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        words = ["check", f"ops@127.0.0.1:{server.getsockname()[1]}"]
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", IMPORT_WAITS, *words],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                server.accept()[0].close()
            finally:
                printed, _ = process.communicate("\n", timeout=60)
    assert (process.returncode, "no key" in printed) == (3, True), printed
