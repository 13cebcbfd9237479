"""Text for people: hosts that are alike once, worst first, then the totals."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator

from sshd_keepalive import benchmarks
from sshd_keepalive.history import outcome
from sshd_keepalive.likeness import ERROR, N_NAMED, NEXT, Likeness, group_alike
from sshd_keepalive.model import Checked, HostReport, Run, State
from sshd_keepalive.quoting import printable
from sshd_keepalive.spelling import join_first, write_count

_BLANK = "\0"  # between words that stay on one line; no printable text holds it
_COPIED = (ERROR, NEXT, "note: ", "warning: ")  # lines from which people copy a path or a command
_COLUMN = 12  # of the names; the longest word is rolled_back


def render(run: Run) -> str:
    """Render what would change or was changed, the hosts, the totals."""
    return "".join([*render_diffs(run), render_ending(run, run.hosts)])


def render_ending(run: Run, shown: Iterable[HostReport], *, verbose: int = 0, width: int | None = None) -> str:
    """Render the hosts to show, then the totals of all."""
    above, below = render_hosts(shown, verbose=verbose, width=width), render_totals(run, width=width)
    return f"{above}\n{below}" if above and len(run.hosts) > 1 else above + below


def render_hosts(reports: Iterable[HostReport], *, verbose: int = 0, width: int | None = None) -> str:
    """Render hosts that are alike once, worst first.

    Args:
        verbose: 1: every host by itself, with its steps; 2: also what was read.
        width: columns; None: lines of any length.
    """
    shown = (report for report in reports if verbose or _has_more_than_its_diff(report))
    return wrap((line for group in group_alike(shown, verbose=verbose) for line in _render_group(group)), width)


def _has_more_than_its_diff(report: HostReport) -> bool:
    return not outcome.is_change_planned(report) or bool(report.all_notes or report.changes or report.failure)


def _render_group(group: Likeness) -> Iterator[str]:
    yield f"{group.word:<{_COLUMN}}{group.title}{f'  {group.headline}' if group.headline else ''}"
    yield from (f"    {line}" for line in group.lines)
    if group.first:
        yield f"    (the lines above are those of {group.first}; -v shows every host)"


def render_diffs(run: Run, *, width: int | None = None) -> list[str]:
    """Render each different change once, with the hosts it is for."""
    groups: dict[tuple[str, str, str, bool], list[str]] = {}
    for report in run.hosts:
        if report.diff or report.restarts:
            beware = f"beware: {report.caveat}" if report.caveat else ""
            groups.setdefault((report.diff, report.value_diff, beware, report.restarts), []).append(report.host.name)
    texts = []
    for (text, values, beware, restarts), names in groups.items():
        title = f"{write_count(len(names), 'host')}: {', '.join(names)}"
        restart = "restart sshd" if text else "restart sshd: it is older than its files"
        ending = [line for line in (beware, restart if restarts else "") if line]
        texts.append(wrap([title], width) + printable(text) + wrap([*values.splitlines(), *ending, ""], width))
    return texts


def render_totals(run: Run, *, width: int | None = None) -> str:
    """Render what the benchmarks say, `5 hosts: 3 ok, 2 drift`, and of many hosts the names of those that failed."""
    counts = Counter(outcome.pick_word(report) for report in run.hosts)
    n_hosts = len(run.hosts)
    words = ", ".join(f"{counts[word]} {word}" for word in outcome.WORDS if counts[word])
    summary = f"{write_count(n_hosts, 'host')}: {words}" if words else "no hosts"
    if n_change := sum(map(outcome.is_change_planned, run.hosts)):
        summary += f"; {n_change} to change"
    failed = []
    if n_hosts > N_NAMED:  # the first lines may have left the screen
        for word in outcome.WORDS[outcome.WORDS.index(State.DRIFT) + 1 :]:
            if names := [report.host.name for report in run.hosts if outcome.pick_word(report) is word]:
                failed.append(f"{word}: {join_first(names, N_NAMED)}")
    return wrap([*_describe_benchmarks(run), summary, *failed], width)


def _describe_benchmarks(run: Run) -> list[str]:
    """Describe each benchmark in a line: what it asks, how many hosts pass; then what would satisfy all of them."""
    lines = []
    for row in run.benchmarks:
        counts = benchmarks.count_states(run, row)
        states = ", ".join(f"{n} {state}" for state, n in counts.items() if n or state is not State.UNKNOWN)
        doubt = "  (unverified)" if row.checked is Checked.UNVERIFIED else ""
        lines.append(f"benchmark {row.name}: {states}; interval {row.interval_s}, count {row.count_max}{doubt}")
    return [*lines, f"benchmarks: {benchmarks.conclude(run)}"] if lines else []


def wrap(lines: Iterable[str], width: int | None) -> str:
    """Make lines printable, and break them between words with a hanging indent; a command to paste stays on one."""
    wrapped: list[str] = []
    for line in lines:
        text = printable(line.replace("\n", " "))
        body = text.lstrip()
        if width is None or len(text) <= width:
            wrapped.append(text)
            continue
        indent = len(text) - len(body)
        is_host = text[:_COLUMN].rstrip() in outcome.WORDS
        hanging = " " * (_COLUMN if is_host else indent + 2)
        wrapped += textwrap.wrap(
            _join_command(body) if body.startswith(NEXT) else body,
            width,
            initial_indent=text[:indent],
            subsequent_indent=hanging,
            break_long_words=not body.startswith(_COPIED),
            break_on_hyphens=False,
            expand_tabs=False,
        )
    return "".join(f"{line.replace(_BLANK, ' ')}\n" for line in wrapped)


def _join_command(hint: str) -> str:
    """Write a hint with _BLANK between the words of its command: the whole hint, or what follows its first colon."""
    if hint.startswith(f"{NEXT}sshd-keepalive "):
        return hint.replace(" ", _BLANK)
    prose, colon, command = hint.removeprefix(NEXT).partition(": ")
    return NEXT + prose + colon + command.replace(" ", _BLANK)
