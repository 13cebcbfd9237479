"""What an ordinary account of a host may try while root changes the host, and while somebody looks at it."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import acl
from tests.support.cli import keepalive

from .hosts import Lab, LabHost

Boot = Callable[..., list[LabHost]]
STATE = "/var/lib/sshd-keepalive/etc-ssh-sshd_config"
CONFIG = "/etc/ssh/sshd_config"
#: Whenever root runs a guard.sh, have it find another one there: rename the directory above, and put a new one there.
RACE = r"""
cd "$1"
: >/tmp/racing
while [ ! -e /tmp/stop ]; do
    for words in /proc/[0-9]*/cmdline; do
        path=$(tr '\000' '\n' <$words 2>/dev/null | grep '/guard\.sh$') || continue
        mv sshd-keepalive away.$$ 2>/dev/null && mkdir -p "${path%/*}" && echo 'id >/pwned' >"$path"
    done
done
"""


AS_PWD = "setpriv --reuid=pwd --regid=pwd --init-groups"


def only(lab: Lab, host: LabHost, folder: Path) -> tuple[object, ...]:
    inventory = folder / "hosts.yaml"
    inventory.write_text(lab.inventory())
    return "-i", inventory, "--limit", host.name, "--format", "json"


@contextmanager
def racing(host: LabHost, folder: str) -> Iterator[None]:
    """An account that tries without end."""
    (host.files / "srv/race").write_text(RACE)
    host.run(f"setsid {AS_PWD} sh /srv/race {folder} >/dev/null 2>&1 </dev/null &")
    host.wait_until("test -e /tmp/racing", "the race to begin")
    try:
        yield
    finally:
        host.run("touch /tmp/stop")


@pytest.mark.parametrize("trap", ["owner", "group", "access list", "real parent"])
def test_no_account_has_root_run_another_guard(lab: Lab, boot: Boot, tmp_path: Path, trap: str) -> None:
    (host,) = boot("d12")
    uid = int(host.run("id -u pwd").stdout)
    folder, blamed = "/var/lib", "/var/lib"
    if trap == "owner":
        host.run("chown pwd /var/lib")
    elif trap == "group":
        host.run("chgrp pwd /var/lib; chmod g+w /var/lib")
    elif trap == "access list":
        os.setxattr(host.files / "var/lib", acl.ACCESS, acl.writable_by(uid))
    else:
        folder = blamed = "/srv/pwd"
        host.run("mkdir -p /srv/pwd/sshd-keepalive; chown pwd /srv/pwd; ln -s /srv/pwd/sshd-keepalive /var/lib/")
    stock = host.run(f"cksum {CONFIG}").stdout
    with racing(host, folder):
        ran = keepalive("apply", "--yes", *only(lab, host, tmp_path))
    found = ran.host()
    assert (ran.status, found["change"]) == (3, "refused"), ran.stdout
    assert (found["failure"]["kind"], found["failure"]["cause"]) == ("read_only", "not_ours")
    command = re.search("otherwise give it to root alone: (.+)$", found["failure"]["hint"])
    assert command, found["failure"]["hint"]
    assert f" {blamed} " in command[1]
    assert host.run(f"cksum {CONFIG}; ls -d /pwned 2>/dev/null", check=False).stdout == stock
    # What the hint says is enough, where nothing was planted yet.
    host.run(f"rm -rf /var/lib/away.* {folder}/away.*; {command[1]}")
    host.run("chown -R root:root /var/lib/sshd-keepalive/ 2>/dev/null", check=False)
    again = keepalive("apply", "--yes", *only(lab, host, tmp_path))
    assert again.host()["change"] == "applied", again.stdout


def test_thousands_that_call_themselves_sshd_do_not_delay_the_way_back(lab: Lab, boot: Boot, tmp_path: Path) -> None:
    """Each of them was looked into, which took minutes; the files came back after that."""
    (host,) = boot("d12")
    words = only(lab, host, tmp_path)
    stock = host.run(f"cksum {CONFIG}").stdout
    ran = keepalive("apply", "--yes", *words, "--no-confirm", "--confirm-timeout", "900")
    assert ran.host()["change"] == "applied", ran.stdout
    crowd = "cp /bin/sleep /tmp/sshd; n=0; while [ $n -lt 3000 ]; do n=$((n + 1)); /tmp/sshd 900 & done"
    host.run(f"setpriv --reuid=ops --regid=ops --init-groups sh -c '{crowd}' >/dev/null 2>&1 </dev/null")
    host.wait_until("[ $(pgrep -c -u ops -x sshd) -ge 3000 ]", "all processes")
    began_s = time.monotonic()
    host.run(f"sh {ran.host()['backup']}/guard.sh revert")
    assert time.monotonic() - began_s < 30  # it takes one or two; looking into each would take a hundred
    assert host.run(f"cksum {CONFIG}").stdout == stock
    assert host.sshd_values()["clientaliveinterval"] == "0"


def test_six_processes_do_not_hide_the_sessions_of_a_host(lab: Lab, boot: Boot, tmp_path: Path) -> None:
    """Their words alone were more than an answer may be long."""
    (host,) = boot("d12")
    big = "big=$(printf '%120000s' x)"
    crowd = f"cp /usr/bin/perl /tmp/sshd; {big}; for n in 1 2 3 4 5 6; do /tmp/sshd -e 'sleep 900' "
    crowd += '"$big" ' * 15 + "& done"
    (host.files / "srv/crowd").write_text(crowd)
    host.run(f"{AS_PWD} sh /srv/crowd >/dev/null 2>&1 </dev/null")
    host.wait_until("[ $(pgrep -c -u pwd -x sshd) = 6 ]", "all six processes")
    options = ("-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
    job = subprocess.Popen(
        ["ssh", *options, "-i", str(lab.identity_file), f"ops@{host.address}", "echo here; sleep 900"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert job.stdout is not None
        assert job.stdout.readline() == "here\n"
        ran = keepalive("sessions", "--all", *only(lab, host, tmp_path))
    finally:
        job.kill()
        job.communicate()
    assert ran.host()["failure"] is None, ran.stdout
    (found,) = [finding["value"] for finding in ran.host()["findings"]]
    assert found.startswith("ops on notty from ")
    assert "sleep 900" in found
