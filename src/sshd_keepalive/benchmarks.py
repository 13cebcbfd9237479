"""Which benchmarks a pair of values passes, and which pairs pass all of them.

A pair is (ClientAliveInterval in seconds, ClientAliveCountMax). Every benchmark asks for a span of each, so the pairs
that satisfy several are a span of each again, or none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sshd_keepalive.model import (
    GLOBAL,
    Benchmark,
    Finding,
    HostReport,
    Run,
    Span,
    State,
    Subject,
)

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkConflict:
    """Two benchmarks that no value of one setting satisfies."""

    setting: Subject
    lower: Benchmark  # wants less than the other can accept
    upper: Benchmark


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """The pairs that satisfy every one of some benchmarks."""

    interval_s: Span
    count_max: Span

    def __contains__(self, pair: object) -> bool:
        return isinstance(pair, tuple) and len(pair) == 2 and pair[0] in self.interval_s and pair[1] in self.count_max

    def nearest(self, pair: Pair) -> Pair:
        """Find the closest of these pairs, each value for itself."""
        return _clamp(pair[0], self.interval_s), _clamp(pair[1], self.count_max)


def allows(benchmark: Benchmark, pair: Pair) -> bool:
    """Whether a host with these values passes."""
    return pair in Common(interval_s=benchmark.interval_s, count_max=benchmark.count_max)


def common(benchmarks: Sequence[Benchmark]) -> Common | BenchmarkConflict:
    """Intersect benchmarks, or name two that exclude each other. Without benchmarks everything is allowed."""
    spans = {}
    for setting in (Subject.INTERVAL, Subject.COUNT_MAX):
        upper = max(benchmarks, key=lambda one: span(one, setting).low, default=None)
        lower = min(benchmarks, key=lambda one: _ceiling(span(one, setting)), default=None)
        if upper is None or lower is None:
            spans[setting] = Span(0, None)
            continue
        low, high = span(upper, setting).low, span(lower, setting).high
        if high is not None and high < low:
            return BenchmarkConflict(setting=setting, lower=lower, upper=upper)
        spans[setting] = Span(low, high)
    return Common(interval_s=spans[Subject.INTERVAL], count_max=spans[Subject.COUNT_MAX])


def span(benchmark: Benchmark, setting: Subject) -> Span:
    """Give the span of a benchmark for one of the two settings."""
    return benchmark.interval_s if setting is Subject.INTERVAL else benchmark.count_max


def judge(benchmark: Benchmark, findings: Iterable[Finding]) -> State:
    """Hold what was found on one host against a benchmark, in every scope.

    A value that could not be read, or that the running sshd may not have loaded, makes it UNKNOWN; a wrong one makes it
    FAIL all the same.
    """
    states = set()
    for finding in findings:
        if finding.setting not in (Subject.INTERVAL, Subject.COUNT_MAX):
            if finding.setting is Subject.DAEMON and finding.state is not State.OK:
                states.add(State.UNKNOWN)
        elif finding.state is State.UNKNOWN or finding.number is None:
            states.add(State.UNKNOWN)
        else:
            right = finding.number in span(benchmark, finding.setting)
            states.add(State.OK if right else State.DRIFT)
    if State.DRIFT in states:
        return State.DRIFT
    return State.OK if states == {State.OK} else State.UNKNOWN


def wanted_pairs(run: Run) -> tuple[Pair, ...]:
    """List the different pairs that the policies of a run ask for, in the order of the hosts.

    A policy by effect asks for different pairs on different releases; that of a host is in its findings.
    """
    return tuple(dict.fromkeys(_wanted_pair(report) for report in run.hosts))


def _wanted_pair(report: HostReport) -> Pair:
    policy = report.host.policy
    wanted = {f.setting: f.wanted_number for f in report.findings if f.scope == GLOBAL}
    interval_s, count_max = wanted.get(Subject.INTERVAL), wanted.get(Subject.COUNT_MAX)
    if policy.goal is None or interval_s is None or count_max is None:
        return policy.interval_s, policy.count_max
    return interval_s, count_max


def count_states(run: Run, benchmark: Benchmark) -> dict[State, int]:
    """Count the hosts of a run that pass a benchmark, fail it, or cannot be compared with it."""
    counts = dict.fromkeys((State.OK, State.DRIFT, State.UNKNOWN), 0)
    for report in run.hosts:
        counts[judge(benchmark, report.findings)] += 1
    return counts


def conclude(run: Run) -> str:
    """Write what would satisfy all benchmarks of a run; empty when it has none."""
    if not run.benchmarks:
        return ""
    shared = common(run.benchmarks)
    all_of_them = "all of them" if len(run.benchmarks) > 1 else "it"
    if isinstance(shared, BenchmarkConflict):
        lower, upper = (f"{b.name} requires {span(b, shared.setting)}" for b in (shared.lower, shared.upper))
        return f"no pair satisfies all benchmarks: for {shared.setting}, {lower} and {upper}"
    text = (
        f"ClientAliveInterval {shared.interval_s} with ClientAliveCountMax {shared.count_max} satisfies {all_of_them}"
    )
    for pair in wanted_pairs(run):
        near = shared.nearest(pair)
        text += (
            f"; {_format_pair(pair)} does"
            if near == pair
            else f"; nearest to {_format_pair(pair)} is {_format_pair(near)}"
        )
    if shared.count_max.high == 0:
        text += (
            ". Beware: with a count of 0, OpenSSH up to 8.1 ends every quiet session, "
            "and from 8.2 on never drops a dead one"
        )
    return text


def _format_pair(pair: Pair) -> str:
    return f"{pair[0]}/{pair[1]}"


def _ceiling(span: Span) -> float:
    return float("inf") if span.high is None else span.high


def _clamp(number: int, span: Span) -> int:
    return int(min(max(number, span.low), _ceiling(span)))
