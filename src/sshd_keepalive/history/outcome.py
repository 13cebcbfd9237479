"""What became of a host in one word, and how bad that is: the same in every report and notice."""

from __future__ import annotations

from typing import Final

from sshd_keepalive.model import End, HostReport, Run, Verdict

#: From the best to the worst; unknown words (a new end) count as worst.
WORDS: Final = ("ok", "waived", "applied", "change", "drift", "refused", "unreachable", "rolled_back", "unknown")


def word(report: HostReport) -> str:
    """The end where the host was to be changed, else the verdict."""
    if report.end is not None and not (report.end is End.UNCHANGED and report.verdict is not Verdict.PASS):
        return "ok" if report.end is End.UNCHANGED else report.end.value
    if report.unreached:
        return "unreachable"
    if report.end is None and (report.diff or report.restarts):
        return "change"
    return {Verdict.PASS: "ok", Verdict.FAIL: "drift"}.get(report.verdict, report.verdict.value)


def badness(word: str) -> int:
    """Where a word stands in the order from fine to bad."""
    return WORDS.index(word) if word in WORDS else len(WORDS)


def rank(report: HostReport) -> int:
    """Where a host stands in the order from fine to bad."""
    return badness(word(report))


def worst_first(run: Run) -> list[HostReport]:
    """All hosts; those of one word in the order of the inventory."""
    return sorted(run.hosts, key=rank, reverse=True)


def counts(run: Run) -> dict[Verdict, int]:
    """How many hosts came to which verdict; every verdict is a key. A waived host is not among the passing ones."""
    found = dict.fromkeys(Verdict, 0)
    for report in run.hosts:
        found[report.verdict] += 1
    return found


def caveats(run: Run) -> dict[str, list[str]]:
    """Each different caveat as a sentence, with the names of its hosts."""
    found: dict[str, list[str]] = {}
    for report in run.hosts:
        if report.caveat is not None:
            found.setdefault(str(report.caveat), []).append(report.host.name)
    return found
