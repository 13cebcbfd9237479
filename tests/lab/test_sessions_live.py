"""The cure from end to end: a quiet job dies at the limit of a box on the way, and lives for five after `apply`."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.cli import keepalive
from tests.support.middlebox import Middlebox
from tests.support.sshd import wait_until

from .hosts import Lab, LabHost

Boot = Callable[..., list[LabHost]]
LIMITS = 5


def inventory(
    path: Path, lab: Lab, host: LabHost, policy: str, *, through: Middlebox | None = None, **more: str
) -> Path:
    """One host, reached directly or through the box; `more` is for its policy."""
    interval, count = policy.split("/")
    address, port = through.address if through else (host.address, 22)
    settings = {
        "address": address,
        "port": port,
        "user": "ops",
        "identity_file": str(lab.identity_file),
        "known_hosts": str(path.with_suffix(".known")),
        "host_keys": "accept-new",
        "policy": {"ClientAliveInterval": int(interval), "ClientAliveCountMax": int(count), **more},
    }
    path.write_text(yaml.safe_dump({"hosts": {"one": settings}}))
    return path


def job(lab: Lab, address: tuple[str, int], script: str, *, user: str = "ops") -> "subprocess.Popen[str]":
    """A job as schedulers run it: a command over ssh, without a terminal and without keep-alives of its own."""
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "ServerAliveInterval=0"]
    words = [word for option in options for word in ("-o", option)]
    words += ["-i", str(lab.identity_file), "-p", str(address[1]), f"{user}@{address[0]}"]
    return subprocess.Popen(
        ["ssh", "-F", "none", *words, script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def ending() -> Iterator[list["subprocess.Popen[str]"]]:
    """Jobs that must not outlive the test."""
    jobs: list[subprocess.Popen[str]] = []
    yield jobs
    for one in jobs:
        one.kill()
        one.communicate()


# OpenSSH 9.2 (d12) sends at half the rate: 1 means 2 s there.
@pytest.mark.parametrize(("kind", "resets", "limit_s", "every_s"), [("d13", True, 8.0, 1), ("d12", False, 12.0, 2)])
def test_a_quiet_job_dies_at_the_limit_and_lives_after_apply(
    lab: Lab,
    boot: Boot,
    tmp_path: Path,
    ending: list["subprocess.Popen[str]"],
    kind: str,
    resets: bool,
    limit_s: float,
    every_s: int,
) -> None:
    (host,) = boot(kind)
    direct = inventory(tmp_path / "direct.yaml", lab, host, "1/3")
    with Middlebox((host.address, 22), limit_s, resets=resets) as box:
        through = inventory(tmp_path / "through.yaml", lab, host, "1/3", through=box)
        script = "sleep {}; echo finished"

        before = job(lab, box.address, script.format(limit_s * 2))
        ending.append(before)
        probed = keepalive("probe", "-i", through, "--idle", str(limit_s * 2), "--format", "json")
        assert (probed.status, probed.host()["state"]) == (1, "drift")
        assert probed.host()["facts"]["loss"] == ("reset" if resets else "no_answer"), probed.stdout
        assert probed.host()["facts"]["keepalives"] == "0"
        assert box.forgotten
        assert min(box.forgotten) >= limit_s
        if resets:
            stdout, stderr = before.communicate(timeout=120)
            assert before.returncode == 255
            assert "finished" not in stdout
            said = keepalive_diagnosis(f"{stderr}ssh exited with code 255\n", tmp_path)
            assert said["session_killed"] is True
            assert said["causes"][0]["name"] == "idle-limit"
        else:
            assert before.poll() is None, "nobody tells the client"

        applied = keepalive("apply", "--yes", "-i", direct, "--format", "json")
        assert (applied.status, applied.host()["change"]) == (0, "applied"), applied.stdout

        after = job(lab, box.address, script.format(limit_s * LIMITS))
        ending.append(after)
        probed = keepalive("probe", "-i", through, "--idle", str(limit_s * LIMITS), "--format", "json")
        assert (probed.status, probed.host()["state"]) == (0, "ok"), probed.stdout
        facts = probed.host()["facts"]
        assert 0.5 <= float(facts["spacing_s"]) <= every_s + 0.5  # a busy 9.2 may keep its interval after all
        assert int(facts["keepalives"]) >= limit_s * LIMITS / every_s * 0.7
        stdout, _ = after.communicate(timeout=120)
        assert (after.returncode, stdout) == (0, "finished\n")


def keepalive_diagnosis(log: str, folder: Path) -> dict:
    path = folder / "run.log"
    path.write_text(log)
    return keepalive("diagnose", str(path), "--format", "json").data["diagnosis"]


def test_a_frozen_client_is_dropped_when_predicted_and_a_healthy_one_never(
    lab: Lab, boot: Boot, tmp_path: Path, ending: list["subprocess.Popen[str]"]
) -> None:
    (host,) = boot("d13")
    hosts = inventory(tmp_path / "hosts.yaml", lab, host, "2/1")
    assert keepalive("apply", "--yes", "-i", hosts).status == 0
    frozen, healthy = (job(lab, (host.address, 22), f"echo $SSH_CONNECTION; sleep {name}") for name in ("1001", "1002"))
    ending += [frozen, healthy]
    assert frozen.stdout is not None
    assert healthy.stdout is not None
    port = frozen.stdout.readline().split()[1]
    assert healthy.stdout.readline()
    os.kill(frozen.pid, signal.SIGSTOP)

    # By program, not by unit: a session may be in a scope of its own.
    def log(form: str = "short") -> str:
        return host.run(f"journalctl -q -o {form} -t sshd -t sshd-session --no-pager").stdout

    wait_until(lambda: "not responding" in log(), 60, "sshd to give up on the frozen client")
    os.kill(frozen.pid, signal.SIGCONT)
    lines = log("short-unix").splitlines()
    (began,) = (line for line in lines if "Accepted" in line and f"port {port} " in line)
    (dropped,) = (line for line in lines if "not responding" in line)
    # Silent since a moment after its login, it is dropped (1 + 1) x 2 s later; a busy machine is late.
    assert 4 <= float(dropped.split()[0]) - float(began.split()[0]) < 20
    assert healthy.poll() is None
    assert host.run("pgrep -fx 'sleep 1001'").stdout, "without a terminal nothing tells the script"
    said = keepalive_diagnosis(log(), tmp_path)
    assert said["causes"][0]["name"] in ("dead-client", "count-zero")
    path = tmp_path / "run.log"
    looked = keepalive("diagnose", str(path), "--host", "one", "-i", hosts, "--format", "json").data["diagnosis"]
    # On a busy machine sshd may drop it some seconds late, and the duration fits less well.
    assert [s["name"] for s in looked["causes"] if s["likelihood"] != "unlikely"][:1] == ["dead-client"]
