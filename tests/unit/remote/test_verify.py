"""`rolled_back` is said of a host that holds the old bytes, reads the old values in them and runs; of no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from sshd_keepalive.fleet import one_host
from sshd_keepalive.fleet.one_host import Orders
from sshd_keepalive.model import Completed, Dump, End, Host, PendingChange, Phase, Plan, Policy, Snapshot
from sshd_keepalive.planning import plan as planning
from sshd_keepalive.remote.verify import find_difference
from sshd_keepalive.scripts.guard import Change
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.errors import LoginCause, make_error
from sshd_keepalive.sshd_config.reading import Reading, read
from tests.support.snapshots import MAIN, NOON, look

STOCK = look({MAIN: "ClientAliveInterval 0\n"})
PLAN: Plan = planning.plan(read(STOCK), Policy())
REFUSAL = Dump(context=STOCK.dumps[0].context, error="x: line 3: Bad configuration option: y")


def change() -> Change:
    return Change(plan=PLAN, snapshot=STOCK, run_id="r", deadline_s=60, candidate=(), functions="")


def asked(**settings: str) -> Snapshot:
    (dump,) = STOCK.dumps
    told = {**dict(dump.settings), **settings}
    return replace(STOCK, dumps=(replace(dump, settings=tuple(told.items())),))


def test_as_it_was() -> None:
    assert find_difference(STOCK, change()) == ""


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (replace(STOCK, files=(replace(STOCK.files[0], content=b"ClientAliveInterval 300\n"),)), "old content"),
        (replace(STOCK, files=()), "old content"),
        (replace(STOCK, dumps=(REFUSAL,)), "refuses"),
        (replace(STOCK, dumps=()), "cannot run sshd -T"),
        (asked(clientaliveinterval="300"), "reads ClientAliveInterval as 300, before it was 0"),
        (replace(STOCK, active=False), "not active"),
    ],
)  # fmt: skip
def test_what_is_not_as_it_was_is_named(seen: Snapshot, said: str) -> None:
    assert said in find_difference(seen, change())


class RefusingShell:
    """A login where sudo no longer runs a script."""

    def run(self, script: str, *, timeout_s: float) -> Completed:
        raise make_error(STOCK.host, LoginCause.NEED_PASSWORD)


def test_a_confirmation_that_sudo_refuses_has_the_next_step_of_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    pending = PendingChange(run_id="r", phase=Phase.WAITING, directory="/x/r", reverts_at=NOON + timedelta(seconds=60))
    waiting = look({MAIN: "ClientAliveInterval 300\nClientAliveCountMax 3\n"}, pending=pending)

    @contextmanager
    def observe(host: Host, orders: Orders) -> Iterator[tuple[RefusingShell, Reading]]:
        yield RefusingShell(), read(waiting)

    monkeypatch.setattr(one_host, "log_in_and_observe", observe)
    report = one_host.confirm_host(waiting.host, Orders(run_id="", secrets=Secrets()))
    assert report.failure is not None
    assert (report.end, report.failure.cause) == (End.REFUSED, "need-password")
    assert report.failure.hint == LoginCause.NEED_PASSWORD.hint
