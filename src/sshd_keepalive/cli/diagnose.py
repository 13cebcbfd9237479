"""`diagnose`: read a job's run log, say what killed the session and what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import click

from sshd_keepalive import deepening, fleet
from sshd_keepalive.cli import output, passes, told
from sshd_keepalive.cli.options import Options, fleet_options, named_in_environment, selected
from sshd_keepalive.core import diagnosis, runlog
from sshd_keepalive.core.diagnosis import Known
from sshd_keepalive.core.quoting import printable
from sshd_keepalive.core.runlog import RunLog
from sshd_keepalive.errors import ConfigError, HostError
from sshd_keepalive.model import Host, HostReport, Snapshot
from sshd_keepalive.remote.shell import Shell


@click.command("diagnose")
@click.argument("log", required=False, metavar="[LOG]")
@click.option("--host", metavar="HOST", help="Look at this host too, and say which suspect fits it.")
@fleet_options
def command(log: str | None, host: str | None, options: Options) -> None:
    """Read the run log of a job and say what killed its session.

    LOG is a file, or - or nothing for standard input; paste there and end with Ctrl-D. Known are logs of
    DataArts Studio, Airflow, Jenkins, Rundeck, Ansible, JSch, ssh and sshd. Works offline; nothing is changed
    anywhere. Exit code 0: no session was killed, 1: one was, 3: the log does not tell.
    """
    out = output.Output(options, "diagnose")
    started_at = passes.now()
    run_id = passes.new_run_id(started_at)
    chosen = selected(options, (host,)) if host else ()
    if len(chosen) > 1:
        raise ConfigError(f"--host {host} names {len(chosen)} hosts; a log is of one")
    read = runlog.read(_blocks(log))
    known: Known | None = None
    reports: tuple[HostReport, ...] = ()
    if chosen:
        known, report = _look(chosen[0], passes.orders(options, run_id), read)
        reports = (report,)
    found = diagnosis.diagnose(read, known, host=host or "HOST")
    code = {True: output.DRIFT, False: output.OK, None: output.UNREACHED}[found.was_killed]
    run = output.finished(run_id, "diagnose", started_at, reports, code)
    if options.format == "text":
        out.write(told.text(found, read, verbose=options.verbose > 0))
        for report in reports:
            if report.failure is not None:
                out.write(printable(f"{report.host.name}: {report.failure.kind}: {report.failure.message}") + "\n")
        if found.next_step:
            out.next_step(found.next_step)
    else:
        out.write(told.json_text(found, read, run))
    raise SystemExit(code)


def _look(host: Host, orders: fleet.Orders, log: RunLog) -> tuple[Known | None, HostReport]:
    """What the host does to sessions like the one of the log: its account's values, where the log names one."""
    known: list[Known] = []
    user = next((name for s in log.sightings if (name := s.value("user"))), host.user)

    def then(shell: Shell, snapshot: Snapshot | HostError, report: HostReport) -> HostReport:
        if isinstance(snapshot, Snapshot):
            limits = deepening.look(shell, snapshot, orders).limits
            known.append(replace(diagnosis.known_of(snapshot, user), other=limits))
        return report

    report = fleet.look_host(host, orders, then)
    return (known[0] if known else None), report


def _blocks(log: str | None) -> Iterator[bytes]:
    """A file or standard input, piece by piece."""
    if log in (None, "-"):
        if sys.stdin.isatty():
            sys.stderr.write("paste the log, then press Ctrl-D\n")
        yield from _pieces(sys.stdin.buffer)
        return
    path = Path(str(log)).expanduser()
    try:
        with path.open("rb") as file:
            yield from _pieces(file)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(runlog.BLOCK_BYTES):
        yield block


named_in_environment(command)
