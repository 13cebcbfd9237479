"""A network, a mount table and a process table of its own for one command; the lab lives in there.

Whatever ends the command (its own end, Ctrl-C, SIGKILL of anything in the chain), the process table ends with it, and
with that every host; mounts and interfaces go with their last process. So there is nothing to clean up afterwards but
empty control groups.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .cgroups import CGROUPS_VARIABLE, own_cgroups, remove_cgroups
from .roots import CACHE, LabUnavailable

INSIDE_VARIABLE = "KEEPALIVE_LAB"
"""Set inside; its value is the number, outside, of the process whose namespaces they are."""

SCRATCH = CACHE / "scratch"
_UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
TOOLS = ("systemd-nspawn", "unshare", "nsenter", "setpriv", "ip", "mount")


_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_INOTIFY_WANTED = 4096  # a systemd host takes six; the kernel's usual 128 are gone after twenty, and the next one hangs


def missing() -> str | None:
    """Say why no lab can be started on this machine, None if it can."""
    if os.geteuid() != 0:
        return "the lab needs root"
    absent = [tool for tool in TOOLS if not shutil.which(tool)]
    if absent:
        return f"not installed: {', '.join(absent)}"
    probe = subprocess.run([*_UNSHARE, "true"], capture_output=True, text=True)
    return f"no namespaces: {probe.stderr.strip()}" if probe.returncode else None


def inside() -> bool:
    """Is this process in namespaces that `run_inside` made?"""
    return INSIDE_VARIABLE in os.environ


def join_command() -> str:
    """Give the command with which another terminal gets a shell in here."""
    pid = os.environ[INSIDE_VARIABLE]
    return f"nsenter -t {pid} --net --mount --pid=/proc/{pid}/ns/pid_for_children"


def run_inside(command: Sequence[str]) -> int:
    """Run a command in namespaces of its own and give its exit status.

    Raises:
        LabUnavailable: not root, or a tool is missing.
    """
    if reason := missing():
        raise LabUnavailable(reason)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    _raise_inotify_limit()
    cgroups = own_cgroups()
    first = [sys.executable, "-m", __spec__.name, *command]
    chain = ["setpriv", "--pdeathsig", "KILL", *_UNSHARE, *first]
    process = subprocess.Popen(
        ["sh", "-c", f'export {INSIDE_VARIABLE}=$$; exec "$@"', "sh", *chain],
        env=os.environ | {CGROUPS_VARIABLE: os.pathsep.join(map(str, cgroups))},
    )
    # The terminal sends Ctrl-C to the command itself, which decides; unshare passes no SIGTERM on, so its end is ours.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: process.kill())
    try:
        status = process.wait()
    finally:
        remove_cgroups(cgroups)
    return status if status >= 0 else 128 - status


def _raise_inotify_limit() -> None:
    """Let there be room for a few hundred hosts. The limit is the machine's, one for all of root's processes."""
    if (now := int(_INOTIFY.read_text())) < _INOTIFY_WANTED:
        print(f"lab: raising fs.inotify.max_user_instances from {now} to {_INOTIFY_WANTED}", file=sys.stderr)
        with suppress(OSError):
            _INOTIFY.write_text(str(_INOTIFY_WANTED))


def _first_process(command: Sequence[str]) -> int:
    """Be process 1 of the new process table: set the place up, run the command, collect orphans until it ends."""
    propagation = Path("/run/systemd/nspawn")
    propagation.mkdir(parents=True, exist_ok=True)
    for place in (propagation, SCRATCH):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(place)], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    child = subprocess.Popen(command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        pid, status = os.wait()
        if pid == child.pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(_first_process(sys.argv[1:]))
