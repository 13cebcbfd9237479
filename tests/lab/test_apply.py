"""The main job on real hosts: check, plan, apply, apply again, check; on every init and OpenSSH of the lab."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.cli import keepalive

from .hosts import Lab, LabHost
from .recipes import RECIPES

Boot = Callable[..., list[LabHost]]

CONFIG = "/etc/ssh/sshd_config"
#: All that an apply could touch, with everything that a careless one would change.
LOOK = (
    f"cat {CONFIG} /etc/ssh/sshd_config.d/* 2>/dev/null | cksum; stat -c '%i %a %U %G %Z' {CONFIG}; "
    "cat /run/sshd.pid; cat /proc/$(cat /run/sshd.pid)/stat | cut -d ' ' -f 22"
)


@pytest.fixture
def inventory(lab: Lab, tmp_path: Path) -> Path:
    path = tmp_path / "hosts.yaml"
    path.write_text(lab.inventory())
    return path


def test_one_apply_and_one_check_start_few_processes(lab: Lab, boot: Boot, tmp_path: Path) -> None:
    """20 of an apply belong to its three logins, with the message of the day of each, and 3 to systemd."""
    (host,) = boot("d12")
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text(lab.inventory(user="root"))
    numbers = []
    for work in (("apply", "--yes"), ("check",)):
        numbers.append(int(host.run("cat /proc/sys/kernel/ns_last_pid").stdout))
        assert keepalive(*work, "-i", inventory, "--limit", host.name).status == 0
    numbers.append(int(host.run("cat /proc/sys/kernel/ns_last_pid").stdout))
    n_apply, n_check = (after - before - 2 for before, after in pairwise(numbers))
    assert (n_apply <= 76, n_check <= 15) == (True, True), (n_apply, n_check)  # one may be the host's own


@pytest.mark.parametrize("kind", RECIPES)
def test_stock_host_gets_the_policy_and_a_second_apply_changes_nothing(
    lab: Lab, boot: Boot, kind: str, tmp_path: Path
) -> None:
    (host,) = boot(kind)
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text(lab.inventory())
    only = ("-i", inventory, "--limit", host.name, "--format", "json")
    stock = host.run(f"cat {CONFIG}").stdout

    assert keepalive("check", *only).host()["state"] == "drift"
    planned = keepalive("plan", *only)
    assert planned.status == 1
    assert "+ClientAliveInterval 300\n" in planned.host()["diff"]
    assert host.run(f"cat {CONFIG}").stdout == stock

    applied = keepalive("apply", "--yes", *only)
    assert (applied.status, applied.host()["change"], applied.host()["state"]) == (0, "applied", "ok")
    values = host.sshd_values()
    assert (values["clientaliveinterval"], values["clientalivecountmax"]) == ("300", "3")
    wanted = stock.replace("#ClientAliveInterval 0\n", "#ClientAliveInterval 0\nClientAliveInterval 300\n")
    wanted = wanted.replace("#ClientAliveCountMax 3\n", "#ClientAliveCountMax 3\nClientAliveCountMax 3\n")
    assert host.run(f"cat {CONFIG}").stdout == wanted
    assert applied.host()["backup"]
    assert host.run(f"cat {applied.host()['backup']}/1.before").stdout == stock

    before = host.run(LOOK).stdout
    again = keepalive("apply", "--yes", *only)
    assert (again.status, again.host()["change"]) == (0, "unchanged")
    assert host.run(LOOK).stdout == before
    assert keepalive("check", *only).status == 0
    if kind == "socket":
        assert host.run(
            "systemctl is-active ssh.socket; systemctl is-enabled ssh.service", check=False
        ).stdout.split() == [
            "active",
            "disabled",
        ]


def test_check_writes_nothing_anywhere(lab: Lab, boot: Boot, inventory: Path) -> None:
    (host,) = boot("d12")
    inventory.write_text(lab.inventory())
    host.run("touch /mark; sleep 0.05")
    assert keepalive("check", "-i", inventory, "--limit", host.name).status == 1
    assert keepalive("plan", "-i", inventory, "--limit", host.name).status == 1
    changed = host.run(
        "find / -xdev -newer /mark ! -path '/proc/*' ! -path '/run/*' ! -path '/var/log/*' ! -path '/mark' -type f"
    ).stdout.split()
    # The login itself is written down by sudo and PAM, as for everybody.
    assert [path for path in changed if not path.startswith(("/var/lib/sudo", "/var/lib/systemd"))] == []


def test_a_value_in_a_drop_in_is_changed_where_it_decides(lab: Lab, boot: Boot, inventory: Path) -> None:
    (host,) = boot("d12")
    inventory.write_text(lab.inventory())
    drop_in = "/etc/ssh/sshd_config.d/50-cloudimg-settings.conf"
    host.run(f"echo 'ClientAliveInterval 120' >{drop_in}; chmod 600 {drop_in}")
    host.restart_sshd()
    applied = keepalive("apply", "--yes", "-i", inventory, "--limit", host.name, "--format", "json")
    assert (applied.status, applied.host()["change"]) == (0, "applied")
    assert (
        host.run("cat /etc/ssh/sshd_config.d/*; stat -c %a /etc/ssh/sshd_config.d/*").stdout
        == "ClientAliveInterval 300\n600\n"
    )
    assert host.sshd_values()["clientaliveinterval"] == "300"


def test_a_value_in_a_match_block_is_changed_too(lab: Lab, boot: Boot, inventory: Path) -> None:
    (host,) = boot("d11")
    inventory.write_text(lab.inventory())
    host.run(f"printf 'Match User ops\\n  ClientAliveInterval 0\\n  ClientAliveCountMax 0\\n' >>{CONFIG}")
    host.restart_sshd()
    applied = keepalive("apply", "--yes", "-i", inventory, "--limit", host.name, "--format", "json")
    assert (applied.status, applied.host()["change"]) == (0, "applied")
    answer = host.run("sshd -T -C user=ops,host=h,addr=10.0.0.1 | grep -i '^clientalive'").stdout
    assert sorted(answer.lower().split()) == ["3", "300", "clientalivecountmax", "clientaliveinterval"]


def test_a_right_file_with_an_older_daemon_is_pending_and_apply_restarts_it(
    lab: Lab, boot: Boot, inventory: Path
) -> None:
    (host,) = boot("d12")
    inventory.write_text(lab.inventory())
    edits = "s/^#ClientAliveInterval.*/ClientAliveInterval 300/; s/^#ClientAliveCountMax.*/ClientAliveCountMax 3/"
    host.run(f"sed -i '{edits}' {CONFIG}")
    only = ("-i", inventory, "--limit", host.name, "--format", "json")
    found = keepalive("check", *only).host()
    assert found["state"] == "drift"
    assert [f["setting"] for f in found["findings"] if f["state"] == "drift"] == ["daemon"]
    old = host.run("cat /run/sshd.pid").stdout
    assert keepalive("apply", "--yes", *only).host()["change"] == "applied"
    assert host.run("cat /run/sshd.pid").stdout != old
    assert keepalive("check", *only).status == 0
    # A reload leaves the process as it is and yet reads the files: that is not pending.
    host.run(f"echo '# touched' >>{CONFIG}; rm /run/sshd.pid; systemctl reload ssh")
    host.wait_until("test -s /run/sshd.pid", "the reload")
    assert keepalive("check", *only).status == 0


def test_a_slow_host_without_a_pid_file_is_not_taken_for_one_with_an_older_daemon(
    lab: Lab, boot: Boot, inventory: Path
) -> None:
    """When sshd was started is told by two clocks, which a busy host does not read at the same moment."""
    (host,) = boot("d12")
    inventory.write_text(lab.inventory())
    host.run(f"echo 'PidFile none' >>{CONFIG}")
    host.restart_sshd()
    slow = host.files / "usr/local/sbin/date"
    slow.write_text('#!/bin/sh\n/usr/bin/date "$@"\nsleep 0.5\n')
    slow.chmod(0o755)
    only = ("-i", inventory, "--limit", host.name, "--format", "json")
    applied = keepalive("apply", "--yes", *only)
    assert (applied.status, applied.host()["change"]) == (0, "applied"), applied.stdout


def test_a_new_drop_in_beside_a_linked_main_file_leaves_that_file_alone(lab: Lab, boot: Boot, inventory: Path) -> None:
    """The drop-in wears the main file's owner and mode; writing through the link would have destroyed it."""
    (host,) = boot("d12")
    inventory.write_text(lab.inventory() + "policy: {strategy: drop-in}\n")
    host.run(f"mv {CONFIG} /etc/ssh/real_config && ln -s real_config {CONFIG}")
    host.restart_sshd()
    main = host.run("cat /etc/ssh/real_config").stdout
    only = ("-i", inventory, "--limit", host.name, "--format", "json")
    applied = keepalive("apply", "--yes", *only)
    assert (applied.status, applied.host()["change"]) == (0, "applied")
    assert host.run(f"readlink {CONFIG}; cat /etc/ssh/real_config").stdout == f"real_config\n{main}"
    made = host.run("ls /etc/ssh/sshd_config.d; find /etc/ssh/sshd_config.d -type f -name '*.conf' | wc -l").stdout
    assert made.split()[-1] == "1"
    assert host.sshd_values()["clientaliveinterval"] == "300"
    assert keepalive("undo", "--yes", *only).host()["change"] == "applied"
    assert host.run("ls -A /etc/ssh/sshd_config.d; cat /etc/ssh/real_config").stdout == main


def test_an_sshd_that_reads_another_file_is_not_judged_by_this_one(lab: Lab, boot: Boot, inventory: Path) -> None:
    (host,) = boot("d12")
    inventory.write_text(lab.inventory())
    host.run(
        "cp -a /etc/ssh /etc/xsh; sed 's,/etc/ssh,/etc/xsh,g' /usr/sbin/sshd >/usr/sbin/sshd.new; "
        "chmod 755 /usr/sbin/sshd.new; mv /usr/sbin/sshd.new /usr/sbin/sshd; "
        f"printf 'ClientAliveInterval 300\\nClientAliveCountMax 3\\n' >>{CONFIG}; sshd -t"
    )
    host.restart_sshd()
    checked = keepalive("check", "-i", inventory, "--limit", host.name, "--format", "json")
    assert (checked.status, checked.host()["state"]) == (3, "unknown")


@pytest.mark.parametrize("kind", ["d12", "sysv"])
def test_start_options_that_no_sshd_has_yet_are_reported_and_keep_files_as_they_are(
    lab: Lab, boot: Boot, inventory: Path, kind: str
) -> None:
    (host,) = boot(kind)
    inventory.write_text(lab.inventory())
    host.run("echo 'SSHD_OPTS=\"-o ClientAliveInterval=77\"' >/etc/default/ssh")
    only = ("-i", inventory, "--limit", host.name, "--format", "json")
    before = host.run(LOOK).stdout
    (told,) = [f for f in keepalive("check", *only).host()["findings"] if f["setting"] == "daemon"]
    assert "would use -o ClientAliveInterval=77" in told["reason"]
    refused = keepalive("apply", "--yes", *only)
    assert (refused.status, refused.host()["change"]) == (3, "refused")
    assert "after a restart sshd would" in refused.host()["failure"]["message"]
    assert host.run(LOOK).stdout == before
    host.restart_sshd()
    checked = keepalive("check", *only).host()
    assert [f["value"] for f in checked["findings"]] == ["77", "3"]
    assert checked["findings"][0]["place"] == {"path": "<command line>", "line": 0}
    refused = keepalive("apply", "--yes", *only)
    assert (refused.status, refused.host()["change"]) == (3, "refused")
    assert "-o ClientAliveInterval=77" in refused.host()["failure"]["message"]


def test_with_a_process_for_each_connection_the_template_shows_the_options(
    lab: Lab, boot: Boot, inventory: Path
) -> None:
    (host,) = boot("d11")
    inventory.write_text(lab.inventory())
    host.run("echo 'SSHD_OPTS=\"-o ClientAliveInterval=77\"' >/etc/default/ssh")
    host.run("systemctl disable --quiet ssh.service; systemctl stop ssh.service; systemctl start ssh.socket")
    checked = keepalive("check", "-i", inventory, "--limit", host.name, "--format", "json").host()
    assert [(f["value"], f["state"]) for f in checked["findings"]] == [("77", "drift"), ("3", "ok")]


def test_a_host_under_two_names_is_changed_once(lab: Lab, boot: Boot, inventory: Path) -> None:
    """Both names are in the report. The host's lock lets one change it; the other finds it done, or is told why."""
    (host,) = boot("d12")
    inventory.write_text(f"{lab.inventory()}  alias: {host.address}\n")
    both = ("-i", inventory, "--limit", f"{host.name},alias", "--format", "json")
    stock = host.run(f"cat {CONFIG}").stdout

    applied = keepalive("apply", "--yes", *both).data["hosts"]
    assert sorted(one["name"] for one in applied) == sorted([host.name, "alias"])
    outcomes = {(one["change"], (one["failure"] or {}).get("kind")) for one in applied}
    assert ("applied", None) in outcomes
    assert outcomes - {("applied", None)} in (
        {("refused", "locked")},
        {("unchanged", None)},
        {("refused", "changed_meanwhile")},
    )
    assert len(host.run(f"cat {CONFIG}").stdout.splitlines()) == len(stock.splitlines()) + 2
    again = keepalive("apply", "--yes", *both).data["hosts"]
    assert [one["change"] for one in again] == ["unchanged", "unchanged"]
