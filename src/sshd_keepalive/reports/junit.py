"""JUnit XML for CI servers: a suite for each host, a case for each setting and scope.

Keeps to the strictest form that is published, the schema of Ant's JUnit task, which Jenkins and others read:
the order of elements, the time without a zone, `message` and `type` wherever something went wrong.
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
    """A case that is not compliant has failed; one that could not be judged is an error; a waived one is skipped."""
    document = JUnitXml()
    for number, report in enumerate(run.hosts):
        document.append(_suite(run, report, number))
    text: str = document.tostring().decode()
    return f"{text.rstrip()}\n"


def _suite(run: Run, report: HostReport, number: int) -> TestSuite:
    suite = TestSuite(_text(report.host.name))
    for name, value in {
        "package": f"sshd-keepalive.{run.command}",
        "id": str(number),
        "hostname": _text(report.host.address),
        "timestamp": f"{run.started_at:%Y-%m-%dT%H:%M:%S}",
    }.items():
        suite._elem.set(name, value)
    suite.append(Properties())
    for name, value in (("run", run.id), ("groups", " ".join(report.host.groups)), *report.facts):
        suite.add_property(_text(name), _text(value))
    for case in _cases(report):
        suite.add_testcase(case)
    told = (*report.changes, *report.notes, *([str(report.caveat)] if report.caveat else []), report.diff)
    suite.append(SystemOut(_text("\n".join(told))))
    suite.append(SystemErr(_text(report.failure.hint) if report.failure else ""))
    suite._elem.attrib.pop("skipped", None)  # not in the schema; the cases say it
    return suite


def _cases(report: HostReport) -> Iterator[TestCase]:
    def case(name: str, result: FinalResult | None, seconds_s: float = 0.0) -> TestCase:
        made = TestCase(_text(name), _text(report.host.name), seconds_s)
        if result is not None:
            made.result = [result]
        return made

    failure = report.failure
    bad = Error(_text(failure.message), failure.kind) if failure else None
    yield case("reached and looked at", bad, report.seconds_s)
    for finding in report.findings:
        said = _text(_sentence(finding))
        result: FinalResult | None = None
        if report.state is State.WAIVED and finding.state is not State.OK:
            result = Skipped(_text(_waived(report)))
        elif finding.state is State.DRIFT:
            result = Failure(said, State.DRIFT)
        elif finding.state is not State.OK:
            result = Error(said, finding.state)
        yield case(f"{finding.setting}{finding.for_whom}", result)


def _sentence(finding: Finding) -> str:
    place = f", {finding.place}" if finding.place else ""
    reason = f": {finding.reason}" if finding.reason else ""
    return f"{finding.setting} {finding.value}, wanted {finding.wanted}{place}{reason}"


def _waived(report: HostReport) -> str:
    waiver = report.host.waiver
    return f"waived until {waiver.until} by {waiver.owner}: {waiver.reason}" if waiver else "waived"


def _text(text: str) -> str:
    """XML 1.0 takes no control characters, escaped or not."""
    return flatten(text)
