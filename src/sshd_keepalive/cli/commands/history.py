"""`history`: what was recorded of the fleet, of one host, and between two runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from sshd_keepalive.cli.base import Command
from sshd_keepalive.cli.options import Options, format_options, shared_options
from sshd_keepalive.cli.records import open_to_read
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.history import outcome
from sshd_keepalive.history.changes import Recorded, find_changes
from sshd_keepalive.model import GLOBAL, SCHEMA_VERSION, SPELLING, End, PastRun, Scope, State
from sshd_keepalive.quoting import printable
from sshd_keepalive.reports import describe_host, format_time
from sshd_keepalive.spelling import did_you_mean, write_count

if TYPE_CHECKING:
    from sshd_keepalive.store import Store


@click.command("history", cls=Command, short_help="List recorded runs, or what changed on a host or between two runs.")
@click.argument("words", nargs=-1, metavar="[HOST | RUN RUN]")
@click.option(
    "-n",
    "--last",
    metavar="N",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Show the newest N runs.",
)
@format_options("text", "json")
@shared_options("store")
def command(
    words: tuple[str, ...],
    last: int,
    format: str,  # noqa: A002 (the option's name)
    options: Options,
) -> None:
    """List the recorded runs, the results of one HOST, or what changed between two runs.

    \b
    sshd-keepalive history                      the newest runs
    sshd-keepalive history web-1                one host
    sshd-keepalive history 20260130 20260131    what changed between two runs

    The beginning of a run's id is enough.
    """
    if len(words) > 2:
        raise ConfigError("history takes one host, or two runs")
    history = open_to_read(options.store)
    if len(words) == 2:
        data, lines = _compare_runs(history, *words)
    elif words:
        data, lines = _list_records(history, words[0], last)
    else:
        data, lines = _list_runs(history.list_runs(last))
    if format == "json":
        click.echo(json.dumps({"schema_version": SCHEMA_VERSION, "command": "history", **data}, indent=1))
        return
    for line in lines:
        click.echo(printable(line.replace("\n", " ")))


_Output = tuple[dict[str, Any], Iterator[str]]  # the JSON document, the lines of text


def _list_runs(runs: tuple[PastRun, ...]) -> _Output:
    def lines() -> Iterator[str]:
        width = max((len(run.command) for run in runs), default=0)
        for run in runs:
            words: tuple[outcome.Word, ...] = tuple(State)
            if any(run.counts.get(end) for end in End):  # what it changed, not how the hosts are since
                words = (*End, State.UNREACHABLE)
            counts = ", ".join(f"{run.counts[word]} {word}" for word in words if run.counts.get(word)) or "no hosts"
            selection = f"  {run.selection}" if run.selection else ""
            yield f"{run.started_at:%Y-%m-%d %H:%M}  {run.id}  {run.command:<{width}}  {counts}{selection}"

    return {"runs": [_run_to_data(run) for run in runs]}, lines()


def _run_to_data(run: PastRun) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "command": run.command,
        "started_at": format_time(run.started_at),
        "exit_code": run.exit_code,
        "selection": run.selection,
        "summary": outcome.summarize(run.counts),
    }


def _list_records(history: Store, name: str, most: int) -> _Output:
    records = history.list_records(name, most)
    if not records:
        hint = "give two runs to see what changed between them; report shows one run" if history.has_run(name) else None
        raise ConfigError(
            f"the history has no record of host {name}{did_you_mean(name, history.list_hosts())}", hint=hint
        )
    compliant = history.find_last_ok(name)

    def lines() -> Iterator[str]:
        for record in records:
            head = f"{record.started_at:%Y-%m-%d %H:%M}  {record.run_id}  {record.command:<5}  "
            values = _format_values(record)
            yield f"{head}{outcome.pick_word(record.report):<11}  {values.pop(GLOBAL, '')}".rstrip()
            yield from (f"    {scope.label}: {text}" for scope, text in values.items())
            yield from (f"    changed: {change}" for change in record.report.changes)
            if record.report.failure is not None:
                yield f"    {record.report.failure.kind}: {record.report.failure.message}"
        yield (
            f"last compliant: {compliant.started_at:%Y-%m-%d %H:%M} UTC, run {compliant.run_id}"
            if compliant
            else "never recorded as compliant"
        )

    data = {"host": name, "last_ok": _record_to_data(compliant) if compliant else None}
    return data | {
        "records": [_record_to_data(record) | {"report": describe_host(record.report)} for record in records]
    }, lines()


def _record_to_data(record: Recorded) -> dict[str, Any]:
    return {"run_id": record.run_id, "command": record.command, "started_at": format_time(record.started_at)}


def _format_values(record: Recorded) -> dict[Scope, str]:
    """Write the values of the two settings, by their scope."""
    values: dict[Scope, list[str]] = {}
    for finding in record.report.findings:
        if finding.setting in SPELLING.values() and finding.value:
            place = f" ({finding.place})" if finding.place else ""
            values.setdefault(finding.scope, []).append(f"{finding.setting} {finding.value}{place}")
    return {scope: ", ".join(texts) for scope, texts in values.items()}


def _compare_runs(history: Store, *words: str) -> _Output:
    earlier, later = (history.find(word) for word in words)
    changes = {
        name: those
        for name, before, after in history.compare(earlier, later)
        if (those := tuple(_find_changes(before, after)))
    }

    def lines() -> Iterator[str]:
        for name, those in changes.items():
            yield name
            yield from (f"    {change}" for change in those)
        yield f"{write_count(len(changes), 'host')} changed between {earlier} and {later}"

    hosts = [{"name": name, "changes": list(those)} for name, those in changes.items()]
    return {"between": [earlier, later], "hosts": hosts}, lines()


def _find_changes(before: Recorded | None, after: Recorded | None) -> Iterator[str]:
    if before is None or after is None:
        yield "not among the hosts of the later run" if after is None else "not among the hosts of the earlier run"
        return
    judged = before if before.report.state.is_judged else None
    yield from find_changes(after.report, before, judged)
