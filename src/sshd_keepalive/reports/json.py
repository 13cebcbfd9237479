"""JSON: one document for one run, as docs/reference/json.md promises."""

import json

from sshd_keepalive.history import outcome
from sshd_keepalive.model import SCHEMA_VERSION, Run
from sshd_keepalive.reports import benchmark_data, host_data, timestamp


def render(run: Run) -> str:
    """The whole run. Undecodable bytes of a host stand as lone surrogates escaped in ASCII."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "command": run.command,
        "run_id": run.id,
        "started_at": timestamp(run.started_at),
        "ended_at": timestamp(run.ended_at),
        "exit_code": run.exit_code,
        "summary": outcome.summarize(outcome.count(run)),
        "hosts": [host_data(report) for report in run.hosts],
    }
    if run.benchmarks:
        document["benchmarks"] = benchmark_data(run)
    return json.dumps(document, indent=1, allow_nan=False) + "\n"
