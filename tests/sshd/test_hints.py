"""The next step that is suggested: it works when it is pasted, and it is about what went wrong."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.cli import PROGRAM, Ran, keepalive
from tests.support.hostile import HostileServer, silence
from tests.support.sshd import Sshd, make_key, why_not
from tests.support.terminal import Terminal

LOGS = Path(__file__).parents[1] / "cases/logs"

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]


class Place:
    """A server, an inventory whose name needs quotes, and a state of the program's own."""

    def __init__(self, sshd: Sshd, folder: Path) -> None:
        self.sshd = sshd
        self.folder = folder
        self.inventory = folder / "my hosts.yaml"
        self.state = {"XDG_STATE_HOME": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config")}
        self.host: dict[str, object] = {
            "address": sshd.address,
            "port": sshd.port,
            "known_hosts": str(sshd.known_hosts),
            "become": "none",
            "sshd_config": str(sshd.config_file),
            "service": {"manager": "pidfile", "pidfile": f"{sshd.folder}/pid"},
        }
        self.login = ("-u", sshd.user, "--private-key", str(sshd.user_key))
        self.write({})

    def write(self, more: dict[str, object]) -> None:
        self.inventory.write_text(yaml.safe_dump({"hosts": {"one": self.host} | more}, sort_keys=False))

    def run(self, *words: str) -> Ran:
        return keepalive(*words, "-i", self.inventory, *self.login, **self.state)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.chdir(tmp_path)
    # Keep-alives come later than the loss in airflow-reset.log, whether OpenSSH waits for one interval or for two.
    with Sshd("ClientAliveInterval 900\nClientAliveCountMax 0\n") as sshd:
        yield Place(sshd, tmp_path)


def list_commands(text: str) -> list[str]:
    return re.findall(r"^ *next: (sshd-keepalive .*)$", text.replace("\r", ""), re.MULTILINE)


def run_hint(place: Place, hint: str) -> str:
    """Paste a suggested command into a terminal, answer yes, and give what was shown; it must be understood."""
    program, *words = shlex.split(hint)
    assert program == "sshd-keepalive"
    with Terminal(*words, program=PROGRAM, NO_COLOR="1", COLUMNS="1000", **place.state) as terminal:
        if words[0] in ("apply", "undo") and "--yes" not in words:
            terminal.wait_for("[y/N]")
            terminal.answer("y")
        status = terminal.end()
        assert status in (0, 1, 3), (hint, terminal.shown)
        assert not re.search("^error:", terminal.shown, re.MULTILINE), (hint, terminal.shown)
        return terminal.shown


def test_every_command_that_is_suggested_works_when_it_is_pasted(place: Place) -> None:
    """From one suggestion to the next, as a person would go: nothing is typed but what was shown."""
    checked = place.run("check")
    (plan,) = list_commands(checked.stderr)
    (apply,) = list_commands(run_hint(place, plan))
    assert [shlex.split(hint)[1] for hint in (plan, apply)] == ["plan", "apply"]
    shown = run_hint(place, apply)
    assert "applied" in shown
    for hint in list_commands(shown):
        run_hint(place, hint)
    assert "ClientAliveCountMax 3" in place.sshd.config_file.read_text()
    assert place.run("check").status == 0


def test_a_plan_in_a_file_and_a_change_that_waits_are_suggested_as_they_work(place: Place) -> None:
    planned = place.run("plan", "--out", "my change.plan")
    (hint,) = list_commands(planned.stderr)
    assert hint == "sshd-keepalive apply 'my change.plan'"
    run_hint(place, hint)
    place.sshd.config_file.write_text(place.sshd.config_file.read_text().replace("CountMax 3", "CountMax 9"))
    waiting = place.run("apply", "--yes", "--no-confirm", "--confirm-timeout", "600")
    (confirm,) = list_commands(waiting.stderr)
    (again,) = list_commands(place.run("check").stderr)
    assert confirm == again
    failure = place.run("check", "--format", "json").host()["failure"]["hint"]
    assert failure == f"{confirm} one"
    assert "applied" in run_hint(place, failure)


def test_what_is_left_of_a_run_is_suggested_as_it_works(place: Place) -> None:
    place.host |= {"labels": {"wave": "b"}}
    place.inventory.write_text(
        yaml.safe_dump({"hosts": {"closed": {**place.host, "port": 1}, "one": place.host}}, sort_keys=False)
    )
    stopped = place.run("apply", "--yes", "--canary", "1")
    assert stopped.status == 3
    (resume,) = list_commands(stopped.stderr)
    assert "--resume" in resume
    shown = run_hint(place, resume)
    (check,) = list_commands(shown)
    assert "--limit" in check
    assert "unreachable" in run_hint(place, check)


def test_what_a_stopped_run_left_to_be_confirmed_is_suggested_as_it_works(place: Place) -> None:
    place.inventory.write_text(
        yaml.safe_dump({"hosts": {"one": place.host, "closed": {**place.host, "port": 1}}}, sort_keys=False)
    )
    stopped = place.run("apply", "--yes", "--canary", "1", "--no-confirm", "--confirm-timeout", "600")
    (confirm,) = list_commands(stopped.stderr)
    assert "applied" in run_hint(place, confirm)  # not --resume: the host would revert


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("jenkins-channel", ["plan"]),
        ("airflow-reset", ["probe", "--find-limit"]),
        ("logind-idle", ["check", "--deep"]),
        ("empty", ["probe"]),
        ("ssh-refused-login", ["check"]),
    ],
)
def test_what_diagnose_suggests_works_when_it_is_pasted(
    place: Place, monkeypatch: pytest.MonkeyPatch, log: str, words: list[str]
) -> None:
    monkeypatch.setenv("SSHD_KEEPALIVE_IDLE", "2")  # seconds, so that a probe does not wait for the first keep-alive
    ran = place.run("diagnose", str(LOGS / f"{log}.log"), "--host", "one")
    (hint,) = list_commands(ran.stderr)
    typed = shlex.split(hint)
    assert typed[1 : len(words) + 1] == words
    assert (typed[-1], str(place.inventory) in typed) == ("one", True)
    run_hint(place, hint)


def test_the_login_options_are_repeated(place: Place) -> None:
    (hint,) = list_commands(place.run("check", "--interval", "0", "--timeout", "45", "-b", "none").stderr)
    assert shlex.split(hint) == [
        "sshd-keepalive", "plan", "-i", str(place.inventory), "--interval", "0", *place.login[:2],
        "--private-key", str(place.sshd.user_key), "-b", "none", "--timeout", "45",
    ]  # fmt: skip


def test_the_configuration_file_is_repeated_when_it_was_typed(place: Place) -> None:
    Path("my options.yaml").write_text("max-fail: 50%\n")
    (hint,) = list_commands(place.run("check", "--config", "my options.yaml").stderr)
    assert shlex.split(hint)[:4] == ["sshd-keepalive", "plan", "--config", "my options.yaml"]
    run_hint(place, hint)
    (carry_out,) = list_commands(place.run("plan", "--config", "my options.yaml", "--out", "my.plan").stderr)
    assert carry_out == "sshd-keepalive apply --config 'my options.yaml' my.plan"


def test_sessions_that_no_plan_changes_suggest_no_plan(place: Place) -> None:
    assert place.run("apply", "--yes").status == 0
    ran = place.run("check", "--deep", "--concurrency", "50")
    assert ran.status == 1
    assert "set MaxSessions 50 on the host" in ran.stdout
    assert list_commands(ran.stderr) == []


def hint_of(ran: Ran) -> str:
    hint = ran.host("one")["failure"]["hint"]
    assert isinstance(hint, str)
    return hint


def test_each_refused_login_has_a_hint_of_its_own(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    other = make_key(place.folder / "other")
    hosts = ("check", "-i", str(place.inventory), "--json", "-u", place.sshd.user)
    wrong_key = keepalive(*hosts, "--private-key", other)
    assert "authorized_keys" in hint_of(wrong_key)
    place.sshd.stop()
    with Sshd("PasswordAuthentication yes\n") as server:
        place.host |= {"port": server.port, "known_hosts": str(server.known_hosts), "password": "env:LOGIN"}
        place.write({})
        wrong_password = keepalive(*hosts, LOGIN="wrong-wrong-wrong")
        assert hint_of(wrong_password) == "correct the password in env:LOGIN"
        assert "wrong-wrong-wrong" not in wrong_password.stdout


def test_a_time_limit_is_named_with_a_value_that_is_longer(place: Place) -> None:
    with HostileServer(silence) as silent:
        place.host |= {"port": silent.port}
        place.write({})
        ran = place.run("check", "--json", "--timeout", "2")
    assert hint_of(ran).startswith("add --timeout 4, ")  # the engine may be the first to give up


def test_a_daemon_whose_file_has_a_space_in_its_path_is_not_called_broken(place: Place, tmp_path: Path) -> None:
    """It runs, and its files are right: only its words no longer tell the path."""

    class Spaced(Sshd):
        config_file = tmp_path / "my sshd_config"

    with Spaced("ClientAliveInterval 300") as sshd:
        for named in ({}, {"sshd_config": str(sshd.config_file)}):
            host = {key: value for key, value in sshd.inventory_host.items() if key != "sshd_config"} | named
            place.inventory.write_text(yaml.safe_dump({"hosts": {"a": host}}))
            ran = keepalive("check", "-i", place.inventory, "--format", "json")
            failure = ran.host()["failure"]
            assert (ran.status, failure["cause"], "a path with a space" in failure["message"]) == (
                3,
                "other-config",
                True,
            )
