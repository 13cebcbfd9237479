from __future__ import annotations

import threading

import pytest

from sshd_keepalive.deadline import Deadline
from sshd_keepalive.secrets.attempts import LIMIT, AttemptLimits, AttemptRefused

OPS = ("env:OPS", "ops")


def soon() -> Deadline:
    return Deadline(0.05)


def test_a_refusal_is_final_for_the_host() -> None:
    limits = AttemptLimits()
    limits.start(OPS, "a", soon()).refuse()
    with pytest.raises(AttemptRefused):
        limits.start(OPS, "a", soon())
    limits.start(OPS, "b", soon())
    limits.start(("env:OTHER", "ops"), "a", soon())


def test_after_some_hosts_it_is_final_for_all() -> None:
    limits = AttemptLimits()
    for n in range(LIMIT):
        limits.start(OPS, n, soon()).refuse()
    with pytest.raises(AttemptRefused, match=str(LIMIT)):
        limits.start(OPS, "another", soon())


def test_an_unproved_password_is_tried_by_few_at_a_time() -> None:
    limits = AttemptLimits()
    attempts = [limits.start(OPS, n, soon()) for n in range(LIMIT)]
    with pytest.raises(AttemptRefused, match="in time"):
        limits.start(OPS, "late", soon())
    attempts[0].accept()
    for n in range(20):
        limits.start(OPS, f"more {n}", soon())


def test_those_who_wait_go_on_with_the_verdict() -> None:
    limits = AttemptLimits()
    attempts = [limits.start(OPS, n, soon()) for n in range(LIMIT)]
    outcome: list[str] = []

    def wait() -> None:
        try:
            limits.start(OPS, "late", Deadline(600))
            outcome.append("sent")
        except AttemptRefused as spent:
            outcome.append(str(spent))

    thread = threading.Thread(target=wait)
    thread.start()
    for attempt in attempts:
        attempt.refuse()
    thread.join(300)  # not the 600 s of the deadline
    assert not thread.is_alive()
    assert "hosts refused it" in outcome[0]


def test_an_attempt_without_a_verdict_counts_for_nothing() -> None:
    limits = AttemptLimits()
    for _ in range(10):
        limits.start(OPS, "a", soon()).close()
