"""A diagnosis as text for people and as JSON."""

from __future__ import annotations

import json
from typing import Any, Final

from sshd_keepalive.diagnosis.rules import Diagnosis, Likelihood, Suspect
from sshd_keepalive.diagnosis.run_log import RunLog, Sighting
from sshd_keepalive.model import Run, Verdict
from sshd_keepalive.quoting import printable
from sshd_keepalive.registry import load

_SHOWN: Final = 4  # telling lines, unless asked for more
#: A killed session is a finding; a log that does not tell is not a pass.
_VERDICTS: Final = {True: Verdict.FAIL, False: Verdict.PASS, None: Verdict.UNKNOWN}


def text(found: Diagnosis, log: RunLog, run: Run, *, verbose: bool = False) -> str:
    """What was found, the suspects, what became of the script, and why a host could not be looked at."""
    lines = [_headline(found, log)]
    shown = [s for s in found.suspects if verbose or s.likelihood is not Likelihood.UNLIKELY] or found.suspects[:1]
    for number, suspect in enumerate(shown, 1):
        lines.append(f"  {number}. {suspect.likelihood.value:<9} {suspect.title}")
        lines += [f"         {reason}" for reason in suspect.reasons]
    n_hidden = len(found.suspects) - len(shown)
    if n_hidden:
        lines.append(f"     {n_hidden} unlikely ones are left out; -v shows them")
    lines.append(f"did the script finish? {found.finished.value}: {found.finished_because}")
    if found.was_killed is not None or verbose:  # else its lines tell of something else
        lines += _telling(found, verbose=verbose)
    failures = [(report.host.name, report.failure) for report in run.hosts if report.failure is not None]
    for name, failure in failures:
        lines.append(f"{name} could not be looked at: {failure.kind}: {failure.message}")
        lines += [f"    next: {failure.hint}"] if failure.hint else []
    return "".join(printable(line) + "\n" for line in lines)


def _telling(found: Diagnosis, *, verbose: bool) -> list[str]:
    telling = {sighting.line: sighting.text for sighting in reversed(found.sightings)}  # one line may tell much
    picked = sorted(telling) if verbose else sorted(telling)[:_SHOWN]
    lines = [f"  line {number}: {telling[number]}" for number in picked]
    n_left = len(telling) - len(picked)
    return [*lines, f"  and {n_left} more telling lines; -v shows them"] if n_left else lines


def _headline(found: Diagnosis, log: RunLog) -> str:
    if not log.n_bytes:
        return "the log is empty"
    product = found.product or "unknown log"
    facts = "".join(f", {name} {value}" for name, value in found.facts if name in ("job", "agent", "user", "peer"))
    if found.was_killed is None:
        lines = "its one line does not tell" if log.n_lines == 1 else f"none of its {log.n_lines} lines tells"
        return f"{product}: {lines} how a session ended"
    if not found.was_killed:
        return f"{product}: no session was killed{facts}"
    after = f" after {found.duration_s:.10g} s ({found.duration_from})" if found.duration_s is not None else ""
    quiet = f", {found.silence_s:.10g} s without a line before" if found.silence_s else ""
    return f"{product}: a session was killed{after}{quiet}{facts}"


def json_text(found: Diagnosis, log: RunLog, run: Run, *, indent: int | None = 1) -> str:
    """The run's document, its `hosts` those of --host, with the diagnosis beside them; on one line without indent."""
    document = json.loads(load("reports", "json").render(run))
    document["diagnosis"] = {
        "verdict": _VERDICTS[found.was_killed].value,
        "product": found.product,
        "duration_s": found.duration_s,
        "duration_from": found.duration_from,
        "silence_s": found.silence_s,
        "suspects": [_suspect(suspect) for suspect in found.suspects],
        "script_finished": found.finished.value,
        "script_finished_because": found.finished_because,
        "next_step": found.next_step,
        "lines_read": log.n_lines,
        "bytes_read": log.n_bytes,
        "facts": dict(found.facts),
        "sightings": [_sighting(sighting) for sighting in found.sightings],
    }
    return json.dumps(document, indent=indent) + "\n"


def _suspect(suspect: Suspect) -> dict[str, Any]:
    return {
        "name": suspect.name,
        "title": suspect.title,
        "likelihood": suspect.likelihood.value,
        "reasons": list(suspect.reasons),
        "next_step": suspect.next_step,
    }


def _sighting(sighting: Sighting) -> dict[str, Any]:
    return {"line": sighting.line, "sign": sighting.row.sign.value, "text": sighting.text}
