"""The table of docs/guarantees.md: what became of the host, for each fault, step and kind of host."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from .faults import STOPS

PAGE = Path(__file__).parents[2] / "docs/guarantees.md"
BEGIN, END = "<!-- found by tests/lab/test_guard_faults.py -->", "<!-- end -->"
HOSTS_BEGIN = "<!-- found by tests/lab/test_which_daemon.py -->"
#: All faults before all steps on all kinds, for the page: `make guarantees`.
WRITES = bool(os.environ.get("KEEPALIVE_WRITE_GUARANTEES"))
#: Kind of host → how the page calls it.
KINDS = {"d12": "systemd 252", "socket": "socket-activated", "sysv": "SysV", "openrc": "OpenRC"}
#: Fault → the steps before which it is made. Every one of them is made on every kind of host.
FAULTS: dict[str, tuple[str, ...]] = {
    "controller killed": tuple(STOPS),
    "network cut": tuple(STOPS),
    "power cut": tuple(STOPS),
    "disk full": ("each file it writes", "each page it writes"),
    "controller killed, no inode left": ("verify",),
    "sshd does not start with the new file": ("restart",),
    "new logins fail": ("verify",),
    "sshd crashes 5 s after it was confirmed": ("afterwards",),
    "a second apply": ("compare",),
    "the file is edited": ("rehearse",),
    "clock set back an hour": ("verify",),
    "clock set forward an hour": ("verify",),
    "sudo fails from here on": ("restart",),
    "a second sshd with files of its own": ("plan",),
    "no restart succeeds until the host is repaired": ("restart",),
    "controller killed, 50 rounds": ("at random",),
}

#: Host → how the page calls it: where nothing of KINDS restarts sshd, or more than one sshd runs.
HOSTS = {
    "sshd1": "container, process 1 is sshd",
    "byhand": "container, process 1 is `sleep`, sshd started by hand",
    "runit": "process 1 is runit",
    "supervisor": "container, process 1 is supervisord",
    "d12 second": "systemd, a second sshd without a unit",
    "d12 unit": "systemd, a second sshd with a unit of its own",
    "sysv second": "SysV, a second sshd",
    "openrc second": "OpenRC with Debian's init script, a second sshd",
    "alpine second": "OpenRC with a service of its own, as on Alpine, a second sshd",
}


@dataclass
class Table:
    """Results as they come; threads may add at once."""

    cells: dict[tuple[str, str, str], str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: str, step: str, kind: str, result: str) -> None:
        with self._lock:
            self.cells[fault, step, kind] = result


def write(table: Table) -> None:
    """Replace the rows of the page that were found on every kind of host; others stay as they were, with their day."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = [f"| fault | before step | {' | '.join(KINDS.values())} | found |", "|---|---|" + "---|" * (len(KINDS) + 1)]
    known = rows()
    for fault, steps in FAULTS.items():
        for step in steps:
            cells = [table.cells.get((fault, step, kind), "") for kind in KINDS]
            none = [""] * (len(KINDS) + 1)
            row = [*cells, f"{datetime.now(UTC):%Y-%m-%d}"] if all(cells) else known.get((fault, step), none)
            lines.append(f"| {fault} | {step} | {' | '.join(row)} |")
    text = "\n".join(lines)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def rows() -> dict[tuple[str, str], list[str]]:
    """What the page says: (fault, step) → its cells, and the day on which they were found."""
    return {(fault, step): cells for fault, step, *cells in _cells(BEGIN)}


def note(host: str, apply: str, helps: str) -> None:
    """Write what became of a host into its row of the page, when the page is being written."""
    if not WRITES:
        return
    known = hosts() | {HOSTS[host]: [apply, helps, f"{datetime.now(UTC):%Y-%m-%d}"]}
    lines = ["| host | apply | what helps | found |", "|---|---|---|---|"]
    lines += [f"| {name} | {' | '.join(known.get(name, ['', '', '']))} |" for name in HOSTS.values()]
    before, _, rest = PAGE.read_text().partition(HOSTS_BEGIN)
    text = "\n".join(lines)
    PAGE.write_text(f"{before}{HOSTS_BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")


def hosts() -> dict[str, list[str]]:
    """What the page says: name of a host → what `apply` did, what helps, and the day on which it was found."""
    return {name: cells for name, *cells in _cells(HOSTS_BEGIN)}


def _cells(begin: str) -> list[list[str]]:
    written = PAGE.read_text().partition(begin)[2].partition(END)[0]
    lines = [line for line in written.splitlines() if line[:1] == "|"]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines][2:]
