"""What counting sessions costs: `losses` of 20 hosts over SSH, a text log of 50,000 lines on each.

    python -m bench.losses [--hosts 20] [--lines 50000] [--rounds 3] [--out bench/losses.md]

Needs root: every host is a real sshd on a loopback address of its own, in a mount namespace whose /var/log holds the
text log alone. CPU of a host is that of its sshd and of all that ran in its sessions, login and observation included.
Exit status 1 when a promise is not kept.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.sshd import Sshd, find_sshd, wait_until

from .bench_probe import VALUES, host, report_on
from .measure import Cost, describe_setup, write_page

WALL_S = 5.0
HOST_CPU_S = 1.0
LINES_PER_SESSION = 8  # half of them are logins that failed
_TICKS = os.sysconf("SC_CLK_TCK")


def make_log(n_lines: int) -> Iterator[str]:
    """Make the lines of sshd: sessions of 300 s, one of four dropped, and between them logins that failed."""
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=20)
    for number in range(n_lines // LINES_PER_SESSION):
        begun = start + timedelta(seconds=60 * number)
        at, end = begun.isoformat(), (begun + timedelta(seconds=300)).isoformat()
        account, peer = f"u{number % 99}", f"192.0.2.{number % 250} port {number % 60_000 + 1024}"
        tag = f"ecs-01 sshd[{number + 2}]: "
        yield f"{at} {tag}Connection closed by invalid user admin 198.51.100.7 port 40000 [preauth]\n" * 4
        yield f"{at} {tag}Accepted publickey for {account} from {peer} ssh2: ED25519 SHA256:AAAA\n"
        yield f"{at} {tag}pam_unix(sshd:session): session opened for user {account}(uid=1000) by (uid=0)\n"
        if number % 4:
            yield f"{end} {tag}Disconnected from user {account} {peer}\n"
        else:
            yield f"{end} {tag}Timeout, client not responding from user {account} {peer}\n"
        yield f"{end} {tag}pam_unix(sshd:session): session closed for user {account}\n"


def write_sshd(folder: Path, logs: Path) -> Path:
    """Write a program that runs sshd where /var/log is another directory.

    sshd adopts, and waits for, what its sessions leave behind: the CPU of a shell counts even if its login ends first.
    """
    inside = f'mount --bind {shlex.quote(str(logs))} /var/log && exec {find_sshd()} "$@"'
    path = folder / "sshd"
    path.write_text(
        f"#!{sys.executable}\n"
        "import ctypes, os, sys\n"
        "ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER, kept by execve(2)\n"
        f"os.execvp('unshare', ['unshare', '--mount', 'sh', '-c', {inside!r}, 'sh', *sys.argv[1:]])\n"
    )
    path.chmod(0o755)
    return path


def cpu_s(server: Sshd) -> float:
    """Tell the CPU of a server and of its sessions, once they have ended."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    wait_until(lambda: not children.read_text().strip(), 60, "the sessions to end")
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS  # utime, stime, cutime, cstime: proc(5)


def count(hosts: dict[str, Any], folder: Path, n_sessions: int) -> Cost:
    """Run `losses` once; anything but the sessions of every log ends the benchmark."""
    cost, document = report_on(hosts, folder, "losses", "--forks", str(len(hosts)))
    for one in document["hosts"]:
        if one["losses"] is None or sum(one["losses"]["sessions"].values()) != n_sessions:
            raise SystemExit(f"bench: {one['name']} did not count {n_sessions} sessions: {one['failure']}")
    return cost


def main() -> int:
    """Measure, write the page, judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.losses")
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--lines", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("losses.md"))
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        logs = folder / "log"
        logs.mkdir()
        log = logs / "auth.log"
        log.write_text("".join(make_log(options.lines)))
        size_mib = log.stat().st_size / 2**20
        binary = str(write_sshd(folder, logs))
        servers = [
            stack.enter_context(Sshd(VALUES, address=f"127.0.3.{number}", binary=binary))
            for number in range(1, options.hosts + 1)
        ]
        hosts = {f"log-{number:02d}": host(server, server.address) for number, server in enumerate(servers, 1)}
        costs, hosts_s = [], []
        for _ in range(options.rounds):
            before_s = [cpu_s(server) for server in servers]
            costs.append(count(hosts, folder, options.lines // LINES_PER_SESSION))
            hosts_s += [cpu_s(server) - earlier_s for server, earlier_s in zip(servers, before_s, strict=True)]
    wall_s = statistics.median(cost.wall_s for cost in costs)
    longest_s, most_s = max(cost.wall_s for cost in costs), max(hosts_s)
    is_kept = wall_s < WALL_S and most_s < HOST_CPU_S
    text = (
        "# Counting sessions in a log\n\n"
        f"{describe_setup('losses', load=load)}"
        f"`losses` of {options.hosts} hosts over SSH, all at once; the text log of each has {options.lines:,} lines "
        f"({size_mib:.1f} MiB, {options.lines // LINES_PER_SESSION:,} sessions).\n"
        f"{options.rounds} rounds. CPU of a host includes the login and the observation of its configuration.\n\n"
        "| | median | worst | promised |\n|---|---:|---:|---:|\n"
        f"| wall, the whole command | {wall_s:.2f} s | {longest_s:.2f} s | under {WALL_S:.0f} s |\n"
        f"| CPU of one host | {statistics.median(hosts_s):.2f} s | {most_s:.2f} s | under {HOST_CPU_S:.0f} s |\n"
        f"| CPU of the controller | {statistics.median(cost.cpu_s for cost in costs):.2f} s | "
        f"{max(cost.cpu_s for cost in costs):.2f} s | |\n\n"
        f"The promises are {'' if is_kept else 'not '}kept in this run.\n\n"
        "A log of 1 GiB is counted with less than 256 MiB of memory\n"
        "(`test_a_log_of_a_gigabyte_is_counted_in_bounded_memory`). Not measured: the journal.\n"
    )
    write_page(options.out, text)
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
