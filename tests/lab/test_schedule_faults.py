"""Schedules when something is wrong: a run that is ended, files of somebody else's, a machine nobody may write to."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.support.sshd import wait_until

from .hosts import LabHost
from .test_schedule import PROGRAM, controller, installed, keepalive

__all__ = ["controller", "installed"]  # fixtures

Controller = Callable[[str], LabHost]
UNIT = "sshd-keepalive-check.service"
UNITS = "/etc/systemd/system"
#: Takes connections and never says a word: a check of it lasts until its time is up.
MUTE = (
    "setsid python3 -c 'import socket, time; server = socket.create_server((\"127.0.0.1\", 2222)); time.sleep(600)' "
    ">/dev/null 2>&1 & "
    "sed 's/address: 127.0.0.1,/address: 127.0.0.1, port: 2222,/' /root/hosts.yaml >/root/mute.yaml; "
    "until ss -ltn | grep -q :2222; do sleep 0.1; done"
)


def wait_for_a_host_in_flight(host: LabHost) -> None:
    host.wait_until("ss -tn state established | grep -q :2222", "a host in flight")


def refused(host: LabHost, words: str) -> str:
    done = host.run(f"cd /root; {PROGRAM} {words}", check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_run_in_progress_is_not_begun_again_and_one_that_is_killed_fails(controller: Controller) -> None:
    host = controller("d12py")
    host.run(MUTE)
    keepalive(host, "schedule install --every week -i mute.yaml --timeout 600")
    host.run(f"systemctl start --no-block {UNIT}")
    wait_for_a_host_in_flight(host)
    done = host.run(f"cd /root; {PROGRAM} schedule run", check=False)
    assert (done.returncode, done.stderr) == (75, "check: the previous run is still in progress; skipped\n")
    host.run(f"systemctl kill --kill-who=all --signal=KILL {UNIT}")
    wait_until(lambda: host.run(f"systemctl is-failed {UNIT}", check=False).stdout == "failed\n", 60, "its end")
    assert host.run(f"systemctl show --property=Result --value {UNIT}").stdout == "signal\n"


def test_a_run_that_is_stopped_finishes_the_hosts_in_flight(controller: Controller) -> None:
    host = controller("d12py")
    host.run(MUTE)
    keepalive(host, "schedule install --every week -i mute.yaml --timeout 30")
    host.run(f"systemctl start --no-block {UNIT}")
    wait_for_a_host_in_flight(host)
    host.run(f"systemctl stop {UNIT}", timeout_s=240)
    assert host.run(f"systemctl show --property=ExecMainStatus --value {UNIT}").stdout == "130\n"
    (run,) = json.loads(keepalive(host, "history --format json"))["runs"]
    assert run["summary"]["unknown"] + run["summary"]["unreachable"] == 1, "what it came to is recorded"


def test_a_check_that_hangs_is_killed_and_the_unit_fails(controller: Controller) -> None:
    host = controller("d12py")
    host.run(MUTE)
    keepalive(host, "schedule install --every week -i mute.yaml --timeout 600")
    limits = "[Service]\nTimeoutStartSec=3\nTimeoutStopSec=2\n"
    host.run(f"mkdir {UNITS}/{UNIT}.d; cat >{UNITS}/{UNIT}.d/limit.conf; systemctl daemon-reload", stdin=limits)
    assert keepalive(host, "schedule run", code=3) == "check: unknown\n"
    assert host.run(f"systemctl show --property=Result --value {UNIT}").stdout == "timeout\n"
    assert host.run(f"systemctl is-failed {UNIT}", check=False).stdout == "failed\n"


def test_units_and_lines_of_others_are_left_alone(controller: Controller) -> None:
    host = controller("d12py")
    foreign = "[Service]\nExecStart=/bin/true\n"
    host.run(f"cat >{UNITS}/{UNIT}", stdin=foreign)
    assert "so it is kept" in refused(host, "schedule install --every day -i hosts.yaml")
    assert host.run(f"cat {UNITS}/{UNIT}").stdout == foreign
    assert "no schedules" in keepalive(host, "schedule list")

    other = controller("sysvpy")
    keepalive(other, "schedule install --every day -i hosts.yaml")
    other.run("crontab -l | sed 's/^[0-9].*/# mine\\n&/' | crontab -")
    keepalive(other, "schedule install --every hour -i hosts.yaml")
    assert other.run("crontab -l | grep -c /bin/sh").stdout == "1\n"
    keepalive(other, "schedule remove")
    assert other.run("crontab -l").stdout == "# mine\n"


def test_a_machine_that_cannot_have_schedules_says_so_and_is_as_it_was(controller: Controller) -> None:
    host = controller("d12py")
    host.run(f"mount --bind {UNITS} {UNITS} && mount -o remount,bind,ro {UNITS}")
    assert f"{UNITS}/sshd-keepalive-check" in refused(host, "schedule install --every day -i hosts.yaml")
    assert "no schedules" in keepalive(host, "schedule list")

    other = controller("sysvpy")
    other.run("mv /usr/bin/crontab /usr/bin/crontab.away")
    assert "neither systemd nor cron" in refused(other, "schedule install --every day -i hosts.yaml")
    assert "no schedules" in keepalive(other, "schedule list")
    other.run("mv /usr/bin/crontab.away /usr/bin/crontab; service cron stop; while pkill -x cron; do sleep 0.1; done")
    assert "cron does not run" in keepalive(other, "schedule install --every day -i hosts.yaml")


def test_what_a_session_would_have_to_give_is_refused(controller: Controller) -> None:
    host = controller("d12py")
    host.run("sed 's/become: none/password: \"env:PASSWORD\"/' /root/hosts.yaml >/root/env.yaml")
    for words in (
        "-i env.yaml",
        "-i hosts.yaml --notify apprise:env:CHAT",
        "-i hosts.yaml --store env:DATABASE",
        "-i hosts.yaml --notify bogus:target",
        "-i hosts.yaml --notify command:./not-there",
        "-i hosts.yaml --out html:/not-there/page.html",
        "-i hosts.yaml --benchmark not-there",
        "-i hosts.yaml --format not-there",
    ):
        refused(host, f"schedule install --every day {words}")
    for name in ("../../etc/passwd", "'a b'", "'\"'", "-x", "''"):
        refused(host, f"schedule install --every day -i hosts.yaml --name={name}")
        refused(host, f"schedule remove -- {name}")
    assert "no schedules" in keepalive(host, "schedule list")
    assert host.run(f"ls {UNITS} | grep keepalive", check=False).stdout == ""
