"""`rolled_back` is said of a host that holds the old bytes, reads the old values in them and runs; of no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sshd_keepalive.model import Dump, Plan, Policy, Snapshot
from sshd_keepalive.planning import plan as planning
from sshd_keepalive.remote.verify import find_difference
from sshd_keepalive.scripts.guard import Change
from sshd_keepalive.sshd_config.reading import read
from tests.support.snapshots import MAIN, look

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
