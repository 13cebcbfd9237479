"""Write a diagnosis as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sshd_keepalive.diagnosis.rules import Diagnosis, Likelihood
from sshd_keepalive.diagnosis.run_log import RunLog
from sshd_keepalive.model import Failure
from sshd_keepalive.spelling import cut_lines

#: Without -v: how many matched lines are shown, and how many characters of each.
_N_LINES: Final = 3
_LONGEST: Final = 150


def write_text(
    diagnosis: Diagnosis, log: RunLog, failures: dict[str, Failure], *, verbose: bool = False
) -> Iterator[str]:
    """Write the result, the causes, whether the script finished, and the matched lines, line by line.

    Without `verbose`: the first reason of the causes that are as likely as the first one, and the titles of the others.

    Args:
        failures: name of a host that could not be checked → why.
    """
    yield _summarize(diagnosis, log)
    causes = [c for c in diagnosis.causes if verbose or c.likelihood is not Likelihood.UNLIKELY] or diagnosis.causes[:1]
    n_hidden = len(diagnosis.causes) - len(causes)
    for number, cause in enumerate(causes, 1):
        yield f"  {number}. {cause.likelihood.value:<9} {cause.title}"
        n_reasons = len(cause.reasons) if verbose else int(cause.likelihood is causes[0].likelihood)
        yield from (f"         {reason}" for reason in cause.reasons[:n_reasons])
        n_hidden += len(cause.reasons[n_reasons:])
    yield f"did the script finish? {diagnosis.finished.value}: {diagnosis.finished_because}"
    if diagnosis.was_killed is not None or verbose:  # else the lines are about something else
        yield from _quote_lines(diagnosis, verbose=verbose)
    if n_hidden:
        yield "-v shows less likely causes and all reasons"
    for name, failure in failures.items():
        yield f"{name} could not be checked: {failure.kind}: {failure.message}"
        yield from (f"    next: {hint}" for hint in (failure.hint,) if hint)


def _quote_lines(diagnosis: Diagnosis, *, verbose: bool) -> list[str]:
    texts = {matched.line: matched.text for matched in reversed(diagnosis.matches)}  # several matches in one line
    lines = [f"  line {number}: {text if verbose else _shorten(text)}" for number, text in sorted(texts.items())]
    return cut_lines(lines, len(lines) if verbose else _N_LINES, "  and {n} more matched lines; -v shows them")


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _summarize(diagnosis: Diagnosis, log: RunLog) -> str:
    if not log.n_bytes:
        return "the log is empty"
    product = diagnosis.product or "unknown log"
    facts = "".join(f", {name} {value}" for name, value in diagnosis.facts if name in ("job", "agent", "user", "peer"))
    if diagnosis.was_killed is None:
        lines = "its one line does not show" if log.n_lines == 1 else f"none of its {log.n_lines} lines shows"
        return f"{product}: {lines} how a session ended"
    if not diagnosis.was_killed:
        return f"{product}: no session was killed{facts}"
    after = (
        f" after {diagnosis.duration_s:.10g} s ({diagnosis.duration_from})" if diagnosis.duration_s is not None else ""
    )
    quiet = f", {diagnosis.silence_s:.10g} s without a line before" if diagnosis.silence_s else ""
    return f"{product}: a session was killed{after}{quiet}{facts}"
