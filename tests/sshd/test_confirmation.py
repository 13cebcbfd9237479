"""A host confirms a change over the new login if it finds all as predicted; the controller confirms any other."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from sshd_keepalive.errors import HostError
from sshd_keepalive.fleet.one_host import Orders, connect, log_in_and_observe, make_change
from sshd_keepalive.model import Action, Become, Completed, End, FailureKind, Host, ServiceChoice
from sshd_keepalive.planning import plan
from sshd_keepalive.remote.execute import execute
from sshd_keepalive.remote.verify import ask_guard, confirm, prove_in_effect
from sshd_keepalive.scripts import guard
from sshd_keepalive.scripts.guard import Answer, Change, GuardEnd
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.shell import Shell
from tests.support.sshd import Sshd, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]

ORDERS = Orders(
    run_id="20260101T000000Z-test", secrets=Secrets(), timeout_s=120, confirm_timeout_s=600, rehearses=False
)


@pytest.fixture
def host() -> Iterator[Host]:
    """A host whose change is reverted in the end, which also ends the timer of its guard."""
    blocks = "Match User root,nobody\nX11Forwarding no\nMatch all\n"
    with Sshd(f"ClientAliveInterval 300\nClientAliveCountMax 0\n{blocks}") as sshd:
        yield Host(
            name="near",
            address=sshd.address,
            port=sshd.port,
            user=sshd.user,
            identity_file=str(sshd.user_key),
            known_hosts=str(sshd.known_hosts),
            become=Become(method="none"),
            sshd_config=str(sshd.config_file),
            service=ServiceChoice(manager="pidfile", pidfile=str(sshd.folder / "pid")),
        )
        for script in sshd.folder.glob(".sshd-keepalive/*/*/guard.sh"):
            subprocess.run(["sh", str(script), "revert"], check=True, capture_output=True)


def install(host: Host, action: Action = Action.RESTART) -> Change:
    """Install and restart; the change waits for its confirmation."""
    orders = replace(ORDERS, action=action)
    with log_in_and_observe(host, orders) as (shell, reading):
        change = make_change(reading, plan.plan(reading, host.policy), orders)
        answer = ask_guard(shell, guard.build_change_script(change), orders.timeout_s)
    assert isinstance(answer, Answer)
    assert answer.end is GuardEnd.CHANGED, answer
    return change


def prove(host: Host, change: Change) -> bytes:
    """Verify the change over a new login; gives what the guard printed if the host let it confirm."""
    with closing(connect(host, ORDERS)) as shell:
        now = datetime.now(UTC)
        return prove_in_effect(shell, change, now, timeout_s=120, confirms=True).snapshot.confirmation


def is_decided(change: Change) -> bool:
    return Path(change.directory, "decided").exists()


def test_a_host_that_is_as_predicted_confirms(host: Host) -> None:
    change = install(host)
    answer = guard.parse(prove(host, change))
    assert (answer.end, [step.name for step in answer.steps]) == (GuardEnd.APPLIED, ["confirm"])
    with closing(connect(host, ORDERS)) as shell:  # who has lost that answer may ask again
        again = confirm(shell, change.directory, 120)
    assert isinstance(again, Answer)
    assert again.end is GuardEnd.APPLIED


def test_one_value_that_was_not_predicted_leaves_the_confirmation_to_the_controller(host: Host) -> None:
    change = install(host)
    *others, last = change.plan.predictions
    assert last.context.user is not None
    wrong = replace(last, after=(*last.after[:1], ("clientalivecountmax", "4")))
    changed = replace(change, plan=replace(change.plan, predictions=(*others, wrong)))
    assert prove(host, changed) == b""
    assert not is_decided(change)


def test_a_daemon_that_was_not_restarted_leaves_the_confirmation_to_the_controller(host: Host) -> None:
    change = install(host, Action.NONE)
    assert prove(host, change) == b""
    assert not is_decided(change)


def touch(config: Path) -> None:
    """The same bytes, but perhaps others when sshd read them."""
    config.write_bytes(config.read_bytes())


def add_comment(config: Path) -> None:
    config.write_bytes(config.read_bytes() + b"# more\n")


@pytest.mark.parametrize(("meddle", "said"), [(touch, "has not read"), (add_comment, "not what was installed")])
def test_a_file_that_was_written_since_is_not_confirmed(host: Host, meddle: Callable[[Path], None], said: str) -> None:
    change = install(host)
    meddle(Path(host.sshd_config))
    with pytest.raises(HostError, match=said):
        prove(host, change)
    assert not is_decided(change)


class Losing:
    """A login that breaks when a script has run, before its answer has come."""

    def __init__(self, shell: Shell, then: Callable[[], None]) -> None:
        self._shell, self._then = shell, then

    def __getattr__(self, name: str) -> object:
        return getattr(self._shell, name)

    def run(self, script: str, *, timeout_s: float) -> Completed:
        self._shell.run(script, timeout_s=timeout_s)
        self._then()
        raise HostError("the connection broke", kind=FailureKind.TIMEOUT, cause="lost")


@pytest.mark.parametrize("is_edited", [False, True])
def test_a_lost_answer_is_reverted_or_reported_as_unproved(host: Host, *, is_edited: bool) -> None:
    """Whether the host has confirmed is unknown; it does not revert a file that was edited after that."""
    config = Path(host.sshd_config)
    was_decided = []

    def lose() -> None:
        was_decided.append(is_decided(change))
        if is_edited:
            add_comment(config)

    with log_in_and_observe(host, ORDERS) as (shell, reading):
        change = make_change(reading, plan.plan(reading, host.policy), ORDERS)
        wrappers = iter([lambda shell: cast("Shell", Losing(shell, lose))])

        def log_in() -> Shell:
            return next(wrappers, lambda shell: shell)(connect(host, ORDERS))

        outcome = execute(shell, log_in, change, timeout_s=120)
    assert was_decided == [True]
    assert outcome.end is (End.UNPROVED if is_edited else End.ROLLED_BACK), outcome
    assert outcome.failure is not None
    assert "did not prove" in outcome.failure.message
    (content,) = change.plan.contents
    assert config.read_bytes() == (content.after + b"# more\n" if is_edited else content.before)
    if is_edited:
        assert f"sudo sh {change.directory}/guard.sh revert" in (outcome.failure.hint or "")
        config.write_bytes(content.after)
