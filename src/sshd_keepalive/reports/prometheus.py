"""Prometheus text format, for the textfile collector of node_exporter: `--out prometheus:/path/sshd_keepalive.prom`."""

from sshd_keepalive import benchmarks
from sshd_keepalive.errors import require_extra
from sshd_keepalive.history import outcome
from sshd_keepalive.model import Run, State
from sshd_keepalive.reports import flatten

with require_extra("reports"):
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

_PREFIX = "sshd_keepalive"


def render(run: Run) -> str:
    """Render gauges of one run. Only a host that passes is compliant: 0 also means that a host could not be judged."""
    registry = CollectorRegistry()

    def make_gauge(name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"{_PREFIX}_{name}", about, labels, registry=registry)

    make_gauge("run_timestamp_seconds", "When the run ended.").set(run.ended_at.timestamp())
    make_gauge("run_duration_seconds", "How long the run took.").set((run.ended_at - run.started_at).total_seconds())
    make_gauge("run_exit_code", "0 ok, 1 drift, 3 unknown, 4 rolled_back, 5 unproved.").set(run.exit_code)
    hosts = make_gauge("hosts", "Hosts of the run by state.", "state")
    counts = outcome.count(run)
    for state in State:
        hosts.labels(state).set(counts[state])
    compliant = make_gauge("host_compliant", "1 if the host is compliant, otherwise 0.", "host")
    word = make_gauge(
        "host_state", "1 for the one state the host is in, or for how its change ended.", "host", "address", "state"
    )
    changes = make_gauge("host_changes", "What changed since the last recorded run.", "host")
    late = make_gauge(
        "first_keep_alive_seconds",
        "Idle time before the first keep-alive, for hosts whose OpenSSH (9.2 to 9.4) doubles the ClientAliveInterval.",
        "host",
    )
    value = make_gauge("setting_value", "The value in effect, as sshd -T prints it.", "host", "setting", "scope")
    wanted = make_gauge("setting_wanted", "The value the policy requires.", "host", "setting", "scope")
    for report in run.hosts:
        name = flatten(report.host.name)
        compliant.labels(name).set(report.state is State.OK)
        word.labels(name, flatten(report.host.address), outcome.pick_word(report)).set(1)
        changes.labels(name).set(len(report.changes))
        if report.caveat is not None:
            late.labels(name).set(report.caveat.keep_alive_after_s)
        for finding in report.findings:
            if finding.number is not None and finding.wanted_number is not None:
                labels = name, flatten(finding.setting), flatten(str(finding.scope))
                value.labels(*labels).set(finding.number)
                wanted.labels(*labels).set(finding.wanted_number)
    held = make_gauge("benchmark_hosts", "Hosts by benchmark and state.", "benchmark", "state")
    for row in run.benchmarks:
        for state, number in benchmarks.count_states(run, row).items():
            held.labels(row.name, state).set(number)
    text: str = generate_latest(registry).decode()
    return text
