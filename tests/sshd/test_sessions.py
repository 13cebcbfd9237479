"""`sessions` against a real sshd: who still runs with the old values."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sshd.test_jump_host_fleet import children
from tests.sshd.test_probe import inventory
from tests.support.cli import keepalive
from tests.support.sshd import Sshd, wait_until, why_not
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]


@pytest.fixture
def sshd() -> Iterator[Sshd]:
    with Sshd("ClientAliveInterval 2\nClientAliveCountMax 3\n") as server:
        yield server


def client(server: Sshd, name: str) -> subprocess.Popen[str]:
    """A session of the ssh program that has begun."""
    process = subprocess.Popen(
        ["ssh", "-F", "none", "-o", f"UserKnownHostsFile={server.known_hosts}", "-o", "BatchMode=yes",
         "-i", str(server.user_key), "-p", str(server.port), f"{server.user}@{server.address}",
         f"echo here; exec sleep {name}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


def wait_until_a_second_after(began_s: float) -> None:
    """Wait: what lies closer together is not told apart."""
    time.sleep(max(0.0, began_s + 1 - time.monotonic()))


def test_what_began_before_the_reload_is_listed_and_what_began_after_is_not(sshd: Sshd, tmp_path: Path) -> None:
    hosts = inventory(sshd, tmp_path)
    old = client(sshd, "3001")
    began_s = time.monotonic()
    new = None
    try:
        nothing = keepalive("sessions", "-i", hosts, "--format", "json")
        assert (nothing.status, nothing.host()["findings"]) == (0, []), nothing.stdout
        assert nothing.host()["facts"]["sessions"] == "1"
        wait_until_a_second_after(began_s)
        sshd.reload()
        new = client(sshd, "3002")
        ran = keepalive("sessions", "-i", hosts, "--format", "json")
        (found,) = ran.host()["findings"]
        assert (ran.status, ran.host()["state"], found["state"]) == (1, "drift", "drift")
        assert "sleep 3001" in found["value"]
        assert found["value"].startswith(f"{sshd.user} on notty from 127.0.0.1:")
        everybody = keepalive("sessions", "--all", "-i", hosts, "--format", "json").host()
        assert [finding["state"] for finding in everybody["findings"]] == ["drift", "ok"]
    finally:
        for process in (old, new):
            if process is not None:
                process.kill()
                process.communicate()


def test_apply_says_that_sessions_keep_the_old_values(tmp_path: Path) -> None:
    with Sshd() as gone:
        stranger = client(gone, "3004")  # outlives its listener, and is none of the other's
    with Sshd("ClientAliveInterval 7\nClientAliveCountMax 3\n") as server:
        hosts = inventory(server, tmp_path)
        old = client(server, "3003")
        began_s = time.monotonic()
        try:
            wait_until_a_second_after(began_s)
            applied = keepalive("apply", "--yes", "-i", hosts)
        finally:
            for process in (old, stranger):
                process.kill()
                process.communicate()
        assert applied.status == 0, applied.stdout
        assert "note: 1 session keeps the old values until it ends" in applied.stdout
        assert f"next: sshd-keepalive sessions -i {hosts}\n" in applied.stderr


# 70: nobody can tell either whether a client answers that was never asked.
@pytest.mark.parametrize(
    ("before", "asks", "is_told"),
    [("0", (), True), ("0", ("-q",), True), ("0", ("--json",), True), ("70", None, True), ("1", None, False)],
)
def test_plan_and_apply_tell_once_that_live_clients_may_not_answer(
    tmp_path: Path, before: str, asks: tuple[str, ...] | None, is_told: bool
) -> None:
    with Sshd(f"ClientAliveInterval {before}\nClientAliveCountMax 3\n") as server:
        hosts = inventory(server, tmp_path)
        old = client(server, "3005")
        began_s = time.monotonic()
        try:
            wait_until_a_second_after(began_s)
            facts = keepalive("plan", "-i", hosts, "--format", "json").host()["facts"]
            planned = keepalive("plan", "-i", hosts)
            if asks is not None:
                with Terminal("apply", "-i", str(hosts), *asks, NO_COLOR="1") as terminal:
                    terminal.wait_for("change 1 of 1 host? [y/N]")
                    assert "may not answer" in " ".join(terminal.shown.split())
                    terminal.answer("y")
                    code, applied = terminal.end(), terminal.shown
            else:
                ran = keepalive("apply", "--yes", "-i", hosts)
                code, applied = ran.status, ran.stderr
        finally:
            old.kill()
            old.communicate()
        assert code == 0, applied
        # (3 + 1) x 2 s; OpenSSH 9.2 to 9.4 sends keep-alives half as often.
        after_s = facts.get("silent_clients_dropped_after")
        assert after_s in (("8", "16") if is_told else (None,))
        assert facts.get("sessions_that_may_not_answer") == ("1" if is_told else None)
        note = (
            "note: the client of 1 live session may not answer keep-alives. With the new values sshd drops such a "
            f"client after {after_s} s, from its next login on: `losses` and `sessions --ask-clients` name it"
        )
        shown = [" ".join(text.split()) for text in (planned.stderr, applied)]  # a terminal wraps it
        assert [text.count(note) for text in shown] == [is_told] * 2, applied
        assert [text.count("may not answer") for text in shown] == [is_told] * 2, applied


def test_a_client_that_answers_is_not_doubted_when_the_limit_becomes_shorter(tmp_path: Path) -> None:
    with Sshd("ClientAliveInterval 1\nClientAliveCountMax 100\nLogLevel DEBUG1\n") as server:
        hosts = inventory(server, tmp_path)
        healthy, frozen = client(server, "3006"), None
        try:

            def count_doubtful() -> str:
                return keepalive("plan", "-i", hosts, "--format", "json").host()["facts"][
                    "sessions_that_may_not_answer"
                ]

            wait_until(lambda: count_doubtful() == "0", 60, "its answers")
            frozen = client(server, "3007")
            os.kill(frozen.pid, signal.SIGSTOP)
            asking = ("sessions", "--ask-clients", "-i", hosts)
            wait_until(lambda: keepalive(*asking).status == 1, 60, "the frozen client to leave a keep-alive unanswered")
            assert count_doubtful() == "1"
        finally:
            for process in (healthy, frozen):
                if process is not None:
                    process.kill()
                    process.communicate()


def test_a_client_that_does_not_answer_is_listed_and_one_that_does_is_not(tmp_path: Path) -> None:
    with Sshd("ClientAliveInterval 2\nClientAliveCountMax 100\n") as server:
        hosts = inventory(server, tmp_path)
        healthy, frozen = client(server, "3003"), client(server, "3004")
        try:
            os.kill(frozen.pid, signal.SIGSTOP)

            def found() -> list[dict[str, str]]:
                return keepalive("sessions", "--ask-clients", "-i", hosts, "--format", "json").host()["findings"]

            wait_until(found, 60, "the frozen client to leave a keep-alive unanswered")
            (finding,) = found()
            assert (finding["setting"], finding["state"]) == ("silent client", "drift")
            os.kill(frozen.pid, signal.SIGCONT)
            wait_until(lambda: not found(), 60, "its answer")
            answering = keepalive("sessions", "--ask-clients", "-i", hosts, "--format", "json")
            assert (answering.status, answering.host()["facts"]["sessions"]) == (0, "2")
        finally:
            for process in (healthy, frozen):
                process.kill()
                process.communicate()


def test_where_no_client_is_silent_the_line_of_the_host_says_so(tmp_path: Path) -> None:
    with Sshd("ClientAliveInterval 300\nClientAliveCountMax 3\n") as server:
        ran = keepalive("sessions", "--ask-clients", "-i", inventory(server, tmp_path))
    first = ran.stdout.splitlines()[0]
    assert (ran.status, first.split("  ")[-1]) == (0, "no session has left its last keep-alive unanswered")


def test_an_sshd_that_is_late_with_its_keep_alives_is_not_counted_against_a_client(tmp_path: Path) -> None:
    with Sshd("ClientAliveInterval 1\nClientAliveCountMax 100\nLogLevel DEBUG1\n") as server:
        hosts = inventory(server, tmp_path)
        healthy = client(server, "3009")
        try:
            wait_until(lambda: " for keepalive" in server.log, 60, "a keep-alive and its answer")
            serving = children(server.pid)
            for pid in serving:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(6)  # longer than a client may be silent; that nothing is sent is no event
            ran = keepalive("sessions", "--ask-clients", "-i", hosts, "--format", "json")
            for pid in serving:
                os.kill(pid, signal.SIGCONT)
        finally:
            healthy.kill()
            healthy.communicate()
    assert (ran.status, ran.host()["findings"], ran.host()["facts"]["sessions"]) == (0, [], "1"), ran.stdout
