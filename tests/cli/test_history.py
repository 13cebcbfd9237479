"""Recording, and asking later: the commands as a user types them, without a host that answers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sshd_keepalive.model import End, Finding, Place, Run, Scope, State, Subject
from sshd_keepalive.store import Store, parse_address
from tests.support.cli import keepalive
from tests.support.fleets import NOW, a_fleet

pytestmark = pytest.mark.slow

FLEET = a_fleet(30, n_past=0)


def a_run(day: int, seed: int = 7) -> Run:
    at = NOW + timedelta(days=day)
    fleet = a_fleet(30, n_past=0, seed=seed)
    return replace(fleet, id=f"{at:%Y%m%dT%H%M%SZ}-3f9a1c", started_at=at, ended_at=at, selection="-i /srv/hosts.yaml")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A history of three days; on the third some hosts came to something else."""
    path = tmp_path / "history.db"
    store = Store(parse_address(str(path)))
    for run in (a_run(0), a_run(1), a_run(2, seed=8)):
        store.save(run)
    store.close()
    return path


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "hosts.yaml"
    path.write_text("hosts: {closed: {address: 127.0.0.1, port: 1}, shut: {address: 127.0.0.1, port: 1}}\n")
    return path


def test_a_successful_undo_and_an_unreachable_host_are_listed_as_what_they_are(tmp_path: Path) -> None:
    drifted = next(report for report in FLEET.hosts if report.state is State.DRIFT)
    gone = next(report for report in FLEET.hosts if report.state is State.UNREACHABLE)
    store = Store(parse_address(str(tmp_path / "history.db")))
    store.save(replace(a_run(0), command="undo", hosts=(replace(drifted, end=End.APPLIED), gone), exit_code=3))
    store.save(replace(a_run(1), hosts=(drifted, gone)))
    store.close()
    undone, checked = keepalive("history", "--store", tmp_path / "history.db").stdout.splitlines()
    assert "undo   1 applied, 1 unreachable" in undone
    assert "check  1 drift, 1 unreachable" in checked


def test_runs_are_listed_and_any_report_is_made_of_one(kept: Path, tmp_path: Path) -> None:
    listed = keepalive("history", "--store", kept)
    lines = listed.stdout.splitlines()
    assert lines[0].startswith("2026-01-31 02:00  20260131T020000Z-3f9a1c  check  ")
    assert lines[0].endswith("  -i /srv/hosts.yaml")
    assert len(keepalive("history", "--store", kept, "-n", "2").stdout.splitlines()) == 2
    data = json.loads(keepalive("history", "--store", kept, "--format", "json").stdout)
    assert [run["run_id"][:8] for run in data["runs"]] == ["20260131", "20260201", "20260202"]
    assert data["runs"][0]["summary"]["hosts"] == 30

    shown = keepalive("report", "20260131", "--format", "json", "--store", kept, "--out", f"html:{tmp_path}/page.html")
    assert shown.status == 0
    assert [host["name"] for host in json.loads(shown.stdout)["hosts"]] == [report.host.name for report in FLEET.hosts]
    assert json.loads(shown.stdout)["exit_code"] == 3
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    told = keepalive("report", "-v", "--store", kept).stdout
    assert told.endswith(keepalive("report", "20260202", "--store", kept, "-q").stdout.splitlines()[-1] + "\n")
    assert all(report.host.name in told for report in FLEET.hosts)


def test_the_life_of_a_host_and_what_changed_between_two_runs(kept: Path) -> None:
    life = keepalive("history", "etl-0000", SSHD_KEEPALIVE_STORE=str(kept)).stdout
    assert (
        life.count("  check  drift        ClientAliveInterval 0 (/etc/ssh/sshd_config:90), ClientAliveCountMax 3") == 3
    )
    assert life.endswith("never recorded as compliant\n")
    changed = keepalive("history", "20260201", "20260202", "--store", kept).stdout
    assert changed.endswith(" hosts changed between 20260201T020000Z-3f9a1c and 20260202T020000Z-3f9a1c\n")
    assert not changed.startswith("0 hosts")
    same = keepalive("history", "20260131", "20260201", "--store", kept).stdout
    assert same.startswith("0 hosts changed")
    data = json.loads(keepalive("history", "20260201", "20260202", "--store", kept, "--format", "json").stdout)
    assert all(host["name"] in changed and host["changes"][0] in changed for host in data["hosts"])
    data = json.loads(keepalive("history", FLEET.hosts[-1].host.name, "--store", kept, "--format", "json").stdout)
    assert data["last_ok"]["run_id"] in {record["run_id"] for record in data["records"]}


def test_the_values_of_a_match_block_are_listed_below_those_for_everybody(tmp_path: Path) -> None:
    drifted = next(report for report in FLEET.hosts if report.state is State.DRIFT and report.findings)
    block = Scope(text="Match User root", place=Place(path="/etc/ssh/sshd_config", line=98))
    line = Place(path="/etc/ssh/sshd_config", line=99)
    root = Finding(setting=Subject.INTERVAL, scope=block, wanted="300", value="7", state=State.DRIFT, place=line)
    store = Store(parse_address(str(tmp_path / "history.db")))
    store.save(replace(a_run(0), hosts=(replace(drifted, findings=(*drifted.findings, root)),)))
    store.close()
    lines = keepalive("history", drifted.host.name, "--store", tmp_path / "history.db").stdout.splitlines()
    assert "  check  drift        ClientAliveInterval " in lines[0]
    assert lines[1] == "    Match User root: ClientAliveInterval 7 (/etc/ssh/sshd_config:99)"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("history", "elt-0000"), "the history has no record of host elt-0000, did you mean 'etl-0000'?"),
        (("history", "20260131"), "give two runs to see what changed between them"),
        (("history", "a", "b", "c"), "one host, or two runs"),
        (("history", "2026013", "2027"), "no run 2027 is recorded\nnext: list the runs: sshd-keepalive history\n"),
        (("report", "202602"), "beginning of several runs"),
        (("report", "--format", "htlm"), "did you mean 'html'?"),
    ],
)
def test_mistakes(kept: Path, words: tuple[str, ...], said: str) -> None:
    ran = keepalive(*words, "--store", kept)
    assert (ran.status, ran.stdout) == (2, "")
    assert said in ran.stderr


def test_what_was_never_recorded_is_no_history_and_makes_no_file(tmp_path: Path) -> None:
    for command in ("history", "report"):
        ran = keepalive(command, "--store", tmp_path / "typo.db")
        assert ran.status == 2
        assert f"no run is recorded in {tmp_path}/typo.db\nnext: " in ran.stderr
    assert not (tmp_path / "typo.db").exists()


def test_a_check_is_recorded_and_compared_with_the_last(inventory: Path, tmp_path: Path) -> None:
    environment = {"SSHD_KEEPALIVE_STORE": "env:WHERE", "WHERE": f"sqlite:///{tmp_path}/h.db"}
    for _ in range(2):
        ran = keepalive("check", "-i", inventory, "--record", "--format", "json", **environment)
        assert (ran.status, ran.stderr) == (3, "")
        assert all(host["changes"] == [] for host in ran.data["hosts"])
    lines = keepalive("history", **environment).stdout.splitlines()
    assert [line.split("  ", 2)[2] for line in lines] == [f"check  2 unreachable  -i {inventory}"] * 2


def test_a_history_in_trouble_is_reported_and_hides_no_result(inventory: Path, kept: Path) -> None:
    inventory.write_text("hosts: {}\n")
    kept.write_text("no history " * 1000)
    ran = keepalive("check", "--record", "--store", kept, "ops@127.0.0.1:1", "--format", "json")
    assert ran.status == 3
    assert ran.host()["failure"]["kind"] in ("tcp", "host_key", "auth")
    assert ran.stderr.count(f"error: the history {kept} is damaged") == 1
    assert "next: restore a copy" in ran.stderr
    ran = keepalive("history", "--store", kept)
    assert (ran.status, ran.stdout) == (3, "")


def test_a_password_is_never_shown(inventory: Path) -> None:
    pytest.importorskip("psycopg")  # of the extra `postgres`, which the single file does not hold
    url = "postgresql://keeper:s3cret%40word@127.0.0.1:1/history"
    for words in (
        ("check", "-i", inventory, "--record"),
        ("history",),
        ("report",),
        ("config",),
        ("config", "--format", "json"),
        ("check", "-i", inventory, "--record", "-vv"),
    ):
        ran = keepalive(*words, SSHD_KEEPALIVE_STORE=url)
        assert "s3cret" not in ran.stdout + ran.stderr
        assert "keeper:***@" in ran.stdout + ran.stderr
    ran = keepalive("history", SSHD_KEEPALIVE_STORE="postgresql://keeper:s3cret@h:port/x")
    assert (ran.status, "s3cret" in ran.stderr) == (2, False)


@pytest.mark.parametrize("words", [["--version"], ["check", "ops@127.0.0.1:1"], ["apply", "--yes", "ops@127.0.0.1:1"]])
def test_who_does_not_record_does_not_pay(words: list[str], tmp_path: Path) -> None:
    code = (
        "import sys, sshd_keepalive.__main__ as m\n"
        "try: m.main()\n"
        "finally: assert not {'sqlalchemy', 'alembic', 'cattrs', 'sqlite3'} & set(sys.modules)"
    )
    environment = {"XDG_STATE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(
        [sys.executable, "-c", code, *words], env=environment, capture_output=True, text=True, check=False
    )
    assert "AssertionError" not in ran.stderr
    assert ran.stdout
