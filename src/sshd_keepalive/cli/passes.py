"""Repeat one pass over the selected hosts, show it, and end well when somebody presses Ctrl-C."""

from __future__ import annotations

import getpass
import os
import secrets as randomness
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType

from sshd_keepalive import engines
from sshd_keepalive.cli import output
from sshd_keepalive.cli.options import Options
from sshd_keepalive.cli.output import Output
from sshd_keepalive.fleet import one_host as fleet
from sshd_keepalive.model import Failure, FailureKind, Host, HostReport, Verdict


def new_run_id(now: datetime) -> str:
    """Sorts by time and is unique: `20260131T020000Z-3f9a1c`."""
    return f"{now:%Y%m%dT%H%M%SZ}-{randomness.token_hex(3)}"


def orders(options: Options, run_id: str, *, confirm_timeout_s: int = 60) -> fleet.Orders:
    """The orders of a pass; passwords are asked for on the terminal, when there is one."""
    from sshd_keepalive.secrets.retrieval import Secrets

    if options.verbose > 1:
        import logging

        from sshd_keepalive.secrets.redaction import RedactingFormatter

        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(RedactingFormatter("%(name)s: %(message)s"))
        logging.basicConfig(level=logging.DEBUG, handlers=[handler])
    can_ask = sys.stdin.isatty() and sys.stderr.isatty()
    return fleet.Orders(
        run_id=run_id,
        secrets=Secrets(_ask, _confirm) if can_ask else Secrets(),
        timeout_s=options.timeout,
        confirm_timeout_s=confirm_timeout_s,
    )


def _ask(purpose: str) -> str:
    return getpass.getpass(f"{purpose}: ", stream=sys.stderr)


def _confirm(question: str, expected: str) -> bool:
    """Ask as ssh(1) asks about a host key: yes, no, or the fingerprint that somebody trustworthy has given."""
    sys.stderr.write(f"{question}\naccept it and write it to known_hosts (yes/no/fingerprint)? ")
    while True:
        sys.stderr.flush()
        line = sys.stdin.readline()
        answer = line.strip()
        if answer == expected or answer.lower() == "yes":
            return True
        if not line or answer.lower() == "no":
            return False
        sys.stderr.write("type yes, no, or the fingerprint: ")


def repeat(
    job: fleet.Pass,
    hosts: Sequence[Host],
    given: fleet.Orders,
    out: Output,
    stop: threading.Event,
    *,
    tell: bool = True,
    compared: Callable[[HostReport], HostReport] = lambda report: report,
    changes: bool = False,
    waits: bool = False,
) -> tuple[HostReport, ...]:
    """One report for each host, in the order given. After `stop` no host is begun; those in flight are finished.

    Args:
        tell: show each host as it ends.
        compared: what becomes of a report before it is shown.
        changes, waits: see `fleet.run`.
    """
    engine = engines.named(out.options.engine)
    reports: dict[str, HostReport] = {}
    begun = (host for host in hosts if not stop.is_set())
    with out.progress(len(hosts)) as advance:
        landed = fleet.run(job, begun, given, engine, workers=out.options.forks, changes=changes, waits=waits)
        for report in map(compared, landed):
            reports[report.host.name] = report
            advance()
            if tell:
                out.host(report)
    return tuple(reports.get(host.name) or _not_begun(host) for host in hosts)


def _not_begun(host: Host) -> HostReport:
    failure = Failure(
        kind=FailureKind.INTERNAL,
        cause="interrupted",
        message="not begun: the run was interrupted",
        hint="run the command again",
    )
    return HostReport(host=host, verdict=Verdict.UNKNOWN, failure=failure)


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the event; the second one leaves at once, and the hosts' guards see to the rest."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        del number, frame
        if stop.is_set():
            os._exit(output.INTERRUPTED)
        stop.set()
        sys.stderr.write("interrupted: the hosts in flight are finished first; once more leaves at once\n")

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def now() -> datetime:
    """The clock, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
