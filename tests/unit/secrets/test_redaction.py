"""Secrets are replaced in what is told, and in nothing that a decision is made on."""

from __future__ import annotations

import logging

import pytest

from sshd_keepalive.model import End, Failure, Finding, Host, HostReport, Place, Scope, State, Step, Subject
from sshd_keepalive.secrets import redaction
from sshd_keepalive.secrets.redaction import RedactingFormatter, redact
from sshd_keepalive.secrets.retrieval import Secret

SECRET = "open  sesame(1)"
FINGERPRINT = "of open  sesame(1)"


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_values", set())
    monkeypatch.setattr(redaction, "_pattern", None)
    Secret(SECRET)
    Secret("yes")


def report(text: str) -> HostReport:
    return HostReport(
        host=Host(name=text, address="h"),
        state=State.DRIFT,
        end=End.REFUSED,
        findings=(
            Finding(
                setting=Subject.INTERVAL,
                scope=Scope(text=f"Match user {text}"),
                wanted="300",
                value=text,
                state=State.DRIFT,
                place=Place(path=f"/etc/{text}", line=3),
                reason=f"because {text}",
            ),
        ),
        diff=f"-{text}\n+300\n",
        fingerprint=FINGERPRINT,
        steps=(Step(name="restart", ok=False, detail=f"said {text}"),),
        facts=(("unit", f"{text}.service"),),
        notes=(f"note {text}",),
        failure=Failure(kind="become", message=f"you said {text}", hint=f"type {text}"),
    )


@pytest.mark.parametrize("form", [SECRET, "open sesame(1)"])
def test_every_text_of_a_report(form: str) -> None:
    kept = {"host": Host(name=form, address="h"), "fingerprint": FINGERPRINT}
    found = redact(report(form))
    assert {name: getattr(found, name) for name in kept} == kept
    assert isinstance(found.state, State)
    assert isinstance(found.findings[0].setting, Subject)
    expected = redact(report("***"))
    assert [found.findings, found.diff, found.steps, found.facts, found.notes, found.failure] == [
        expected.findings,
        expected.diff,
        expected.steps,
        expected.facts,
        expected.notes,
        expected.failure,
    ]


def test_the_state_of_a_report_stays_a_state() -> None:
    """State is a str as well: redaction made plain text of it, and a check with a secret could not be recorded."""
    found = redact(report("anything"))
    assert isinstance(found.state, State)
    assert isinstance(found.end, End)
    assert isinstance(found.findings[0].state, State)


def test_a_short_value_is_left_alone() -> None:
    assert redact("yes, eyes") == "yes, eyes"


def test_log_records_with_their_tracebacks() -> None:
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        record = logging.LogRecord("n", 10, "f", 1, "got %s", (SECRET,), (ValueError, error, error.__traceback__))
    text = RedactingFormatter().format(record)
    assert "sesame" not in text
    assert "got ***" in text
    assert "ValueError: ***" in text
