"""The table of docs/guarantees.md: what became of the host, for each fault, step and kind of host."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/guarantees.md"
_BEGIN, _END = "<!-- found by tests/lab/test_guard_faults.py -->", "<!-- end -->"
_NAMES = {
    "d11": "systemd 247",
    "d12": "systemd 252",
    "d13": "systemd 257",
    "socket": "socket-activated",
    "sysv": "SysV",
    "openrc": "OpenRC",
}


@dataclass
class Table:
    """Results as they come; threads may add at once."""

    rows: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: str, step: str, kind: str, result: str) -> None:
        with self._lock:
            self.rows.setdefault((fault, step), {})[kind] = result


def text(table: Table) -> str:
    kinds = [kind for kind in _NAMES if any(kind in row for row in table.rows.values())]
    lines = ["| fault | before step | " + " | ".join(_NAMES[kind] for kind in kinds) + " |"]
    lines.append("|---|---|" + "---|" * len(kinds))
    for (fault, step), row in table.rows.items():
        lines.append(f"| {fault} | {step} | " + " | ".join(row.get(kind, "") for kind in kinds) + " |")
    return "\n".join(lines) + "\n"


def write(table: Table) -> None:
    """Replace the table in the page."""
    page = PAGE.read_text()
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n\n{text(table)}\n{_END}{after}")
