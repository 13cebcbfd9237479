"""Workers of a Dask cluster: the way out of one machine, and into networks that this one does not reach.

A worker is any process started with `dask worker` where the same version of this program is installed. It logs in
with its own files, agent and environment: what is sent are hosts and orders with references to secrets, what comes
back are reports.

Dask repeats the work of a worker that was lost, which must not happen to a change. So each host is given to one
certain process, by the identity that Dask draws anew whenever a worker starts, and that process begins no host
twice. Whatever Dask moves elsewhere or starts again comes back without having been begun.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import pickle
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Final
from uuid import uuid4

from sshd_keepalive import __version__
from sshd_keepalive.engines import Job, lost, not_begun, pickled
from sshd_keepalive.errors import ConfigError, ExtensionError
from sshd_keepalive.model import Host, HostReport

CONNECT_S: Final = 10.0  # for the scheduler to answer
BATCH_MAX: Final = 32  # hosts in one message; all of them are told when the slowest has ended
LOOK_S: Final = 1.0  # how often the scheduler is asked which workers there are
NO_WORKER_S: Final = 30.0  # how long a run that has lost all its workers waits for one to come back
_FETCH_S: Final = 5.0  # for a report whose worker may be gone; then it is looked again


def run(
    job: Job, hosts: Iterable[Host], *, workers: int, may_repeat: bool = False, argument: str = ""
) -> Iterator[HostReport]:
    """Every host once; `workers` hosts at a time over the whole cluster.

    A change has a thread of the cluster to itself. Where the cluster has fewer threads than `workers`, reading is
    sent in batches, which its thread spreads over some of its own: that costs scheduler and controller far less.

    Args:
        argument: the scheduler's address, `tcp://scheduler:8786` or `tls://…`.
    """
    if not argument:
        raise ConfigError("--engine dask: which scheduler?", hint="for example --engine dask:tcp://127.0.0.1:8786")
    sent = pickled(job, "dask")
    is_first = argument not in _clients
    cluster = _Cluster(_client(argument), sent, argument, is_first=is_first)
    waiting = iter(hosts)
    again: list[Host] = []  # lost once, to be tried once more
    tried_twice: set[str] = set()
    without_worker_since_s = 0.0
    try:
        while True:
            n_batch = cluster.n_batch(workers) if may_repeat else 1
            while cluster.n_idle and (n_free := min(n_batch, workers - cluster.n_hosts)) > 0:
                following, again = again[:n_free], again[n_free:]
                following += islice(waiting, n_free - len(following))
                if not following:
                    break
                cluster.hand_out(tuple(following))
            if not cluster.flying:
                if cluster.workers:
                    return
                if cluster.is_gone or time.monotonic() - without_worker_since_s > NO_WORKER_S:
                    break
            landed, gone = cluster.news()
            if cluster.workers:
                without_worker_since_s = time.monotonic()
            for host in gone:
                if may_repeat and host.name not in tried_twice:
                    tried_twice.add(host.name)
                    again.append(host)
                else:
                    landed.append(lost(host, may_repeat=may_repeat))
            # First told, then the next ones: the caller may stop the run over these very reports.
            yield from landed
        why = "the scheduler is gone" if cluster.is_gone else "no worker is left"
        for host in again:
            yield lost(host, may_repeat=may_repeat)
        for host in waiting:
            yield not_begun(host, f"{why} ({argument})", may_repeat=may_repeat)
    finally:
        cluster.finish()


@dataclass(slots=True)
class _Worker:
    """One worker process as long as it lives."""

    identity: str
    n_threads: int
    n_flying: int = 0


@dataclass(slots=True)
class _Flight:
    """Some hosts, usually one, on one thread of a worker."""

    hosts: tuple[Host, ...]
    worker: str  # its address
    identity: str
    future: Any  # distributed.Future


@dataclass(slots=True)
class _Cluster:
    """The workers, and which host is where."""

    client: Any  # distributed.Client
    sent: bytes  # the job
    address: str
    is_first: bool  # nobody was met there before: what is wrong now is the user's mistake, later it is bad luck
    run: str = field(default_factory=lambda: uuid4().hex)
    workers: dict[str, _Worker] = field(default_factory=dict)
    flying: dict[str, _Flight] = field(default_factory=dict)  # by token
    is_gone: bool = False
    _done: SimpleQueue[str] = field(default_factory=SimpleQueue)
    _looked_at_s: float = 0.0

    def __post_init__(self) -> None:
        """Meet the workers.

        Raises:
            ConfigError: there are none, or one cannot do this work; not when there were some for an earlier wave.
        """
        self._look()
        if not self.workers and self.is_first:
            raise ConfigError(
                f"{self.address}: the scheduler has no workers"
                if not self.is_gone
                else f"{self.address}: the scheduler is gone",
                hint=f"start some: dask worker {self.address} --nthreads 32",
            )

    @property
    def n_idle(self) -> int:
        """Threads with nothing to do. None gets more to wait for it: what was lost unbegun could not be told apart."""
        return sum(worker.n_threads - worker.n_flying for worker in self.workers.values())

    @property
    def n_hosts(self) -> int:
        """How many hosts are under way."""
        return sum(len(flight.hosts) for flight in self.flying.values())

    def n_batch(self, workers: int) -> int:
        """How many hosts each thread must have at once, so that `workers` are under way."""
        n_threads = sum(worker.n_threads for worker in self.workers.values())
        return max(1, min(BATCH_MAX, workers // max(1, n_threads)))

    def hand_out(self, hosts: tuple[Host, ...]) -> None:
        """Give some hosts to the worker that has the most threads to spare."""
        address, worker = min(self.workers.items(), key=lambda item: item[1].n_flying / item[1].n_threads)
        token = uuid4().hex
        future = self.client.submit(
            _work,
            self.run,
            worker.identity,
            token,
            hosts,
            key=f"sshd-keepalive-{token}",
            workers=[address],
            pure=False,
            retries=0,
        )
        worker.n_flying += 1
        self.flying[token] = _Flight(hosts=hosts, worker=address, identity=worker.identity, future=future)
        future.add_done_callback(lambda _: self._done.put(token))

    def news(self) -> tuple[list[HostReport], list[Host]]:
        """Wait a moment; gives the reports that came, and the hosts whose worker was lost."""
        tokens: list[str] = []
        with contextlib.suppress(Empty):
            tokens.append(self._done.get(timeout=LOOK_S))
            while True:
                tokens.append(self._done.get_nowait())
        if not tokens or time.monotonic() - self._looked_at_s > LOOK_S:
            self._look()
        reports: list[HostReport] = []
        gone: list[Host] = []
        for token in tokens:
            flight = self.flying.get(token)
            if flight is None or not flight.future.done():
                continue
            told = self._fetch(flight)
            if told is None:
                gone += flight.hosts
            else:  # our own hosts, not their copies
                reports += [replace(report, host=host) for report, host in zip(told, flight.hosts, strict=True)]
            self._land(token)
        if gone:
            self._look()  # the others on that worker, and whether anybody is left for the next ones
        for token, flight in tuple(self.flying.items()):
            if not self._is_there(flight):
                gone += flight.hosts
                self._land(token)
        return reports, gone

    def finish(self) -> None:
        """Wait for what was begun; then the workers forget the job."""
        while self.flying and not self.is_gone:
            self.news()
        if not self.is_gone:
            with contextlib.suppress(Exception):
                self.client.run(_forget, self.run, workers=list(self.workers), on_error="ignore")

    def _fetch(self, flight: _Flight) -> list[HostReport] | None:
        """The reports of hosts that have ended; None: they were never begun, or are lost."""
        while True:
            try:
                told: list[HostReport] | None = flight.future.result(timeout=_FETCH_S)
            except TimeoutError:  # the worker died with the report, or is slow
                self._look()
                if not self._is_there(flight):
                    return None
            except Exception:  # Dask's many words for a task that is lost; the job itself raises nothing
                return None
            else:
                return told

    def _is_there(self, flight: _Flight) -> bool:
        worker = self.workers.get(flight.worker)
        return worker is not None and worker.identity == flight.identity

    def _land(self, token: str) -> None:
        flight = self.flying.pop(token)
        if self._is_there(flight):
            self.workers[flight.worker].n_flying -= 1
        with contextlib.suppress(Exception):
            flight.future.cancel()

    def _look(self) -> None:
        """Ask which workers there are, and give the job to those that are new."""
        self._looked_at_s = time.monotonic()
        try:
            n_threads: dict[str, int] = self.client.nthreads()
            identities: dict[str, str] = self.client.run(_identity, workers=list(n_threads), on_error="ignore")
            new = [
                address
                for address, identity in identities.items()
                if address not in self.workers or self.workers[address].identity != identity
            ]
            met = self.client.run(_meet, self.run, self.sent, workers=new, on_error="return") if new else {}
        except Exception:  # of whatever kind: without the scheduler there is nobody to ask
            self.is_gone = True
            self.workers = {}
            return
        kept = {address: self.workers[address] for address in identities if address not in new}
        for address, version in met.items():
            if version == __version__:
                kept[address] = _Worker(identity=identities[address], n_threads=n_threads[address])
            elif self.is_first and not self.workers:  # later such a worker is left alone
                said = f"has version {version}" if isinstance(version, str) else f"cannot do this work: {version!r}"
                raise ConfigError(
                    f"worker {address} {said}; here it is {__version__}",
                    hint="install the same version of sshd-keepalive on all workers",
                )
        self.workers = kept


# ---------------------------------------------------------------------------------------- on a worker

_jobs: dict[str, Job] = {}
_begun: set[str] = set()
_lock = threading.Lock()


def _identity(dask_worker: Any) -> str:
    """Drawn anew whenever the process starts."""
    return str(dask_worker.id)


def _meet(run: str, sent: bytes) -> str:
    """Keep the job of a run."""
    if run not in _jobs:
        _jobs[run] = pickle.loads(sent)  # noqa: S301 (a Dask worker runs what its scheduler sends)
    return __version__


def _forget(run: str) -> None:
    _jobs.pop(run, None)
    if not _jobs:
        _begun.clear()


def _work(run: str, identity: str, token: str, hosts: tuple[Host, ...]) -> list[HostReport] | None:
    """Work on some hosts; None: this is not the process they were meant for, or they were begun here before."""
    from distributed import get_worker

    with _lock:
        if get_worker().id != identity or run not in _jobs or token in _begun:
            return None
        _begun.add(token)
        job = _jobs[run]
    if len(hosts) == 1:
        return [job(hosts[0])]
    with ThreadPoolExecutor(len(hosts), thread_name_prefix="host") as pool:
        return list(pool.map(job, hosts))


# ------------------------------------------------------------------------------------- the connection

_clients: dict[str, Any] = {}


@atexit.register
def disconnect() -> None:
    """Leave all schedulers."""
    while _clients:
        with contextlib.suppress(Exception):
            _clients.popitem()[1].close(timeout=2)


def _client(address: str) -> Any:
    """Connect to the scheduler, once for all waves of a run."""
    try:
        import distributed
    except ImportError:
        raise ExtensionError("--engine dask: not installed", hint="pip install 'sshd-keepalive[dask]'") from None
    # Each has a level of its own; what is lost is told in the reports.
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if address not in _clients:
        try:
            connect: Any = distributed.Client
            _clients[address] = connect(address, timeout=CONNECT_S, set_as_default=False, name="sshd-keepalive")
        except (OSError, ValueError, TypeError) as error:
            said = str(error).partition("\n")[0] or type(error).__name__
            raise ConfigError(
                f"--engine dask:{address}: the scheduler cannot be reached: {said}",
                hint="start one with `dask scheduler`, and workers with `dask worker`; or leave out --engine",
            ) from None
    return _clients[address]
