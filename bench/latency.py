"""Time everybody on one host behind a slow path and write latency.md: `make bench-latency`.

usage: python -m bench.latency [--rtts MS,MS] [--rounds N] [--only NAME,NAME] [--out FILE]

Twenty hosts that share two cores with the controller measure the hosts' processors; this measures what somebody waits
for whose hosts are far away. Round trips are counted on the way, each with its TCP handshake.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from types import SimpleNamespace

from tests.lab.hosts import Lab, LabHost
from tests.lab.roots import LabUnavailable
from tests.support.slow_path import SlowPath

from . import __main__ as bench
from .contenders import Contender, contenders
from .table import machine_line

ADDRESS = "127.20.0.1"  # of the slow path, in the lab's own network
Key = tuple[int, str, str]


def main() -> int:
    """Boot one host, measure, report."""
    parser = argparse.ArgumentParser(prog="python -m bench.latency")
    parser.add_argument("--rtts", default="0,20,60,150")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("latency.md"))
    options = parser.parse_args()
    load = os.getloadavg()[0]
    costs: dict[Key, list[float]] = {}
    trips: dict[Key, list[int]] = {}
    with Lab() as lab, tempfile.TemporaryDirectory() as scratch:
        host = lab.boot("d12py")[0]
        everybody = _contenders(lab, host, Path(scratch))
        chosen = [one for one in everybody if not options.only or one.name in options.only.split(",")]
        with SlowPath((host.address, 22), 0, address=(ADDRESS, 22)):
            bench.warm_up(chosen, Path(scratch))
        for rtt_ms in map(int, options.rtts.split(",")):
            for number in range(options.rounds):
                turn = number % len(chosen)
                for one in chosen[turn:] + chosen[:turn]:
                    _measure(one, host, rtt_ms, Path(scratch), costs, trips)
    text = _markdown(costs, trips, n_rounds=options.rounds, load=load)
    options.out.write_text(text)
    print(text)
    return 0


def _contenders(lab: Lab, host: LabHost, folder: Path) -> list[Contender]:
    """Everybody's commands, with the slow path's address in place of the host's."""
    known = folder / "known_hosts"
    known.write_text(lab.known_hosts.read_text().replace(host.address, ADDRESS))
    inventory = lab.inventory(user="root").replace(host.address, ADDRESS).replace(str(lab.known_hosts), str(known))
    far = SimpleNamespace(identity_file=lab.identity_file, known_hosts=known, inventory=lambda *, user: inventory)
    return contenders(far, [SimpleNamespace(address=ADDRESS)], folder)  # type: ignore[arg-type, list-item]


def _measure(
    one: Contender,
    host: LabHost,
    rtt_ms: int,
    folder: Path,
    costs: dict[Key, list[float]],
    trips: dict[Key, list[int]],
) -> None:
    bench.make_stock(host)
    for work, command in (("apply", one.apply), ("check", one.check)):
        with SlowPath((host.address, 22), rtt_ms / 1000, address=(ADDRESS, 22)) as path:
            cost = bench.run(one, command, folder)
            costs.setdefault((rtt_ms, work, one.name), []).append(cost.wall_s)
            trips.setdefault((rtt_ms, work, one.name), []).append(path.round_trips)
        bench.tell(f"{rtt_ms} ms, {one.name}, {work}: {cost.wall_s:.2f} s, {path.round_trips} round trips")
        if work == "apply":
            bench.inspect(host)


def _markdown(costs: dict[Key, list[float]], trips: dict[Key, list[int]], *, n_rounds: int, load: float) -> str:
    lines = [
        f"One host behind a path with an added round-trip time, medians of {n_rounds} interleaved rounds. "
        f"`make bench-latency`, {machine_line(load)}",
        "",
        "| round trip | work | program | wall s | × ours | round trips |",
        "|---:|---|---|---:|---:|---:|",
    ]
    for (rtt_ms, work, name), walls in sorted(costs.items(), key=lambda item: item[0][:2]):
        wall_s, ours_s = median(walls), median(costs.get((rtt_ms, work, "sshd-keepalive"), walls))
        n_trips = median(trips[rtt_ms, work, name])
        # Without added time, what was sent without waiting cannot be told from an answer.
        shown = f"{n_trips:.0f}" if rtt_ms else ""
        lines.append(f"| {rtt_ms} ms | {work} | {name} | {wall_s:.2f} | {wall_s / ours_s:.2f} | {shown} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (bench.BenchError, LabUnavailable) as error:
        sys.exit(f"bench: {error}")
