"""JSON: one document for one run, as docs/reference/json.md promises."""

import json

from sshd_keepalive.history import outcome
from sshd_keepalive.model import SCHEMA_VERSION, Run
from sshd_keepalive.reports import describe_benchmarks, describe_host, format_time


def render(run: Run) -> str:
    """Render the run. Undecodable bytes of a host are lone surrogates escaped in ASCII."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "command": run.command,
        "run_id": run.id,
        "started_at": format_time(run.started_at),
        "ended_at": format_time(run.ended_at),
        "exit_code": run.exit_code,
        "summary": outcome.summarize(outcome.count(run)),
        "hosts": [describe_host(report) for report in run.hosts],
    }
    if run.benchmarks:
        document["benchmarks"] = describe_benchmarks(run)
    return json.dumps(document, indent=1, allow_nan=False) + "\n"
