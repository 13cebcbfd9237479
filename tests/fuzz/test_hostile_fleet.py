"""One host that was taken over among 40 honest ones: all honest ones are judged, in time and in bounded memory.

The table "tried and held" of SECURITY.md is what these tests find: KEEPALIVE_WRITE_TRIED=1 writes it.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import answers
from tests.support.answers import Answer
from tests.support.cli import PROGRAM, STATE_HOME
from tests.support.hostile import HostileServer, answering
from tests.support.sshd import make_key

N_HONEST = 40
FORKS = 20
TIMEOUT_S = 20.0
MOST_MB = 300
PAGE = Path(__file__).parents[2] / "SECURITY.md"
HOSTILE = answers.hostile()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run over a fleet came to."""

    hosts: dict[str, dict[str, Any]]
    seconds_s: float
    cpu_s: float
    peak_mb: float

    @property
    def n_judged(self) -> int:
        return sum(host["state"] == "ok" for name, host in self.hosts.items() if name.startswith("honest"))


class Peak:
    """The most memory that a process has held; what wait4(2) says counts the process that started it as well."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._kb = 0
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        with suppress(OSError):
            while found := re.search(r"VmHWM:\s*(\d+) kB", self._status.read_text()):
                self._kb = int(found[1])
                time.sleep(0.02)

    def mb(self) -> float:
        self._thread.join()
        return self._kb / 1024


@dataclass(slots=True)
class Fleet:
    """Honest servers that stay, beside one or more that do not."""

    folder: Path
    key: Path
    honest: list[HostileServer]

    def check(self, *others: HostileServer, words: tuple[str, ...] = ()) -> Run:
        """Run `check` as a process of its own over the honest hosts and the others, the others first."""
        servers = {f"hostile-{n}": server for n, server in enumerate(others)}
        servers |= {f"honest-{n}": server for n, server in enumerate(self.honest)}
        known = self.folder / "known_hosts"
        public = Path(f"{self.key}.pub").read_text()
        known.write_text("".join(f"[127.0.0.1]:{server.port} {public}" for server in servers.values()))
        inventory = self.folder / "hosts.yaml"
        hosts = {name: {"address": "127.0.0.1", "port": server.port} for name, server in servers.items()}
        defaults = {
            "user": "ops",
            "become": "none",
            "identity_file": str(self.key),
            "known_hosts": str(known),
            "service": {"manager": "command", "restart": "true", "is_active": "true"},
        }
        inventory.write_text(yaml.safe_dump({"defaults": defaults, "hosts": hosts}))
        out = self.folder / "out.json"
        words = ("check", "-i", str(inventory), "-f", str(FORKS), "--timeout", str(TIMEOUT_S), *words)
        began_s = time.monotonic()
        with out.open("wb") as stdout:
            child = subprocess.Popen(
                [*PROGRAM, *words, "--format", "json", "--no-progress"],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                env={**os.environ, "XDG_STATE_HOME": STATE_HOME.name},
            )
            assert child.stderr is not None
            peak = Peak(child.pid)
            with child.stderr:
                complaints = child.stderr.read()
            _, _, usage = os.wait4(child.pid, 0)
            child.returncode = 0  # it was waited for
        took_s = time.monotonic() - began_s
        assert b"Traceback" not in complaints, complaints.decode()
        document = json.loads(out.read_text())
        return Run(
            hosts={host["name"]: host for host in document["hosts"]},
            seconds_s=took_s,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_mb=peak.mb(),
        )


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    key = make_key(folder / "key")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    with ExitStack() as stack:
        honest = [stack.enter_context(HostileServer(answering(answers.honest, key))) for _ in range(N_HONEST)]
        yield Fleet(folder=folder, key=key, honest=honest)


@pytest.fixture(scope="module")
def table() -> Iterator[dict[str, Run]]:
    """Collects what was tried; writes the page when all of it was."""
    tried: dict[str, Run] = {}
    yield tried
    for name, run in tried.items():
        failure = run.hosts["hostile-0"]["failure"] or {}
        cause = failure.get("cause", "judged")
        print(f"{name:<45} {run.seconds_s:5.1f} s {run.cpu_s:5.1f} s CPU {run.peak_mb:4.0f} MB  {cause}")
    if os.environ.get("KEEPALIVE_WRITE_TRIED") and tried.keys() == HOSTILE.keys():
        PAGE.write_text(with_table(PAGE.read_text(), tried))


def with_table(page: str, tried: dict[str, Run]) -> str:
    """The page with a new table between its two marks."""
    begin, end = "<!-- tried: begin -->\n", "<!-- tried: end -->"
    rows = ["| answer of one host | result | normal hosts judged | CPU s | MB |", "|---|---|---:|---:|---:|"]
    for name, run in tried.items():
        host = run.hosts["hostile-0"]
        failure = host["failure"]
        words = (failure["kind"], failure["cause"]) if failure else ()
        word = ", ".join(f"`{word}`" for word in words if word) or f"judged: {host['state']}"
        rows.append(f"| {name} | {word} | {run.n_judged} of {N_HONEST} | {run.cpu_s:.1f} | {run.peak_mb:.0f} |")
    head, _, rest = page.partition(begin)
    return head + begin + "\n".join(rows) + "\n" + end + rest.partition(end)[2]


def bound_s(n_hosts: int) -> float:
    return (n_hosts / FORKS + 1) * TIMEOUT_S


def hostile_server(answer: Answer, fleet: Fleet) -> HostileServer:
    return HostileServer(answering(answer, fleet.key))


@pytest.mark.fuzz
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", HOSTILE)
def test_honest_hosts_are_judged_beside_a_hostile_one(name: str, fleet: Fleet, table: dict[str, Run]) -> None:
    with hostile_server(HOSTILE[name](), fleet) as server:
        run = table[name] = fleet.check(server)
    assert run.n_judged == N_HONEST, {n: h["failure"] for n, h in run.hosts.items() if h["failure"]}
    failure = run.hosts["hostile-0"]["failure"]
    assert failure is None or failure["kind"] in ("observe", "timeout", "config_broken")
    assert run.seconds_s < 1.2 * bound_s(N_HONEST + 1)
    assert run.peak_mb < MOST_MB


@pytest.mark.fuzz
@pytest.mark.timeout(600)
def test_twelve_hostile_hosts_of_8_mib_each(fleet: Fleet) -> None:
    """All different: nothing that is remembered may grow with them."""
    with ExitStack() as stack:
        servers = []
        for number in range(12):
            text = b"channeltimeout session=%d\n" % number * (answers.MOST // 27)
            records = answers.look(dumps=[("dump", b""), ("answer", text)])
            servers.append(stack.enter_context(hostile_server(answers.saying(records), fleet)))
        run = fleet.check(*servers)
    print(f"12 hostile hosts of 8 MiB: {run.seconds_s:.1f} s, {run.cpu_s:.1f} s CPU, {run.peak_mb:.0f} MB")
    assert run.n_judged == N_HONEST
    assert run.seconds_s < 1.2 * bound_s(N_HONEST + 12)
    assert run.peak_mb < MOST_MB
