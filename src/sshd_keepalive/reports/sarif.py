"""SARIF 2.1.0 for code scanning: what is not compliant, with the file and line that decide.

Source: OASIS, Static Analysis Results Interchange Format Version 2.1.0; the sections stand at the code.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from sshd_keepalive.model import (
    GLOBAL,
    INTERVAL,
    SPELLING,
    Finding,
    HostReport,
    Place,
    Run,
    State,
    Subject,
)
from sshd_keepalive.reports import flatten, format_time

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_FLEET = "FLEET"  # the base of all paths: one directory for each host
_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
_LEVELS = {State.DRIFT: "error", State.UNKNOWN: "warning", State.WAIVED: "note"}


def render(run: Run) -> str:
    """Render the log of one run. A host that passes leaves no result, except for a caveat and what changed on it."""
    from importlib.metadata import version

    results = [result for report in run.hosts for result in _build_results(report)]
    rules = [
        {"id": rule, "shortDescription": {"text": _RULES.get(rule, f"{rule} is not compliant")}}
        for rule in dict.fromkeys(result["ruleId"] for result in results)
    ]
    driver = {"name": "sshd-keepalive", "version": version("sshd-keepalive"), "rules": rules}
    invocation = {
        "executionSuccessful": True,  # the program did its work; what it found are results (3.20.14)
        "startTimeUtc": format_time(run.started_at),
        "endTimeUtc": format_time(run.ended_at),
        "exitCode": run.exit_code,
    }
    document = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "automationDetails": {"id": f"sshd-keepalive/{run.command}/{run.id}"},
                "invocations": [invocation],
                "originalUriBaseIds": {_FLEET: {"description": {"text": "one directory for each host"}}},
                "results": results,
            }
        ],
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _build_results(report: HostReport) -> Iterator[dict[str, Any]]:
    for finding in report.findings:
        if finding.state is not State.OK:
            yield _build_finding_result(report, finding)
    if report.failure is not None:
        failure = report.failure
        message = f"{report.host.name}: {failure.message}" + (f"; next: {failure.hint}" if failure.hint else "")
        yield _build_result(report, f"failure-{failure.kind}", "error", message, None, failure.kind)
    if report.caveat is not None:
        message = f"{report.host.name}: {report.caveat}"
        yield _build_result(report, "caveat", "note", message, _find_interval(report), report.caveat.release)
    for change in report.changes:
        yield _build_result(report, "changed", "note", f"{report.host.name}: {change}", None, change)


def _find_interval(report: HostReport) -> Place | None:
    """Where the interval that everybody gets is set."""
    return next((f.place for f in report.findings if (f.setting, f.scope) == (SPELLING[INTERVAL], GLOBAL)), None)


def _build_finding_result(report: HostReport, finding: Finding) -> dict[str, Any]:
    reason = f": {finding.reason}" if finding.reason else ""
    message = f"{report.host.name}: {finding}{reason}"
    state = State.WAIVED if report.state is State.WAIVED else finding.state
    # What another release does is reported line by line; the reason tells these apart, and stays when a line moves.
    what = f"{finding.scope}\0{finding.reason}" if finding.setting is Subject.AS_IF else str(finding.scope)
    result = _build_result(report, finding.setting, _LEVELS[state], message, finding.place, what)
    if finding.hides:
        result["relatedLocations"] = [_build_location(report, place) for place in finding.hides]
    if report.host.waiver is not None and state is State.WAIVED:  # 3.35
        justification = flatten(str(report.host.waiver))
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": justification}]
    return result


def _build_result(
    report: HostReport, rule: str, level: str, message: str, place: Place | None, what: str
) -> dict[str, Any]:
    one_of_a_kind = "\0".join((report.host.name, rule, what)).encode("utf-8", "surrogateescape")
    return {
        "ruleId": flatten(rule),
        "level": level,
        "message": {"text": flatten(message)},
        "locations": [_build_location(report, place)],
        "partialFingerprints": {"hostSettingScope/v1": hashlib.sha256(one_of_a_kind).hexdigest()},
    }


def _build_location(report: HostReport, place: Place | None) -> dict[str, Any]:
    """Where the deciding line stands; a compiled-in default and a daemon option stand in no line of the file (3.28)."""
    in_a_file = place is not None and not place.is_option
    path = place.path if place is not None and in_a_file else report.host.sshd_config
    physical: dict[str, Any] = {"artifactLocation": {"uri": _build_uri(report.host.name, path), "uriBaseId": _FLEET}}
    if place is not None and in_a_file and place.line > 0:
        physical["region"] = {"startLine": place.line}
    return {"physicalLocation": physical, "logicalLocations": [{"name": flatten(report.host.name), "kind": "resource"}]}


def _build_uri(host: str, path: str) -> str:
    """Write a relative URI without anything that has to be escaped (RFC 3986, 2.3)."""
    parts = [part for part in (host, *path.split("/")) if part not in ("", ".", "..")]
    return "/".join(_encode(part) for part in parts)


def _encode(text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in data)


_RULES = {
    Subject.INTERVAL: "After how many idle seconds sshd sends a keep-alive to the client",
    Subject.COUNT_MAX: "How many unanswered keep-alives sshd allows before it ends the session",
    Subject.DAEMON: "The running sshd has not read the present files",
    Subject.AS_IF: "Another release of OpenSSH refuses the line, or reads it differently",
    "caveat": "The value is right, but this release of OpenSSH applies it differently",
    "changed": "Something changed on the host since the last recorded run",
}
