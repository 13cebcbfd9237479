"""CSV as RFC 4180 has it: one row for each finding of each host, for spreadsheets and databases."""

import csv
from unicodedata import normalize

from sshd_keepalive.model import Finding, HostReport, Run
from sshd_keepalive.reports import flatten, format_time

COLUMNS = (
    "run", "ended_at", "host", "address", "groups", "state", "change", "setting", "scope", "wanted", "value",
    "finding", "path", "line", "reason", "failure", "message", "hint", "changes", "notes",
    "caveat",
)  # fmt: skip


def render(run: Run) -> str:
    """Render a head and the rows; a host about which nothing was found has one row all the same."""
    lines = _Lines()
    writer = csv.writer(lines)
    writer.writerow(COLUMNS)
    for report in run.hosts:
        for finding in report.findings or (None,):
            writer.writerow(_disarm(cell) for cell in _build_row(run, report, finding))
    return "".join(lines)


class _Lines(list[str]):
    write = list.append


def _build_row(run: Run, report: HostReport, finding: Finding | None) -> list[str]:
    host, failure = report.host, report.failure
    row = [run.id, format_time(run.ended_at), host.name, host.address, " ".join(host.groups)]
    row += [report.state, report.end or ""]
    if finding is None:
        row += [""] * 8
    else:
        place = finding.place
        row += [finding.setting, str(finding.scope), finding.wanted, finding.value, finding.state]
        row += [place.path if place else "", str(place.line) if place else "", finding.reason]
    row += [failure.kind, failure.message, failure.hint] if failure else [""] * 3
    return [*row, "; ".join(report.changes), "; ".join(report.all_notes), str(report.caveat or "")]


def _disarm(cell: str) -> str:
    """One line that a spreadsheet takes for text: what begins like a formula gets an apostrophe before it.

    A tab or a line end at the beginning counts, and so do the other forms of the four signs, such as the full-width
    ones: some spreadsheets skip the former and read the latter as the sign. Source: OWASP, "CSV Injection".
    """
    line = flatten(cell)
    sign = normalize("NFKC", line.lstrip())[:1]
    return f"'{line}" if sign in tuple("=+-@") or cell[:1] in tuple("\t\r\n") else line
