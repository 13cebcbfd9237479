"""A real Dask scheduler and worker processes on loopback, and their end, expected or not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.support.sshd import wait_until

START_TIMEOUT_S = 60.0
_ROOT = Path(__file__).parents[2]


class Cluster:
    """One scheduler and its workers. Use it as a context.

    Args:
        n_workers, n_threads: processes, and threads in each.
        nanny: a process beside each worker that starts it again when it dies.
    """

    def __init__(self, *, n_workers: int = 2, n_threads: int = 4) -> None:
        self._n_workers = n_workers
        self._n_threads = n_threads
        self._folder = tempfile.TemporaryDirectory(prefix="sshd-keepalive-dask-")
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> str:
        """What `--engine dask:` takes."""
        return f"tcp://127.0.0.1:{self._port}"

    @property
    def log(self) -> str:
        """All that scheduler and workers have said."""
        return "".join(path.read_text(errors="replace") for path in Path(self._folder.name).glob("*.log"))

    @property
    def workers(self) -> list[subprocess.Popen[bytes]]:
        return self.processes[1:]

    def __enter__(self) -> Cluster:
        try:
            self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show")
            wait_until(lambda: "Scheduler at:" in self.log, START_TIMEOUT_S, "the scheduler")
            self._port = int(self.log.partition("tcp://127.0.0.1:")[2].split()[0])
            for _ in range(self._n_workers):
                self.add_worker()
            wait_until(
                lambda: self.log.count("Registered to:") == self._n_workers, START_TIMEOUT_S, "the workers to register"
            )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait(10)
        self._folder.cleanup()

    def add_worker(self) -> None:
        """Start one more worker."""
        self._start(
            "worker", self.address, "--no-nanny", "--no-dashboard", "--nthreads", str(self._n_threads),
            "--local-directory", self._folder.name, "--memory-limit", "0",
        )  # fmt: skip

    def kill_worker(self, pid: int) -> None:
        """End a worker as a power cut would."""
        next(one for one in self.workers if one.pid == pid).send_signal(signal.SIGKILL)

    def _start(self, what: str, *words: str) -> None:
        with Path(self._folder.name, f"{len(self.processes)}-{what}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "distributed.cli.dask_" + what, *words],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=_ROOT,
                    env={**os.environ, "PYTHONPATH": str(_ROOT)},
                )
            )


def pid_connected_to(port: int, pids: list[int]) -> int:
    """The process among some that has a connection to a port of this machine."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    inodes = {f"socket:[{row[9]}]" for row in rows if int(row[2].partition(":")[2], 16) == port}
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                if str(link.readlink()) in inodes:
                    return pid
    raise AssertionError(f"none of {pids} is connected to port {port}")
