"""Started by a timer or by cron: no terminal, no HOME, a directory that cannot be written to, no locale to speak of."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.cli import Ran
from tests.support.sshd import Sshd, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]

#: Nobody, root included, can make a file there.
READ_ONLY = "/proc"
LOCALES = {
    "C": {"LANG": "C"},
    "POSIX, and nobody mends it": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "none": {},
}


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with Sshd("ClientAliveInterval 300\nClientAliveCountMax 0\n") as server:
        yield server


@pytest.fixture
def hosts(sshd: Sshd, tmp_path: Path) -> Path:
    host = {
        **sshd.inventory_host,
    }
    path = tmp_path / "hosts.yaml"
    path.write_text(yaml.safe_dump({"hosts": {"büro-1": host}}, allow_unicode=True), encoding="utf-8")
    return path


def unattended(*words: str | Path, **environment: str) -> Ran:
    """As a timer starts it: nothing of this session is there, not even its terminal."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "sshd_keepalive", *map(str, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        cwd=READ_ONLY,
        env={"PATH": "/usr/bin:/bin", **environment},
        start_new_session=True,
        check=False,
    )
    ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in ran.stdout + ran.stderr, ran.stderr
    assert "\x1b" not in ran.stdout + ran.stderr
    return ran


@pytest.mark.parametrize("locale", LOCALES)
def test_what_is_said_and_the_exit_code_are_those_of_a_terminal(hosts: Path, tmp_path: Path, locale: str) -> None:
    store = ("--record", "--store", tmp_path / "history.db")
    text = unattended("check", "-i", hosts, *store, **LOCALES[locale])
    assert text.status == 1
    assert text.stdout.splitlines()[-1] == "1 host: 1 drift"
    assert "büro-1" in text.stdout.replace("b\\xfcro-1", "büro-1")

    told = unattended("check", "-i", hosts, *store, "--format", "json", **LOCALES[locale])
    assert told.host()["name"] == "büro-1"
    assert (told.status, told.host()["state"]) == (1, "drift")

    runs = unattended("history", "--format", "json", *store[1:], **LOCALES[locale])
    assert (runs.status, [run["summary"]["drift"] for run in json.loads(runs.stdout)["runs"]]) == (0, [1, 1])


def test_reports_go_where_they_are_sent_and_a_directory_that_is_read_only_is_named(hosts: Path, tmp_path: Path) -> None:
    page = tmp_path / "fleet.html"
    assert unattended("check", "-i", hosts, "--out", f"html:{page}").status == 1
    assert "büro-1" in page.read_text(encoding="utf-8")
    refused = unattended("check", "-i", hosts, "--out", "html:fleet.html")
    # Root may write anywhere, until it tries: then the hosts have been judged, and the file is missed.
    assert refused.status in (2, 3)
    assert "fleet.html" in refused.stderr


def test_no_command_asks_without_a_terminal(hosts: Path) -> None:
    inventory = yaml.safe_load(hosts.read_text(encoding="utf-8"))
    inventory["hosts"]["büro-1"]["password"] = "prompt"
    inventory["hosts"]["büro-1"].pop("identity_file")
    hosts.write_text(yaml.safe_dump(inventory, allow_unicode=True), encoding="utf-8")
    asked = unattended("check", "-i", hosts, "--format", "json")
    assert (asked.status, asked.host()["state"]) == (3, "unreachable")
    changed = unattended("apply", "-i", hosts)
    assert changed.status == 2
    assert "--yes" in changed.stderr
