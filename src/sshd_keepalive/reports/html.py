"""HTML: one page for a manager and for the operator on call. It is self-contained and loads nothing.

The rows of the table are written here and work without a script; the script pages, filters, sorts and opens them.
The details of a host are JSON beside them, each different part once: a fleet of 5,000 hosts
differs in few things. Figures: bench/html.md.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any, Final

from sshd_keepalive import __version__, benchmarks
from sshd_keepalive.diagnosis import losses
from sshd_keepalive.errors import require_extra
from sshd_keepalive.history import outcome
from sshd_keepalive.likeness import group_alike, is_fine
from sshd_keepalive.model import (
    COUNT_MAX,
    GLOBAL,
    INTERVAL,
    SPELLING,
    Benchmark,
    HostReport,
    Policy,
    Run,
    State,
)
from sshd_keepalive.quoting import printable
from sshd_keepalive.reports import flatten

with require_extra("reports"):
    from jinja2 import Environment, PackageLoader, StrictUndefined


#: States from the ground of the chart up.
_ORDER: Final = (State.OK, State.WAIVED, State.UNREACHABLE, State.UNKNOWN, State.DRIFT)
_MOST_PAST: Final = 400  # runs that a chart can show apart
_WIDTH, _HEIGHT = 720, 250  # of the chart's area, in its own units


def render(run: Run) -> str:
    """Render the page; text from hosts is made printable here and escaped by the template."""
    style, script = _read_source("page.css"), _read_source("page.js")
    counts = outcome.count(run)
    page = _open_environment().get_template("page.html")
    return page.render(
        run=run,
        version=__version__,
        order=[word.value for word in reversed(outcome.WORDS)],
        style=style,
        script=script,
        policy=_build_security_policy(style, script),
        counts={state.value: counts[state] for state in State},
        states=list(Counter(map(outcome.pick_word, outcome.sort_worst_first(run))).items()),
        groups=_summarize_groups(run),
        group_names=sorted({flatten(group) for report in run.hosts for group in report.host.groups}),
        percent=_format_percent(counts[State.OK], len(run.hosts)),
        rows=[_build_row(report) for report in outcome.sort_worst_first(run)],
        details=_collect_details(run),
        alike=_group_alike(run),
        chart=_build_chart(run),
        wanted=list(dict.fromkeys(_describe_policy(report.host.policy) for report in run.hosts)),
        caveats=[(flatten(text), len(names)) for text, names in outcome.group_caveats(run).items()],
        benchmarks=[_describe_benchmark(run, row) for row in run.benchmarks],
        conclusion=benchmarks.conclude(run),
        n_changed=sum(bool(report.changes) for report in run.hosts),
    )


def _describe_policy(policy: Policy) -> str:
    if policy.goal is not None:
        return str(policy)
    return ", ".join(f"{SPELLING[keyword]} {number}" for keyword, number in policy.wanted.items())


# ----------------------------------------------------------------------------------------- state by group


def _compute_shares(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Compute the parts of a bar: from where, how wide, both in percent."""
    total = sum(counts.values())
    shares, start = [], 0.0
    for state in filter(counts.get, _ORDER):
        width = 100 * counts[state] / total
        shares.append({"name": state.value, "number": counts[state], "start": start, "width": width})
        start += width
    return shares


def _summarize_groups(run: Run) -> list[dict[str, Any]]:
    """Each group with its bar; the one with the smallest share of compliant hosts first."""
    counts_of: dict[str, Counter[str]] = {}
    for report in run.hosts:
        for group in report.host.groups or ("",):
            counts_of.setdefault(group, Counter())[report.state] += 1
    groups = [
        {
            "name": flatten(name),
            "label": ", ".join(f"{number} {state}" for state, number in counts.items()),
            "hosts": counts.total(),
            "passing": counts[State.OK],
            "percent": _format_percent(counts[State.OK], counts.total()),
            "shares": _compute_shares(counts),
        }
        for name, counts in counts_of.items()
    ]
    return sorted(groups, key=lambda group: (group["passing"] / group["hosts"], -group["hosts"], group["name"]))


def _format_percent(part: int, whole: int) -> str:
    """Write a share in percent, rounded down: 100 % means all of them."""
    if not whole:
        return "none"
    return f"{1000 * part // whole / 10:g} %"


def _group_alike(run: Run) -> list[dict[str, Any]]:
    """Group what is wrong, in the words of the text report; a plan's diffs are with the hosts."""
    wrong = [
        replace(report, diff="", value_diff="", restarts=False)
        for report in run.hosts
        if not is_fine(report) and report.state is not State.WAIVED
    ]
    return [
        {
            "word": group.word,
            "title": flatten(f"{group.title} {group.headline}".strip()),
            "lines": [printable(line.replace("\n", " ")) for line in group.lines],
            "first": flatten(group.first),
        }
        for group in group_alike(wrong)
    ]


# ------------------------------------------------------------------------------------------------- a host


def _build_row(report: HostReport) -> dict[str, Any]:
    """Build what the table shows of a host."""
    values = {f.setting: f.value for f in report.findings if f.scope == GLOBAL}
    word = outcome.pick_word(report)
    return {
        "name": flatten(report.host.name),
        "address": flatten(f"{report.host.address}{f':{report.host.port}' if report.host.port != 22 else ''}"),
        "groups": [flatten(group) for group in report.host.groups],
        "word": word,
        "badness": outcome.rank_word(word),
        "interval": flatten(values.get(SPELLING[INTERVAL], "")),
        "count": flatten(values.get(SPELLING[COUNT_MAX], "")),
        "why": flatten(_explain(report)),
        "changes": len(report.changes),
    }


def _explain(report: HostReport) -> str:
    """Explain a host: the first thing that is wrong, or the line that decides."""
    if report.failure is not None:
        return report.failure.message
    if report.state is State.WAIVED and report.host.waiver is not None:
        return str(report.host.waiver)
    wrong = [finding for finding in report.findings if finding.state is not State.OK]
    if report.caveat is not None and not wrong:
        return report.caveat.effect
    for finding in wrong or report.findings:
        if finding.place or wrong:
            why = finding.place or finding.reason or "not set: the default applies"
            return f"{finding.setting}{finding.for_whom}: {why}"
    return ""


def _collect_details(run: Run) -> str:
    """JSON for the script: `parts`, and for each row of the table what it is made of, as numbers of parts."""
    parts: dict[Hashable, int] = {}  # each different one, and its number

    def number(part: Hashable) -> int:
        return parts.setdefault(part, len(parts))

    def number_all(lines: Iterable[str]) -> list[int]:
        return [number(flatten(line)) for line in lines]

    hosts = []
    for report in outcome.sort_worst_first(run):
        failure = report.failure
        findings = []
        for finding in report.findings:
            place = str(finding.place) if finding.place else "compiled-in default"
            values = (finding.setting, str(finding.scope), finding.value, finding.wanted, finding.state)
            cells = (*values, place, "; ".join(map(str, finding.hides)), finding.reason)
            findings.append(number(tuple(map(flatten, cells))))
        held = [(row.name, benchmarks.judge(row, report.findings)) for row in run.benchmarks]
        hint = (f"next: {failure.hint}",) if failure and failure.hint else ()
        change = report.diff + report.value_diff
        hosts.append(
            {
                "groups": number_all(report.host.groups),
                "findings": findings,
                "diff": number(printable(change)) if change else None,
                "changes": number_all(report.changes),
                "failure": number_all((f"{failure.kind}: {failure.message}", *hint)) if failure else [],
                "steps": number_all(map(str, report.steps)),
                "losses": number_all(losses.render_table(report.losses) if report.losses else ()),
                "notes": number_all([*([str(report.caveat)] if report.caveat else []), *report.all_notes]),
                "facts": number_all(f"{name}: {value}" for name, value in report.facts),
                "benchmarks": [*map(number, held)],
            }
        )
    sparse = [{key: value for key, value in host.items() if value not in ([], None)} for host in hosts]
    text = json.dumps({"parts": list(parts), "hosts": sparse}, separators=(",", ":"))
    return text.replace("<", "\\u003c")  # so that no text ends the script element


# ------------------------------------------------------------------------------------------------ the chart


def _compute_share(counts: Mapping[str, int], upto: State) -> float:
    """Compute the part of the hosts from the ground up to a state, 0 to 1."""
    below = sum(counts.get(state, 0) for state in _ORDER[: _ORDER.index(upto) + 1])
    return below / (outcome.count_hosts(counts) or 1)


def _format_compliant(counts: Mapping[str, int]) -> str:
    return _format_percent(counts.get(State.OK, 0), outcome.count_hosts(counts))


def _build_chart(run: Run) -> dict[str, Any] | None:
    """Areas over time, from the ground: one for each state. None when nothing was recorded before."""
    past = [(one.started_at, one.counts) for one in run.past[-_MOST_PAST:] if one.id != run.id]
    if not past:
        return None
    now = run.started_at, outcome.count(run)
    # A clock may have gone backwards.
    moments: list[tuple[datetime, Mapping[str, int]]] = sorted([*past, now], key=lambda moment: moment[0])
    begin, end = moments[0][0], moments[-1][0]
    length_s = (end - begin).total_seconds() or 1.0
    across = [round(_WIDTH * (at - begin).total_seconds() / length_s, 1) for at, _ in moments]

    def measure(state: State) -> list[str]:
        """Give the points of the upper edge of a state."""
        heights = (round(_HEIGHT * (1 - _compute_share(counts, state)), 1) for _, counts in moments)
        return [f"{x},{y}" for x, y in zip(across, heights, strict=True)]

    areas, floor = [], [f"{x},{_HEIGHT}" for x in across]
    for state in _ORDER:
        top = measure(state)
        if any(counts.get(state) for _, counts in moments):
            areas.append({"name": state.value, "points": " ".join([*top, *reversed(floor)])})
        floor = top
    line = measure(State.OK)
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "areas": areas,
        "line": " ".join(line),
        "here": line[moments.index(now)].split(","),
        "begin": begin,
        "end": end,
        "before": _format_compliant(past[-1][1]),
        "numbers": [
            (at, [counts.get(state, 0) for state in _ORDER], _format_compliant(counts))
            for at, counts in reversed(moments)
        ],
        "names": [state.value for state in _ORDER],
    }


# ----------------------------------------------------------------------------------------------- the rest


def _describe_benchmark(run: Run, row: Benchmark) -> dict[str, Any]:
    return {
        "row": row,
        "allows": [(f"{pair[0]}/{pair[1]}", benchmarks.allows(row, pair)) for pair in benchmarks.wanted_pairs(run)],
        "counts": [(state.value, number) for state, number in benchmarks.count_states(run, row).items()],
    }


@cache
def _open_environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("sshd_keepalive.reports", "_html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["flat"] = flatten
    return environment


def _read_source(name: str) -> str:
    from importlib import resources

    return resources.files(__package__).joinpath("_html", name).read_text(encoding="utf-8")


def _build_security_policy(style: str, script: str) -> str:
    """Write a Content-Security-Policy that allows this one style and this one script, and loads nothing."""

    def hash_source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; style-src {hash_source(style)}; script-src {hash_source(script)}; base-uri 'none'; "
        "form-action 'none'"
    )
