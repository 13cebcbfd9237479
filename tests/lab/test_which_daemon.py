"""Which process is the sshd that let us in, and what restarts it: containers, supervisors, and two on one machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from . import guarantees
from .daemons import DAEMONS, LITTER, SECOND, SECOND_FILES, Aimed, refused, steps
from .faults import CONFIG, STATE, wait_until_clean
from .hosts import LabHost

Boot = Callable[..., list[LabHost]]


# ---------------------------------------------------------------------------------------- containers


def test_sshd_that_is_process_1_is_not_restarted(boot: Boot, tmp_path: Path) -> None:
    (host,) = boot("sshd1")
    aimed = Aimed(host, tmp_path)
    for action in ("restart", "reload"):
        failure = refused(aimed, "process_1", "--service-action", action)
        assert "process 1" in failure["message"]
    assert "--service-action none" in failure["hint"]

    host.run(f"printf 'ClientAliveInterval 300\\nClientAliveCountMax 3\\n' >>{CONFIG}")
    checked = aimed("check")
    (pending,) = [f for f in checked.host()["findings"] if f["state"] != "ok"]
    assert (checked.status, pending["setting"], pending["state"]) == (1, "daemon", "drift")
    assert "pending restart" in pending["reason"]


def test_what_the_hint_for_process_1_says_helps(boot: Boot, tmp_path: Path) -> None:
    (host,) = boot("sshd1")
    aimed = Aimed(host, tmp_path)
    written = aimed("apply", "--service-action", "none")
    assert (written.status, written.host()["change"]) == (1, "applied"), written.stdout
    assert [f["setting"] for f in written.host()["findings"] if f["state"] != "ok"] == ["daemon"]
    host.stop()
    host.start()
    assert aimed("check").status == 0
    guarantees.note("sshd1", "refused (`process_1`)", "`--service-action none`, then a restart of the container")


def test_a_pid_file_of_the_inventory_serves_for_process_1(boot: Boot, tmp_path: Path) -> None:
    (host,) = boot("sshd1")
    aimed = Aimed(host, tmp_path, service={"manager": "pidfile", "pidfile": "/run/sshd.pid"})
    ran = aimed("apply")
    assert (ran.status, ran.host()["change"]) == (0, "applied"), ran.stdout
    assert host.run("cat /run/sshd.pid").stdout == "1\n"
    assert aimed("check").status == 0
    assert aimed.litter() == ""


def test_sshd_started_by_hand_needs_a_word_of_the_inventory(boot: Boot, tmp_path: Path) -> None:
    """Process 1 restarts nothing, although /etc/init.d/ssh lies there."""
    (host,) = boot("byhand")
    aimed = Aimed(host, tmp_path)
    failure = refused(aimed, "no_manager")
    assert "process 1 is sleep" in failure["message"]
    aimed.obey(failure["hint"])
    ran = aimed("apply")
    assert (ran.status, ran.host()["change"]) == (0, "applied"), ran.stdout
    assert "a reboot before that is not noticed" in steps(ran)["arm"]["detail"]
    assert aimed("check").status == 0
    guarantees.note("byhand", "refused (`no_manager`)", "`manager: pidfile`")


# --------------------------------------------------------------------------------------- supervisors


@pytest.mark.parametrize(
    ("kind", "manager", "supervised"),
    [
        ("runit", "runit", "sv status ssh | sed -n 's/^run: [^(]*(pid \\([0-9]*\\)).*/\\1/p'"),
        ("supervisor", "supervisord", "supervisorctl -c /srv/supervisord.conf pid sshd"),
    ],
    ids=["runit", "supervisord"],
)
def test_a_supervised_sshd_is_restarted_by_its_supervisor(
    boot: Boot, tmp_path: Path, kind: str, manager: str, supervised: str
) -> None:
    (host,) = boot(kind)
    aimed = Aimed(host, tmp_path)
    stock = host.run(f"cat {CONFIG}").stdout
    old = host.run(supervised).stdout

    ran = aimed("apply")
    assert (ran.status, ran.host()["change"]) == (0, "applied"), ran.stdout
    assert ran.host()["facts"]["service_manager"] == manager
    assert "a reboot before that is not noticed" in steps(ran)["arm"]["detail"]
    (listener,) = host.run(DAEMONS).stdout.splitlines()
    assert listener.split()[0] == host.run(supervised).stdout.strip() != old.strip()
    again = aimed("apply")
    assert (again.status, again.host()["change"]) == (0, "unchanged")
    undone = aimed("undo")
    assert (undone.status, undone.host()["change"]) == (0, "applied"), undone.stdout
    assert host.run(f"cat {CONFIG}").stdout == stock

    # Nobody confirms: the host takes it back by itself.
    waiting = aimed("apply", "--no-confirm", "--confirm-timeout", "60")
    assert waiting.host()["change"] == "applied", waiting.stdout
    host.wait_until(f"test -e {STATE}/taken_back", "the guard to take it back")
    wait_until_clean(host, LITTER)
    assert host.run(f"cat {CONFIG}").stdout == stock
    (listener,) = host.run(DAEMONS).stdout.splitlines()
    assert listener.split()[0] == host.run(supervised).stdout.strip()
    guarantees.note(kind, f"applied (`{manager}`)", "")


def test_a_second_sshd_beside_a_supervised_one_is_not_taken_for_it(boot: Boot, tmp_path: Path) -> None:
    (host,) = boot("runit")
    host.run(SECOND)
    aimed = Aimed(host, tmp_path, port=2222)
    aimed.obey(refused(aimed, "no_manager")["hint"])
    first = host.run("cat /run/sshd.pid").stdout
    ran = aimed("apply")
    assert (ran.status, ran.host()["change"]) == (0, "applied"), ran.stdout
    assert host.run("cat /run/sshd.pid").stdout == first


# -------------------------------------------------------------------------------- two on one machine


@pytest.mark.parametrize("kind", ["d12", "sysv", "openrc", "alpine"])
def test_a_second_sshd_is_refused_and_works_with_what_the_hint_says(boot: Boot, tmp_path: Path, kind: str) -> None:
    (host,) = boot(kind)
    host.run(SECOND)
    aimed = Aimed(host, tmp_path, port=2222)
    failure = refused(aimed, "other_daemon")
    assert failure["hint"].endswith('service: {manager: pidfile, pidfile: "/run/second.pid"}')
    first = host.run("cat /run/sshd.pid").stdout
    stock = host.run(f"cat {CONFIG}").stdout
    aimed.obey(failure["hint"])
    ran = aimed("apply")
    assert (ran.status, ran.host()["change"]) == (0, "applied"), ran.stdout
    assert host.run("sshd -T -f /etc/ssh2/sshd_config | grep '^clientaliveinterval'").stdout.split()[1] == "300"
    assert (host.run("cat /run/sshd.pid").stdout, host.run(f"cat {CONFIG}").stdout) == (first, stock)
    assert aimed("undo").host()["change"] == "applied"
    restart = "kill -HUP $(cat /run/second.pid)"
    aimed.set(service={"manager": "command", "restart": restart, "is_active": "kill -0 $(cat /run/second.pid)"})
    assert aimed("apply").host()["change"] == "applied"
    assert host.run("cat /run/sshd.pid").stdout == first
    aimed.set(port=22, service={})
    assert aimed("apply").host()["change"] == "applied"
    guarantees.note(f"{kind} second", "refused (`other_daemon`)", "`manager: pidfile` or `command`")


@pytest.mark.parametrize("kind", ["sysv", "openrc"])
def test_a_second_sshd_that_took_the_first_ones_pid_file_is_refused(boot: Boot, tmp_path: Path, kind: str) -> None:
    """The init script would end it, and start one with other words."""
    (host,) = boot(kind)
    host.run("/usr/sbin/sshd -p 2222")
    host.wait_until(f"[ $({DAEMONS} | wc -l) = 2 ]", "the second sshd")
    failure = refused(Aimed(host, tmp_path, port=2222), "other_daemon")
    assert "2222" in failure["message"] or "-p" in failure["message"]
    failure = refused(Aimed(host, tmp_path), "other_daemon")
    assert "/run/sshd.pid names another process" in failure["message"]


def test_a_second_sshd_with_a_unit_of_its_own_is_restarted_by_it(boot: Boot, tmp_path: Path) -> None:
    (host,) = boot("d12")
    text = "[Service]\nExecStart=/usr/sbin/sshd -D -f /etc/ssh2/sshd_config\nKillMode=process\n"
    (host.files / "etc/systemd/system/second.service").write_text(text)
    host.run(f"{SECOND_FILES}; systemctl daemon-reload; systemctl start second")
    host.wait_until("test -s /run/second.pid", "the second sshd")
    aimed = Aimed(host, tmp_path, port=2222)
    first = host.run("cat /run/sshd.pid").stdout
    ran = aimed("apply")
    assert (ran.status, ran.host()["change"], ran.host()["facts"]["unit"]) == (0, "applied", "second.service"), (
        ran.stdout
    )
    assert host.run("cat /run/sshd.pid").stdout == first
    guarantees.note("d12 unit", "applied (`systemd`)", "")
