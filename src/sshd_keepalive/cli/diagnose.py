"""`diagnose`: read a job's run log, say what killed the session and what to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

import click

from sshd_keepalive import registry
from sshd_keepalive.cli import ExitCode
from sshd_keepalive.cli._command import Command
from sshd_keepalive.cli._options import Options, host_options, repeat_words, select_hosts
from sshd_keepalive.cli._run import make_orders, new_run_id, now
from sshd_keepalive.cli._terminal import Output
from sshd_keepalive.diagnosis import rules as diagnosis
from sshd_keepalive.diagnosis import run_log as runlog
from sshd_keepalive.diagnosis.rules import Diagnosis, Known, Likelihood, PossibleCause
from sshd_keepalive.diagnosis.run_log import MatchedLine, RunLog
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.fleet.check import study_host
from sshd_keepalive.model import HostReport, Run
from sshd_keepalive.quoting import join, printable, quote
from sshd_keepalive.secrets.redaction import redact

#: What files of the usual packers begin with → the program that shows what is in them.
_PACKED: Final = {
    b"\x1f\x8b": "zcat",
    b"PK\x03\x04": "unzip -p",
    b"BZh": "bzcat",
    b"\xfd7zXZ": "xzcat",
    b"\x28\xb5\x2f\xfd": "zstdcat",
}
#: Without -v: how many telling lines are shown, and how much of each.
_N_LINES, _LONGEST = 3, 150


@click.command("diagnose", cls=Command, short_help="Read a job's run log and say what ended its session.")
@click.argument("log", required=False, metavar="[LOG]")
@click.option("--host", metavar="HOST", help="Examine this host too, and say which cause fits it.")
@host_options
def command(log: str | None, host: str | None, options: Options) -> None:
    """Read the run log of a job and say what ended its session.

    LOG is a file, or - or nothing for standard input; paste there and end with Ctrl-D. It knows the logs of
    DataArts Studio, Airflow, Jenkins, Rundeck, Ansible, JSch, ssh and sshd. Works offline; nothing is changed
    anywhere. Exit code 0: no session was killed, 1: one was, 3: the log does not show it, or HOST could not be checked.
    """
    out = Output(options, "diagnose")
    started_at = now()
    run_id = new_run_id(started_at)
    chosen = select_hosts(options, (host,)) if host else ()
    if len(chosen) > 1:
        raise ConfigError(f"--host {host} names {len(chosen)} hosts", hint="name one host: a log is of one host")
    read = runlog.read(_blocks(log))
    known: Known | None = None
    reports: tuple[HostReport, ...] = ()
    if chosen:
        # The log may name the account; its values are what counts.
        user = next((name for matched in read.matches if (name := matched.find("user"))), chosen[0].user)
        known, report = study_host(chosen[0], make_orders(options, run_id), user)
        reports = (report,)
    again = repeat_words(options, ())
    repeated = join((*again.config, *again.inventory, *again.login, host)) if host else "HOST"
    found = diagnosis.diagnose(read, known, host=repeated)
    code = {True: ExitCode.DRIFT, False: ExitCode.OK, None: ExitCode.UNKNOWN}[found.was_killed]
    code = max(code, ExitCode.UNKNOWN) if any(report.failure for report in reports) else code
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
            return redact(_format_text(found, read, run, verbose=options.verbose > 0))
        if kind in ("json", "jsonl"):
            return redact(_format_json(found, read, run, indent=1 if kind == "json" else None))
        return str(registry.load("reports", kind).render(run))

    if out.is_text:
        out.write_lines(rendered("text").splitlines())
    else:
        out.write(rendered(options.format))
    if found.next_step:
        out.next_step(found.next_step)
    out.files(run, rendered)
    raise SystemExit(code)


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
            yield from _pieces(file, quote(str(path)))
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


def _format_text(found: Diagnosis, log: RunLog, run: Run, *, verbose: bool = False) -> str:
    """What was found, the causes, what became of the script, and why a host could not be looked at.

    Without -v the best reason of the causes that are as likely as the first, and the other causes by their title.
    """
    lines = [_headline(found, log)]
    shown = [s for s in found.causes if verbose or s.likelihood is not Likelihood.UNLIKELY] or found.causes[:1]
    n_hidden = len(found.causes) - len(shown)
    for number, cause in enumerate(shown, 1):
        lines.append(f"  {number}. {cause.likelihood.value:<9} {cause.title}")
        n_reasons = None if verbose else int(cause.likelihood is shown[0].likelihood)
        lines += [f"         {reason}" for reason in cause.reasons[:n_reasons]]
        n_hidden += len(cause.reasons[n_reasons:]) if n_reasons is not None else 0
    lines.append(f"did the script finish? {found.finished.value}: {found.finished_because}")
    if found.was_killed is not None or verbose:  # else its lines tell of something else
        lines += _format_lines(found, verbose=verbose)
    if n_hidden:
        lines.append("-v shows less likely causes and all reasons")
    failures = [(report.host.name, report.failure) for report in run.hosts if report.failure is not None]
    for name, failure in failures:
        lines.append(f"{name} could not be checked: {failure.kind}: {failure.message}")
        lines += [f"    next: {failure.hint}"] if failure.hint else []
    return "".join(printable(line) + "\n" for line in lines)


def _format_lines(found: Diagnosis, *, verbose: bool) -> list[str]:
    telling = {matched.line: matched.text for matched in reversed(found.matches)}  # one line may tell much
    picked = sorted(telling) if verbose else sorted(telling)[:_N_LINES]
    lines = [f"  line {number}: {telling[number] if verbose else _shorten(telling[number])}" for number in picked]
    n_left = len(telling) - len(picked)
    return [*lines, f"  and {n_left} more matched lines; -v shows them"] if n_left else lines


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _headline(found: Diagnosis, log: RunLog) -> str:
    if not log.n_bytes:
        return "the log is empty"
    product = found.product or "unknown log"
    facts = "".join(f", {name} {value}" for name, value in found.facts if name in ("job", "agent", "user", "peer"))
    if found.was_killed is None:
        lines = "its one line does not show" if log.n_lines == 1 else f"none of its {log.n_lines} lines shows"
        return f"{product}: {lines} how a session ended"
    if not found.was_killed:
        return f"{product}: no session was killed{facts}"
    after = f" after {found.duration_s:.10g} s ({found.duration_from})" if found.duration_s is not None else ""
    quiet = f", {found.silence_s:.10g} s without a line before" if found.silence_s else ""
    return f"{product}: a session was killed{after}{quiet}{facts}"


def _format_json(found: Diagnosis, log: RunLog, run: Run, *, indent: int | None = 1) -> str:
    """The run's document, its `hosts` those of --host, with the diagnosis beside them; on one line without indent."""
    document = json.loads(registry.load("reports", "json").render(run))
    document["diagnosis"] = {
        "session_killed": found.was_killed,
        "product": found.product,
        "duration_s": found.duration_s,
        "duration_from": found.duration_from,
        "silence_s": found.silence_s,
        "suspects": [_possible_cause(cause) for cause in found.causes],
        "script_finished": found.finished.value,
        "script_finished_because": found.finished_because,
        "next_step": found.next_step,
        "lines_read": log.n_lines,
        "bytes_read": log.n_bytes,
        "facts": dict(found.facts),
        "sightings": [_matched(matched) for matched in found.matches],
    }
    return json.dumps(document, indent=indent) + "\n"


def _possible_cause(cause: PossibleCause) -> dict[str, Any]:
    return {
        "name": cause.name,
        "title": cause.title,
        "likelihood": cause.likelihood.value,
        "reasons": list(cause.reasons),
        "next_step": cause.next_step,
    }


def _matched(matched: MatchedLine) -> dict[str, Any]:
    return {"line": matched.line, "sign": matched.row.kind.value, "text": matched.text}
