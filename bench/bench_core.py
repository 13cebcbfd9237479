"""CPU time of the pure core: `python -m bench.bench_core`.

Prints one line per figure and ends with status 1 if a promise is broken: reading and planning for a stock file in
less than 3 ms, what `--as-if` adds in less than 2 ms, and a parser whose time per byte at 10 MB is at most twice that
at 100 KB.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from sshd_keepalive.config import releases
from sshd_keepalive.model import COUNT_MAX, INTERVAL, Context, Dump, Glob, Host, Policy, RemoteFile, Snapshot
from sshd_keepalive.planning import as_if, judge, plan
from sshd_keepalive.sshd_config import document
from sshd_keepalive.sshd_config.reading import Reading, read
from sshd_keepalive.sshd_config.tree import find_missing_globs
from sshd_keepalive.sshd_config.version import NEWEST

#: As long and as mixed as what Debian installs: an Include, 120 lines, most of them comments.
STOCK = (
    b"Include /etc/ssh/sshd_config.d/*.conf\n"
    + b"".join(
        b"# Section %d: what follows is the default of this release\n#Option%d yes\n\n" % (n, n) for n in range(36)
    )
    + b"KbdInteractiveAuthentication no\nUsePAM yes\nX11Forwarding yes\nPrintMotd no\n"
    + b"#ClientAliveInterval 0\n#ClientAliveCountMax 3\nAcceptEnv LANG LC_*\n"
    + b"Subsystem sftp /usr/lib/openssh/sftp-server\n"
)
MIXED = b'# a comment line, as most are\nMatch User "alice,bob" Address 10.0.0.0/8\n\tX11Forwarding no # note\n\n'


def main() -> int:
    """Measure, print, judge."""
    stock_ms = _cpu_ms(_fresh_look)
    again_ms = _cpu_ms(_look)
    as_if_ms = _cpu_ms(partial(_fresh_comparison, _judged()))
    small, large = _ns_per_byte(100_000), _ns_per_byte(10_000_000)
    print(f"stock file, never seen before: read, judge, plan  {stock_ms:.2f} ms")
    print(f"stock file, seen before:       read, judge, plan  {again_ms:.2f} ms")
    print(f"stock file, never seen before: as another release {as_if_ms:.2f} ms")
    print(f"parser: {small:.1f} ns per byte at 100 KB, {large:.1f} ns at 10 MB, ratio {large / small:.2f}")
    return 0 if stock_ms < 3 and as_if_ms < 2 and large <= 2 * small else 1


def _snapshot() -> Snapshot:
    return Snapshot(
        host=Host(name="h", address="h"),
        taken_at=datetime(2026, 1, 1, tzinfo=UTC),
        version="9.2p1",
        files=(RemoteFile(path="/etc/ssh/sshd_config", content=STOCK),),
        globs=(Glob(pattern="/etc/ssh/sshd_config.d/*.conf", paths=()),),
        dumps=(Dump(context=Context(), settings=((INTERVAL, "0"), (COUNT_MAX, "3"))),),
        daemon=None,
    )


def _look() -> None:
    snapshot, policy = _snapshot(), Policy()
    reading = read(snapshot)
    find_missing_globs(reading.tree)
    judge.judge(reading, policy)
    assert plan.plan(reading, policy).contents


def _fresh_look() -> None:
    document._remembered.cache_clear()
    _look()


def _judged() -> Reading:
    """As `check` leaves a reading behind."""
    reading = read(_snapshot())
    find_missing_globs(reading.tree)
    judge.judge(reading, Policy())
    return reading


def _fresh_comparison(reading: Reading) -> None:
    document._remembered.cache_clear()
    assert as_if.compare(reading, releases.find("debian-13")) == ()


def _cpu_ms(work: Callable[[], None]) -> float:
    work()
    return min(_timed(work) for _ in range(50)) * 1e3


def _ns_per_byte(n_bytes: int) -> float:
    content = MIXED * (n_bytes // len(MIXED))
    best = min(_timed(lambda: document.parse("/x", content, version=NEWEST)) for _ in range(3))
    return best / len(content) * 1e9


def _timed(work: Callable[[], object]) -> float:
    gc.collect()
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    sys.exit(main())
