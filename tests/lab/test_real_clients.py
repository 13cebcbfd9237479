"""Clients of other make against every release of sshd: who answers keep-alives lives, who does not is found."""

import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.cli import keepalive
from tests.support.clients import PRODUCTS, quiet_session, why_missing
from tests.support.sshd import wait_until

from .hosts import Lab, LabHost
from .test_sessions_live import inventory

Boot = Callable[..., list[LabHost]]
MISSING = [reason for reason in map(why_missing, PRODUCTS) if reason]

#: Only `pwd` loses silent sessions; a busy client does not leave ten keep-alives in a row without an answer.
CONFIG = """
ClientAliveInterval 1
ClientAliveCountMax 1000
Match User pwd
    ClientAliveCountMax 10
"""


@pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))
@pytest.mark.parametrize("kind", ["d11", "d12", "d13", "sid"])
def test_clients_that_do_not_answer_are_listed_dropped_and_counted(
    lab: Lab, boot: Boot, tmp_path: Path, kind: str
) -> None:
    (host,) = boot(kind)
    host.run(f"echo '{CONFIG}' >/etc/ssh/sshd_config.d/00-quick.conf")
    host.restart_sshd()
    hosts = inventory(tmp_path / "hosts.yaml", lab, host, "1/1000")

    def count_lines(text: str) -> int:
        lines = host.run("journalctl -q -o cat -t sshd -t sshd-session --no-pager").stdout.splitlines()
        return sum(text in line for line in lines)

    with ExitStack() as stack:

        def begin(user: str, mode: str) -> list["subprocess.Popen[str]"]:
            """A session of every client."""
            return [
                stack.enter_context(quiet_session(client, mode, (host.address, 22), user, lab.identity_file, tmp_path))
                for client in PRODUCTS
            ]

        begin("ops", "silent")
        answering = begin("pwd", "answers")
        begin("pwd", "silent")
        wait_until(
            lambda: count_lines("Timeout, client not responding") == len(PRODUCTS), 90, "silent ones to be dropped"
        )
        listed = keepalive("sessions", "--ask-clients", "-i", hosts, "--format", "json")
        told = keepalive("losses", "-i", hosts, "--format", "json")
        assert [process.poll() for process in answering] == [None] * len(PRODUCTS)

    silent = [finding["value"] for finding in listed.host()["findings"]]
    address = str(lab.controller_address)
    assert listed.status == 1, listed.stdout
    assert len(silent) == len(PRODUCTS), silent
    assert all(value.startswith(f"ops from {address}:") for value in silent)

    assert told.status == 1, told.stdout
    dropped = [group for group in told.host()["losses"]["groups"] if group["end"] == "timeout"]
    assert [(g["account"], g["address"], g["sessions"]) for g in dropped] == [("pwd", address, len(PRODUCTS))]
    named = [f["value"] for f in told.host()["findings"] if f["setting"] == "silent client" and f["scope"] == address]
    assert [value.partition(":")[0] for value in named] == ["does not answer keep-alives"]
