"""How long a host takes to be as it was: by the login that is still open, and by its guard.

usage: python -m tests.lab run python -m bench.rollback [--rounds N]    writes bench/rollback.md
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.lab.faults import CONFIG, STATE, Victim, kill
from tests.lab.hosts import Lab

PAGE = Path(__file__).with_name("rollback.md")
DEADLINE_S = 15  # long enough to come as far as the new login on a busy machine
KINDS = ("d12", "socket", "sysv", "openrc")
#: Seconds; the time of the guard is counted from its deadline on.
LIMITS_S = {"by the login": 5.0, "by the guard": 10.0}


def by_login(victim: Victim) -> float:
    """Log in as the new files allow, and let the proof fail: the file is not what was installed."""
    with victim.stopped_before("verify") as process:
        (victim.host.files / CONFIG.lstrip("/")).write_bytes(victim.stock + b"# somebody else\n")
    host = json.loads(process.communicate(timeout=240)[0])["hosts"][0]
    if host["change"] != "rolled_back":
        raise SystemExit(f"{victim.host.kind}: {host}")
    return sum(step["seconds"] for step in host["steps"] if step["name"] in ("revert", "verify_rollback"))


def by_guard(victim: Victim) -> float:
    """End the controller when only the new login is missing: the timer alone remains."""
    with victim.stopped_before("verify", "--confirm-timeout", str(DEADLINE_S)) as process:
        (armed,) = victim.host.files.glob(f"{STATE.lstrip('/')}/2*/armed")
        fires_at = armed.stat().st_mtime + DEADLINE_S
        kill(process)
    victim.settled()
    return time.time() - fires_at


def main() -> None:
    """Boot, measure, write; a limit that is not kept is an error."""
    parser = argparse.ArgumentParser(prog="python -m bench.rollback")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    lines = [f"Found on {datetime.now(UTC):%Y-%m-%d}, {rounds} rounds: median and worst, seconds.", ""]
    lines += [
        "| host | by the login that is open (at most 5) | by the guard, after its deadline (at most 10) |",
        "|---|---|---|",
    ]
    late = []
    with Lab() as lab, tempfile.TemporaryDirectory() as folder:
        for host in lab.boot_all(list(KINDS)):
            victim = Victim(lab, host, Path(folder))
            cells = []
            for (name, limit_s), measure in zip(LIMITS_S.items(), (by_login, by_guard), strict=True):
                found_s = []
                for _ in range(rounds):
                    victim.fresh()
                    found_s.append(measure(victim))
                cells.append(f"{statistics.median(found_s):.1f}, {max(found_s):.1f}")
                late += [f"{host.kind} {name}: {max(found_s):.1f} s"] if max(found_s) > limit_s else []
            lines.append(f"| {host.kind} | {' | '.join(cells)} |")
    PAGE.write_text("\n".join(lines) + "\n")
    print(PAGE.read_text())
    if late:
        raise SystemExit(f"too late: {', '.join(late)}")


if __name__ == "__main__":
    main()
