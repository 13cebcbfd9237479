"""`probe` against a real sshd on loopback: what is observed, not what a file says."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.cli import keepalive
from tests.support.middlebox import Middlebox
from tests.support.sshd import Sshd, find_sshd, wait_until, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]


def inventory(server: Sshd, folder: Path, *, policy: str = "2/3", **settings: object) -> Path:
    interval, count = policy.split("/")
    host: dict[str, object] = {
        **server.inventory_host,
        "policy": {"ClientAliveInterval": int(interval), "ClientAliveCountMax": int(count)},
    }
    path = folder / "hosts.yaml"
    path.write_text(yaml.safe_dump({"hosts": {"one": {**host, **settings}}}))
    return path


def observed(host: dict) -> dict:
    (found,) = (finding for finding in host["findings"] if finding["setting"] == "observed")
    return found


@pytest.fixture
def sshd() -> Iterator[Sshd]:
    with Sshd("ClientAliveInterval 2\nClientAliveCountMax 3\nLogLevel DEBUG1\n") as server:
        yield server


def test_keep_alives_are_counted_and_timed(sshd: Sshd, tmp_path: Path) -> None:
    ran = keepalive("probe", "-i", inventory(sshd, tmp_path), "--format", "json")
    host = ran.host()
    assert (ran.status, host["state"], host["failure"]) == (0, "ok", None), ran.stdout
    assert host["facts"]["configured"] == "2/3"
    assert host["facts"]["loaded"] == "the present files"
    release = tuple(int(number) for number in host["facts"]["openssh"].split("p")[0].split("."))
    expected_s = 4 if (9, 2) <= release <= (9, 4) else 2
    assert 1 < float(host["facts"]["spacing_s"]) < expected_s + 5  # a busy machine is late
    assert int(host["facts"]["keepalives"]) >= 2
    assert (host["caveat"] is not None) == (expected_s == 4)
    assert "two intervals" not in host["facts"].get("notes", ""), "the caveat says it"


def test_what_is_not_loaded_is_not_proved(sshd: Sshd, tmp_path: Path) -> None:
    """The file says 60, the daemon still sends every 2 s (4 on 9.2): configured, but neither loaded nor observed."""
    sshd.config_file.write_text(sshd.config_file.read_text().replace("Interval 2", "Interval 60"))
    ran = keepalive("probe", "-i", inventory(sshd, tmp_path, policy="60/3"), "--idle", "12", "--format", "json")
    host = ran.host()
    assert (ran.status, host["state"]) == (1, "drift")
    assert observed(host)["state"] == "drift"
    assert host["facts"]["loaded"] == "older files"


def test_a_silence_that_is_too_short_proves_nothing(sshd: Sshd, tmp_path: Path) -> None:
    sshd.config_file.write_text(sshd.config_file.read_text().replace("Interval 2", "Interval 60"))
    sshd.reload()
    ran = keepalive("probe", "-i", inventory(sshd, tmp_path, policy="60/3"), "--idle", "1")
    assert ran.status == 3
    assert "test for longer: --idle" in ran.stdout


def test_a_daemon_that_ends_the_session_is_named(sshd: Sshd, tmp_path: Path) -> None:
    """Its session process dies in mid-silence: the client sees the close, at its second, and from which side."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sshd_keepalive", "probe", "-i", str(inventory(sshd, tmp_path)), "--idle", "120",
         "--format", "json"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for_silence(sshd)
    sshd.kill_sessions()
    stdout, _ = process.communicate(timeout=60)  # at once, not after the silence
    assert process.returncode == 1
    assert "closed from the host" in stdout


def wait_for_silence(sshd: Sshd) -> None:
    """The first command is the look, the second the silence; a keep-alive was answered in it: it has begun."""

    def has_begun() -> bool:
        _, *sessions = sshd.log.split("Starting session: command")
        return len(sessions) == 2 and " for keepalive" in sessions[1]

    wait_until(has_begun, 60, "the silence")


def test_interrupted_it_says_what_was_seen_so_far(sshd: Sshd, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "sshd_keepalive", "probe", "-i", str(inventory(sshd, tmp_path)), "--idle", "120",
         "--format", "json"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for_silence(sshd)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in stderr
    assert "when the test was interrupted" in observed(json.loads(stdout)["hosts"][0])["value"]


def test_fast_shows_what_this_binary_does(sshd: Sshd, tmp_path: Path) -> None:
    ran = keepalive("probe", "--fast", "-i", inventory(sshd, tmp_path), "--format", "json")
    host = ran.host()
    assert (ran.status, host["state"]) == (0, "ok"), ran.stdout
    found = {finding["setting"]: finding for finding in host["findings"]}
    assert {"observed", "count 0", "dead client"} <= set(found)
    assert "dead after" in found["dead client"]["value"]
    assert sshd.config_file.read_text().startswith("ClientAliveInterval 2")


def test_fast_knows_a_vendors_build_whose_files_use_no_include(sshd: Sshd, tmp_path: Path) -> None:
    """A binary that says 8.0 and behaves as RHEL 8's: it knows Include, and with a count of 0 it drops nobody."""
    vendors = tmp_path / "sshd"
    vendors.write_text(f'#!/bin/sh\n[ "$1" != -V ] || {{ echo OpenSSH_8.0p1 >&2; exit 1; }}\nexec {find_sshd()} "$@"\n')
    vendors.chmod(0o755)
    ran = keepalive("probe", "--fast", "-i", inventory(sshd, tmp_path, sshd=str(vendors)), "--format", "json")
    assert ran.host()["facts"]["openssh"] == "8.0p1"
    (count,) = (finding for finding in ran.host()["findings"] if finding["setting"] == "count 0")
    assert (count["state"], count["wanted"]) == ("ok", "a client that answers is never dropped"), ran.stdout


def test_fast_says_that_a_match_block_cannot_be_tried(tmp_path: Path) -> None:
    with Sshd("ClientAliveInterval 2\nClientAliveCountMax 3\n") as server:
        text = server.config_file.read_text()
        server.config_file.write_text(f"{text}Match User {server.user}\n  ClientAliveInterval 2\n")
        server.reload()
        ran = keepalive("probe", "--fast", "-i", inventory(server, tmp_path))
    assert ran.status == 3
    assert "a Match block sets the values" in ran.stdout


@pytest.mark.parametrize("words", [b"", b"SSH-2.0-OpenSSH_9.6\r\n"], ids=["at once", "after its version"])
def test_a_host_that_closes_is_unreachable(sshd: Sshd, tmp_path: Path, words: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(3):
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.sendall(words)
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        hosts = inventory(sshd, tmp_path, port=server.getsockname()[1])
        ran = keepalive("probe", "-i", hosts, "--format", "json", "--timeout", "5")
    assert ran.status == 3
    assert ran.host()["failure"]["kind"] in ("tcp", "banned", "host_key")


def test_check_deep_finds_what_else_ends_a_job(tmp_path: Path) -> None:
    with Sshd("ClientAliveInterval 2\nClientAliveCountMax 3\nMaxSessions 4\nChannelTimeout session:*=5m\n") as server:
        hosts = inventory(server, tmp_path)
        assert keepalive("check", "-i", hosts).status == 0
        ran = keepalive("check", "--deep", "--concurrency", "5", "-i", hosts, "--format", "json")
    wrong = {f["setting"]: f["value"] for f in ran.host()["findings"] if f["state"] == "drift"}
    assert (ran.status, wrong) == (1, {"ChannelTimeout": "session:*=5m", "MaxSessions": "4"})
    assert "tcp_keepalive" in ran.host()["facts"]


def test_the_limit_of_a_box_on_the_way_is_found(tmp_path: Path) -> None:
    known = str(tmp_path / "known")
    with (
        Sshd("ClientAliveInterval 0\n") as server,
        Middlebox((server.address, server.port), 6.5, resets=False) as box,
    ):
        address, port = box.address
        hosts = inventory(server, tmp_path, address=address, port=port, host_keys="accept-new", known_hosts=known)
        ran = keepalive("probe", "--find-limit", "--idle", "8", "-i", hosts, "--format", "json")
    facts = ran.host()["facts"]
    # A keep-alive that a busy machine sends seconds late meets the limit too: the answer errs to the safe side.
    assert facts["idle_limit"] in ("between 5 s and 8 s", "between 3 s and 5 s"), ran.stdout
    (found,) = (f for f in ran.host()["findings"] if f["setting"] == "idle limit")
    assert (ran.status, found["state"]) == (1, "drift")
    assert f"configure ClientAliveInterval {2 if '5 s and' in found['value'] else 1} or less" in found["reason"]


def test_a_way_that_takes_few_connections_is_measured_with_those(tmp_path: Path) -> None:
    known = str(tmp_path / "known")
    with (
        Sshd("ClientAliveInterval 0\n") as server,
        Middlebox((server.address, server.port), 60, resets=False, most=2) as box,
    ):
        address, port = box.address
        hosts = inventory(server, tmp_path, address=address, port=port, host_keys="accept-new", known_hosts=known)
        ran = keepalive("probe", "--find-limit", "--idle", "3", "-i", hosts)
    assert "idle limit: none up to 3 s" in ran.stdout
    assert "only 2 of 3 connections" in ran.stdout


def test_a_jump_host_with_the_shorter_life_is_named(tmp_path: Path) -> None:
    with (
        Sshd("ClientAliveInterval 0\n") as server,
        Sshd("AllowTcpForwarding yes\n") as jump_host,
        Middlebox((jump_host.address, jump_host.port), 6.0, resets=True) as box,
    ):
        address, port = box.address
        hosts = inventory(server, tmp_path, jump="way")
        data = yaml.safe_load(hosts.read_text())
        data["hosts"]["way"] = {
            "address": address,
            "port": port,
            "user": jump_host.user,
            "identity_file": str(jump_host.user_key),
            "host_keys": "accept-new",
            "known_hosts": str(tmp_path / "known"),
        }
        hosts.write_text(yaml.safe_dump(data))
        ran = keepalive("probe", "-i", hosts, "--limit", "one", "--idle", "30", "--format", "json")
    assert ran.status == 1, ran.stdout
    assert ran.host()["facts"]["loss"] == "jump_host"
    assert "jump host" in observed(ran.host())["reason"]
