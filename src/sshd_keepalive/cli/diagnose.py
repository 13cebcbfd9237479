"""`diagnose`: read a job's run log, say what killed the session and what to do."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import click

from sshd_keepalive import registry
from sshd_keepalive.cli import ExitCode, told
from sshd_keepalive.cli._options import Options, fleet_options, named_in_environment, select_hosts, words_again
from sshd_keepalive.cli._run import make_orders, new_run_id, now
from sshd_keepalive.cli._terminal import Output
from sshd_keepalive.diagnosis import rules as diagnosis
from sshd_keepalive.diagnosis import run_log as runlog
from sshd_keepalive.diagnosis.rules import Known
from sshd_keepalive.diagnosis.run_log import RunLog
from sshd_keepalive.errors import ConfigError, HostError
from sshd_keepalive.fleet import deep as deepening
from sshd_keepalive.fleet import one_host as fleet
from sshd_keepalive.model import Host, HostReport, Run
from sshd_keepalive.ssh.shell import Shell
from sshd_keepalive.sshd_config.reading import Reading

#: What files of the usual packers begin with → the program that shows what is in them.
_PACKED: Final = {
    b"\x1f\x8b": "zcat",
    b"PK\x03\x04": "unzip -p",
    b"BZh": "bzcat",
    b"\xfd7zXZ": "xzcat",
    b"\x28\xb5\x2f\xfd": "zstdcat",
}


@click.command("diagnose")
@click.argument("log", required=False, metavar="[LOG]")
@click.option("--host", metavar="HOST", help="Look at this host too, and say which cause fits it.")
@fleet_options
def command(log: str | None, host: str | None, options: Options) -> None:
    """Read the run log of a job and say what killed its session.

    LOG is a file, or - or nothing for standard input; paste there and end with Ctrl-D. Known are logs of
    DataArts Studio, Airflow, Jenkins, Rundeck, Ansible, JSch, ssh and sshd. Works offline; nothing is changed
    anywhere. Exit code 0: no session was killed, 1: one was, 3: the log does not tell, or HOST could not be looked at.
    """
    out = Output(options, "diagnose")
    started_at = now()
    run_id = new_run_id(started_at)
    chosen = select_hosts(options, (host,)) if host else ()
    if len(chosen) > 1:
        raise ConfigError(f"--host {host} names {len(chosen)} hosts; a log is of one")
    read = runlog.read(_blocks(log))
    known: Known | None = None
    reports: tuple[HostReport, ...] = ()
    if chosen:
        known, report = _look(chosen[0], make_orders(options, run_id), read)
        reports = (report,)
    found = diagnosis.diagnose(read, known, host=words_again(options, (host,)) if host else "HOST")
    code = {True: ExitCode.DRIFT, False: ExitCode.OK, None: ExitCode.UNREACHED}[found.was_killed]
    code = max(code, ExitCode.UNREACHED) if any(report.failure for report in reports) else code
    run = Run(
        id=run_id,
        command="diagnose",
        started_at=started_at,
        ended_at=datetime.now(UTC),
        exit_code=code,
        hosts=reports,
    )

    def rendered(kind: str) -> str:
        if kind == "text":
            return told.text(found, read, run, verbose=options.verbose > 0)
        if kind in ("json", "jsonl"):
            return told.json_text(found, read, run, indent=1 if kind == "json" else None)
        return str(registry.load("reports", kind).render(run))

    out.write(rendered(options.format))
    if found.next_step:
        out.next_step(found.next_step)
    out.files(run, rendered)
    raise SystemExit(code)


def _look(host: Host, orders: fleet.Orders, log: RunLog) -> tuple[Known | None, HostReport]:
    """What the host does to sessions like the one of the log: its account's values, where the log names one."""
    known: list[Known] = []
    user = next((name for s in log.sightings if (name := s.value("user"))), host.user)

    def then(shell: Shell, reading: Reading | HostError, report: HostReport) -> HostReport:
        if isinstance(reading, Reading):
            limits = deepening.look(shell, reading.snapshot, orders).limits
            known.append(replace(diagnosis.known_of(reading, user), other=limits))
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
            yield from _pieces(file, shlex.quote(str(path)))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _pieces(file: IO[bytes], name: str = "") -> Iterator[bytes]:
    block = file.read(runlog.BLOCK_BYTES)
    for packed, unpack in _PACKED.items():
        if block.startswith(packed):
            raise ConfigError(
                f"{name or 'the log'} is compressed", hint=f"{unpack} {name or 'FILE'} | sshd-keepalive diagnose"
            )
    while block:
        yield block
        block = file.read(runlog.BLOCK_BYTES)


named_in_environment(command)
