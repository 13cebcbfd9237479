"""Measure what one command costs (wall time, CPU of all its processes, memory of the largest), and write the page.

Run as `measure.py REPORT COMMAND...`; standard input and output are the command's own. Processes it leaves behind
(Ansible's shared connections) are adopted, ended, and counted as well.
CPU and memory come from getrusage(2), RUSAGE_CHILDREN.
"""

import ctypes
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2): orphans below this process become its children


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command cost the controller."""

    status: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    n_host_processes: int = 0  # started on one of the hosts meanwhile; filled in by whoever looks there


def measured(command: list[str], *, stdin: str, env: dict[str, str], log: Path, timeout_s: float) -> Cost:
    """Run a command in a measuring process of its own; what it prints goes to `log`."""
    report = log.with_suffix(".json")
    with log.open("w") as output:
        argv = [sys.executable, __file__, str(report), *command]
        subprocess.run(
            argv, input=stdin, text=True, env=env, stdout=output, stderr=output, timeout=timeout_s, check=True
        )
    return Cost(**json.loads(report.read_text()))


def describe_setup(bench: str, *software: str, load: float) -> str:
    """Say by which module, when and on what a page was measured; `load` is the load average before the start."""
    parts = (f"`python -m bench.{bench}`", f"{datetime.now(UTC):%Y-%m-%d}", f"Python {platform.python_version()}")
    return ", ".join((*parts, *software, f"{os.cpu_count()} cores", f"load {load:.1f} before the start.\n"))


def write_page(path: Path, text: str) -> None:
    """Keep the page, and print it."""
    path.write_text(text, encoding="utf-8")
    print(text)


def _main(report: Path, command: list[str]) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    begun = time.monotonic()
    status = subprocess.run(command).returncode
    wall_s = time.monotonic() - begun
    _end_orphans()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = Cost(status, wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
    report.write_text(json.dumps(asdict(cost)))


def _end_orphans() -> None:
    me = os.getpid()
    while children := Path(f"/proc/{me}/task/{me}/children").read_text().split():
        for child in children:
            os.kill(int(child), signal.SIGTERM)
        for _ in children:
            os.wait()


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2:])
