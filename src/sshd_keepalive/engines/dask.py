"""Dask: worker processes of this machine, or of a cluster, which also reaches networks that this machine does not.

Without an address a cluster of this machine starts: one worker process for each processor, over TLS on loopback with
a key that is made for this run. With an address the workers of that scheduler are used; each is a process started with
`dask worker` where the same version of this program is installed.

Hosts and orders are sent as pickles; secrets never are. Reports come back as JSON and are validated. While the
controller is connected to a scheduler that it did not start, it unpickles nothing that names a class or function.

Dask repeats the work of a lost worker, which must not happen to a change. So each host is given to one certain
process, by the identity that Dask draws anew whenever a worker starts, and that process begins no host twice.
A job that Dask moves elsewhere or starts again comes back without having been begun.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import io
import ipaddress
import logging
import pickle
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from sshd_keepalive import __version__, serialization
from sshd_keepalive.engines import Job, RunOptions, raise_file_limit, report_lost, report_not_begun, work_through
from sshd_keepalive.errors import ConfigError, require_extra
from sshd_keepalive.hosts import argument as arguments
from sshd_keepalive.model import Host, HostReport
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.secrets.sharing import SharedSecrets, answer

CONNECT_S: Final = 10.0  # for the scheduler to answer
BATCH_FEW: Final = 8  # hosts in one message, where threads are many
BATCH_MAX: Final = 32  # hosts in one message; all of them are reported when the slowest has ended
REFRESH_S: Final = 1.0  # how often the workers are listed
NO_WORKER_S: Final = 30.0  # how long a run without workers waits for a new one
_FETCH_S: Final = 5.0  # how long a report may take to arrive before the workers are listed again
#: No page that shows what is in progress: its port needs no key. No profiler: it samples every thread.
_LOCAL: Final = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
}
_HANDLER: Final = "sshd_keepalive_secret"  # the scheduler's handler that local workers ask


def run(job: Job, hosts: Iterable[Host], options: RunOptions) -> Iterator[HostReport]:
    """Run every host once; `workers` hosts at a time over the whole cluster.

    A change has a thread of the cluster to itself. Where the cluster has fewer threads than `workers`, a job that only
    reads is sent in batches, which its thread spreads over some of its own: that costs scheduler and controller far
    less. The argument is the scheduler's address, `tls://scheduler:8786` or `tcp://…`; empty: start workers on this
    machine.
    """
    workers, may_repeat = options.workers, options.may_repeat
    packed_job, secrets = _pack(job)
    is_first = options.argument not in _connections
    connection = _connect(options.argument, workers)
    connection.lent |= secrets
    cluster = _Cluster(connection, packed_job, is_first=is_first, limit_s=options.limit_s)
    waiting = iter(hosts)
    retries: list[Host] = []  # lost once, to be tried once more
    retried: set[str] = set()
    without_worker_since_s = 0.0
    try:
        while True:
            n_batch = cluster.choose_batch_size(workers) if may_repeat else 1
            while cluster.n_idle and (n_free := min(n_batch, workers - cluster.n_hosts)) > 0:
                batch, retries = retries[:n_free], retries[n_free:]
                batch += islice(waiting, n_free - len(batch))
                if not batch:
                    break
                cluster.submit(tuple(batch))
            if not cluster.batches:
                if cluster.workers:
                    return
                if cluster.is_gone or time.monotonic() - without_worker_since_s > NO_WORKER_S:
                    break
            reports, lost = cluster.collect()
            if cluster.workers:
                without_worker_since_s = time.monotonic()
            for host in lost:
                if may_repeat and host.name not in retried:
                    retried.add(host.name)
                    retries.append(host)
                else:
                    reports.append(report_lost(host, may_repeat=may_repeat))
            # Reports first, then the next hosts: the caller may stop the run because of these reports.
            yield from reports
        reason = "the scheduler was lost" if cluster.is_gone else "no worker is left"
        for host in retries:
            yield report_lost(host, may_repeat=may_repeat)
        for host in waiting:
            yield report_not_begun(host, "no-worker", f"{reason} ({connection})")
    finally:
        cluster.finish()


# ---------------------------------------------------------------------------------------- what is sent


class _Packer(pickle.Pickler):
    """Pickle a job, with a name in place of its secrets."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.secrets: dict[str, Secrets] = {}

    def persistent_id(self, obj: object) -> str | None:
        """Give the name of an object that is not sent."""
        if not isinstance(obj, Secrets):
            return None
        self.secrets[obj.name] = obj
        return obj.name


def _pack(job: Job) -> tuple[bytes, dict[str, Secrets]]:
    """Give the job as it is sent to another process, and the secrets that it uses, by name.

    Raises:
        ConfigError: the job uses something that exists in this process alone.
    """
    file = io.BytesIO()
    packer = _Packer(file)
    try:
        packer.dump(job)
    except (pickle.PicklingError, TypeError, AttributeError):
        raise ConfigError(
            "--engine dask: this command watches all its hosts from one process", hint="leave out --engine"
        ) from None
    return file.getvalue(), packer.secrets


# ----------------------------------------------------------------------------------------- the cluster


@dataclass(slots=True)
class _Worker:
    """One worker process as long as it lives."""

    identity: str
    n_threads: int
    n_batches: int = 0


@dataclass(slots=True)
class _Batch:
    """Some hosts, usually one, on one thread of a worker."""

    hosts: tuple[Host, ...]
    worker: str  # its address
    identity: str
    future: Any  # distributed.Future


@dataclass(slots=True)
class _Cluster:
    """The workers, and the batches they work on."""

    connection: _Connection
    packed_job: bytes
    is_first: bool  # first contact: what is wrong now is the user's mistake; later it is a failure of the cluster
    limit_s: float | None  # for one host
    run: str = field(default_factory=lambda: uuid4().hex)
    workers: dict[str, _Worker] = field(default_factory=dict)
    batches: dict[str, _Batch] = field(default_factory=dict)  # by token
    is_gone: bool = False
    _done: SimpleQueue[str] = field(default_factory=SimpleQueue)
    _refreshed_at_s: float = 0.0

    def __post_init__(self) -> None:
        """List the workers.

        Raises:
            ConfigError: there are none, or one cannot do this work; not when there were some for an earlier wave.
        """
        self._refresh()
        if not self.workers and self.is_first:
            raise ConfigError(
                f"{self.connection}: the scheduler {'was lost' if self.is_gone else 'has no workers'}",
                hint=f"start a worker: dask worker {self.connection} --nthreads 32",
            )

    @property
    def n_idle(self) -> int:
        """How many threads are idle. No host queues on a worker: of a lost one it is not known whether it began."""
        return sum(worker.n_threads - worker.n_batches for worker in self.workers.values())

    @property
    def n_hosts(self) -> int:
        """How many hosts are in progress."""
        return sum(len(batch.hosts) for batch in self.batches.values())

    def choose_batch_size(self, workers: int) -> int:
        """Choose how many hosts each thread gets at once: so many that `workers` are in progress, and some for speed.

        A task costs Dask 9 ms of CPU, three times a check; a few hosts share that cost, and wait for the slowest.
        """
        n_threads = sum(worker.n_threads for worker in self.workers.values())
        few = min(BATCH_FEW, workers // (2 * max(1, len(self.workers))))
        return max(1, few, min(BATCH_MAX, workers // max(1, n_threads)))

    def submit(self, hosts: tuple[Host, ...]) -> None:
        """Send some hosts to the worker with the largest share of idle threads."""
        address, worker = min(self.workers.items(), key=lambda item: item[1].n_batches / item[1].n_threads)
        token = uuid4().hex
        future = self.connection.client.submit(
            _work,
            self.run,
            worker.identity,
            token,
            hosts,
            self.limit_s,
            key=f"sshd-keepalive-{token}",
            workers=[address],
            pure=False,
            retries=0,
        )
        worker.n_batches += 1
        self.batches[token] = _Batch(hosts=hosts, worker=address, identity=worker.identity, future=future)
        future.add_done_callback(lambda _: self._done.put(token))

    def collect(self) -> tuple[list[HostReport], list[Host]]:
        """Wait a moment; give the reports that arrived, and the hosts whose worker was lost."""
        tokens: list[str] = []
        with contextlib.suppress(Empty):
            tokens.append(self._done.get(timeout=REFRESH_S))
            while True:
                tokens.append(self._done.get_nowait())
        if not tokens or time.monotonic() - self._refreshed_at_s > REFRESH_S:
            self._refresh()
        reports: list[HostReport] = []
        lost: list[Host] = []
        for token in tokens:
            batch = self.batches.get(token)
            if batch is None or not batch.future.done():
                continue
            batch_reports = self._fetch(batch)
            if batch_reports is None:
                lost += batch.hosts
            else:
                reports += batch_reports
            self._drop(token)
        if lost:
            self._refresh()  # which other hosts were on that worker, and whether a worker is left
        for token, batch in tuple(self.batches.items()):
            if not self._is_there(batch):
                lost += batch.hosts
                self._drop(token)
        return reports, lost

    def finish(self) -> None:
        """Wait for the batches in progress; then the workers forget the job."""
        while self.batches and not self.is_gone:
            self.collect()
        if not self.is_gone:
            with contextlib.suppress(Exception):
                self.connection.client.run(_forget, self.run, workers=list(self.workers), on_error="ignore")

    def _fetch(self, batch: _Batch) -> list[HostReport] | None:
        """Give the reports of a finished batch; None: it was never begun, is lost, or its reports cannot be read."""
        while True:
            try:
                texts = batch.future.result(timeout=_FETCH_S)
            except TimeoutError:  # the worker died with the report, or is slow
                self._refresh()
                if not self._is_there(batch):
                    return None
            except Exception:  # Dask raises many types for a lost task; the job itself raises nothing
                return None
            else:
                try:  # the hosts are our own: what a worker says about them is not used
                    return [
                        replace(serialization.read(text, HostReport), host=host)
                        for text, host in zip(texts, batch.hosts, strict=True)
                    ]
                except (TypeError, ValueError):
                    return None

    def _is_there(self, batch: _Batch) -> bool:
        worker = self.workers.get(batch.worker)
        return worker is not None and worker.identity == batch.identity

    def _drop(self, token: str) -> None:
        batch = self.batches.pop(token)
        if self._is_there(batch):
            self.workers[batch.worker].n_batches -= 1
        with contextlib.suppress(Exception):
            batch.future.cancel()

    def _refresh(self) -> None:
        """List the workers, and send the job to new ones."""
        self._refreshed_at_s = time.monotonic()
        try:
            n_threads: dict[str, int] = self.connection.client.nthreads()
            identities: dict[str, str] = self._call(_read_identity, list(n_threads))
            new = [
                address
                for address, identity in identities.items()
                if address not in self.workers or self.workers[address].identity != identity
            ]
            load = partial(_load_job, self.run, self.packed_job, is_local=self.connection.is_local)
            versions: dict[str, str] = self._call(load, new) if new else {}
        except Exception:  # of any kind: the scheduler is gone
            self.is_gone = True
            self.workers = {}
            return
        kept = {address: self.workers[address] for address in identities if address not in new}
        for address in new:
            version = versions.get(address)
            if version == __version__:
                kept[address] = _Worker(identity=identities[address], n_threads=n_threads[address])
            elif self.is_first and not self.workers:  # later such a worker is ignored
                raise ConfigError(
                    f"worker {address} has {f'version {version}' if version else 'another version'} of sshd-keepalive, "
                    f"or none; here it is {__version__}",
                    hint="install the same version of sshd-keepalive on all workers",
                )
        self.workers = kept

    def _call(self, function: Callable[..., str], workers: list[str]) -> dict[str, str]:
        """Call a function on workers; give what those return that answer.

        The scheduler sends the error of a worker that ends meanwhile as a pickle. Where that is refused it costs the
        answers of all others too: then each worker is asked separately.
        """
        client = self.connection.client
        answers: dict[str, str] = {}
        try:
            answers = client.run(function, workers=workers, on_error="ignore")
        except pickle.UnpicklingError:
            for address in client.nthreads().keys() & set(workers):
                with contextlib.suppress(pickle.UnpicklingError):
                    answers |= client.run(function, workers=[address], on_error="ignore")
        return answers


# ---------------------------------------------------------------------------------------- on a worker

_jobs: dict[str, Job] = {}
_secrets: dict[str, Secrets] = {}  # by their name on the controller: waves of one command share the attempt limits
_begun: set[str] = set()
_lock = threading.Lock()


class _Unpacker(pickle.Unpickler):
    """Unpickle a job. The controller on the same machine gives its secrets; else this worker resolves them."""

    def __init__(self, file: io.BytesIO, dask_worker: Any) -> None:
        super().__init__(file)
        self._dask_worker = dask_worker  # None: the controller is elsewhere

    def persistent_load(self, name: str) -> Secrets:
        """Give the secrets of a name."""
        if name not in _secrets:
            _secrets.clear()
            _secrets[name] = (
                SharedSecrets(partial(_ask, self._dask_worker, name)) if self._dask_worker is not None else Secrets()
            )
        return _secrets[name]


def _ask(dask_worker: Any, name: str, *question: Any) -> Any:
    """Ask the controller over the worker's own connection, TLS on loopback."""
    from distributed.utils import sync

    handler = getattr(dask_worker.scheduler, _HANDLER)
    return sync(dask_worker.loop, handler, name=name, question=question)


def _read_identity(dask_worker: Any) -> str:
    """Give the name that Dask draws at each start of a worker."""
    return str(dask_worker.id)


def _load_job(run: str, packed_job: bytes, *, is_local: bool, dask_worker: Any) -> str:
    """Keep the job of a run and give the version of this program."""
    if run not in _jobs:
        _jobs[run] = _Unpacker(io.BytesIO(packed_job), dask_worker if is_local else None).load()
    return __version__


def _forget(run: str) -> None:
    _jobs.pop(run, None)
    if not _jobs:
        _begun.clear()


def _work(run: str, identity: str, token: str, hosts: tuple[Host, ...], limit_s: float | None) -> list[str] | None:
    """Run a batch; None: this is not the process it was sent to, or the batch was begun here before."""
    from distributed import get_worker

    with _lock:
        if get_worker().id != identity or run not in _jobs or token in _begun:
            return None
        _begun.add(token)
        job = _jobs[run]
    reports = {report.host.name: report for report in work_through(job, hosts, workers=len(hosts), limit_s=limit_s)}
    return [serialization.write(reports[host.name]) for host in hosts]


# ------------------------------------------------------------------------------------- the connection


@dataclass(slots=True)
class _Connection:
    """A client, and the cluster of this machine behind it if we started one."""

    client: Any  # distributed.Client
    address: str  # empty: this machine
    cluster: Any = None  # distributed.LocalCluster
    folder: tempfile.TemporaryDirectory[str] | None = None  # what Dask writes
    lent: dict[str, Secrets] = field(default_factory=dict)  # by name; local workers ask for them

    def __str__(self) -> str:
        return self.address or "local cluster"

    @property
    def is_local(self) -> bool:
        """Whether the workers are processes that this one started."""
        return self.cluster is not None

    def close(self) -> None:
        """Leave the scheduler; end the workers that this process started."""
        for one in (self.client, self.cluster):
            if one is not None:
                with contextlib.suppress(Exception):
                    one.close(timeout=2)
        if self.folder is not None:
            self.folder.cleanup()


_connections: dict[str, _Connection] = {}  # by argument, for all waves of a run; one at a time


@atexit.register
def disconnect() -> None:
    """Leave all schedulers, and end the local cluster."""
    while _connections:
        _connections.popitem()[1].close()


def _connect(argument: str, workers: int) -> _Connection:
    """Connect to the scheduler, or start the local cluster, once for all waves of a run."""
    if argument in _connections:
        return _connections[argument]
    disconnect()
    address = _check_address(argument) if argument else ""
    with require_extra("dask"):
        import distributed
    # Each has a level of its own; what is lost is named in the reports.
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    raise_file_limit(workers)
    _connections[argument] = _join(distributed, address) if address else _start(distributed, workers)
    return _connections[argument]


def _check_address(argument: str) -> str:
    """Check the address of a scheduler.

    Raises:
        ConfigError: it is not an address, or the way to it is not encrypted and that is not allowed.
    """
    address, options = arguments.split(argument, ("insecure",))
    url = urlsplit(address)
    if url.scheme not in ("tcp", "tls") or not url.hostname:
        raise ConfigError(f"--engine dask:{address}: not an address", hint="for example dask:tls://scheduler:8786")
    if url.scheme == "tcp" and not _is_loopback(url.hostname) and options.get("insecure") != "yes":
        raise ConfigError(
            f"--engine dask:{address}: without TLS, anybody on the network path can run programs on the workers",
            hint=f"use tls://, or allow it: --engine 'dask:{address}?insecure=yes'",
        )
    return address


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _join(distributed: Any, address: str) -> _Connection:
    """Become a client of a running scheduler."""
    _refuse_code_in_pickles()
    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False, name="sshd-keepalive")
    except (OSError, ValueError, TypeError) as error:
        first_line = str(error).partition("\n")[0] or type(error).__name__
        raise ConfigError(
            f"--engine dask:{address}: the scheduler cannot be reached: {first_line}",
            hint="start one with `dask scheduler`, and workers with `dask worker`; or leave out the address",
        ) from None
    return _Connection(client=client, address=address)


@cache
def _refuse_code_in_pickles() -> None:
    """Let no pickle from a scheduler name a class or function: that is how a pickle runs code.

    Dask unpickles some of what it receives before this program can look at it. Python reports each name in a pickle to
    audit hooks (https://docs.python.org/3/library/audit_events.html, `pickle.find_class`); an error of a hook stops
    the unpickling. Plain data names nothing. A hook cannot be removed, so it asks whether there is such a scheduler.
    """

    def audit(event: str, names: tuple[Any, ...]) -> None:
        if event == "pickle.find_class" and any(not one.is_local for one in _connections.values()):
            raise pickle.UnpicklingError("a pickle from the scheduler is refused: it names {}.{}".format(*names[-2:]))

    sys.addaudithook(audit)


def _start(distributed: Any, workers: int) -> _Connection:
    """Start one worker process for each processor of this machine; they end with this process."""
    from multiprocessing import get_context, resource_tracker

    from dask import config
    from dask.system import CPU_COUNT

    try:
        get_context("spawn").Lock()  # when a worker needs one, Dask does not say what is missing
    except OSError as error:
        raise ConfigError(
            f"--engine dask: worker processes need shared memory in /dev/shm: {error.strerror}",
            hint="mkdir -p /dev/shm && mount -t tmpfs -o mode=1777 tmpfs /dev/shm; or leave out --engine",
        ) from None
    resource_tracker.ensure_running()  # when it starts, it unblocks what is blocked below, up to Python 3.11
    n_processes = max(1, min(CPU_COUNT, workers))
    folder = tempfile.TemporaryDirectory(prefix="sshd-keepalive-")
    # Ctrl-C reaches every process of the terminal; the controller decides what it means. The workers inherit this.
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        with config.set(_LOCAL):
            cluster = distributed.LocalCluster(
                n_workers=n_processes,
                threads_per_worker=-(-workers // n_processes),
                processes=True,
                memory_limit=None,
                dashboard_address=None,
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                security=distributed.Security.temporary(),
                silence_logs=logging.CRITICAL,
                local_directory=folder.name,
            )
    except (OSError, RuntimeError) as error:
        folder.cleanup()
        raise ConfigError(
            f"--engine dask: no workers could be started on this machine: {str(error).partition(chr(10))[0]}",
            hint="leave out --engine",
        ) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    client = distributed.Client(cluster, set_as_default=False, name="sshd-keepalive")
    connection = _Connection(client=client, address="", cluster=cluster, folder=folder)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="secret")  # a question may wait for a person

    async def secret(name: str, question: tuple[Any, ...]) -> Any:
        ask = partial(answer, connection.lent[name], *question)
        return await asyncio.get_running_loop().run_in_executor(pool, ask)

    cluster.scheduler.handlers[_HANDLER] = secret
    return connection
