"""The table that results.md holds and the README quotes."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

from .contenders import BENCH_BIN
from .measure import Cost

Results = dict[str, dict[str, list[Cost]]]
"""Work -> program -> one cost for each round."""

WORKS = {"apply": "apply, from stock", "again": "apply again", "check": "check"}
OURS = "sshd-keepalive"


def markdown(
    results: Results,
    programs: Counter[str],
    starts: Iterable[tuple[str, Cost]],
    *,
    n_hosts: int,
    n_rounds: int,
    load: float,
) -> str:
    """Write medians and their ratios to ours; every ratio is of numbers from this one run.

    `load` is the machine's load average before anything was booted: what else it had to do.
    """
    lines = [
        f"{n_hosts} hosts, {n_hosts} at a time, medians of {n_rounds} interleaved rounds. `make bench`, "
        f"{machine_line(load)}",
        "",
        "| work | program | wall s | × ours | CPU s | × ours | peak MB | processes on a host |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for work, title in WORKS.items():
        ours = _medians(results[work][OURS]) if OURS in results[work] else None
        for name, costs in results[work].items():
            lines.append(f"| {title} | {name} | {_row(_medians(costs), ours)} |")
            title = ""
    lines += [
        "",
        "Processes of one apply by sshd-keepalive on a host, by program; `(fork)` has become no other program:",
        "",
    ]
    lines += ["| program | processes |", "|---|---:|", *(f"| {name} | {n} |" for name, n in programs.most_common())]
    by_name: dict[str, list[float]] = {}
    for name, cost in starts:
        by_name.setdefault(name, []).append(cost.cpu_s)
    (ours_name, ours_s), (click_name, click_s) = ((name, median(values)) for name, values in by_name.items())
    lines += [
        "",
        f"Start: `{ours_name}` {ours_s * 1000:.0f} ms of CPU, `{click_name}` {click_s * 1000:.0f} ms: "
        f"{ours_s / click_s:.2f} ×.",
    ]
    return "\n".join(lines) + "\n"


def _medians(costs: list[Cost]) -> Cost:
    return Cost(*(median(values) for values in zip(*map(astuple, costs), strict=True)))


def _row(cost: Cost, ours: Cost | None) -> str:
    to_wall, to_cpu = (f"{cost.wall_s / ours.wall_s:.2f}", f"{cost.cpu_s / ours.cpu_s:.2f}") if ours else ("", "")
    numbers = f"{cost.wall_s:.2f} | {to_wall} | {cost.cpu_s:.2f} | {to_cpu} | {cost.peak_mb:.0f}"
    return f"{numbers} | {cost.n_host_processes:.0f}"


def machine_line(load: float) -> str:
    """Say when, of what and on which machine a table was made."""
    return f"{_today()}, commit {_commit()}.\n{_machine()}, load {load:.1f} before the start. {_versions()}."


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _machine() -> str:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else "unknown processor"
    return f"Controller and hosts share one machine: {os.cpu_count()} cores ({model}), {memory_gb:.0f} GB"


def _versions() -> str:
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True).stderr.split(",")[0].split()[0]
    pip = [
        str(BENCH_BIN / "python"),
        "-c",
        "from importlib.metadata import version as v; print(v('pyinfra'), v('ansible-core'))",
    ]
    pyinfra, ansible = subprocess.run(pip, capture_output=True, text=True, check=True).stdout.split()
    python = ".".join(map(str, sys.version_info[:3]))
    return (
        f"Python {python}, {ssh.replace('_', ' ')}, sshd-keepalive {version('sshd-keepalive')}, "
        f"paramiko {version('paramiko')}, pyinfra {pyinfra}, ansible-core {ansible}"
    )
