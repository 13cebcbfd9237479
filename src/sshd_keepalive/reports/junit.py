"""JUnit XML for CI servers: a suite for each host, a case for each setting and scope.

Keeps to the strictest form that is published, the schema of Ant's JUnit task, which Jenkins and others read:
the order of elements, the time without a zone, `message` and `type` wherever something went wrong. XML 1.0 takes no
control characters, escaped or not, so all text is made printable.
"""

from __future__ import annotations

from collections.abc import Iterator

from sshd_keepalive.errors import require_extra
from sshd_keepalive.model import Finding, HostReport, Run, State
from sshd_keepalive.reports import flatten

with require_extra("reports"):
    from junitparser import (
        Error,
        Failure,
        JUnitXml,
        Properties,
        Skipped,
        SystemErr,
        SystemOut,
        TestCase,
        TestSuite,
    )
    from junitparser.junitparser import FinalResult


def render(run: Run) -> str:
    """Write a suite for each host: not compliant is a failure, not judged an error, waived is skipped."""
    document = JUnitXml()
    for number, report in enumerate(run.hosts):
        document.append(_build_suite(run, report, number))
    text: str = document.tostring().decode()
    return f"{text.rstrip()}\n"


def _build_suite(run: Run, report: HostReport, number: int) -> TestSuite:
    suite = TestSuite(flatten(report.host.name))
    for name, value in {
        "package": f"sshd-keepalive.{run.command}",
        "id": str(number),
        "hostname": flatten(report.host.address),
        "timestamp": f"{run.started_at:%Y-%m-%dT%H:%M:%S}",
    }.items():
        suite._elem.set(name, value)
    suite.append(Properties())
    for name, value in (("run", run.id), ("groups", " ".join(report.host.groups)), *report.facts):
        suite.add_property(flatten(name), flatten(value))
    for case in _build_cases(report):
        suite.add_testcase(case)
    lines = (*report.changes, *report.all_notes, *([str(report.caveat)] if report.caveat else []), report.diff)
    suite.append(SystemOut(flatten("\n".join(lines))))
    suite.append(SystemErr(flatten(report.failure.hint) if report.failure else ""))
    suite._elem.attrib.pop("skipped", None)  # not in the schema; the cases say it
    return suite


def _build_cases(report: HostReport) -> Iterator[TestCase]:
    def build_case(name: str, result: FinalResult | None, seconds_s: float = 0.0) -> TestCase:
        made = TestCase(flatten(name), flatten(report.host.name), seconds_s)
        if result is not None:
            made.result = [result]
        return made

    failure = report.failure
    bad = Error(flatten(failure.message), failure.kind) if failure else None
    yield build_case("reached and judged", bad, report.seconds_s)
    for finding in report.findings:
        message = flatten(_describe_finding(finding))
        result: FinalResult | None = None
        if report.state is State.WAIVED and finding.state is not State.OK:
            result = Skipped(flatten(str(report.host.waiver or State.WAIVED)))
        elif finding.state is State.DRIFT:
            result = Failure(message, State.DRIFT)
        elif finding.state is not State.OK:
            result = Error(message, finding.state)
        yield build_case(f"{finding.setting}{finding.for_whom}", result)


def _describe_finding(finding: Finding) -> str:
    place = f", {finding.place}" if finding.place else ""
    reason = f": {finding.reason}" if finding.reason else ""
    return f"{finding}{place}{reason}"
