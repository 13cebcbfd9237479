"""Whatever goes wrong at whatever step: the files are wholly old or wholly new, the login works, and nothing is left.

The table of docs/guarantees.md is what these tests found: SSHD_KEEPALIVE_WRITE_GUARANTEES=1 writes it.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from . import guarantees
from .faults import CONFIG, DEADLINE_S, STATE, STOPS, Victim, kill, wait_for
from .hosts import Lab

#: All steps on all kinds, for a long night and for the page; else systemd and SysV get all, the others the decisive.
ALL = bool(os.environ.get("SSHD_KEEPALIVE_WRITE_GUARANTEES") or os.environ.get("SSHD_KEEPALIVE_ALL_FAULTS"))
DECISIVE = ("arm", "rehearse", "installed", "verify", "confirm")
KINDS = ("d12", "socket", "sysv", "openrc")
Victims = dict[str, Victim]
#: From here on the files may be new.
LATE = ("confirm", "confirmed")


@pytest.fixture(scope="module")
def victims(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victims]:
    hosts = lab.boot_all(list(KINDS))
    folder = tmp_path_factory.mktemp("faults")
    yield {host.kind: Victim(lab, host, folder) for host in hosts}
    for host in hosts:
        host.stop()
        lab.hosts.remove(host)


@pytest.fixture(scope="module")
def table() -> Iterator[guarantees.Table]:
    found = guarantees.Table()
    yield found
    if os.environ.get("SSHD_KEEPALIVE_WRITE_GUARANTEES"):
        guarantees.write(found)


def everywhere(
    victims: Victims, table: guarantees.Table, fault: str, steps: tuple[str, ...], cell: Callable[[Victim, str], str]
) -> None:
    """Run a cell for each step on each host, hosts side by side; all that failed is told at once."""

    def on(victim: Victim) -> list[str]:
        problems = []
        for step in steps:
            if not ALL and victim.host.kind in ("socket", "openrc") and step not in DECISIVE:
                continue
            try:
                victim.fresh()
                result = cell(victim, step)
            except Exception as error:
                problems.append(f"{fault}, {step}, {victim.host.kind}: {error!r}"[:1500])
                result = "FAILED"
            table.add(fault, step, victim.host.kind, result)
        return problems

    with ThreadPoolExecutor() as pool:
        failed = [problem for problems in pool.map(on, victims.values()) for problem in problems]
    assert not failed, "\n".join(failed)


@pytest.mark.timeout(600)
def test_controller_killed_before_each_step(victims: Victims, table: guarantees.Table) -> None:
    def cell(victim: Victim, step: str) -> str:
        with victim.stopped_before(step) as process:
            kill(process)
        found = victim.verdict()
        assert found == "old" or step in LATE
        return found

    everywhere(victims, table, "controller killed", tuple(STOPS), cell)


@pytest.mark.timeout(600)
def test_network_cut_before_each_step(victims: Victims, table: guarantees.Table) -> None:
    def cell(victim: Victim, step: str) -> str:
        with victim.stopped_before(step) as process:
            victim.host.run("ip link set host0 down")
        time.sleep((2 if step in ("verify", "confirmed") else 1) * DEADLINE_S + 1)
        victim.host.run("ip link set host0 up")
        output, _ = process.communicate(timeout=90)
        end = json.loads(output)["hosts"][0]["end"]
        found = victim.verdict()
        assert (found, end) in (("old", "rolled_back"), ("old", "refused"), ("new", "applied"), ("new", "unknown"))
        return f"{found}, said {end}"

    everywhere(victims, table, "network cut", ("rehearse", "installed", "verify", "confirmed"), cell)


@pytest.mark.timeout(600)
def test_power_cut_while_armed(victims: Victims, table: guarantees.Table) -> None:
    def cell(victim: Victim, step: str) -> str:
        with victim.stopped_before(step) as process:
            kill(process)
            victim.host.stop()
        victim.host.start()
        if step == "installed":  # it was installed when the power went
            assert "before anybody confirmed" in victim.host.run(f"cat {STATE}/taken_back").stdout
        found = victim.verdict()
        assert found == "old" or step in LATE
        return found

    everywhere(victims, table, "power cut", ("rehearse", "installed", "verify", "confirmed"), cell)


# ------------------------------------------------------------------------------- what goes wrong by itself


def end_of(victim: Victim, *words: str) -> tuple[str, str, float]:
    began = time.monotonic()
    process = victim.start(*words)
    output, _ = process.communicate(timeout=120)
    host = json.loads(output)["hosts"][0]
    return host["end"], (host["failure"] or {}).get("message", ""), time.monotonic() - began


WITH_NEW = f"grep -q '^ClientAliveInterval 300' {CONFIG}"


def breaks_sshd(victim: Victim, option: str, trouble: str) -> None:
    """Whenever the new file is there sshd gets an option (init scripts), or runs `trouble` instead (systemd)."""
    if victim.host.kind != "d12":
        text = f"if {WITH_NEW}; then SSHD_OPTS='-o {option}'; fi\n"
        (victim.host.files / "etc/default/ssh").write_text(text)
        return
    sshd = victim.host.files / "usr/sbin/sshd"
    if not (victim.host.files / "usr/sbin/sshd.real").exists():
        victim.host.run("cp -p /usr/sbin/sshd /usr/sbin/sshd.real")
    sshd.unlink()
    sshd.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *-T*|*-t*|*-i*|*-V*) ;; *) if {WITH_NEW}; then\n{trouble}\nfi ;; esac\n'
        'exec /usr/sbin/sshd.real "$@"\n'
    )
    sshd.chmod(0o755)


def mends_sshd(victim: Victim) -> None:
    if (victim.host.files / "usr/sbin/sshd.real").exists():
        victim.host.run("mv -f /usr/sbin/sshd.real /usr/sbin/sshd")
    if victim.host.kind != "d12":
        (victim.host.files / "etc/default/ssh").write_text("SSHD_OPTS=\n")
    victim.fresh()


@pytest.fixture
def two(victims: Victims) -> Iterator[Victims]:
    """systemd and SysV stand for the others; on both sshd can be made to fail."""
    some = {kind: victims[kind] for kind in ("d12", "sysv")}
    yield some
    for victim in some.values():
        mends_sshd(victim)


def test_restart_fails_with_the_new_file_only(two: Victims, table: guarantees.Table) -> None:
    def cell(victim: Victim, step: str) -> str:
        breaks_sshd(victim, "Nonsense=1", "echo no such luck >&2; exit 1")
        victim.host.restart_sshd()
        end, message, seconds_s = end_of(victim, "--confirm-timeout", "30")
        assert (end, "did not bring" in message) == ("rolled_back", True), (end, message)
        assert seconds_s < 20
        assert victim.config == victim.stock
        mends_sshd(victim)
        return f"{victim.verdict()}, said {end}"

    everywhere(two, table, "sshd does not start with the new file", ("restart",), cell)


def test_new_logins_fail_after_the_restart(two: Victims, table: guarantees.Table) -> None:
    def cell(victim: Victim, step: str) -> str:
        breaks_sshd(victim, "DenyUsers=ops", 'exec /usr/sbin/sshd.real "$@" -o DenyUsers=ops')
        victim.host.restart_sshd()
        end, message, seconds_s = end_of(victim, "--confirm-timeout", "30")
        assert (end, "did not prove" in message) == ("rolled_back", True), (end, message)
        assert seconds_s < 20
        mends_sshd(victim)
        return f"{victim.verdict()}, said {end}"

    everywhere(two, table, "new logins fail", ("verify",), cell)


def test_sshd_falls_over_after_it_was_confirmed(two: Victims, table: guarantees.Table) -> None:
    def cell(victim: Victim, step: str) -> str:
        victim.host.run("mkdir -p /etc/systemd/system/ssh.service.d")
        (victim.host.files / "etc/systemd/system/ssh.service.d/stay.conf").write_text("[Service]\nRestart=no\n")
        victim.host.run("systemctl daemon-reload", check=False)
        end, _, _ = end_of(victim, "--confirm-timeout", "6")
        assert end == "applied"
        victim.host.run("kill -9 $(cat /run/sshd.pid)")
        record = victim.host.files / f"{STATE.lstrip('/')}/taken_back"
        wait_for(record.exists, 20, "the guard to notice that sshd is gone")
        assert "was gone when the time was up" in record.read_text()
        assert victim.config == victim.stock
        return f"{victim.verdict()}, said {end}"

    everywhere(two, table, "sshd crashes after it was confirmed", ("afterwards",), cell)


def test_two_applies_at_once_and_an_edit_in_between(two: Victims, table: guarantees.Table) -> None:
    def cell(victim: Victim, step: str) -> str:
        with victim.stopped_before(step) as first:
            if step == "compare":
                second = victim.start()
                output, _ = second.communicate(timeout=60)
                assert json.loads(output)["hosts"][0]["failure"]["kind"] == "locked"
            else:
                path = victim.host.files / CONFIG.lstrip("/")
                path.write_bytes(path.read_bytes() + b"# somebody else\n")
        output, _ = first.communicate(timeout=60)
        end = json.loads(output)["hosts"][0]["end"]
        if step == "compare":
            assert end in ("applied", "rolled_back"), output
            return f"{victim.verdict()}, said {end}"
        assert (end, json.loads(output)["hosts"][0]["failure"]["kind"]) == ("refused", "changed_meanwhile"), output
        assert victim.config == victim.stock + b"# somebody else\n"
        victim.fresh()
        return f"{victim.verdict()}, said {end}"

    everywhere(two, table, "two applies, an edit in between", ("compare", "rehearse"), cell)


def test_interrupted_run_finishes_what_it_began(victims: Victims) -> None:
    """Ctrl-C: the host in flight is finished, no other is begun, and the run says so."""
    import signal

    victim = victims["d12"]
    victim.fresh()
    with victim.stopped_before("rehearse") as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    output, errors = process.communicate(timeout=60)
    document = json.loads(output)
    assert (process.returncode, document["exit_code"]) == (130, 130)
    assert b"interrupted" in errors
    assert document["hosts"][0]["end"] in ("applied", "rolled_back", "refused")
    victim.verdict()


def test_sudo_that_fails_in_between_leaves_it_to_the_guard(victims: Victims, table: guarantees.Table) -> None:
    victim = victims["d12"]
    victim.fresh()
    rules = victim.host.files / "etc/sudoers.d"
    with victim.stopped_before("restart") as process:
        victim.host.run(f"mkdir /root/rules; mv /etc/sudoers.d/* /root/rules/; ls {rules} /etc/sudoers.d", check=False)
    output, _ = process.communicate(timeout=90)
    host = json.loads(output)["hosts"][0]
    victim.host.run("mv /root/rules/* /etc/sudoers.d/; rmdir /root/rules")
    assert (host["end"], "reverts by itself at" in host["failure"]["hint"]) == ("unknown", True), host
    table.add("sudo fails in between", "verify", "d12", f"{victim.verdict()}, said unknown")


def test_the_second_interrupt_leaves_the_rest_to_the_guard(victims: Victims) -> None:
    import signal

    victim = victims["sysv"]
    victim.fresh()
    with victim.stopped_before("install") as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130
    process.communicate()
    assert victim.verdict() == "old"


def test_rounds_of_random_kill(victims: Victims, table: guarantees.Table) -> None:
    """A dozen rounds; SSHD_KEEPALIVE_KILL_ROUNDS=200 for a long night."""
    import random

    seed = int(os.environ.get("SSHD_KEEPALIVE_SEED", "7"))
    rounds = int(os.environ.get("SSHD_KEEPALIVE_KILL_ROUNDS", "3"))
    chance = random.Random(seed)
    delays = {kind: [chance.uniform(0.2, 3.0) for _ in range(rounds)] for kind in KINDS}

    def cell(victim: Victim, step: str) -> str:
        for delay_s in delays[victim.host.kind]:
            victim.fresh()
            process: subprocess.Popen[bytes] = victim.start()
            time.sleep(delay_s)
            kill(process)
            victim.verdict()
        return "old or new"

    everywhere(victims, table, f"killed at random, {rounds} rounds", ("anywhere",), cell)


def test_the_page_is_what_these_tests_found() -> None:
    """The page names every step and every kind; its words come from `guarantees.write`."""
    page = Path(guarantees.PAGE).read_text()
    assert all(f"| {step} |" in page for step in STOPS)
    assert "FAILED" not in page
