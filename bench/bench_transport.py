"""CPU of the controller for one login and one script: ours beside plain `paramiko.SSHClient`, in one run.

    python -m bench.bench_transport [--logins 150] [--in-flight 16] [--rounds 3]

CPU, not wall time, because the server shares the machine. Prints medians and the ratio. With --leaks it logs in 1,000
times; exit status 1 when threads, descriptors or memory grow.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko

from sshd_keepalive.model import Host
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.connect import connect
from tests.support.sshd import Sshd

SCRIPT = "echo hello\n" + "# a survey is about this long\n" * 150


def ours(host: Host, secrets: Secrets) -> None:
    shell = connect(host, secrets=secrets, timeout_s=30)
    try:
        completed = shell.run(SCRIPT, timeout_s=30)
        assert completed.stdout == b"hello\n", completed
    finally:
        shell.close()


def plain(host: Host, _: Secrets) -> None:
    """Run the script as most programs do."""
    client = paramiko.SSHClient()
    client.load_host_keys(host.known_hosts or "")
    try:
        client.connect(
            host.address, host.port, host.user, key_filename=host.identity_file, allow_agent=False, look_for_keys=False
        )
        stdin, stdout, _stderr = client.exec_command("sh -s")
        stdin.write(SCRIPT)
        stdin.channel.shutdown_write()
        assert stdout.read() == b"hello\n"
        assert stdout.channel.recv_exit_status() == 0
    finally:
        client.close()


def cpu_ms(login: Callable[[Host, Secrets], None], host: Host, n_logins: int, in_flight: int) -> tuple[float, float]:
    """CPU and wall milliseconds per login."""
    secrets = Secrets()
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(in_flight) as pool:
        list(pool.map(lambda _: login(host, secrets), range(n_logins)))
    return (
        (time.process_time() - cpu_s) * 1000 / n_logins,
        (time.perf_counter() - wall_s) * 1000 / n_logins,
    )


def leaks(host: Host) -> bool:
    """Whether anything grows over 1,000 logins, after 500 to warm up."""
    cpu_ms(ours, host, 500, 16)  # the allocator settles
    before = (threading.active_count(), _n_descriptors(), _resident_kib())
    cpu_ms(ours, host, 1000, 16)
    after = (threading.active_count(), _n_descriptors(), _resident_kib())
    print(f"threads, descriptors, KiB: {before} -> {after}")
    return after[0] > before[0] or after[1] > before[1] or after[2] > before[2] + 5 * 1024


def _n_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--logins", type=int, default=150)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--leaks", action="store_true")
    options = parser.parse_args()
    with Sshd("MaxStartups 100\nLogLevel ERROR") as sshd:
        host = Host(
            name="bench",
            address=sshd.address,
            port=sshd.port,
            user=sshd.user,
            identity_file=str(sshd.user_key),
            known_hosts=str(sshd.known_hosts),
        )
        if options.leaks:
            return int(leaks(host))
        found: dict[str, list[float]] = {"plain": [], "ours": []}
        for login in (plain, ours):
            cpu_ms(login, host, 10, options.in_flight)
        for _ in range(options.rounds):  # alternating, so that a busy moment of the machine hits both
            for login in (plain, ours):
                cpu, wall = cpu_ms(login, host, options.logins, options.in_flight)
                found[login.__name__].append(cpu)
                print(f"{login.__name__:6} {cpu:5.2f} ms CPU {wall:6.1f} ms wall")
    ratio = statistics.median(found["ours"]) / statistics.median(found["plain"])
    print(f"ours / plain: {ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
