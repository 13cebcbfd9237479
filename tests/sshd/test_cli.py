"""The commands against a real sshd on loopback, as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tests.support.cli import PROGRAM, keepalive
from tests.support.imports import record_imports
from tests.support.sshd import Sshd, find_sshd, make_key, wait_until, why_not
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]


@pytest.fixture
def sshd() -> Iterator[Sshd]:
    with Sshd("ClientAliveInterval 300\nClientAliveCountMax 0\n") as server:
        yield server


def inventory(server: Sshd, folder: Path, **settings: object) -> Path:
    """An inventory with one host, `one`, with some settings replaced."""
    host: dict[str, object] = {
        **server.inventory_host,
    }
    path = folder / "hosts.yaml"
    path.write_text(yaml.safe_dump({"hosts": {"one": {**host, **settings}}}))
    return path


def test_what_reads_a_host_is_imported_while_the_login_waits(sshd: Sshd, tmp_path: Path) -> None:
    words = ("check", "-i", inventory(sshd, tmp_path))
    # On a busy machine the login may be the quicker thread.
    assert any(("imports", "sshd_keepalive.sshd_config.reading") in record_imports(tmp_path, *words) for _ in range(4))


def test_check_plan_apply_check(sshd: Sshd, tmp_path: Path) -> None:
    hosts = inventory(sshd, tmp_path)
    before = sshd.config_file.read_text()
    checked = keepalive("check", "-i", hosts)
    assert checked.status == 1
    assert "ClientAliveCountMax 0, wanted 3" in checked.stdout
    assert "300/0 is a known-harmful pair" in checked.stdout
    assert checked.stderr == f"next: sshd-keepalive plan -i {hosts}\n"

    planned = keepalive("apply", "--check", "--diff", "-i", hosts)
    assert planned.status == 1
    assert "-ClientAliveCountMax 0\n+ClientAliveCountMax 3\n" in planned.stdout
    assert sshd.config_file.read_text() == before

    applied = keepalive("apply", "--yes", "-i", hosts, "--format", "json")
    assert applied.host()["change"] == "applied", applied.stdout
    assert [step["name"] for step in applied.host()["steps"]][-2:] == ["verify", "confirm"]
    assert all(step["ok"] for step in applied.host()["steps"])
    assert sshd.config_file.read_text() == before.replace("ClientAliveCountMax 0", "ClientAliveCountMax 3")
    assert keepalive("check", "-i", hosts, "-q").stdout.splitlines()[-1] == "1 host: 1 ok"


def test_a_change_that_waits_for_its_confirmation_is_not_ok(sshd: Sshd, tmp_path: Path) -> None:
    hosts = inventory(sshd, tmp_path)
    before = sshd.config_file.read_text()
    first = keepalive("apply", "--yes", "--no-confirm", "--confirm-timeout", "600", "-i", hosts, "--format", "json")
    assert (first.status, first.host()["change"], first.host()["pending"]["phase"]) == (0, "applied", "waiting")
    run_id, reverts_at = first.data["run_id"], first.host()["pending"]["reverts_at"]
    for words in (("check",), ("check", "--deep"), ("plan",), ("apply", "--yes")):
        ran = keepalive(*words, "-i", hosts, "--format", "json")
        assert (ran.status, ran.host()["state"]) == (3, "unknown"), words
        failure = ran.host()["failure"]
        assert (failure["kind"], failure["cause"]) == ("locked", "not_confirmed")
        assert ran.host()["pending"]["run_id"] == run_id
        assert abs(moment(ran.host()["pending"]["reverts_at"]) - moment(reverts_at)) < timedelta(seconds=30)
    said = keepalive("check", "-i", hosts)
    shown = reverts_at.replace("T", " ")[:15]  # to the tens of minutes
    assert f"    locked: not confirmed: run {run_id} reverts at {shown}" in said.stdout
    assert f" UTC\n    next: sshd-keepalive confirm -i {hosts} one\n" in said.stdout
    assert said.stderr == f"next: sshd-keepalive confirm -i {hosts}\n"
    confirmed = keepalive("confirm", "-i", hosts, "--format", "json")
    assert (confirmed.status, confirmed.host()["change"], confirmed.host()["pending"]) == (0, "applied", None)
    assert keepalive("check", "-i", hosts).status == 0
    assert sshd.config_file.read_text() != before


def test_whether_the_host_has_confirmed_is_unknown_without_its_answer(sshd: Sshd, tmp_path: Path) -> None:
    hosts = inventory(sshd, tmp_path)
    assert keepalive("apply", "--yes", "--no-confirm", "--confirm-timeout", "600", "-i", hosts).status == 0
    (script,) = sshd.folder.glob(".sshd-keepalive/*/*/guard.sh")
    text = script.read_text()
    script.write_text("exit\n")
    confirmed = keepalive("confirm", "-i", hosts, "--format", "json")
    assert (confirmed.host()["change"], confirmed.host()["state"]) == ("unproved", "unknown"), confirmed.stdout
    assert confirmed.host()["failure"]["hint"] == "run check on this host"
    script.write_text(text)
    assert keepalive("confirm", "-i", hosts, "--format", "json").host()["change"] == "applied"


def test_a_change_whose_run_was_killed_is_not_ok(sshd: Sshd, tmp_path: Path) -> None:
    hosts = inventory(sshd, tmp_path)
    before = sshd.config_file.read_text()
    # Without a confirmation it does not matter how far beyond its second login it comes.
    words = ("apply", "--yes", "--no-confirm", "--confirm-timeout", "40", "-i", str(hosts))
    with subprocess.Popen([*PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as apply:
        wait_until(lambda: sshd.log.count("Connection from") == 2, 60, "the login that is to prove the change")
        apply.kill()
    installed = list(sshd.folder.glob(".sshd-keepalive/*/*/installed"))
    assert installed
    seen = keepalive("check", "-i", hosts, "--format", "json")
    assert (seen.status, seen.host()["failure"]["kind"]) == (3, "locked")
    assert seen.host()["pending"]["run_id"] == installed[0].parent.name
    assert wait_for_revert(hosts)["run_id"] == installed[0].parent.name
    assert sshd.config_file.read_text() == before


def wait_for_revert(hosts: Path) -> dict[str, str]:
    """Check the host until its guard has reverted a change; until then there is no verdict.

    Nobody listens for the moment of the restart.
    """
    ends_at = time.monotonic() + 120
    while (seen := keepalive("check", "-i", hosts, "--format", "json")).host()["reverted"] is None:
        assert (seen.status, seen.host()["state"] in ("unknown", "unreachable")) == (3, True), seen.stdout
        assert time.monotonic() < ends_at
        time.sleep(0.5)  # others need the processor too
    reverted: dict[str, str] = seen.host()["reverted"]
    return reverted


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_undo_takes_a_waiting_change_back(sshd: Sshd, tmp_path: Path) -> None:
    hosts = inventory(sshd, tmp_path)
    before = sshd.config_file.read_text()
    first = keepalive("apply", "--yes", "--no-confirm", "--confirm-timeout", "600", "-i", hosts, "--format", "json")
    other = keepalive("undo", "--yes", "--run", "20260101T000000Z-000000", "-i", hosts, "--format", "json")
    assert (other.status, other.host()["failure"]["cause"]) == (3, "not_confirmed")
    planned = keepalive("undo", "--dry-run", "-i", hosts, "--format", "json")
    assert "-ClientAliveCountMax 3\n+ClientAliveCountMax 0\n" in planned.host()["diff"]
    assert sshd.config_file.read_text() != before
    undone = keepalive("undo", "--yes", "-i", hosts, "--format", "json")
    assert (undone.status, undone.host()["change"], undone.host()["failure"]) == (0, "applied", None), undone.stdout
    assert [step["name"] for step in undone.host()["steps"]][-2:] == ["revert", "verify"]
    assert sshd.config_file.read_text() == before
    seen = keepalive("check", "-i", hosts, "--format", "json")
    assert (seen.status, seen.host()["pending"]) == (1, None)
    assert seen.host()["reverted"]["run_id"] == first.data["run_id"]
    applied = keepalive("apply", "--yes", "-i", hosts, "--format", "json")
    assert (applied.status, applied.host()["reverted"]) == (0, None)
    assert keepalive("check", "-i", hosts, "--format", "json").host()["reverted"] is None


def test_a_revert_is_reported_afterwards(sshd: Sshd, tmp_path: Path) -> None:
    hosts = inventory(sshd, tmp_path)
    before = sshd.config_file.read_text()
    first = keepalive("apply", "--yes", "--no-confirm", "--confirm-timeout", "40", "-i", hosts, "--format", "json")
    assert first.host()["change"] == "applied", first.stdout
    reverted = wait_for_revert(hosts)
    assert sshd.config_file.read_text() == before
    assert (reverted["run_id"], reverted["reason"]) == (first.data["run_id"], "not confirmed within 40 s")
    assert timedelta() <= datetime.now(UTC) - moment(reverted["at"]) < timedelta(seconds=120)
    text = keepalive("check", "-i", hosts).stdout
    at = reverted["at"].replace("T", " ").replace("Z", " UTC")
    assert f"note: the host's guard reverted run {first.data['run_id']} at {at}: not confirmed within 40 s" in text
    applied = keepalive("apply", "--yes", "-i", hosts)
    assert (applied.status, "guard reverted" in applied.stdout) == (0, False), applied.stdout


def test_the_running_daemon_is_part_of_the_verdict(sshd: Sshd, tmp_path: Path) -> None:
    hosts = inventory(sshd, tmp_path)
    text = sshd.config_file.read_text()
    sshd.config_file.write_text(text.replace("ClientAliveCountMax 0", "ClientAliveCountMax 3"))
    ran = keepalive("check", "-i", hosts, "--format", "json")
    assert ran.status == 1
    wrong = [finding for finding in ran.host()["findings"] if finding["state"] == "drift"]
    assert [finding["setting"] for finding in wrong] == ["daemon"]
    sshd.reload()
    assert keepalive("check", "-i", hosts).status == 0


@pytest.mark.parametrize("command", ["check", "apply"])
def test_a_wrong_key_is_an_auth_failure(sshd: Sshd, tmp_path: Path, command: str) -> None:
    hosts = inventory(sshd, tmp_path, identity_file=str(make_key(tmp_path / "other")))
    ran = keepalive(command, *(["--yes"] if command == "apply" else []), "-i", hosts, "--format", "json")
    assert ran.status == 3
    assert ran.host()["failure"]["kind"] == "auth"
    assert ran.host()["change"] is None
    assert "one" in keepalive("check", "-i", hosts).stdout


def test_a_changed_and_an_unknown_host_key_are_refused(sshd: Sshd, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    kind, blob = Path(f"{other}.pub").read_text().split()[:2]
    known = tmp_path / "known_hosts"
    known.write_text(f"[{sshd.address}]:{sshd.port} {kind} {blob}\n")
    failure = keepalive("check", "-i", inventory(sshd, tmp_path, known_hosts=str(known)), "--format", "json").host()[
        "failure"
    ]
    assert (failure["kind"], failure["cause"]) == ("host_key", "hostkey-changed")
    known.write_text("")
    failure = keepalive("check", "-i", inventory(sshd, tmp_path, known_hosts=str(known)), "--format", "json").host()[
        "failure"
    ]
    assert (failure["kind"], failure["cause"]) == ("host_key", "hostkey-unknown")
    hosts = inventory(sshd, tmp_path, known_hosts=str(known), host_keys="accept-new")
    assert keepalive("check", "-i", hosts).status == 1
    assert f"[{sshd.address}]:{sshd.port}" in known.read_text()


def test_a_host_without_sshd_and_one_with_a_broken_file_say_so(sshd: Sshd, tmp_path: Path) -> None:
    hosts = inventory(sshd, tmp_path, sshd="/nowhere/sshd")
    failure = keepalive("check", "-i", hosts, "--format", "json").host()["failure"]
    assert failure["kind"] == "observe"
    hosts = inventory(sshd, tmp_path)
    text = sshd.config_file.read_text()
    sshd.config_file.write_text(text + "ClientAliveIntervall 300\n")
    checked = keepalive("check", "-i", hosts, "--format", "json")
    assert (checked.status, checked.host()["state"]) == (3, "unknown")
    assert "ClientAliveIntervall" in json.dumps(checked.host()["findings"])
    applied = keepalive("apply", "--yes", "-i", hosts, "--format", "json").host()
    assert (applied["change"], applied["failure"]["kind"]) == ("refused", "config_broken")
    assert sshd.config_file.read_text().endswith("ClientAliveIntervall 300\n")


def test_reports_for_files_are_written_beside_the_text(sshd: Sshd, tmp_path: Path) -> None:
    hosts = inventory(sshd, tmp_path)
    out = tmp_path / "report.json"
    ran = keepalive("check", "-i", hosts, "--out", f"json:{out}", "--out", f"text:{tmp_path}/report.txt")
    assert ran.status == 1
    assert json.loads(out.read_text())["summary"]["drift"] == 1
    assert "drift" in (tmp_path / "report.txt").read_text()
    assert sorted(path.name for path in tmp_path.glob(".report*")) == []


def test_interrupted_before_anything_was_begun_leaves_everything_and_exits_130(sshd: Sshd, tmp_path: Path) -> None:
    """A silent server holds the first host; the second one is never begun."""
    import socket

    before = sshd.config_file.read_text()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = inventory(sshd, tmp_path)
        data = yaml.safe_load(hosts.read_text())
        deaf = {**data["hosts"]["one"], "port": silent.getsockname()[1]}
        data["hosts"] = {"silent": deaf, **data["hosts"]}
        hosts.write_text(yaml.safe_dump(data, sort_keys=False))
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "sshd_keepalive",
                "apply",
                "--yes",
                "-f1",
                "-i",
                str(hosts),
                "--format",
                "json",
                "--timeout",
                "600",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
        silent.settimeout(60)
        connection, _ = silent.accept()
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=90)
        connection.close()
    assert process.returncode == 130
    assert "interrupted" in stderr
    hosts_told = {host["name"]: host["failure"]["cause"] for host in json.loads(stdout)["hosts"]}
    assert set(hosts_told) == {"silent", "one"}
    assert hosts_told["one"] == "interrupted"
    assert sshd.config_file.read_text() == before


@pytest.mark.parametrize(("answer", "code", "end"), [("y", 0, "applied"), ("n", 1, "next")])
def test_on_a_terminal_the_plan_is_shown_and_asked_about(
    sshd: Sshd, tmp_path: Path, answer: str, code: int, end: str
) -> None:
    hosts = inventory(sshd, tmp_path)
    before = sshd.config_file.read_text()
    with Terminal("apply", "-i", str(hosts), NO_COLOR="1") as terminal:
        terminal.wait_for("change 1 of 1 host? [y/N]")
        assert "-ClientAliveCountMax 0\n+ClientAliveCountMax 3\n" in terminal.shown
        assert sshd.config_file.read_text() == before
        terminal.answer(answer)
        assert terminal.end() == code
        assert ("\napplied " in terminal.shown) == (answer == "y")
    assert (sshd.config_file.read_text() == before) == (answer == "n")


def test_colour_is_for_terminals_and_can_be_turned_off(sshd: Sshd, tmp_path: Path) -> None:
    hosts = str(inventory(sshd, tmp_path))
    with Terminal("check", "-i", hosts) as terminal:
        assert terminal.end() == 1
        assert "\x1b[33mdrift" in terminal.raw
    with Terminal("check", "-i", hosts, NO_COLOR="1") as terminal:
        assert terminal.end() == 1
        assert "\x1b[" not in terminal.raw
    assert "\x1b[" not in keepalive("check", "-i", hosts).stdout
    assert "\x1b[33mdrift" in keepalive("check", "-i", hosts, "--color", "always").stdout


def test_a_plan_that_is_no_longer_true_is_not_carried_out(sshd: Sshd, tmp_path: Path) -> None:
    hosts = inventory(sshd, tmp_path)
    with Terminal("apply", "-i", str(hosts), NO_COLOR="1") as terminal:
        terminal.wait_for("[y/N]")
        edited = sshd.config_file.read_text() + "# somebody was here\n"
        sshd.config_file.write_text(edited)
        terminal.answer("y")
        assert terminal.end() == 3
        assert "changed_meanwhile" in terminal.shown
    assert sshd.config_file.read_text() == edited


def two_hosts(server: Sshd, folder: Path) -> Path:
    """An inventory whose first host nobody answers for, and whose second one is the server."""
    hosts = inventory(server, folder)
    data = yaml.safe_load(hosts.read_text())
    closed = {**data["hosts"]["one"], "port": 1}
    hosts.write_text(yaml.safe_dump({"hosts": {"closed": closed, "one": data["hosts"]["one"]}}, sort_keys=False))
    return hosts


def test_a_spent_budget_begins_nothing_more_and_the_run_can_be_resumed(sshd: Sshd, tmp_path: Path) -> None:
    hosts = two_hosts(sshd, tmp_path)
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    before = sshd.config_file.read_text()
    ran = keepalive("apply", "--yes", "-i", hosts, "--canary", "1", "--format", "json", **state)
    assert ran.status == 3
    assert "stopped: 1 host failed, and --max-fail allows 0" in ran.stderr
    assert ran.host("one")["failure"]["cause"] == "budget"
    assert sshd.config_file.read_text() == before
    run_id = ran.data["run_id"]
    assert (tmp_path / f"state/sshd-keepalive/runs/{run_id}.failed").read_text() == "closed\none\n"

    resumed = keepalive("apply", "--yes", "-i", hosts, "--resume", run_id, "--format", "json", **state)
    assert (resumed.host("closed")["state"], resumed.host("one")["change"]) == ("unreachable", "applied")
    again = keepalive("apply", "--yes", "-i", hosts, "--resume", resumed.data["run_id"], "--format", "json", **state)
    assert [host["name"] for host in again.data["hosts"]] == ["closed"]
    failed = tmp_path / f"state/sshd-keepalive/runs/{again.data['run_id']}.failed"
    assert keepalive("hosts", "-i", hosts, "--limit", f"@{failed}").stdout.endswith("\n1 host\n")


def test_hosts_reverted_by_on_failure_undo_are_as_before(sshd: Sshd, tmp_path: Path) -> None:
    hosts = two_hosts(sshd, tmp_path)
    before = sshd.config_file.read_text()
    data = yaml.safe_load(hosts.read_text())["hosts"]
    hosts.write_text(yaml.safe_dump({"hosts": {"one": data["one"], "closed": data["closed"]}}, sort_keys=False))
    words = ("--serial", "1", "--on-failure", "undo", "--format", "json")
    ran = keepalive("apply", "--yes", "-i", hosts, *words, XDG_STATE_HOME=str(tmp_path / "state"))
    assert ran.status == 4
    assert (ran.host("one")["change"], ran.host("one")["failure"]["cause"]) == ("rolled_back", "taken-back")
    assert ran.host("closed")["state"] == "unreachable"
    assert sshd.config_file.read_text() == before


def test_a_rollback_waits_for_an_sshd_that_does_not_listen_yet(tmp_path: Path) -> None:
    restart, is_over = tmp_path / "restart", tmp_path / "over"
    with Sshd("ClientAliveInterval 0") as server:
        pid_file = server.folder / "pid"
        # The first restart fails; the one that brings the old files back ends a second before sshd listens.
        restart.write_text(
            f'[ -e {is_over} ] || {{ : >{is_over}; exit 1; }}\nkill "$(cat {pid_file})"\n'
            f"(sleep 1; exec {find_sshd()} -D -f {server.config_file}) >/dev/null 2>&1 </dev/null &\n"
        )
        service = {"manager": "command", "restart": f"sh {restart}", "is_active": "true"}
        hosts = inventory(server, tmp_path, service=service)
        before = server.config_file.read_text()
        first = server.pid
        ran = keepalive("apply", "--yes", "-i", hosts, "--json", XDG_STATE_HOME=str(tmp_path / "state"))
        assert server.config_file.read_text() == before
        wait_until(lambda: pid_file.exists() and pid_file.read_text() not in ("", f"{first}\n"), 60, "the second sshd")
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
    assert (ran.status, ran.host()["change"]) == (4, "rolled_back"), ran.host()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--serial", "0"], "not a valid wave size"),
        (["--max-fail", "lots"], "--max-fail"),
        (["--resume", "../x"], "the run does not exist"),
        (["--serial", "label:zone"], "no host has this label"),
    ],
)
def test_a_rollout_that_means_nothing_is_reported_before_any_host_is_contacted(
    sshd: Sshd, tmp_path: Path, words: list[str], said: str
) -> None:
    ran = keepalive("apply", "--yes", "-i", inventory(sshd, tmp_path), *words)
    assert (ran.status, said in ran.stderr) == (2, True)
    assert "Accepted" not in sshd.log


@pytest.mark.parametrize(
    ("says", "ours", "read"),
    [("clientaliveinterval 45", "ClientAliveInterval 300", "45"), ("clientaliveinterval 300", "Match Riddle x", "300")],
)
def test_a_host_whose_sshd_reads_its_files_otherwise_is_refused_with_both_readings(
    sshd: Sshd, tmp_path: Path, says: str, ours: str, read: str
) -> None:
    """A stand-in for the build of a vendor that knows what we do not."""
    other = tmp_path / "sshd"
    other.write_text(
        f"#!/bin/sh\ncase $* in *-T*) printf '{says}\\nclientalivecountmax 0\\npidfile {sshd.folder}/pid\\n'; exit ;; "
        "esac\n"
        'exec /usr/sbin/sshd "$@"\n'
    )
    other.chmod(0o755)
    text = sshd.config_file.read_text().replace("ClientAliveInterval 300", ours)
    sshd.config_file.write_text(text)
    hosts = inventory(sshd, tmp_path, sshd=str(other))
    for command in (("check",), ("plan",), ("apply", "--yes")):
        ran = keepalive(*command, "-i", hosts, "--format", "json")
        host = ran.host()
        assert (ran.status, host["state"], host["failure"]["kind"]) == (3, "unknown", "observe")
        assert host["failure"]["cause"] == "readings-differ"
        assert f"sshd -T {'reports' if read == '45' else 'reads'} {read}" in host["failure"]["message"]
        assert ("this program reads 300" if read == "45" else "this program cannot read the files") in host["failure"][
            "message"
        ]
        assert host["change"] == ("refused" if command[0] == "apply" else None)
    assert sshd.config_file.read_text() == text


def test_a_policy_by_effect_is_written_as_the_release_needs_it_and_seen_to_work(tmp_path: Path) -> None:
    """One run wants a keep-alive every 4 s: a real client sees it, whatever stands in the file."""
    with Sshd("ClientAliveInterval 0\n") as server:
        hosts = inventory(server, tmp_path, policy={"ClientAliveInterval": 4})
        plain = keepalive("apply", "--yes", "-i", hosts)
        assert plain.status == 0, plain.stdout
        facts = keepalive("check", "-i", hosts, "--format", "json").host()["facts"]
        release = tuple(int(number) for number in facts["openssh"].split("p")[0].split("."))
        is_late = (9, 2) <= release <= (9, 4)
        said = "    the first keep-alive comes after 8 s: OpenSSH"
        assert (said in plain.stdout) is is_late

        by_effect = ("--keep-alive-every", "4", "--drop-dead-after", "16")
        assert keepalive("check", "-i", hosts, *by_effect).status == (1 if is_late else 0)
        planned = keepalive("plan", "-i", hosts, *by_effect)
        if is_late:
            assert (
                planned.stderr == f"next: sshd-keepalive apply -i {hosts} --keep-alive-every 4 --drop-dead-after 16\n"
            )
        applied = keepalive("apply", "--yes", "-i", hosts, *by_effect)
        assert applied.status == 0, applied.stdout
        assert said not in applied.stdout
        assert f"ClientAliveInterval {2 if is_late else 4}\nClientAliveCountMax 3\n" in server.config_file.read_text()
        assert keepalive("check", "-i", hosts, *by_effect).status == 0
        wanted = inventory(server, tmp_path, policy={"keep_alive_every": 4, "drop_dead_after": 16})
        probed = keepalive("probe", "-i", wanted, "--format", "json").host()
    (observed,) = (finding for finding in probed["findings"] if finding["setting"] == "observed")
    assert (observed["wanted"], observed["state"]) == ("a keep-alive every 4 s, alive", "ok"), probed
    assert "notes" not in probed["facts"]


def test_a_change_for_one_run_is_confirmed_with_the_same_words(tmp_path: Path) -> None:
    with Sshd("ClientAliveInterval 0\n") as server:
        hosts = inventory(server, tmp_path)
        words = ("--interval", "120", "--count", "4")
        applied = keepalive("apply", "--yes", "--no-confirm", "-i", hosts, *words)
        assert f"next: sshd-keepalive confirm -i {hosts} --interval 120 --count 4\n" in applied.stderr, applied.stdout
        confirmed = keepalive("confirm", "-i", hosts, *words, "--format", "json")
        assert confirmed.host()["change"] == "applied", confirmed.stdout
        assert "ClientAliveInterval 120\nClientAliveCountMax 4\n" in server.config_file.read_text()
