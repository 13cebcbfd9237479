"""A plan that is kept in a file and carried out later, on real servers."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.cli import Ran, keepalive
from tests.support.sshd import Sshd, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]
BEFORE = "ClientAliveInterval 0\nClientAliveCountMax 0\n"
WANTED = "ClientAliveInterval 300\nClientAliveCountMax 3\n"


class Fleet:
    """Two servers and an inventory of both."""

    def __init__(self, servers: dict[str, Sshd], folder: Path) -> None:
        self.servers = servers
        self.inventory = folder / "hosts.yaml"
        self.plan = folder / "change.plan"
        self.hosts = {
            name: {
                **server.inventory_host,
            }
            for name, server in servers.items()
        }
        self.write()

    def write(self) -> None:
        self.inventory.write_text(yaml.safe_dump({"hosts": self.hosts}, sort_keys=False))

    def make(self, *words: str) -> Ran:
        return keepalive("plan", "-i", self.inventory, "--out", self.plan, *words)

    def carry_out(self, *words: str) -> Ran:
        return keepalive("apply", "--yes", self.plan, "--json", *words)

    def count_logins(self, name: str) -> int:
        """Not the log as a whole: sshd writes to it after a client has gone, too."""
        return self.servers[name].log.count("Connection from")

    def text(self, name: str) -> str:
        return self.servers[name].config_file.read_text()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Sshd(BEFORE) as one, Sshd(BEFORE) as two:
        yield Fleet({"one": one, "two": two}, tmp_path)


def test_a_plan_is_carried_out_from_its_file_alone(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = keepalive("plan", "-i", "hosts.yaml", "--out", "change.plan", "--out", f"json:{tmp_path}/plan.json")
    assert made.status == 1
    assert "plan for 2 hosts written to change.plan\nnext: sshd-keepalive apply change.plan\n" in made.stderr
    assert stat.S_IMODE(fleet.plan.stat().st_mode) == 0o600
    assert json.loads((tmp_path / "plan.json").read_text())["command"] == "plan"
    assert json.loads(fleet.plan.read_text())["sshd_keepalive_plan"] == 1
    monkeypatch.chdir("/")
    ran = fleet.carry_out()
    assert ran.status == 0, ran
    assert {host["name"]: host["change"] for host in ran.data["hosts"]} == {"one": "applied", "two": "applied"}
    assert "+ClientAliveInterval 300" in ran.stderr  # shown before anything is changed
    assert [fleet.text(name).startswith(WANTED) for name in fleet.servers] == [True, True]


def test_a_host_that_is_no_longer_as_planned_is_refused_and_the_others_are_changed(fleet: Fleet) -> None:
    fleet.make()
    server = fleet.servers["one"]
    edited = f"# somebody was here\n{fleet.text('one')}"
    server.config_file.write_text(edited)
    ran = fleet.carry_out()
    assert ran.status == 3
    assert (ran.host("one")["change"], ran.host("one")["failure"]["kind"]) == ("refused", "changed_meanwhile")
    assert ran.host("two")["change"] == "applied"
    assert fleet.text("one") == edited


def test_a_host_that_somebody_has_changed_to_what_was_planned_is_refused_too(fleet: Fleet) -> None:
    fleet.make("--limit", "one")
    assert keepalive("apply", "--yes", "-i", fleet.inventory, "--limit", "one").status == 0
    assert fleet.carry_out().host()["failure"]["kind"] == "changed_meanwhile"


def test_hosts_that_are_not_in_the_file_are_not_contacted(fleet: Fleet) -> None:
    fleet.make("--limit", "one")
    before = fleet.count_logins("two")
    ran = fleet.carry_out()
    assert [host["name"] for host in ran.data["hosts"]] == ["one"]
    assert fleet.count_logins("two") == before
    assert fleet.text("two").startswith(BEFORE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"port": 1}, "one has another port than when the plan was made"),
        ({"policy": {"ClientAliveInterval": 60}}, "one has another policy than when the plan was made"),
        (None, "one is no longer among the hosts than when"),
    ],
)
def test_an_inventory_that_says_something_else_now_is_refused_before_any_login(
    fleet: Fleet, change: dict[str, object] | None, said: str
) -> None:
    fleet.make()
    before = [fleet.count_logins(name) for name in fleet.servers]
    if change is None:
        del fleet.hosts["one"]
    else:
        fleet.hosts["one"] |= change
    fleet.write()
    ran = fleet.carry_out()
    assert (ran.status, ran.stdout) == (2, "")
    assert said.removesuffix(" than when") in ran.stderr
    assert "next: make the plan again" in ran.stderr
    assert [fleet.count_logins(name) for name in fleet.servers] == before


def test_a_policy_of_the_command_line_is_kept_in_the_plan(fleet: Fleet) -> None:
    fleet.make("--interval", "120", "--count", "4")
    assert fleet.carry_out().status == 0
    assert fleet.text("one").startswith("ClientAliveInterval 120\nClientAliveCountMax 4\n")
    refused = fleet.carry_out("--interval", "60")
    assert (refused.status, "--interval cannot be combined with the plan" in refused.stderr) == (2, True)


def test_a_plan_without_changes_is_carried_out_by_doing_nothing(fleet: Fleet) -> None:
    assert keepalive("apply", "--yes", "-i", fleet.inventory).status == 0
    assert fleet.make().status == 0
    assert fleet.carry_out().status == 0


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[:-20], "cannot be read"),
        (lambda text: text.replace('_plan":1', '_plan":2'), "by another release"),
        (lambda text: text.replace('"fingerprint"', '"fingreprint"'), "cannot be read"),
    ],
)
def test_a_damaged_plan_is_refused(fleet: Fleet, damage: object, said: str) -> None:
    fleet.make()
    assert callable(damage)
    fleet.plan.write_text(damage(fleet.plan.read_text()))
    ran = fleet.carry_out()
    assert (ran.status, said in ran.stderr) == (2, True), ran.stderr
    fleet.plan.chmod(0o622)
    assert "everybody may write to" in fleet.carry_out().stderr


def test_passwords_are_not_in_the_plan(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2-hunter2\n")
    fleet.hosts["one"]["become"] = {"method": "none"}
    fleet.hosts["one"]["password"] = f"file:{tmp_path}/secret"
    fleet.write()
    fleet.make("-k", "--private-key", str(fleet.servers["one"].user_key))
    assert "hunter2" not in fleet.plan.read_text()
    assert "ask_pass" not in fleet.plan.read_text()


@pytest.mark.parametrize(
    ("words", "said", "then"),
    [
        (("missing.plan",), "plan missing.plan: the file does not exist", "missing.plan"),
        (("./missing",), "plan ./missing: the file does not exist", "./missing"),
        (("other.json",), "plan other.json: this file is not a plan", "change.plan"),  # other.json is not overwritten
        (("one", "change.plan"), "plan change.plan: the plan names the hosts: leave out the others", ""),
    ],
)
def test_a_word_that_means_a_file_is_never_tried_as_a_host(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str, then: str
) -> None:
    monkeypatch.chdir(tmp_path)
    fleet.make()
    Path("other.json").write_text("{}\n")
    ran = keepalive("apply", "--yes", *words, "-i", fleet.inventory)
    assert ran.status == 2
    assert f"{said}\n" in ran.stderr
    assert ran.stderr.count("next: ") == bool(then)
    assert ran.stderr.endswith(f"--out {then}\n" if then else f"{said}\n")


def test_words_that_choose_hosts_are_no_files(fleet: Fleet) -> None:
    ran = keepalive("apply", "--yes", "-i", fleet.inventory, "o*", "!two", "~one|/x", "--json")
    assert (ran.status, [host["name"] for host in ran.data["hosts"]]) == (0, ["one"])
