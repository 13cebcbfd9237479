"""`diagnose`: read a job's run log, say what killed the session and what to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Final

import click

from sshd_keepalive import registry
from sshd_keepalive.cli import ExitCode
from sshd_keepalive.cli.base import Command
from sshd_keepalive.cli.fleet_run import make_orders, make_run, make_run_id, read_clock
from sshd_keepalive.cli.options import ONE_BY_ONE, Options, shared_options
from sshd_keepalive.cli.output import Output
from sshd_keepalive.cli.selection import repeat_words, select_hosts
from sshd_keepalive.diagnosis import rules
from sshd_keepalive.diagnosis.rules import Diagnosis, Known, Likelihood
from sshd_keepalive.diagnosis.run_log import BLOCK_BYTES, RunLog, read
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.fleet.check import study_host
from sshd_keepalive.model import Failure, HostReport, Run
from sshd_keepalive.quoting import join, printable, quote
from sshd_keepalive.secrets.redaction import redact
from sshd_keepalive.spelling import cut_lines

#: What files of the usual packers begin with → the program that shows what is in them.
_PACKED: Final = {
    b"\x1f\x8b": "zcat",
    b"PK\x03\x04": "unzip -p",
    b"BZh": "bzcat",
    b"\xfd7zXZ": "xzcat",
    b"\x28\xb5\x2f\xfd": "zstdcat",
}

#: Without -v: how many matched lines are shown, and how many characters of each.
_N_LINES: Final = 3
_LONGEST: Final = 150


@click.command("diagnose", cls=Command, short_help="Read a job's run log and say what ended its session.")
@click.argument("log", required=False, metavar="[LOG]")
@click.option("--host", metavar="HOST", help="Examine this host too, and say which cause fits it.")
@shared_options(*ONE_BY_ONE)
def command(log: str | None, host: str | None, options: Options) -> None:
    """Read the run log of a job and say what ended its session.

    LOG is a file, or - or nothing for standard input; paste there and end with Ctrl-D. It knows the logs of
    DataArts Studio, Airflow, Jenkins, Rundeck, Ansible, JSch, ssh and sshd. Works offline; nothing is changed
    anywhere. Exit code 0: no session was killed, 1: one was, 3: the log does not show it, or HOST could not be checked.
    """
    out = Output(options, "diagnose")
    started_at = read_clock()
    run_id = make_run_id(started_at)
    selected = select_hosts(replace(options, hosts=(host,))) if host else ()
    if len(selected) > 1:
        raise ConfigError(f"--host {host} names {len(selected)} hosts", hint="name one host; a log is from one host")
    run_log = read(_read_blocks(log))
    known: Known | None = None
    reports: tuple[HostReport, ...] = ()
    if selected:
        # The log may name the account; its values are what counts.
        user = next((name for matched in run_log.matches if (name := matched.find("user"))), selected[0].user)
        known, report = study_host(selected[0], make_orders(options, run_id), user)
        reports = (report,)
    again = repeat_words(options)
    repeated = join((*again.config, *again.inventory, *again.login, host)) if host else "HOST"
    diagnosis = rules.diagnose(run_log, known, host=repeated)
    code = {True: ExitCode.DRIFT, False: ExitCode.OK, None: ExitCode.UNKNOWN}[diagnosis.was_killed]
    code = max(code, ExitCode.UNKNOWN) if any(report.failure for report in reports) else code
    run = make_run("diagnose", run_id, started_at, reports, code)

    def render(kind: str) -> str:
        if kind == "text":
            failures = {report.host.name: report.failure for report in reports if report.failure is not None}
            lines = _write_text(diagnosis, run_log, failures, verbose=options.verbose > 0)
            return redact("".join(f"{printable(line)}\n" for line in lines))
        if kind in ("json", "jsonl"):
            return redact(_format_json(diagnosis, run_log, run, indent=1 if kind == "json" else None))
        return str(registry.load("reports", kind).render(run))

    if out.is_text:
        out.write_lines(render("text").splitlines())
    else:
        out.write(render(options.format))
    if diagnosis.next_step:
        out.suggest(diagnosis.next_step)
    out.write_files(run, render)
    raise SystemExit(code)


def _read_blocks(log: str | None) -> Iterator[bytes]:
    """Read a file or standard input, piece by piece."""
    if log in (None, "-"):
        if sys.stdin.isatty():
            sys.stderr.write("paste the log, then press Ctrl-D\n")
        yield from _divide(sys.stdin.buffer)
        return
    path = Path(str(log)).expanduser()
    try:
        with path.open("rb") as file:
            yield from _divide(file, quote(str(path)))
    except OSError as error:
        hint = "name the log of a job's run, or - for standard input"
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint=hint) from None


def _divide(file: IO[bytes], name: str = "") -> Iterator[bytes]:
    block = file.read(BLOCK_BYTES)
    for packed, unpack in _PACKED.items():
        if block.startswith(packed):
            raise ConfigError(
                f"{name or 'the log'} is compressed",
                hint=f"unpack it: {unpack} {name or 'FILE'} | sshd-keepalive diagnose",
            )
    while block:
        yield block
        block = file.read(BLOCK_BYTES)


def _format_json(diagnosis: Diagnosis, log: RunLog, run: Run, *, indent: int | None) -> str:
    """Write the run as JSON, with the hosts of --host and the diagnosis; on one line without `indent`."""
    document = json.loads(registry.load("reports", "json").render(run))
    document["diagnosis"] = {
        "session_killed": diagnosis.was_killed,
        "product": diagnosis.product,
        "duration_s": diagnosis.duration_s,
        "duration_from": diagnosis.duration_from,
        "silence_s": diagnosis.silence_s,
        "causes": [asdict(cause) | {"likelihood": cause.likelihood.value} for cause in diagnosis.causes],
        "script_finished": diagnosis.finished.value,
        "script_finished_because": diagnosis.finished_because,
        "next_step": diagnosis.next_step,
        "lines_read": log.n_lines,
        "bytes_read": log.n_bytes,
        "facts": dict(diagnosis.facts),
        "matches": [
            {"line": matched.line, "pattern": matched.row.kind.value, "text": matched.text}
            for matched in diagnosis.matches
        ],
    }
    return json.dumps(document, indent=indent) + "\n"


def _write_text(
    diagnosis: Diagnosis, log: RunLog, failures: dict[str, Failure], *, verbose: bool = False
) -> Iterator[str]:
    """Write the result, the causes, whether the script finished, and the matched lines, line by line.

    Without `verbose`: the first reason of the causes that are as likely as the first one, and the titles of the others.

    Args:
        failures: name of a host that could not be checked → why.
    """
    yield _summarize(diagnosis, log)
    causes = [c for c in diagnosis.causes if verbose or c.likelihood is not Likelihood.UNLIKELY] or diagnosis.causes[:1]
    n_hidden = len(diagnosis.causes) - len(causes)
    for number, cause in enumerate(causes, 1):
        yield f"  {number}. {cause.likelihood.value:<9} {cause.title}"
        n_reasons = len(cause.reasons) if verbose else int(cause.likelihood is causes[0].likelihood)
        yield from (f"         {reason}" for reason in cause.reasons[:n_reasons])
        n_hidden += len(cause.reasons[n_reasons:])
    yield f"did the script finish? {diagnosis.finished.value}: {diagnosis.finished_because}"
    if diagnosis.was_killed is not None or verbose:  # else the lines are about something else
        yield from _quote_lines(diagnosis, verbose=verbose)
    if n_hidden:
        yield "-v shows less likely causes and all reasons"
    for name, failure in failures.items():
        yield f"{name} could not be checked: {failure.kind}: {failure.message}"
        yield from (f"    next: {hint}" for hint in (failure.hint,) if hint)


def _quote_lines(diagnosis: Diagnosis, *, verbose: bool) -> list[str]:
    texts = {matched.line: matched.text for matched in reversed(diagnosis.matches)}  # several matches in one line
    lines = [f"  line {number}: {text if verbose else _shorten(text)}" for number, text in sorted(texts.items())]
    return cut_lines(lines, len(lines) if verbose else _N_LINES, "  and {n} more matched lines; -v shows them")


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _summarize(diagnosis: Diagnosis, log: RunLog) -> str:
    if not log.n_bytes:
        return "the log is empty"
    product = diagnosis.product or "unknown log"
    facts = "".join(f", {name} {value}" for name, value in diagnosis.facts if name in ("job", "agent", "user", "peer"))
    if diagnosis.was_killed is None:
        lines = "its one line does not show" if log.n_lines == 1 else f"none of its {log.n_lines} lines shows"
        return f"{product}: {lines} how a session ended"
    if not diagnosis.was_killed:
        return f"{product}: no session was killed{facts}"
    after = (
        f" after {diagnosis.duration_s:.10g} s ({diagnosis.duration_from})" if diagnosis.duration_s is not None else ""
    )
    quiet = f", {diagnosis.silence_s:.10g} s without a line before" if diagnosis.silence_s else ""
    return f"{product}: a session was killed{after}{quiet}{facts}"
