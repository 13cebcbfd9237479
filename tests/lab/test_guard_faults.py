"""Whatever goes wrong at whatever step: the files are wholly old or wholly new, the login works, and nothing is left.

The table of docs/guarantees.md is what these tests found: KEEPALIVE_WRITE_GUARANTEES=1 writes it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.cli import keepalive

from . import guarantees
from .daemons import SECOND, Aimed, end, refused
from .faults import CONFIG, STATE, STOPS, Victim, interrupt, kill, wait_for
from .hosts import Lab

ALL = guarantees.WRITES
#: Otherwise systemd and SysV get all kills and what decides of the rest, the other two what decides.
DECISIVE = ("arm", "rehearse", "installed", "verify", "confirm", "confirmed")
ROUNDS = 50 if ALL else 3
Victims = dict[str, Victim]
#: From here on the files may be new: the new login has brought the script that verifies and confirms.
LATE = ("verify", "confirm", "confirmed")
#: Before these there is nothing yet that a boot would take back, the lock included.
UNARMED = ("lock", "bring", "back up", "compare", "stage", "validate", "arm", "arm for a reboot")
#: All of one test; a machine with much to do is given its time.
LIMIT_S = 7200 if ALL else 1800


@pytest.fixture(scope="module")
def victims(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victims]:
    hosts = lab.boot_all(list(guarantees.KINDS))
    folder = tmp_path_factory.mktemp("faults")
    made = {host.kind: Victim(lab, host, folder) for host in hosts}
    yield made
    for victim in made.values():
        victim.stop()


@pytest.fixture(scope="module")
def table() -> guarantees.Table:
    return guarantees.Table()


def everywhere(victims: Victims, table: guarantees.Table, fault: str, cell: Callable[[Victim, str], str]) -> None:
    """Run a cell for each step on each host, hosts side by side; all that failed is told at once."""

    def on(victim: Victim) -> list[str]:
        problems = []
        for step in guarantees.FAULTS[fault]:
            if step in STOPS and step not in DECISIVE and not (ALL or _is_full(fault, victim)):
                continue
            try:
                with victim.attempt():
                    result = cell(victim, step)
            except Exception as error:
                problems.append(f"{fault}, {step}, {victim.host.kind}: {error!r}"[:1500])
                result = "FAILED"
            table.add(fault, step, victim.host.kind, result)
        return problems

    with ThreadPoolExecutor() as pool:
        failed = [problem for problems in pool.map(on, victims.values()) for problem in problems]
    if ALL:
        guarantees.write(table)
    assert not failed, "\n".join(failed)


def _is_full(fault: str, victim: Victim) -> bool:
    return len(guarantees.FAULTS[fault]) == 1 or (fault == "controller killed" and victim.host.kind in ("d12", "sysv"))


@pytest.mark.timeout(LIMIT_S)
def test_controller_killed_before_each_step(victims: Victims, table: guarantees.Table) -> None:
    def cell(victim: Victim, step: str) -> str:
        with victim.stopped_before(step) as process:
            kill(process)
        found = victim.verdict()
        assert found == "old" or step in LATE
        return found

    everywhere(victims, table, "controller killed", cell)


@pytest.mark.timeout(LIMIT_S)
def test_network_cut_before_each_step(victims: Victims, table: guarantees.Table) -> None:
    """The network stays away until the host has made up its mind without it."""

    def cell(victim: Victim, step: str) -> str:
        lock = victim.host.files / f"{STATE.lstrip('/')}/lock"
        with victim.stopped_before(step) as process:
            victim.host.run("ip link set host0 down")
        if step != "confirmed":  # the lock is the first thing that comes, and has gone by then
            wait_for(lambda: lock.exists() or process.poll() is not None, 60, "the run to go on")
        victim.settled()
        victim.host.run("ip link set host0 up")
        output, _ = process.communicate(timeout=240)
        end = json.loads(output)["hosts"][0]["change"]
        found = victim.verdict()
        assert (found, end) in (("old", "rolled_back"), ("old", "refused"), ("new", "applied"), ("new", "unproved"))
        assert found == "old" or step in LATE
        assert (end == "refused") == (step in (*UNARMED, "rehearse")), "it did not stand still before this step"
        return f"{found}, reported {end}"

    everywhere(victims, table, "network cut", cell)


@pytest.mark.timeout(LIMIT_S)
def test_power_cut_before_each_step(victims: Victims, table: guarantees.Table) -> None:
    def cell(victim: Victim, step: str) -> str:
        with victim.stopped_before(step) as process:
            kill(process)
            victim.host.stop()
        victim.host.start()
        if step in ("installed", "restart", "verify"):  # it was installed when the power went
            assert "before the change was confirmed" in victim.host.run(f"cat {STATE}/taken_back").stdout
        found = victim.verdict(stale_lock=step in UNARMED)
        assert found == "old" or step in LATE
        return found

    everywhere(victims, table, "power cut", cell)


@pytest.mark.timeout(LIMIT_S)
def test_disk_full_at_each_write(two: Victims, table: guarantees.Table) -> None:
    """There is room for one file, or one page, more each time, until there is enough."""

    def cell(victim: Victim, step: str) -> str:
        n_tries = 0
        for room in range(1, 400) if ALL else range(2, 400, 5):
            limit = f"nr_inodes={room}" if step == "each file it writes" else f"size={4 * room}k"
            victim.host.run(f"mkdir -p {STATE}; mount -t tmpfs -o mode=700,{limit} tmpfs {STATE}")
            try:
                end, message = end_of(victim, "--no-rehearsal")
                # The lock is in there: the controller cannot see it from outside.
                victim.host.wait_until(f"test ! -e {STATE}/lock", "the guard to be done")
            finally:
                victim.host.run(f"umount -l {STATE}")
            n_tries += 1
            if end == "applied":
                break
            assert end in ("refused", "rolled_back"), (room, end, message)
            assert victim.config == victim.stock, (room, end, message)
            victim.wait_until_clean()
            assert keepalive("check", *victim.only).host()["failure"] is None
        assert n_tries > (10 if ALL else 2)
        victim.fresh()
        victim.verdict()
        return f"old, {n_tries - 1} times"

    everywhere(two, table, "disk full", cell)


@pytest.mark.timeout(LIMIT_S)
def test_no_inode_is_left_when_the_time_is_up(victims: Victims, table: guarantees.Table) -> None:
    """The guard has room for its notes; without that it reverts the change as well, and says nothing of it."""
    some = {kind: victim for kind, victim in victims.items() if ALL or kind in ("d12", "openrc")}

    def cell(victim: Victim, step: str) -> str:
        host = victim.host
        for taken in ("", f"rm {STATE}/*/room.*; "):
            host.run(f"mkdir -p {STATE}; mount -t tmpfs -o mode=700,nr_inodes=200 tmpfs {STATE}")
            try:
                with victim.stopped_before(step, "--no-confirm") as process:
                    kill(process)
                    assert victim.config != victim.stock
                    host.run(f"{taken}n=0; while true >{STATE}/full.$n; do n=$((n + 1)); done 2>/dev/null")
                host.wait_until(f"test ! -e {STATE}/lock", "the guard to revert the change")
                noted = host.run(f"cat {STATE}/taken_back {STATE}/*/decided/how", check=False).stdout
            finally:
                host.run(f"umount -l {STATE}")
            assert victim.config == victim.stock
            assert taken or ("not confirmed within" in noted and noted.endswith("\nrolled_back\n")), noted
            victim.wait_until_clean()
        victim.fresh()
        return victim.verdict()

    everywhere(some, table, "controller killed, no inode left", cell)


# ------------------------------------------------------------------------------- what goes wrong by itself


def end_of(victim: Victim, *words: str) -> tuple[str, str]:
    output, _ = victim.start(*words).communicate(timeout=240)
    host = json.loads(output)["hosts"][0]
    return host["change"], (host["failure"] or {}).get("message", "")


def why_taken_back(victim: Victim) -> str:
    """The host's own word for it: `not confirmed within` is the timer's."""
    return (victim.host.files / f"{STATE.lstrip('/')}/taken_back").read_text()


WITH_NEW = f"grep -q '^ClientAliveInterval 300' {CONFIG}"


def breaks_sshd(victim: Victim, option: str, trouble: str) -> None:
    """Whenever the new file is there sshd gets an option (init scripts), or runs `trouble` instead (systemd)."""
    if victim.host.kind in ("sysv", "openrc"):
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
    victim.host.run(
        "rm -rf /broken /etc/systemd/system/ssh.service.d; sed -i '/broken/d' /etc/init.d/ssh; "
        "if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi"
    )
    if (victim.host.files / "usr/sbin/sshd.real").exists():
        victim.host.run("mv -f /usr/sbin/sshd.real /usr/sbin/sshd")
    if victim.host.kind in ("sysv", "openrc"):
        (victim.host.files / "etc/default/ssh").write_text("SSHD_OPTS=\n")
    victim.fresh()


@pytest.fixture
def two(victims: Victims) -> Iterator[Victims]:
    """systemd and SysV stand for the others unless the page is written."""
    some = {kind: victim for kind, victim in victims.items() if ALL or kind in ("d12", "sysv")}
    yield some
    for victim in some.values():
        mends_sshd(victim)


@pytest.mark.timeout(LIMIT_S)
def test_restart_fails_with_the_new_file_only(two: Victims, table: guarantees.Table) -> None:
    def cell(victim: Victim, step: str) -> str:
        breaks_sshd(victim, "Nonsense=1", "echo no such luck >&2; exit 1")
        victim.host.restart_sshd()
        output, _ = victim.start("--confirm-timeout", "120").communicate(timeout=240)
        found = json.loads(output)["hosts"][0]
        end, failure = found["change"], found["failure"]
        assert (end, "failed to restart ssh" in failure["message"]) == ("rolled_back", True), found
        if victim.host.kind not in ("sysv", "openrc"):
            assert "no such luck" in victim.host.run(failure["hint"].partition("on the host: ")[2]).stdout
        assert "restart failed" in why_taken_back(victim)
        assert victim.config == victim.stock
        mends_sshd(victim)
        return f"{victim.verdict()}, reported {end}"

    everywhere(two, table, "sshd does not start with the new file", cell)


@pytest.mark.timeout(LIMIT_S)
def test_new_logins_fail_after_the_restart(two: Victims, table: guarantees.Table) -> None:
    def cell(victim: Victim, step: str) -> str:
        breaks_sshd(victim, "DenyUsers=ops", 'exec /usr/sbin/sshd.real "$@" -o DenyUsers=ops')
        victim.host.restart_sshd()
        end, message = end_of(victim, "--confirm-timeout", "120")
        assert (end, "did not prove" in message) == ("rolled_back", True), (end, message)
        assert "on request" in why_taken_back(victim)
        mends_sshd(victim)
        return f"{victim.verdict()}, reported {end}"

    everywhere(two, table, "new logins fail", cell)


@pytest.mark.timeout(LIMIT_S)
def test_sshd_falls_over_after_it_was_confirmed(two: Victims, table: guarantees.Table) -> None:
    def cell(victim: Victim, step: str) -> str:
        folder = victim.host.files / "etc/systemd/system/ssh.service.d"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "stay.conf").write_text("[Service]\nRestart=no\n")
        victim.host.run("systemctl daemon-reload", check=False)
        for deadline_s in (20, 120):  # a busy machine may need the more for the change alone
            end, _ = end_of(victim, "--confirm-timeout", str(deadline_s))
            victim.host.run("sleep 5; kill -9 $(cat /run/sshd.pid)")
            if not victim.host.run(f"ls {STATE}/2*/expire.log", check=False).stdout:
                break
            victim.wait_until_clean()
            victim.fresh()
        assert end == "applied"
        record = victim.host.files / f"{STATE.lstrip('/')}/taken_back"
        wait_for(record.exists, deadline_s + 120, "the guard to notice that sshd is gone")
        victim.settled()
        assert "was not running at the end of the time limit" in record.read_text()
        assert victim.config == victim.stock
        return f"{victim.verdict()}, reported {end}"

    everywhere(two, table, "sshd crashes 5 s after it was confirmed", cell)


@pytest.mark.timeout(LIMIT_S)
def test_two_applies_at_once(two: Victims, table: guarantees.Table) -> None:
    def cell(victim: Victim, step: str) -> str:
        with victim.stopped_before(step, "--confirm-timeout", "90") as first:
            output, _ = victim.start().communicate(timeout=120)
            assert json.loads(output)["hosts"][0]["failure"]["kind"] == "locked"
        output, _ = first.communicate(timeout=240)
        end = json.loads(output)["hosts"][0]["change"]
        assert end in ("applied", "rolled_back", "refused"), output  # its time may have been up meanwhile
        found = victim.verdict()
        assert (found == "new") == (end == "applied")
        return f"{found}, reported {end}"

    everywhere(two, table, "a second apply", cell)


@pytest.mark.timeout(LIMIT_S)
def test_the_file_is_edited_between_plan_and_apply(two: Victims, table: guarantees.Table) -> None:
    def cell(victim: Victim, step: str) -> str:
        edited = victim.stock + b"# somebody else\n"
        with victim.stopped_before(step) as process:
            (victim.host.files / CONFIG.lstrip("/")).write_bytes(edited)
        output, _ = process.communicate(timeout=240)
        host = json.loads(output)["hosts"][0]
        assert (host["change"], host["failure"]["kind"]) == ("refused", "changed_meanwhile"), output
        assert victim.config == edited
        victim.fresh()
        return f"{victim.verdict()}, reported {host['change']}"

    everywhere(two, table, "the file is edited", cell)


@pytest.mark.timeout(LIMIT_S)
@pytest.mark.parametrize(
    ("fault", "path"), [("clock set back an hour", CONFIG), ("clock set forward an hour", "/run/sshd.pid")]
)
def test_the_clock_jumps(two: Victims, table: guarantees.Table, fault: str, path: str) -> None:
    """All that is read off a clock is whether sshd is younger than its files: their times are as the jump left them."""

    def cell(victim: Victim, step: str) -> str:
        with victim.stopped_before(step) as process:
            victim.host.run(f"touch -d '+1 hour' {path}")
        output, _ = process.communicate(timeout=240)
        end = json.loads(output)["hosts"][0]["change"]
        found = victim.verdict()
        assert (found, end) in (("old", "rolled_back"), ("new", "applied")), output
        return f"{found}, reported {end}"

    everywhere(two, table, fault, cell)


@pytest.mark.timeout(LIMIT_S)
def test_sudo_that_fails_in_between_leaves_it_to_the_guard(two: Victims, table: guarantees.Table) -> None:
    """As with a password that has expired: neither the new login nor the old one may do anything any more."""

    def cell(victim: Victim, step: str) -> str:
        with victim.stopped_before(step) as process:
            victim.host.run("mkdir /root/rules; mv /etc/sudoers.d/* /root/rules/")
        output, _ = process.communicate(timeout=240)
        victim.host.run("mv /root/rules/* /etc/sudoers.d/; rmdir /root/rules")
        host = json.loads(output)["hosts"][0]
        assert (host["change"], "reverts by itself shortly after" in host["failure"]["hint"]) == ("unproved", True), (
            host
        )
        assert f"sudo sh {STATE}/" in host["failure"]["hint"]  # what to type
        found = victim.verdict()
        assert found == "old"
        return f"{found}, reported unproved"

    everywhere(two, table, "sudo fails from here on", cell)


@pytest.mark.timeout(LIMIT_S)
def test_a_second_sshd_is_refused_before_anything_is_changed(
    two: Victims, table: guarantees.Table, tmp_path: Path
) -> None:
    """What would be restarted is the first one."""

    def cell(victim: Victim, step: str) -> str:
        folder = tmp_path / victim.host.kind
        folder.mkdir()
        victim.host.run(SECOND)
        try:
            refused(Aimed(victim.host, folder, port=2222), "other_daemon")
        finally:
            victim.host.run(end("/run/second.pid"))
        return f"{victim.verdict()}, reported refused"

    everywhere(two, table, "a second sshd with files of its own", cell)


BREAKS_INIT_SCRIPT = (
    "if [ -e /broken ]; then case $1 in restart) kill $(cat /run/sshd.pid); exit 1 ;; start) exit 1 ;; esac; fi"
)


def breaks_restarts(victim: Victim) -> None:
    """From now on every restart ends sshd and starts none, until `/broken` is removed."""
    if victim.host.kind in ("sysv", "openrc"):
        victim.host.run(f"sed -i '1a {BREAKS_INIT_SCRIPT}' /etc/init.d/ssh; touch /broken")
        return
    folder = victim.host.files / "etc/systemd/system/ssh.service.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "broken.conf").write_text("[Service]\nRestart=no\nExecStartPre=/usr/bin/test ! -e /broken\n")
    victim.host.run("systemctl daemon-reload; touch /broken")


def left_unproved(victim: Victim) -> tuple[dict[str, str], str]:
    """Change a host on which no restart succeeds; the old bytes are back, sshd is not.

    Returns:
        The failure that was reported, and the path of the guard on the host.
    """
    breaks_restarts(victim)
    output, _ = victim.start("--confirm-timeout", "600").communicate(timeout=240)
    host = json.loads(output)["hosts"][0]
    assert (host["change"], victim.config) == ("unproved", victim.stock), host
    return host["failure"], f"{host['backup']}/guard.sh"


@pytest.mark.timeout(LIMIT_S)
def test_a_run_that_could_not_restart_is_cleared_by_what_is_said(
    two: Victims, table: guarantees.Table, tmp_path: Path
) -> None:
    """The old bytes are back, sshd is not: the lock stays until what the hints say is typed, and typing it works."""

    def cell(victim: Victim, step: str) -> str:
        host = victim.host
        folder = tmp_path / host.kind
        folder.mkdir()
        failure, guard = left_unproved(victim)
        assert f"sudo sh {guard} revert" in failure["hint"]
        for word in ("revert", "restore"):  # restore is its earlier name
            failed = host.run(f"sh {guard} {word}", check=False)
            assert (failed.returncode, "usage" in failed.stderr) == (1, False)

        host.run("mkdir -p /run/sshd; /usr/sbin/sshd -p 2222 -o PidFile=/run/rescue.pid")
        host.wait_until("test -s /run/rescue.pid", "the sshd for the rescue")
        rescue = Aimed(host, folder, port=2222)
        hints = set()
        for command in ("undo", "confirm", "apply"):
            failure = rescue(command).host()["failure"]
            assert (failure["kind"], failure["cause"]) == ("locked", "not_taken_back"), failure
            hints.add(failure["hint"])
        (hint,) = hints
        assert hint in rescue("check").stdout
        host.run("rm /broken")
        host.run(hint.partition("run on the host: ")[2])
        assert not (host.files / f"{STATE.lstrip('/')}/lock").exists()
        host.run(end("/run/rescue.pid"))
        return f"{victim.verdict()}, reported unproved"

    everywhere(two, table, "no restart succeeds until the host is repaired", cell)


@pytest.mark.timeout(LIMIT_S)
def test_an_sshd_that_somebody_starts_by_hand_clears_a_run_too(two: Victims, tmp_path: Path) -> None:
    """The manager stays broken; the sshd that listens has read the old bytes. A socket unit leaves it no port."""
    for victim in (victim for kind, victim in two.items() if kind != "socket"):
        host = victim.host
        with victim.attempt():
            _, guard = left_unproved(victim)
            host.run("mkdir -p /run/sshd; /usr/sbin/sshd -D -o PidFile=/run/hand.pid >/dev/null 2>&1 &")
            host.wait_until("test -s /run/hand.pid", "the sshd that was started by hand")
            host.run(f"sh {guard} revert")
            assert not (host.files / f"{STATE.lstrip('/')}/lock").exists()
            assert not victim.litter()
            host.run(f"rm /broken; {end('/run/hand.pid')}")
            host.restart_sshd()
            assert victim.verdict() == "old"


@pytest.mark.timeout(LIMIT_S)
def test_the_next_apply_clears_a_run_once_sshd_was_started_again(two: Victims, tmp_path: Path) -> None:
    """Nobody types anything for it; an edit that repaired the file stays."""
    for victim in two.values():
        host = victim.host
        with victim.attempt():
            left_unproved(victim)
            host.run(f"rm /broken; echo '# repaired' >>{CONFIG}")
            host.restart_sshd()
            seen = keepalive("check", *victim.only)
            assert (seen.status, seen.host()["pending"]) == (1, None), seen.stdout
            again = keepalive("apply", "--yes", *victim.only, "--confirm-timeout", "120")
            assert (again.status, again.host()["change"]) == (0, "applied"), again.stdout
            assert not victim.litter()
            assert host.run(f"tail -n 1 {CONFIG}").stdout == "# repaired\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_finishes_what_it_began(victims: Victims, number: int) -> None:
    """The host in flight is finished, no other is begun, and the run says so."""
    victim, other = victims["d12"], victims["sysv"]
    with victim.attempt(), other.attempt():
        words = ("--limit", f"{victim.host.name},{other.host.name}", "-f", "1", "--confirm-timeout", "90")
        with victim.stopped_before("rehearse", *words) as process:
            interrupt(process, number)
        output, _ = process.communicate(timeout=240)
        document = json.loads(output)
        assert (process.returncode, document["exit_code"]) == (130, 130)
        ends = {host["name"]: (host["change"], (host["failure"] or {}).get("cause")) for host in document["hosts"]}
        assert ends[victim.host.name][0] in ("applied", "rolled_back", "refused")
        assert ends[other.host.name] == ("not_begun", "interrupted")
        assert other.config == other.stock
        victim.verdict()


def test_the_second_interrupt_leaves_the_rest_to_the_guard(victims: Victims) -> None:
    victim = victims["sysv"]
    with victim.attempt():
        with victim.stopped_before("install") as process:
            interrupt(process, signal.SIGINT)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        process.communicate()
        assert victim.verdict() == "old"


@pytest.mark.timeout(LIMIT_S)
def test_rounds_of_random_kill(victims: Victims, table: guarantees.Table) -> None:
    """A few rounds here; 200 for the page, 50 on each kind of host: at moments of a run, whatever it takes here."""
    chance = random.Random(os.environ.get("KEEPALIVE_SEED", "7"))
    moments = {kind: [chance.uniform(0.1, 1.1) for _ in range(ROUNDS)] for kind in victims}

    def cell(victim: Victim, step: str) -> str:
        found = Counter[str]()
        began_s = time.monotonic()
        victim.start("--confirm-timeout", "60").communicate()
        took_s = time.monotonic() - began_s
        victim.settled()
        for moment in moments[victim.host.kind]:
            victim.fresh()
            process = victim.start()
            time.sleep(moment * took_s)  # the fault itself, not a wait for anything
            kill(process)
            found[victim.verdict()] += 1
        return ", ".join(f"{n} {word}" for word, n in sorted(found.items(), reverse=True))

    everywhere(victims, table, "controller killed, 50 rounds", cell)
