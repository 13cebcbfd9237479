"""What a Dask cluster costs beside the work itself, for each host; and from it a million hosts, reckoned."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from sshd_keepalive import engines, serialization
from sshd_keepalive.engines import dask
from sshd_keepalive.model import Host, HostReport
from tests.support.dask import Cluster
from tests.support.jobs import passing

MILLION = 1_000_000


@dataclass(frozen=True)
class Overhead:
    """CPU per host in milliseconds, and how many hosts a second went through one scheduler."""

    controller_ms: float
    scheduler_ms: float
    worker_ms: float
    hosts_per_s: float


def overhead(n: int) -> Overhead:
    """Hand out n hosts for which there is nothing to do."""
    hosts = [Host(name=f"h{i}", address="127.0.0.1") for i in range(n)]
    with Cluster(n_workers=2, n_threads=2) as cluster:
        engine = engines.select(f"dask:{cluster.address}")
        list(engine.run(passing, hosts[:100], workers=64, may_repeat=True))  # modules are imported
        before = [_cpu_s(one.pid) for one in cluster.processes]
        controller_s, began_s = time.process_time(), time.perf_counter()
        assert sum(1 for _ in engine.run(passing, hosts, workers=64, may_repeat=True)) == n
        wall_s = time.perf_counter() - began_s
        controller_s = time.process_time() - controller_s
        scheduler_s, *workers_s = (
            _cpu_s(one.pid) - cpu_s for one, cpu_s in zip(cluster.processes, before, strict=True)
        )
        dask.disconnect()
    return Overhead(controller_s * 1000 / n, scheduler_s * 1000 / n, sum(workers_s) * 1000 / n, n / wall_s)


def million(found: Overhead, check_ms: float, report: HostReport) -> list[str]:
    """Hours and cores for a million hosts, from the measured figures and nothing else."""
    report_bytes = len(serialization.write(report))
    per_core_s = 1000 / (check_ms + found.worker_ms)
    one_core_h = MILLION / per_core_s / 3600
    # The controller and the scheduler each have one core; whichever is busier ends the growth.
    limit_per_s = 1000 / max(found.controller_ms, found.scheduler_ms)
    n_cores = limit_per_s / per_core_s
    return [
        f"A Dask cluster costs, beside the work, {found.controller_ms:.2f} ms of the controller, "
        f"{found.scheduler_ms:.2f} ms of the scheduler and {found.worker_ms:.2f} ms of a worker for each host; "
        f"{found.hosts_per_s:.0f} hosts/s went through with everything on this machine. A report is "
        f"{report_bytes / 1024:.1f} KiB.",
        "",
        f"Reckoned for 1,000,000 hosts with {check_ms:.1f} ms of CPU for each `check`:",
        "",
        "| | hours | workers' cores | hosts/s |",
        "|---|---:|---:|---:|",
        f"| one machine, threads (one core) | {MILLION * check_ms / 3.6e6:.1f} | 1 | {1000 / check_ms:.0f} |",
        *(
            f"| cluster | {one_core_h / n:.2f} | {n} | {per_core_s * n:.0f} |"
            for n in (4, 8)
            if per_core_s * n < limit_per_s
        ),
        f"| cluster, as far as one controller and one scheduler carry | {MILLION / limit_per_s / 3600:.2f} | "
        f"{n_cores:.0f} | {limit_per_s:.0f} |",
        "",
        f"All reports together are {MILLION * report_bytes / 2**30:.1f} GiB, and more in memory, where the controller "
        "keeps them until the run ends: run a million hosts in parts.",
    ]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
