"""What became of a host in one word, and how bad that is: the same in every report, notice and in the history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from sshd_keepalive.model import End, HostReport, Run, State

Word = State | End

#: From the best to the worst.
WORDS: Final[tuple[Word, ...]] = (
    State.OK,
    End.UNCHANGED,
    State.WAIVED,
    End.APPLIED,
    State.DRIFT,
    End.NOT_BEGUN,
    End.REFUSED,
    State.UNKNOWN,
    State.UNREACHABLE,
    End.ROLLED_BACK,
    End.UNPROVED,
)


def pick_word(report: HostReport) -> Word:
    """Pick how the change ended, if there was one; otherwise the state."""
    return report.state if report.end in (None, End.UNCHANGED) else report.end


def is_change_planned(report: HostReport) -> bool:
    """Whether a plan has found something to change."""
    return report.end is None and (bool(report.diff) or report.restarts)


def rank_word(word: Word) -> int:
    """Where a word stands in the order from fine to bad."""
    return WORDS.index(word)


def rank_report(report: HostReport) -> int:
    """Where a host stands in the order from fine to bad."""
    return rank_word(pick_word(report))


def sort_worst_first(run: Run) -> list[HostReport]:
    """Sort hosts, the worst first; those of one word stay in the order of the inventory."""
    return sorted(run.hosts, key=rank_report, reverse=True)


def count(run: Run) -> Counter[str]:
    """Count hosts by State, and by End where something was to be changed."""
    return Counter([*(report.state for report in run.hosts), *(report.end for report in run.hosts if report.end)])


def count_hosts(counts: Mapping[str, int]) -> int:
    """Count all hosts of a run: each has one state."""
    return sum(counts.get(state, 0) for state in State)


def summarize(counts: Mapping[str, int]) -> dict[str, int]:
    """Count the hosts for the `summary` of the JSON documents."""
    return {"hosts": count_hosts(counts)} | {word.value: counts.get(word, 0) for word in (*State, *End)}


def group_caveats(run: Run) -> dict[str, list[str]]:
    """Group hosts by caveat: each different one as a sentence, with the names of its hosts."""
    groups: dict[str, list[str]] = {}
    for report in run.hosts:
        if report.caveat is not None:
            groups.setdefault(str(report.caveat), []).append(report.host.name)
    return groups
