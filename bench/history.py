"""What a history of a million results costs: to ask, to keep, to add to. Writes bench/history.md.

Run it alone: `python -m bench.history`. The thousand hosts that are checked are one real sshd on loopback under a
thousand names; the history is an SQLite file.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import yaml

from sshd_keepalive.cli.options import Options
from sshd_keepalive.cli.recording import Recorder, Recording
from sshd_keepalive.model import HostReport, Run
from sshd_keepalive.remote.secret import Secrets
from sshd_keepalive.store import Store, address
from tests.support.fleets import NOW, a_fleet
from tests.support.sshd import Sshd

HOSTS = 1_000
RUNS = 1_000
ROUNDS = 5
CHANGED = 0.01  # of the hosts, from one run to the next
_PROGRAM = (sys.executable, "-m", "sshd_keepalive")


def fill(path: Path) -> tuple[float, ...]:
    """Record a check of every host each day; gives what each took, seconds."""
    store, random = Store(address(str(path))), Random(1)
    fleet = a_fleet(HOSTS, n_past=0)
    others = a_fleet(HOSTS, n_past=0, seed=2).hosts
    hosts = list(fleet.hosts)
    took = []
    for day in range(RUNS):
        for number in random.sample(range(HOSTS), int(HOSTS * CHANGED)):
            hosts[number] = random.choice((fleet.hosts[number], others[number]))
        at = NOW - timedelta(days=RUNS - day)
        run = replace(fleet, id=f"{at:%Y%m%dT%H%M%SZ}-{day:06x}", started_at=at, ended_at=at, hosts=tuple(hosts))
        took.append(_timed(lambda run=run: store.save(run)))
    store.close()
    return tuple(took)


def asked(path: Path) -> dict[str, float]:
    """The slowest of some rounds of each question, as a user asks it: a process of its own, its start included."""
    store = Store(address(str(path)))
    first, last = store.runs()[0].id, store.find()
    store.close()
    questions = {
        "history": ["history"],
        "history HOST": ["history", "web-0001"],
        "history RUN RUN, the first and the last": ["history", first, last],
        "report, 1,000 hosts": ["report", "--format", "jsonl"],
        "--version, to compare": ["--version"],
    }
    return {
        name: max(_timed(lambda words=words: _run(path, *words)) for _ in range(ROUNDS))
        for name, words in questions.items()
    }


def recording(path: Path) -> tuple[float, float]:
    """Seconds of processor and of wall time that `--record --keep` adds to a check, its imports left out."""
    fleet = a_fleet(HOSTS, n_past=0, seed=3)
    at = time.perf_counter(), time.process_time()
    asked_for = Recording(record=True, store=str(path), keep=(RUNS - 2) * 86400.0)
    options = Options(format="json", out=(), quiet=True, verbose=0, color="never")
    recorder = Recorder(asked_for, "check", options, (), [report.host for report in fleet.hosts], Secrets())
    told: tuple[HostReport, ...] = tuple(map(recorder.compared, fleet.hosts))
    recorder.record(Run(id="new", command="check", started_at=NOW, ended_at=NOW, exit_code=1, hosts=told))
    return time.process_time() - at[1], time.perf_counter() - at[0]


def check() -> float:
    """The wall time of a check of a thousand hosts that does not record."""
    with (
        Sshd("ClientAliveInterval 300\nClientAliveCountMax 3\nMaxStartups 500\n") as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        defaults = {
            "port": server.port,
            "user": server.user,
            "identity_file": str(server.user_key),
            "known_hosts": str(server.known_hosts),
            "become": "none",
            "sshd_config": str(server.config_file),
            "service": {"manager": "pidfile", "pidfile": str(server.folder / "pid")},
        }
        names = {f"host-{number}": {"address": server.address} for number in range(HOSTS)}
        inventory = Path(folder) / "hosts.yaml"
        inventory.write_text(yaml.safe_dump({"defaults": defaults, "hosts": names}))
        return _timed(lambda: _run(Path("unused"), "check", "-q", "-i", str(inventory)))


def _run(path: Path, *words: str) -> None:
    """Run the program; it must come to its end and say something."""
    environment = {**os.environ, "SSHD_KEEPALIVE_STORE": str(path)}
    ran = subprocess.run([*_PROGRAM, *words], env=environment, capture_output=True, text=True, check=False)
    if ran.returncode != 0 or not ran.stdout:
        raise SystemExit(f"{words}: {ran.returncode}\n{ran.stderr[-2000:]}{ran.stdout[-2000:]}")


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    """Measure and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.db"
        saved = fill(path)
        megabytes = path.stat().st_size / 1e6
        answers = asked(path)
        cpu_s, wall_s = recording(path)
    checked_s = check()
    lines = [
        "# The history",
        "",
        f"`python -m bench.history`, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, SQLite, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}. {RUNS:,} runs of {HOSTS:,} hosts, "
        f"{RUNS * HOSTS:,} results; {CHANGED:.0%} of the hosts may change from one run to the next.",
        "Promised: `history` answers in less than 1 s; recording adds at most 5 % to a check of 1,000 hosts.",
        "",
        f"The file has {megabytes:.0f} MB. A run was saved in {sum(saved[:100]) / 100:.2f} s at the beginning, in "
        f"{sum(saved[-100:]) / 100:.2f} s at the end.",
        "",
        f"| question | slowest of {ROUNDS}, with the start of the program |",
        "| --- | ---: |",
        *(f"| {name} | {seconds:.2f} s |" for name, seconds in answers.items()),
        "",
        f"| a check of {HOSTS:,} hosts | wall |",
        "| --- | ---: |",
        f"| the check, 20 at a time | {checked_s:.1f} s |",
        f"| what `--record --keep` adds: to read, compare, write and forget a run | {wall_s:.2f} s, "
        f"{wall_s / checked_s:.1%} |",
        "",
        f"Of these {wall_s:.2f} s the processor worked {cpu_s:.2f} s.",
    ]
    text = "\n".join(lines) + "\n"
    Path(__file__).with_name("history.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
