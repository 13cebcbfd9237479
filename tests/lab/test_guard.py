"""The guard on real hosts: what is refused with nothing changed, what can be undone, what a login proves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from sshd_keepalive.quoting import quote
from tests.support.cli import Ran, keepalive

from .daemons import end
from .faults import CONFIG, FORGET, LITTER, STATE, wait_until_clean
from .hosts import Lab, LabHost

#: Everything that tells whether a host was changed: bytes, owner, mode, and the process that serves.
LOOK = f"cat {CONFIG} /etc/ssh/sshd_config.d/* 2>/dev/null | cksum; stat -c '%i %a %U %G' {CONFIG}; cat /run/sshd.pid"


class Target:
    """One host and the program aimed at it."""

    def __init__(self, lab: Lab, host: LabHost, inventory: Path, user: str = "ops") -> None:
        self.host = host
        inventory.write_text(lab.inventory(user=user))
        self._only = ("-i", inventory, "--limit", host.name, "--format", "json")

    def __call__(self, command: str, *words: str) -> Ran:
        yes = ("--yes",) if command in ("apply", "undo") and "--dry-run" not in words else ()
        return keepalive(command, *yes, *self._only, *words)

    def apply(self, *words: str) -> Ran:
        return self("apply", "--confirm-timeout", "120", *words)

    def litter(self) -> str:
        return self.host.run(LITTER, check=False).stdout


@pytest.fixture(scope="module")
def d12(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with lab.borrow("d12") as (host,):
        yield Target(lab, host, tmp_path_factory.mktemp("d12") / "hosts.yaml")


@pytest.fixture
def target(d12: Target) -> Iterator[Target]:
    """A stock host; what the test did to it is taken back."""
    d12.host.run(FORGET)
    yield d12
    d12.host.reset()


def steps(ran: Ran) -> dict[str, dict[str, object]]:
    return {step["name"]: step for step in ran.host()["steps"]}


# ------------------------------------------------------------------------------------------- refusing first


REFUSALS: dict[str, tuple[str, str, str, str]] = {
    "broken": (f"echo Nonsense >>{CONFIG}", ":", "config_broken", ""),
    "read-only": (
        "mount --bind /etc/ssh /etc/ssh; mount -o remount,bind,ro /etc/ssh",
        "umount /etc/ssh",
        "read_only",
        "mount",
    ),
    "immutable": (f"chattr +i {CONFIG}", f"chattr -i {CONFIG}", "read_only", "immutable"),
    "append-only": (f"chattr +a {CONFIG}", f"chattr -a {CONFIG}", "read_only", "immutable"),
    "hard-link": (f"ln {CONFIG} /etc/ssh/other", "rm /etc/ssh/other", "validate", "hard_link"),
    "masked": (
        "ln -s /dev/null /etc/systemd/system/ssh.service; systemctl daemon-reload",
        "rm /etc/systemd/system/ssh.service; systemctl daemon-reload",
        "restart",
        "masked",
    ),
    "not-to-be-run": (
        "touch /etc/ssh/sshd_not_to_be_run",
        "rm /etc/ssh/sshd_not_to_be_run",
        "restart",
        "not_to_be_run",
    ),
    "no-unit": (
        "systemctl stop ssh; mkdir -p /run/sshd; /usr/sbin/sshd",
        f"{end('/run/sshd.pid')}; systemctl start ssh",
        "restart",
        "no_unit",
    ),
    "replaced": (
        "cp -p /usr/sbin/sshd /usr/sbin/sshd.new; mv /usr/sbin/sshd.new /usr/sbin/sshd",
        ":",
        "restart",
        "binary_replaced",
    ),
    "full-state": (
        f"mkdir -p {STATE}; mount -t tmpfs -o mode=700,size=8k,nr_inodes=3 tmpfs {STATE}",
        f"umount {STATE}",
        "no_space",
        "",
    ),
    "full-beside": (
        "mkdir /tmp/small; mount -t tmpfs -o size=32k tmpfs /tmp/small; cp -a /etc/ssh/. /tmp/small; "
        "mount --bind /tmp/small /etc/ssh; dd if=/dev/zero of=/etc/ssh/fill bs=4k 2>/dev/null",
        "umount /etc/ssh; umount /tmp/small; rmdir /tmp/small",
        "no_space",
        "",
    ),
    "no-inodes-beside": (
        "mkdir /tmp/small; mount -t tmpfs -o nr_inodes=40 tmpfs /tmp/small; cp -a /etc/ssh/. /tmp/small; "
        "mount --bind /tmp/small /etc/ssh; i=0; while touch /etc/ssh/f$i 2>/dev/null; do i=$((i+1)); done",
        "umount /etc/ssh; umount /tmp/small; rmdir /tmp/small",
        "no_space",
        "",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_with_nothing_changed(target: Target, name: str) -> None:
    prepare, undo, kind, cause = REFUSALS[name]
    target.host.run(prepare, check=False)
    try:
        target.host.wait_for_sshd()
        before = target.host.run(LOOK).stdout
        ran = target.apply()
        found = ran.host()
        assert (ran.status, found["change"]) == (3, "refused"), found
        assert (found["failure"]["kind"], found["failure"]["cause"]) == (kind, cause), found["failure"]
        assert found["failure"]["hint"]
        assert target.host.run(LOOK).stdout == before
        assert target.litter() == ""
    finally:
        target.host.run(undo, check=False)


def test_a_unit_that_would_kill_this_very_session_is_refused(target: Target) -> None:
    folder = "/etc/systemd/system/ssh.service.d"
    target.host.run(
        f"mkdir {folder}; printf '[Service]\\nKillMode=control-group\\n' >{folder}/kill.conf; systemctl daemon-reload; "
        f"sed -i 's/^UsePAM yes/UsePAM no/' {CONFIG}; usermod -p '*' ops"
    )
    target.host.restart_sshd()
    try:
        found = target.apply().host()
        assert (found["change"], found["failure"]["cause"]) == ("refused", "kill_mode")
        assert target.apply("--service-action", "reload").host()["change"] == "applied"
    finally:
        target.host.run(f"rm -r {folder}; systemctl daemon-reload")


def test_the_sshd_that_let_us_in_is_not_the_one_of_the_unit(target: Target, tmp_path: Path, lab: Lab) -> None:
    """A second daemon on a port of its own reads the same files; restarting the unit would not reach it."""
    target.host.run(
        "/usr/sbin/sshd -p 2222 -o PidFile=/run/second.pid; until [ -s /run/second.pid ]; do sleep 0.1; done"
    )
    inventory = tmp_path / "hosts.yaml"
    text = lab.inventory().replace(f": {target.host.address}\n", f": {{address: {target.host.address}, port: 2222}}\n")
    inventory.write_text(
        text.replace(
            "\nhosts:", "\n  service: {manager: systemd, unit: ssh.service}\n  host_keys: accept-new\nhosts:"
        ).replace(str(lab.known_hosts), str(tmp_path / "known"))
    )
    try:
        before = target.host.run(LOOK).stdout
        ran = keepalive("apply", "--yes", "-i", inventory, "--limit", target.host.name, "--format", "json")
        found = ran.host()
        assert (ran.status, found["change"], found["failure"]["cause"]) == (3, "refused", "other_daemon"), found
        assert target.host.run(LOOK).stdout == before
    finally:
        target.host.run(end("/run/second.pid"))


def test_one_at_a_time_and_a_dead_run_holds_nothing(target: Target) -> None:
    target.host.run(
        f"mkdir -p {STATE}; sleep 100 >/dev/null 2>&1 & set -- $(cat /proc/$!/stat); read up _ </proc/uptime; "
        "boot=$(cat /proc/sys/kernel/random/boot_id); "
        f"echo 20000101T000000Z-abcdef $((${{up%.*}} + 100)) $boot $1 ${{22}} >{STATE}/lock"
    )
    found = target.apply().host()
    assert (found["change"], found["failure"]["kind"]) == ("refused", "locked")
    target.host.run("pkill -x sleep")
    assert target.apply().host()["change"] == "applied"
    target.host.reset()
    target.host.run(f"echo 20000101T000000Z-abcdef 999999999 another-boot 1 1 >{STATE}/lock")
    assert target.apply().host()["change"] == "applied"


def test_what_the_hint_of_a_locked_host_says_helps(target: Target, lab: Lab, tmp_path: Path) -> None:
    """A change waits for its confirmation, and another one is wanted."""
    assert target.apply("--no-confirm", "--confirm-timeout", "300").host()["change"] == "applied"
    other = tmp_path / "other.yaml"
    other.write_text(lab.inventory() + "policy: {ClientAliveInterval: 200}\n")
    only = ("-i", other, "--limit", target.host.name, "--format", "json", "--yes", "--confirm-timeout", "120")
    failure = keepalive("apply", *only).host()["failure"]
    assert (failure["kind"], failure["cause"]) == ("locked", "not_confirmed"), failure
    assert failure["hint"] == f"sshd-keepalive confirm -i {other} {target.host.name}"
    assert target("confirm").host()["change"] == "applied"
    assert keepalive("apply", *only).host()["change"] == "applied"


# ----------------------------------------------------------------------------------------------- rehearsing


def test_a_login_that_the_new_files_would_not_allow_changes_nothing(target: Target) -> None:
    """sshd -i with the candidate refuses the login; sshd -T sees nothing wrong with it."""
    target.host.run(
        "printf '#!/bin/sh\\ncase \"$*\" in *candidate*-i) exit 1 ;; esac\\n' >/tmp/sshd; "
        "printf 'exec /usr/sbin/sshd.real \"$@\"\\n' >>/tmp/sshd; "
        "chmod 755 /tmp/sshd; cp -p /usr/sbin/sshd /usr/sbin/sshd.real; mount --bind /tmp/sshd /usr/sbin/sshd"
    )
    try:
        before = target.host.run(LOOK).stdout
        ran = target.apply()
        found = ran.host()
        assert (ran.status, found["change"], found["failure"]["cause"]) == (3, "refused", "rehearsal"), found
        assert steps(ran)["rehearse"]["ok"] is False
        assert "install" not in steps(ran)
        assert target.host.run(LOOK).stdout == before
        assert target.litter() == ""
    finally:
        target.host.run("umount /usr/sbin/sshd; rm /usr/sbin/sshd.real")
    skipped = target.apply("--no-rehearsal")
    assert "rehearse" not in steps(skipped)
    assert skipped.host()["change"] == "applied"


def test_a_login_bound_to_an_address_cannot_be_rehearsed_and_is_changed_all_the_same(target: Target, lab: Lab) -> None:
    keys = "/home/ops/.ssh/authorized_keys"
    target.host.run(f"sed -i 's/^ssh/from=\"{lab.controller_address}\" ssh/' {keys}")
    try:
        ran = target.apply()
        assert ran.host()["change"] == "applied"
        assert str(steps(ran)["rehearse"]["detail"]).startswith("not possible here")
    finally:
        target.host.run(f"sed -i 's/^from=[^ ]* //' {keys}")


# ------------------------------------------------------------------------------------ confirming, undoing


def test_confirmed_by_hand_or_not_at_all(target: Target) -> None:
    ran = target("apply", "--confirm-timeout", "900", "--no-confirm")
    assert (ran.status, ran.host()["change"]) == (0, "applied")
    assert "not confirmed (--no-confirm)" in str(steps(ran)["confirm"]["detail"])
    for words in (("check",), ("plan",), ("apply",)):
        waits = target(*words)
        assert (waits.status, waits.host()["failure"]["cause"]) == (3, "not_confirmed"), waits.stdout
    confirmed = target("confirm")
    assert (confirmed.status, confirmed.host()["change"]) == (0, "applied")
    assert target("confirm").host()["change"] == "unchanged"
    target.host.run(f"sh {ran.host()['backup']}/guard.sh expire")  # as the timer does when the time is up
    assert target("check").status == 0
    assert target.litter() == ""
    target.host.reset()
    stock = target.host.run(f"cat {CONFIG}").stdout
    # The time counts from before the change: a busy machine may need more than a minute for the change itself.
    for limit_s in (60, 240):
        target.host.run(FORGET)
        change = target.apply("--no-confirm", "--confirm-timeout", str(limit_s)).host()["change"]
        target.host.wait_until(f"test -e {STATE}/taken_back", "the guard to take it back", 2 * limit_s + 120)
        wait_until_clean(target.host)
        if change == "applied":
            break
    assert change == "applied"
    assert target.host.run(f"cat {CONFIG}").stdout == stock
    seen = target("check").host()
    assert seen["state"] == "drift"
    assert seen["reverted"]["reason"] == f"not confirmed within {limit_s} s"
    assert target.litter() == ""


def test_undo_reverts_a_waiting_change_at_once(target: Target) -> None:
    stock = target.host.run(f"cat {CONFIG}; stat -c '%a %U' {CONFIG}").stdout
    waiting = target("apply", "--confirm-timeout", "600", "--no-confirm")
    assert (waiting.host()["change"], waiting.host()["pending"]["phase"]) == ("applied", "waiting")
    undone = target("undo")
    assert (undone.status, undone.host()["change"], undone.host()["failure"]) == (0, "applied", None), undone.stdout
    assert target.host.run(f"cat {CONFIG}; stat -c '%a %U' {CONFIG}").stdout == stock
    assert target.litter() == ""
    seen = target("check").host()
    assert (seen["pending"], seen["reverted"]["run_id"]) == (None, waiting.data["run_id"])


def run_of(target: Target) -> str:
    """The newest run on the host."""
    return target.host.run(f"ls -1 {STATE} | grep '^2' | sort | tail -n 1").stdout.strip()


def test_undo_days_later(target: Target) -> None:
    stock = target.host.run(f"cat {CONFIG}; stat -c '%a %U' {CONFIG}").stdout
    applied = target.apply()
    run = applied.data["run_id"]
    dry = target("undo", "--dry-run")
    assert dry.status == 1
    assert "-ClientAliveInterval 300" in dry.host()["diff"]
    target.host.run(f"echo '# by hand' >>{CONFIG}")
    refused = target("undo")
    assert (refused.status, refused.host()["failure"]["cause"]) == (3, "edited-since")
    assert "# by hand" in target("undo", "--dry-run", "--force").host()["diff"]
    forced = target("undo", "--force", "--format", "text", "--confirm-timeout", "120")
    assert forced.status == 0, forced.stdout
    assert 0 <= forced.stdout.index("-# by hand") < forced.stdout.index("applied ")  # what it loses comes first
    assert target("undo", "--run", run_of(target), "--confirm-timeout", "120").host()["change"] == "applied"
    target.host.run(f"sed -i '$d' {CONFIG}")
    undone = target("undo", "--run", run, "--confirm-timeout", "120")
    assert (undone.status, undone.host()["change"]) == (0, "applied"), undone.stdout
    assert {"validate", "arm", "rehearse", "install", "restart", "verify", "confirm"} <= set(steps(undone))
    assert target.host.run(f"cat {CONFIG}; stat -c '%a %U' {CONFIG}").stdout == stock
    assert [f["value"] for f in target("check").host()["findings"]] == ["0", "3"]  # and no older daemon
    assert target("undo").host()["change"] == "unchanged"
    assert target("undo", "--run", "20000101T000000Z-abcdef").host()["failure"]["cause"] == "no-run"
    assert target("undo", "--run", undone.data["run_id"], "--confirm-timeout", "120").host()["change"] == "applied"
    assert target("check").status == 0


def test_undo_removes_what_was_created_and_keeps_what_was_there(target: Target, tmp_path: Path, lab: Lab) -> None:
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text(lab.inventory() + "policy: {strategy: drop-in}\n")
    only = ("--yes", "-i", inventory, "--limit", target.host.name, "--format", "json", "--confirm-timeout", "120")
    stock = target.host.run(LOOK).stdout.split()[:2]
    applied = keepalive("apply", *only)
    assert (applied.status, applied.host()["change"]) == (0, "applied"), applied.stdout
    (created,) = target.host.run("ls /etc/ssh/sshd_config.d").stdout.split()
    undone = keepalive("undo", *only)
    assert undone.host()["change"] == "applied", undone.stdout
    assert f"--- /etc/ssh/sshd_config.d/{created}\n+++ /dev/null" in undone.host()["diff"]
    assert target.host.run("ls /etc/ssh/sshd_config.d").stdout == ""
    assert target.host.run(LOOK).stdout.split()[:2] == stock


# ------------------------------------------------------------------------------------------------ installing


def test_owner_mode_acl_attributes_and_links_stay(target: Target) -> None:
    target.host.run(
        f"mv {CONFIG} /etc/ssh/real; ln -s real {CONFIG}; chmod 640 /etc/ssh/real; chgrp adm /etc/ssh/real; "
        "touch -d '2001-01-01' /etc/ssh/real"
    )
    real = target.host.files / "etc/ssh/real"
    os.setxattr(real, "user.note", b"kept")
    os.setxattr(real, "security.selinux", b"system_u:object_r:etc_t:s0\0")  # a label is an attribute like others
    acl = bytes.fromhex(
        "0200000001000600ffffffff02000400" + "e8030000" + "04000400ffffffff10000400ffffffff20000000ffffffff"
    )
    os.setxattr(real, "system.posix_acl_access", acl)
    target.host.restart_sshd()
    before = {name: os.getxattr(real, name) for name in os.listxattr(real)}
    assert target.apply().host()["change"] == "applied"
    assert target.host.run(f"readlink {CONFIG}; stat -c '%a %U %G' /etc/ssh/real").stdout.split() == [
        "real",
        "640",
        "root",
        "adm",
    ]
    assert {name: os.getxattr(real, name) for name in os.listxattr(real)} == before
    assert target.host.sshd_values()["clientaliveinterval"] == "300"


def test_a_file_that_is_a_mount_point_is_changed_in_place(target: Target) -> None:
    target.host.run(f"cp -p {CONFIG} /tmp/elsewhere; mount --bind /tmp/elsewhere {CONFIG}")
    try:
        target.host.restart_sshd()
        assert target.apply().host()["change"] == "applied"
        assert "ClientAliveInterval 300" in target.host.run("cat /tmp/elsewhere").stdout
        assert target("undo", "--confirm-timeout", "120").host()["change"] == "applied"
        assert "\nClientAliveInterval 300" not in target.host.run("cat /tmp/elsewhere").stdout
    finally:
        target.host.run(f"umount {CONFIG}; rm /tmp/elsewhere")


def test_backups_are_private_and_ten_are_kept(target: Target) -> None:
    target.host.run(
        f"mkdir -p {STATE}; for n in 10 11 12 13 14 15 16 17 18 19; do mkdir {STATE}/200001${{n}}T000000Z-aaaaaa; done"
    )
    assert target.apply().host()["change"] == "applied"
    modes = target.host.run(
        f"stat -c %a /var/lib/sshd-keepalive {STATE} {STATE}/2*; stat -c %a {STATE}/2*/1.before"
    ).stdout
    assert modes.split()[:3] == ["700", "700", "755"] or set(modes.split()[:2]) == {"700"}
    assert len(target.host.run(f"ls -d {STATE}/2*").stdout.split()) == 10
    newest = target.host.run(f"ls -d {STATE}/2* | tail -n 1").stdout.strip()
    assert target.host.run(f"stat -c %a {newest} {newest}/guard.sh {newest}/1.after").stdout.split() == [
        "700",
        "600",
        "600",
    ]


@pytest.mark.parametrize("action", ["reload", "none"])
def test_other_service_actions(target: Target, action: str) -> None:
    pid = target.host.run("cat /run/sshd.pid").stdout
    ran = target.apply("--service-action", action)
    assert ran.host()["change"] == "applied", ran.stdout
    assert target.host.run("cat /run/sshd.pid").stdout == pid
    assert ran.status == (0 if action == "reload" else 1)
    if action == "none":
        assert [f["setting"] for f in ran.host()["findings"] if f["state"] == "drift"] == ["daemon"]


def test_a_file_that_the_daemon_does_not_read_is_not_judged(lab: Lab, target: Target, tmp_path: Path) -> None:
    target.host.run(f"cp {CONFIG} /etc/ssh/elsewhere")
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text(lab.inventory().replace("\nhosts:", "\n  sshd_config: /etc/ssh/elsewhere\nhosts:"))
    ran = keepalive("check", "-i", inventory, "--limit", target.host.name, "--format", "json")
    assert (ran.status, ran.host()["failure"]["cause"]) == (3, "other-config"), ran.stdout


# ------------------------------------------------------------------------------------------------ restarting


# By its own name: of an sshd that is gone at once journald may not find out the unit, only what it calls itself.
REAL_SSHD = "/usr/lib/wrapped/sshd"


@pytest.fixture
def wrapped(target: Target) -> Iterator[Target]:
    """A host whose sshd is started by a script of ours, /usr/sbin/sshd; what it does first is the test's business."""
    target.host.run(f"mkdir -p {Path(REAL_SSHD).parent}; cp -p /usr/sbin/sshd {REAL_SSHD}; rm /usr/sbin/sshd")
    yield target
    target.host.run(f"mv -f {REAL_SSHD} /usr/sbin/sshd; rm -rf /etc/systemd/system/ssh.service.d")
    target.host.run("systemctl daemon-reload")


def starts_with(target: Target, trouble: str, otherwise: str = ":") -> None:
    """When sshd is started as a service with the new file, `trouble` comes first; with another one, `otherwise`."""
    script = target.host.files / "usr/sbin/sshd"
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *-T*|*-t*|*-i*|*-V*) ;; *) if grep -q "^ClientAliveInterval 300" {CONFIG}; then\n'
        f'{trouble}\nelse\n{otherwise}\nfi ;; esac\nexec {REAL_SSHD} "$@"\n'
    )
    script.chmod(0o755)
    target.host.restart_sshd()


def test_a_slow_start_is_waited_for(wrapped: Target) -> None:
    starts_with(wrapped, "sleep 4")
    ran = wrapped("apply", "--confirm-timeout", "60")
    assert (ran.status, ran.host()["change"]) == (0, "applied"), ran.stdout


def test_a_port_that_is_still_held_is_rolled_back_once_it_is_free(wrapped: Target) -> None:
    """Whoever took the port has it for some seconds more when the old daemon is to come back."""
    hold = (
        "perl -MSocket -e 'socket S, AF_INET6, SOCK_STREAM, 0; setsockopt S, SOL_SOCKET, SO_REUSEADDR, 1; "
        'bind S, pack_sockaddr_in6(22, Socket::IN6ADDR_ANY) or exit; listen S, 1; open F, ">/held"; close F; '
        "sleep 6' & n=0; until [ -e /held ] || [ $n -gt 150 ]; do n=$((n+1)); sleep 0.1; done"
    )
    starts_with(wrapped, hold)
    ran = wrapped("apply", "--confirm-timeout", "60")
    assert (ran.status, ran.host()["change"]) == (4, "rolled_back"), ran.stdout
    assert "in use" in ran.host()["failure"]["message"]
    assert wrapped("check").host()["failure"] is None


def test_a_journald_that_hangs_does_not_hide_that_the_restart_failed(wrapped: Target) -> None:
    """It hangs while the new sshd fails, and until the old one is back: `journalctl --sync` would wait for it."""
    journald = "$(pidof systemd-journald)"
    starts_with(wrapped, f"kill -STOP {journald}; exit 1", f"kill -CONT {journald}")
    ran = wrapped("apply", "--confirm-timeout", "120")
    assert (ran.status, ran.host()["change"]) == (4, "rolled_back"), ran.stdout
    assert "(exit 1)" in ran.host()["failure"]["message"]
    assert wrapped("check").host()["failure"] is None


def test_a_start_limit_that_is_reached_is_reset(target: Target) -> None:
    folder = "/etc/systemd/system/ssh.service.d"
    target.host.run(
        f"mkdir {folder}; printf '[Unit]\\nStartLimitIntervalSec=300\\nStartLimitBurst=1\\n' >{folder}/limit.conf; "
        "systemctl daemon-reload; systemctl reset-failed ssh; systemctl restart ssh"
    )
    try:
        target.host.wait_for_sshd()
        ran = target.apply()
        assert (ran.status, ran.host()["change"]) == (0, "applied"), ran.stdout
    finally:
        target.host.run(f"rm -r {folder}; systemctl daemon-reload")


def test_a_pending_restart_is_reported_and_done(target: Target) -> None:
    """The files are right, the daemon is older: only the daemon wants something done."""
    target.host.run(f"sed -i '1i ClientAliveInterval 300\\nClientAliveCountMax 3' {CONFIG}")
    look = f"cksum {CONFIG}; stat -c %i {CONFIG}"
    before = target.host.run(look).stdout
    seen = target("check").host()
    assert [(f["setting"], f["state"]) for f in seen["findings"] if f["state"] != "ok"] == [("daemon", "drift")]
    assert "pending restart" in str(seen["findings"])
    ran = target.apply()
    assert (ran.status, ran.host()["change"], ran.host()["diff"]) == (0, "applied", ""), ran.stdout
    assert target.host.run(look).stdout == before
    assert target("check").status == 0


def test_what_the_new_daemon_complains_of_in_the_journal_is_shown(target: Target) -> None:
    folder = "/etc/systemd/system/ssh.service.d"
    # Whatever the journal has by then is shown: the program does not wait for it, so the start does.
    target.host.run(
        f"mkdir {folder}; printf '[Service]\\nExecStartPost=journalctl --sync\\n' >{folder}/sync.conf; "
        f"systemctl daemon-reload; "
        f"printf 'HostKey /etc/ssh/%s\\n' ssh_host_rsa_key ssh_host_ed25519_key never >>{CONFIG}"
    )
    try:
        target.host.restart_sshd()
        ran = target.apply()
        assert ran.host()["change"] == "applied", ran.stdout
        assert "/etc/ssh/never" in ran.host()["facts"]["notes"], ran.stdout
    finally:
        target.host.run(f"rm -r {folder}; systemctl daemon-reload")


# ------------------------------------------------------------------------------------------- hostile values


def test_a_hostile_path_is_one_word_for_the_timer_and_for_the_boot_too(
    lab: Lab, boot: Callable[..., list[LabHost]], tmp_path: Path
) -> None:
    """A daemon of its own whose files have names that a shell, or systemd, might take for more than names."""
    (host,) = boot("d12")
    folder = """/etc/it's"$(touch${IFS}/never)"`id`%n"""
    config = quote(f"{folder}/sshd_config")
    start = f"mkdir -p /run/sshd; /usr/sbin/sshd -p 2222 -f {config}"
    host.run(f"mkdir -p {quote(folder)}; cp {CONFIG} {config}; echo 'PidFile /run/hostile.pid' >>{config}; {start}")
    settings = {
        "address": host.address, "port": 2222, "user": "ops", "become": "sudo", "host_keys": "accept-new",
        "identity_file": str(lab.identity_file), "known_hosts": str(tmp_path / "known"),
        "sshd_config": f"{folder}/sshd_config", "service": {"manager": "pidfile", "pidfile": "/run/hostile.pid"},
    }  # fmt: skip
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text(yaml.safe_dump({"hosts": {"hostile": settings}}))
    before = host.run(f"cksum <{config}").stdout
    for timeout_s in ("40", "600"):
        ran = keepalive(
            "apply", "--yes", "-i", inventory, "--format", "json", "--no-confirm", "--confirm-timeout", timeout_s
        )
        assert ran.host()["change"] == "applied", ran.stdout
        if timeout_s == "40":
            host.run("systemctl daemon-reload")  # somebody installs a package meanwhile
        else:
            host.reboot(orderly=False)
        taken_back = f"{quote(ran.host()['backup'])}/../taken_back"
        host.wait_until(f"grep -q {ran.data['run_id']} {taken_back}", "the guard to take it back")
        wait_until_clean(
            host, f"find /etc/systemd -name 'sshd-keepalive*'; ls {taken_back.replace('taken_back', 'lock')}"
        )
        assert host.run(f"cksum <{config}").stdout == before
        assert host.run("ls -d /never 2>/dev/null", check=False).stdout == ""
