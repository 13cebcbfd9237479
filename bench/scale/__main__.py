"""How `check` behaves from a hundred to ten thousand hosts: `make bench-scale`; writes bench/scale.md.

usage: python -m bench.scale [--sizes 100,1000,10000] [--forks 64] [--rounds 3] [--out FILE]

Every ratio is of numbers from one run of this program. CPU is the controller's alone; wall time includes the one sshd
and the shells it starts, on the same processors.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import astuple, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

from bench.measure import Cost, measured
from sshd_keepalive import engines
from sshd_keepalive.engines import dask
from sshd_keepalive.fleet.check import check_host
from sshd_keepalive.fleet.one_host import Orders
from sshd_keepalive.model import Host, HostReport, State
from sshd_keepalive.secrets.retrieval import Secrets

from . import bare_paramiko, cluster, replay, trips
from .farm import Farm

HERE = Path(__file__).parent
BARE_SSH = HERE.parent.parent / ".venv-bench/bin/python"
OUR_BIN = Path(sys.executable).parent
TIMEOUT_S = 3600
CONNECT_TIMEOUT_S = Orders(run_id="", secrets=Secrets()).connect_timeout_s


def main() -> int:
    """Measure, report."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale")
    parser.add_argument("--sizes", default="100,1000,10000")
    parser.add_argument("--forks", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3, help="of everything that takes less than a minute")
    parser.add_argument("--replayed", type=int, default=5000, help="hosts for the engines without a server")
    parser.add_argument("--dead", type=int, default=1000, help="hosts for the run with 5 %% dead addresses")
    parser.add_argument("--out", type=Path, default=HERE.with_suffix(".md"))
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, Farm(Path(folder)) as farm:
        lines = [*_head(options, load), ""]
        lines += [*_sizes(farm, sizes, options.forks, options.rounds), ""]
        lines += [*_trips(farm), ""]
        lines += [*_dead(farm, options.dead, options.forks), ""]
        found = cluster.overhead(options.replayed)
        # Last: the playing back stays in this process.
        engine_lines, check_ms, report = _engines(farm, options.replayed, options.rounds)
        lines += [*engine_lines, "", *cluster.million(found, check_ms, report)]
    text = "\n".join(lines) + "\n"
    options.out.write_text(text)
    print(text)
    return 0


def _head(options: argparse.Namespace, load: float) -> list[str]:
    from bench.table import _commit, _machine, _today

    return [
        "# From a hundred to ten thousand hosts",
        "",
        f"`make bench-scale`, {_today()}, commit {_commit()}, {options.forks} hosts at a time. {_machine()}, load "
        f"{load:.1f} before the start. One sshd answers on all addresses; every program logs in and sends the "
        "script of `check`, whose recorded answer comes back.",
    ]


def _sizes(farm: Farm, sizes: list[int], forks: int, rounds: int) -> list[str]:
    """Ours, bare asyncssh and bare paramiko over the same hosts."""
    lines = [
        "CPU per host is what a run costs beyond the same program's run over one host, divided by the other hosts.",
        "",
        "| hosts | program | wall s | CPU ms per host | to bare paramiko | peak MB |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    start = _everybody(farm, 1, forks, rounds)
    per_host: dict[int, float] = {}
    for n in sizes:
        costs = _everybody(farm, n, forks, rounds if n <= 100 else 1)
        cpu_ms = {name: (cost.cpu_s - start[name].cpu_s) * 1000 / max(1, n - 1) for name, cost in costs.items()}
        per_host[n] = cpu_ms["check"]
        for name, cost in costs.items():
            ratio = cpu_ms[name] / cpu_ms["bare paramiko"]
            told = f"{cost.wall_s:.1f} | {cpu_ms[name]:.2f} | {ratio:.2f} | {cost.peak_mb:.0f}"
            lines.append(f"| {n} | {name} | {told} |")
    first, last = sizes[0], sizes[-1]
    starts = ", ".join(f"{name} {cost.cpu_s:.2f} s" for name, cost in start.items())
    return [
        *lines,
        "",
        f"CPU of a run over one host: {starts}. "
        f"CPU per host of `check` at {last} hosts to that at {first}: {per_host[last] / per_host[first]:.2f}.",
    ]


def _everybody(farm: Farm, n: int, forks: int, rounds: int) -> dict[str, Cost]:
    """Measure each program over n hosts, in turns; give medians."""
    inventory, task = farm.inventory(n), str(farm.task(n, forks))
    programs = {
        "check": _ours(inventory, forks),
        "check, local cluster": _ours(inventory, forks, "dask"),
        "bare asyncssh": [str(BARE_SSH), str(HERE / "bare_asyncssh.py"), task],
        "bare paramiko": [str(OUR_BIN / "python"), str(HERE / "bare_paramiko.py"), task],
    }
    costs: dict[str, list[Cost]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, command in programs.items():
            costs[name].append(_run(command, farm))
            _tell(f"{n} hosts, {name}: {costs[name][-1]}")
    return {name: _median(several) for name, several in costs.items()}


def _ours(inventory: Path, forks: int, engine: str = "thread") -> list[str]:
    # The bare scripts wait for ever: a machine that has a lot to do must not end ours alone.
    words = ["check", "-q", "-i", str(inventory), "-f", str(forks), "--engine", engine, "--timeout", "600"]
    return [str(OUR_BIN / "sshd-keepalive"), *words]


def _run(command: list[str], farm: Farm) -> Cost:
    log = farm.folder / "log"
    cost = measured(command, stdin="", env=dict(os.environ), log=log, timeout_s=TIMEOUT_S)
    if cost.status:
        raise SystemExit(f"bench: {' '.join(command)}: exit status {cost.status}\n{log.read_text()[-2000:]}")
    return cost


def _median(costs: list[Cost]) -> Cost:
    return Cost(*(median(values) for values in zip(*map(astuple, costs), strict=True)))


def _engines(farm: Farm, n: int, rounds: int) -> tuple[list[str], float, HostReport]:
    """Threads and a local cluster, without a server: one recorded session is played back to every client.

    Returns:
        What to tell; CPU milliseconds of one check; one of the reports.
    """
    job = partial(replay.check, recording=replay.record(farm.host()))
    hosts = [farm.host(i) for i in range(n)]
    walls: dict[str, list[float]] = {"thread": [], "dask": []}
    cpu_s = 0.0
    for _ in range(rounds):
        for name, several in walls.items():
            began_s, used_s = time.perf_counter(), time.process_time()
            assert sum(1 for _ in engines.select(name).run(job, hosts, workers=16, may_repeat=True)) == n
            dask.disconnect()
            several.append(time.perf_counter() - began_s)
            cpu_s += time.process_time() - used_s if name == "thread" else 0.0
            _tell(f"{n} hosts replayed, {name}: {several[-1]:.2f} s")
    thread_s, cluster_s = median(walls["thread"]), median(walls["dask"])
    lines = [
        f"Without the cost of a server ({n} hosts, the recorded answers of one session played back to every client, "
        f"all work of the client done anew): threads {thread_s:.2f} s, local cluster {cluster_s:.2f} s, its "
        f"start included: {thread_s / cluster_s:.2f} times as fast on {os.cpu_count()} cores."
    ]
    return lines, cpu_s * 1000 / (n * rounds), job(hosts[0])


def _trips(farm: Farm) -> list[str]:
    orders = Orders(run_id="bench", secrets=Secrets())
    task: dict[str, object] = {
        "port": 0,
        "user": farm.sshd.user,
        "key": str(farm.sshd.user_key),
        "host_key": farm.key,
        "script": farm.script(),
    }

    def ours(port: int) -> None:
        # The known_hosts file of the farm holds the server's own port only.
        host: Host = farm.host(port=port)
        known = farm.folder / f"known-{port}"
        known.write_text(f"[127.*]:{port} {farm.key}\n")
        report = check_host(replace(host, known_hosts=str(known)), orders)
        assert report.state is State.OK, report

    def bare(port: int) -> None:
        assert bare_paramiko.run("127.10.0.1", {**task, "port": port}) > 100

    visits: dict[str, Callable[[int], None]] = {"check": ours, "bare paramiko": bare}
    found = {name: trips.count(visit, "127.10.0.1", farm.sshd.port) for name, visit in visits.items()}
    return [
        "Round trips after the TCP handshake, counted through a delaying proxy: "
        + ", ".join(f"{name} {n:.1f}" for name, n in found.items())
        + "."
    ]


def _dead(farm: Farm, n: int, forks: int) -> list[str]:
    """Measure the same number of hosts that answer, without and with dead ones among them."""
    n_dead = n // 20
    log = farm.folder / "log"
    alive = _run(_ours(farm.inventory(n - n_dead), forks), farm)
    command = _ours(farm.inventory(n, n_dead=n_dead), forks)
    both = measured(command, stdin="", env=dict(os.environ), log=log, timeout_s=TIMEOUT_S)
    said = log.read_text()
    assert (both.status, f"\n{n} hosts: {n - n_dead} ok, {n_dead} unreachable\n" in said) == (3, True), said
    return [
        f"{n_dead} dead addresses among {n} hosts (every packet dropped): {both.wall_s:.1f} s instead of "
        f"{alive.wall_s:.1f} s for the {n - n_dead} that answer, {both.wall_s - alive.wall_s:+.1f} s; one connect "
        f"timeout is {CONNECT_TIMEOUT_S:g} s."
    ]


def _tell(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
