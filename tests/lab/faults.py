"""Stop a change exactly before a step, let something go wrong there, and say what became of the host.

A step is stopped from outside: a stand-in for the command with which the guard begins it comes first on sudo's PATH
and waits. Nothing in the program knows of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.support.cli import STATE_HOME, keepalive

from .hosts import Lab, LabError, LabHost

CONFIG = "/etc/ssh/sshd_config"
STATE = "/var/lib/sshd-keepalive/etc-ssh-sshd_config"
LITTER = (
    "find /etc/ssh -name '.sshd-keepalive*'; find /etc/systemd /etc/init.d /etc/rc?.d /etc/runlevels "
    f"-name '*sshd-keepalive*' 2>/dev/null; ls {STATE} 2>/dev/null | grep -v -E '^[0-9]{{8}}T' | grep -v taken_back"
)
#: The directory stays: a test may have mounted something there. Twice: a timer of an earlier run may write just now.
FORGET = f"rm -rf {STATE}/* || rm -rf {STATE}/*"
DEADLINE_S = 5
#: A busy machine may reach a late step when the guard's time is up, or nearly: then it gets more.
_DEADLINES_S = (DEADLINE_S, 4 * DEADLINE_S, 16 * DEADLINE_S)
_PATIENCE_S = 120.0
_STAND_IN = """#!/bin/sh
path=$PATH
PATH=/usr/sbin:/usr/bin:/sbin:/bin
if [ -e /stop ]; then case "$*" in PATTERN) if CONDITION; then
: >/reached
n=0
while [ -e /stop ] && [ $n -lt 1200 ]; do sleep 0.05; n=$((n + 1)); done
fi ;; esac; fi
"""


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a change is stopped: before this command with words like these."""

    command: str
    pattern: str
    condition: str = "true"


#: Step → the command that begins it. Where managers differ: see `stop_for`.
STOPS = {
    "lock": Stop("ln", "*new.*"),
    "bring": Stop("mkdir", "*Z-??????"),
    "back up": Stop("cp", "*1.before"),
    "compare": Stop("cmp", "*.base*"),
    "stage": Stop("cp", "*.sshd-keepalive.*"),
    "validate": Stop("timeout", "*candidate*"),
    "arm": Stop("", ""),
    "arm for a reboot": Stop("ln", "*-sf*"),
    "rehearse": Stop("sh", "*guard.sh*rehearse*"),
    "install": Stop("mv", "*"),
    "installed": Stop("sync", "/etc/ssh"),
    "restart": Stop("", ""),
    "verify": Stop("stat", "*", f"ls {STATE}/*/installed >/dev/null 2>&1"),
    "confirm": Stop("mkdir", "*decided"),
    "confirmed": Stop("rm", "*taken_back*"),
}


def stop_for(step: str, kind: str) -> Stop:
    if step == "arm":
        if kind in ("sysv", "openrc"):
            # The sleeper is started in the background: what is waited for is how the guard finds out what process 1 is.
            return Stop("tr", "*", "ls /etc/ssh/.sshd-keepalive.* >/dev/null 2>&1")
        return Stop("systemd-run", "*")
    if step == "arm for a reboot" and kind == "sysv":
        return Stop("update-rc.d", "*defaults")
    if step == "restart":
        return {
            "sysv": Stop("/etc/init.d/ssh", "restart"),
            "openrc": Stop("rc-service", "*restart"),
        }.get(kind, Stop("systemctl", "restart*"))
    return STOPS[step]


class Victim:
    """A host of the lab, the program aimed at it, and a place to stop."""

    def __init__(self, lab: Lab, host: LabHost, folder: Path) -> None:
        self._lab = lab
        self.host = host
        self.inventory = folder / f"{host.kind}.yaml"
        self.stock = (host.root / CONFIG.lstrip("/")).read_bytes()

    @property
    def config(self) -> bytes:
        return (self.host.files / CONFIG.lstrip("/")).read_bytes()

    @property
    def only(self) -> tuple[str, ...]:
        return ("-i", str(self.inventory), "--limit", self.host.name, "--format", "json")

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Use a stock host in the block. What a failure leaves on it is unknown: another host takes its place."""
        try:
            self.fresh()
            yield
        except BaseException:
            self.stop()
            (self.host,) = self._lab.boot(self.host.kind)
            raise

    def stop(self) -> None:
        self.host.stop()
        self._lab.hosts.remove(self.host)

    def fresh(self) -> None:
        self.inventory.write_text(self._lab.inventory())
        self.host.run(FORGET)
        self.host.reset()

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "sshd_keepalive", "apply", "--yes", *self.only]
        command += ["--confirm-timeout", str(DEADLINE_S), "--timeout", "20", *words]
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "XDG_STATE_HOME": STATE_HOME.name},
        )

    @contextlib.contextmanager
    def stopped_before(self, step: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """A run that stands still before a step; at the end of the block it goes on.

        Args:
            words: more for its command line.
        """
        stop = stop_for(step, self.host.kind)
        text = _STAND_IN.replace("PATTERN", stop.pattern).replace("CONDITION", stop.condition)
        script = self.host.files / (
            stop.command.lstrip("/") if "/" in stop.command else f"usr/local/sbin/{stop.command}"
        )
        original = script.read_text() if script.exists() else None
        # With the PATH it was given: a shell in whose place this one stands has commands of its own to find.
        itself = f'itself=$(command -v {stop.command}); PATH=$path; exec "$itself" "$@"\n'
        rest = original if original is not None else itself
        (self.host.files / "stop").unlink(missing_ok=True)
        script.write_text(text.replace("PATH=/usr", "PATH=$PATH:/usr") + rest if original else text + rest)
        script.chmod(0o755)
        try:
            yield self._started_until_reached(step, words)
        finally:
            (self.host.files / "stop").unlink(missing_ok=True)
            if original is None:
                script.unlink()
            else:
                script.write_text(original)

    def _started_until_reached(self, step: str, words: tuple[str, ...]) -> subprocess.Popen[bytes]:
        reached, stop = self.host.files / "reached", self.host.files / "stop"
        for deadline_s in _DEADLINES_S:
            reached.unlink(missing_ok=True)
            stop.touch()
            process = self.start("--confirm-timeout", str(deadline_s), *words)
            wait_for(partial(_is_either, reached, process), _PATIENCE_S, f"step {step}")
            if reached.exists() and self._is_in_time(deadline_s / 2):
                return process
            process.kill()  # before it may go on: the guard reverts what it has begun
            output = process.communicate()
            stop.unlink()
            self.wait_until_clean()
            self.fresh()
        raise AssertionError(f"never came to {step} in time: {output}")

    def _is_in_time(self, needed_s: float) -> bool:
        """Whether the guard, if it is armed, has not decided to revert and leaves a test so much time."""
        look = f"cat {STATE}/2*/decided/how | tail -n 1; echo; cut -d. -f1 /proc/uptime; cat {STATE}/2*/armed"
        how, _, times = self.host.run(f"{{ {look}; }} 2>/dev/null", check=False).stdout.partition("\n")
        now_s, *expires_s = map(int, times.split())
        return how in ("", "applied") and all(end_s - now_s >= needed_s for end_s in expires_s)

    def settled(self) -> None:
        """Nothing of a run is pending any more."""
        lock = self.host.files / f"{STATE.lstrip('/')}/lock"
        wait_for(lambda: not lock.exists(), _PATIENCE_S, "the host to settle")

    def litter(self) -> str:
        return self.host.run(LITTER, check=False).stdout

    def wait_until_clean(self) -> None:
        wait_until_clean(self.host)

    def verdict(self, *, stale_lock: bool = False) -> str:
        """`old` or `new`; anything that must never be is an AssertionError. Then the next apply has to succeed.

        Args:
            stale_lock: the run had no chance to take its lock with it: that is for the next apply to do.
        """
        if not stale_lock:
            self.wait_until_clean()
        seen = keepalive("check", *self.only)
        assert seen.status in (0, 1), seen.stdout  # the login works
        is_old = self.config == self.stock
        wrong = [finding["setting"] for finding in seen.host()["findings"] if finding["state"] != "ok"]
        values = self.host.sshd_values()
        if is_old:
            assert "ClientAliveInterval" in wrong
        else:
            assert (values["clientaliveinterval"], values["clientalivecountmax"]) == ("300", "3")
            assert wrong == [], wrong  # what runs is what is on disk
        # A file that was put back before any restart is younger than the daemon, which yet holds the same bytes.
        if "daemon" in wrong:
            assert not list(self.host.files.glob(f"{STATE.lstrip('/')}/2*/restarting")), seen.stdout
        again = keepalive("apply", "--yes", *self.only, "--confirm-timeout", "120", "--no-rehearsal")
        assert again.status == 0, again.stdout
        assert not self.litter(), self.litter()
        return "old" if is_old else "new"


def wait_until_clean(host: LabHost, litter: str = LITTER) -> None:
    """The guard removes its boot hook after its lock, and an init script takes a moment to unregister."""
    host.wait_until(f'[ -z "$({litter})" ]', "the last file of the guard to be removed", _PATIENCE_S)


def _is_either(path: Path, process: subprocess.Popen[bytes]) -> bool:
    return path.exists() or process.poll() is not None


def kill(process: subprocess.Popen[bytes]) -> None:
    """As hard as it gets."""
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def interrupt(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal and wait until the program says that it has heard it."""
    process.send_signal(number)
    assert process.stderr is not None
    assert b"interrupted" in process.stderr.readline()


def wait_for(happened: Callable[[], bool], timeout_s: float, what: str) -> None:
    end = time.monotonic() + timeout_s
    while not happened():
        if time.monotonic() > end:
            raise LabError(f"waited {timeout_s:.0f} s for {what}")
        time.sleep(0.05)
