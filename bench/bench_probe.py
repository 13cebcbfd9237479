"""What `probe` costs the controller: `probe --fast` of 20 hosts, and 6 minutes of idle sessions with 500 hosts.

    python -m bench.bench_probe [--idle 6m] [--hosts 500] [--fast-hosts 20] [--out bench/probe.md]

Every host is a real sshd on a loopback address of its own: 20 daemons for --fast, one that listens on all addresses
for the long silence. CPU and memory are those of the command alone, logins included; exit status 1 when a promise
is not kept or a host does not pass.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.sshd import Sshd

from .measure import Cost, describe_setup, measured, write_page

FAST_WALL_S = 15.0
QUIET_PEAK_MB = 300.0
QUIET_CPU = 0.10  # of one core, over the whole command
#: A home of nobody's, so that no profile of this machine's account is run 600 times.
VALUES = "ClientAliveInterval 60\nClientAliveCountMax 3\nMaxStartups 1000\nLogLevel ERROR\nSetEnv HOME=/\n"
POLICY = {"ClientAliveInterval": 60, "ClientAliveCountMax": 3}
TIMEOUT_S = 3600


@dataclass(frozen=True, slots=True)
class Measured:
    """One command, what it cost and what it said."""

    command: str
    cost: Cost
    document: dict[str, Any]

    @property
    def n_passed(self) -> int:
        """Hosts whose sessions live."""
        return int(self.document["summary"]["ok"])

    @property
    def share(self) -> float:
        """Of one core."""
        return self.cost.cpu_s / self.cost.wall_s


def host(server: Sshd, address: str) -> dict[str, Any]:
    """One host of the inventory."""
    return server.inventory_host | {"address": address, "policy": POLICY}


@contextmanager
def daemons(n: int) -> Iterator[dict[str, Any]]:
    """One sshd for each host."""
    with ExitStack() as stack:
        servers = [stack.enter_context(Sshd(VALUES, address=f"127.0.2.{number}")) for number in range(1, n + 1)]
        yield {f"fast-{number:02d}": host(server, server.address) for number, server in enumerate(servers, 1)}


@contextmanager
def addresses(n: int) -> Iterator[dict[str, Any]]:
    """One sshd on as many addresses as there are hosts."""
    with Sshd(VALUES, address="0.0.0.0") as server:
        kind, blob = server.known_hosts.read_text().split()[1:3]
        server.known_hosts.write_text(f"[127.*]:{server.port} {kind} {blob}\n")
        yield {f"quiet-{number:03d}": host(server, f"127.1.{number // 250}.{number % 250 + 1}") for number in range(n)}


def report_on(hosts: dict[str, Any], folder: Path, *words: str) -> tuple[Cost, dict[str, Any]]:
    """Run a command for these hosts; give what it cost and its JSON report."""
    inventory, report, log = folder / "hosts.yaml", folder / "report.json", folder / "command.log"
    inventory.write_text(yaml.safe_dump({"hosts": hosts}))
    program = str(Path(sys.executable).with_name("sshd-keepalive"))
    options = ["-q", "--no-progress", "-i", str(inventory), "--out", f"json:{report}"]
    cost = measured([program, *words, *options], stdin="", env=dict(os.environ), log=log, timeout_s=TIMEOUT_S)
    if not report.exists():
        raise SystemExit(f"bench: exit status {cost.status}\n{log.read_text()[-4000:]}")
    document = json.loads(report.read_text())
    report.unlink()
    return cost, document


def run(hosts: dict[str, Any], folder: Path, *words: str) -> Measured:
    """Run one probe over an inventory."""
    cost, document = report_on(hosts, folder, "probe", *words)
    for one in document["hosts"]:
        if one["state"] != "ok":
            print(one["name"], one["failure"], *(f for f in one["findings"] if f["state"] != "ok"), file=sys.stderr)
    return Measured(f"probe {' '.join(words)}", cost, document)


def markdown(fast: Measured, quiet: Measured, load: float) -> str:
    """Write the page that keeps the last run."""
    release = quiet.document["hosts"][0]["facts"]["openssh"]
    seen = sorted(int(one["facts"].get("keepalives", 0)) for one in quiet.document["hosts"])
    rows = (
        (fast, len(fast.document["hosts"]), f"under {FAST_WALL_S:.0f} s"),
        (quiet, len(quiet.document["hosts"]), f"under {QUIET_PEAK_MB:.0f} MB and {QUIET_CPU:.0%} of one core"),
    )
    table = "".join(
        f"| `{one.command}` | {n} | {one.n_passed} | {one.cost.wall_s:.1f} s | {one.cost.cpu_s:.1f} s | "
        f"{one.share:.1%} | {one.cost.peak_mb:.0f} MB | {promise} |\n"
        for one, n, promise in rows
    )
    return (
        "# What `probe` costs\n\n"
        f"{describe_setup('bench_probe', f'OpenSSH {release}', load=load)}"
        "Every host is a real sshd on a loopback address of its own, on the same cores. CPU and memory are the\n"
        "controller's, with the logins and the observation of every host.\n\n"
        "| command | hosts | passed | wall | CPU | of one core | peak | promised |\n"
        "|---|---:|---:|---:|---:|---:|---:|---|\n"
        f"{table}\n"
        f"The idle sessions got {seen[0]} to {seen[-1]} keep-alives each.\n"
    )


def main() -> int:
    """Measure, write the page, judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.bench_probe")
    parser.add_argument("--idle", default="6m")
    parser.add_argument("--hosts", type=int, default=500)
    parser.add_argument("--fast-hosts", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("probe.md"))
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        with daemons(options.fast_hosts) as hosts:
            fast = run(hosts, Path(folder), "--fast")
        with addresses(options.hosts) as hosts:
            quiet = run(hosts, Path(folder), "--idle", options.idle)
    text = markdown(fast, quiet, load)
    write_page(options.out, text)
    kept = (
        fast.cost.wall_s < FAST_WALL_S
        and quiet.cost.peak_mb < QUIET_PEAK_MB
        and quiet.share < QUIET_CPU
        and all(one.n_passed == len(one.document["hosts"]) for one in (fast, quiet))
    )
    return 0 if kept else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.TimeoutExpired:
        sys.exit(f"bench: no end after {TIMEOUT_S} s")
