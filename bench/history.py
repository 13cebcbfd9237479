"""What a history of a million results costs: to ask, to keep, to add to. Writes bench/history.md.

Run it alone: `python -m bench.history`. The thousand hosts that are checked are one real sshd on loopback under a
thousand names; the history is an SQLite file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

import yaml

from sshd_keepalive.cli.options import Options
from sshd_keepalive.cli.records import Recorder
from sshd_keepalive.model import Run
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.store import Store, parse_address
from tests.support.fleets import NOW, a_fleet
from tests.support.sshd import Sshd

from .measure import describe_setup, write_page

HOSTS = 1_000
RUNS = 1_000
ROUNDS = 5
CHANGED = 0.01  # of the hosts, from one run to the next


class Took(NamedTuple):
    """Where others use the machine, processor time is what can be compared."""

    wall_s: float
    cpu_s: float


_PROGRAM = (sys.executable, "-m", "sshd_keepalive")


def fill(path: Path) -> None:
    """Record a check of every host each day."""
    store, random = Store(parse_address(str(path))), Random(1)
    fleet = a_fleet(HOSTS, n_past=0)
    others = a_fleet(HOSTS, n_past=0, seed=2).hosts
    hosts = list(fleet.hosts)
    for day in range(RUNS):
        for number in random.sample(range(HOSTS), int(HOSTS * CHANGED)):
            hosts[number] = random.choice((fleet.hosts[number], others[number]))
        at = NOW - timedelta(days=RUNS - day)
        store.save(replace(fleet, id=f"{at:%Y%m%dT%H%M%SZ}-{day:06x}", started_at=at, ended_at=at, hosts=tuple(hosts)))
    store.close()


def asked(path: Path) -> dict[str, Took]:
    """Each question as a user asks it, a process of its own: the slowest of some rounds."""
    store = Store(parse_address(str(path)))
    first, last = store.list_runs()[0].id, store.find()
    store.close()
    questions = {
        "history": ["history"],
        "history HOST": ["history", "web-0001"],
        "history RUN RUN, the first and the last": ["history", first, last],
        "report, 1,000 hosts": ["report", "--format", "jsonl"],
        "--version, to compare": ["--version"],
    }
    return {name: _slowest(lambda words=words: _run(path, *words)) for name, words in questions.items()}


def recording(path: Path) -> Took:
    """Measure what `--record --keep` adds to a check: import, read, compare, write and forget one run."""
    code = "import sshd_keepalive.cli.commands.check as check"
    without = _slowest(lambda: subprocess.run([sys.executable, "-c", code], check=True))
    imported = _slowest(lambda: subprocess.run([sys.executable, "-c", f"{code}, sshd_keepalive.store"], check=True))
    fleet = a_fleet(HOSTS, n_past=0, seed=3)
    keep_s = (RUNS - 2) * 86400.0
    options = Options(format="json", quiet=True, color="never", record=True, store=str(path), keep=keep_s)

    def record() -> None:
        recorder = Recorder("check", options, [report.host for report in fleet.hosts], Secrets())
        told = tuple(map(recorder.add_changes, fleet.hosts))
        recorder.record(Run(id="new", command="check", started_at=NOW, ended_at=NOW, exit_code=1, hosts=told))

    took = _took(record)
    return Took(*(mine + after - before for mine, after, before in zip(took, imported, without, strict=True)))


def check() -> Took:
    """Measure a check of a thousand hosts that does not record, without the hosts' own processor time."""
    settings = "ClientAliveInterval 300\nClientAliveCountMax 3\nMaxStartups 500\n"
    with Sshd(settings) as server, tempfile.TemporaryDirectory() as folder:
        defaults = server.inventory_host
        del defaults["address"]
        names = {f"host-{number}": {"address": server.address} for number in range(HOSTS)}
        inventory = Path(folder) / "hosts.yaml"
        inventory.write_text(yaml.safe_dump({"defaults": defaults, "hosts": names}))
        return _took(lambda: _run(Path("unused"), "check", "-q", "--timeout", "600", "-i", str(inventory)))


def _run(path: Path, *words: str) -> None:
    """Run the program; it must come to its end and say something."""
    environment = {**os.environ, "SSHD_KEEPALIVE_STORE": str(path)}
    ran = subprocess.run([*_PROGRAM, *words], env=environment, capture_output=True, text=True, check=False)
    if ran.returncode != 0 or not ran.stdout:
        raise SystemExit(f"{words}: {ran.returncode}\n{ran.stderr[-2000:]}{ran.stdout[-2000:]}")


def _took(work: Callable[[], object]) -> Took:
    """Of this process and of those that it waited for."""
    begin, before = time.perf_counter(), os.times()
    work()
    return Took(time.perf_counter() - begin, sum(os.times()[:4]) - sum(before[:4]))


def _slowest(work: Callable[[], object]) -> Took:
    rounds = [_took(work) for _ in range(ROUNDS)]
    return Took(max(took.wall_s for took in rounds), max(took.cpu_s for took in rounds))


def main() -> None:
    """Measure and write the page."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.db"
        fill(path)
        megabytes = path.stat().st_size / 1e6
        answers = asked(path)
        recorded = recording(path)
    checked = check()
    lines = [
        "# The history",
        "",
        describe_setup("history", "SQLite", load=load) + f"{RUNS:,} runs of {HOSTS:,} hosts, "
        f"{RUNS * HOSTS:,} results; {CHANGED:.0%} of the hosts may change from one run to the next.",
        "Promised: `history` answers in less than 1 s; recording adds at most 5 % to a check of 1,000 hosts.",
        "",
        f"The file has {megabytes:.0f} MB, {megabytes / RUNS / HOSTS * 1e6:.0f} bytes a result.",
        "",
        f"| question, the slowest of {ROUNDS} rounds, with the start of the program | wall | CPU |",
        "| --- | ---: | ---: |",
        *(f"| {name} | {took.wall_s:.2f} s | {took.cpu_s:.2f} s |" for name, took in answers.items()),
        "",
        f"| a check of {HOSTS:,} hosts, 20 at a time | wall | CPU |",
        "| --- | ---: | ---: |",
        f"| the check | {checked.wall_s:.1f} s | {checked.cpu_s:.1f} s |",
        f"| what `--record --keep` adds | {recorded.wall_s:.2f} s | {recorded.cpu_s:.2f} s |",
        f"| | {recorded.wall_s / checked.wall_s:.1%} | {recorded.cpu_s / checked.cpu_s:.1%} |",
    ]
    write_page(Path(__file__).with_name("history.md"), "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
