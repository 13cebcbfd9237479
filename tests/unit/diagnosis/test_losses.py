"""What counts of sessions say: how many were lost, at which limits, whose clients do not answer, whether it stopped."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sshd_keepalive.diagnosis import losses
from sshd_keepalive.diagnosis.rules import Known
from sshd_keepalive.model import Finding, Losses, SessionEnd, SessionGroup, State
from sshd_keepalive.scripts.losses import SessionLog
from sshd_keepalive.sshd_config.version import Version

SINCE = datetime(2026, 1, 20, tzinfo=UTC)


def group(
    end: str, n: int, *lengths: int, account: str = "etl", address: str = "192.0.2.9", new: bool = False
) -> SessionGroup:
    """Sessions that ended alike; lengths that repeat are counted."""
    counted = tuple((seconds, lengths.count(seconds)) for seconds in sorted(set(lengths)))
    return SessionGroup(account=account, address=address, end=SessionEnd(end), is_new=new, n=n, lengths=counted)


def study(
    *groups: SessionGroup, pair: str = "300/3", version: str = "9.6p1", since: datetime | None = SINCE, run_id: str = ""
) -> Losses:
    interval, count = map(int, pair.split("/"))
    log = SessionLog(
        groups=groups, first_at=SINCE, last_at=SINCE, sources=("journal",),
        unread=(), was_cut=False, in_effect_since=since, run_id=run_id,
    )  # fmt: skip
    known = Known(name="h", version=Version.parse(version), interval_s=interval, count_max=count)
    return losses.study(log, days=30, known=known, name="ecs-01")


def judge(found: Losses) -> list[Finding]:
    return list(losses.judge(found))


def test_no_loss_is_a_pass_and_no_session_is_unknown() -> None:
    (passed,) = judge(study(group("peer", 40), group("unknown", 2, 17, 90)))
    assert (passed.value, passed.state) == ("0 of 42 in 30 days", State.OK)
    (unknown,) = judge(study())
    assert unknown.state is State.UNKNOWN


def test_lengths_near_a_limit_are_a_cluster_with_its_cause() -> None:
    found = study(
        group("cut", 5, 350, 350, 351, 352, 353), group("cut", 3, 350, 350, 17, account="ops"), group("peer", 30)
    )
    (cluster,) = found.clusters
    assert (cluster.limit_s, cluster.n, cluster.n_accounts) == (350, 7, 2)
    assert "NAT gateway, load balancer or firewall" in cluster.cause
    assert cluster.next_step == "sshd-keepalive probe --find-limit ecs-01"
    overall, of_limit = judge(found)
    assert (overall.value, overall.state) == (
        "8 of 38 in 30 days, 8 cut by a reset or a broken connection",
        State.DRIFT,
    )
    assert of_limit.value == "7 sessions of 2 accounts were cut after 350 s by a reset or a broken connection"


def test_lengths_spread_over_everything_are_no_cluster() -> None:
    assert study(group("cut", 700, *range(2, 702))).clusters == ()
    assert study(group("cut", 2, 350, 351)).clusters == (), "two may be an accident"


@pytest.mark.parametrize(
    ("pair", "version", "seconds", "cause"),
    [
        ("300/0", "8.1p1", 300, "sshd ends every quiet session"),
        ("300/3", "9.6p1", 1200, "sshd dropped a client that did not answer"),
        ("77/2", "9.6p1", 231, "sshd dropped a client that did not answer"),
        ("50/2", "9.2p1", 300, "sshd dropped a client that did not answer"),
    ],
)
def test_the_limits_of_the_host_itself_count(pair: str, version: str, seconds: int, cause: str) -> None:
    found = study(group("timeout", 4, *[seconds] * 4, new=True), pair=pair, version=version)
    assert [cluster.limit_s for cluster in found.clusters] == [seconds]
    assert cause in found.clusters[0].cause


def test_sessions_closed_without_a_word_are_distinguished_and_are_no_proof() -> None:
    overall, of_limit = judge(study(group("unknown", 20, *[301] * 20), group("peer", 20)))
    assert overall.state is State.OK
    assert (str(of_limit.scope), of_limit.state) == ("300 s", State.UNKNOWN)


def test_before_and_since_the_values_came_into_effect() -> None:
    old = (group("timeout", 37, *[300] * 37), group("peer", 63))
    overall, of_limit = judge(study(*old, group("peer", 50, new=True)))
    assert overall.reason == ("before 2026-01-20 00:00 UTC, when sshd read its values: 37; since: none of 50 sessions")
    assert (overall.state, of_limit.state) == (State.OK, State.OK), "18 were to be expected since"
    too_few = judge(study(*old, group("peer", 5, new=True)))
    assert [finding.state for finding in too_few] == [State.DRIFT, State.DRIFT], "5 sessions prove nothing"
    again = judge(study(*old, group("peer", 49, new=True), group("cut", 1, 44, new=True)))
    assert again[0].state is State.DRIFT
    assert "since: 1 of 50 sessions" in again[0].reason
    ours = judge(study(*old, group("peer", 50, new=True), run_id="20260120T000000Z-3f9a1c"))
    assert ours[0].reason.startswith("before run 20260120T000000Z-3f9a1c (2026-01-20 00:00 UTC): 37; since: none of 50")
    assert "no session began" in judge(study(*old))[0].reason
    assert judge(study(*old, since=None))[0].reason == ""


def test_an_address_whose_sessions_are_dropped_since_does_not_answer() -> None:
    groups = (
        group("timeout", 3, 1200, 1201, 1202, address="192.0.2.66", new=True),
        group("peer", 1, address="192.0.2.66", new=True),
        group("timeout", 2, 4000, 9000, address="192.0.2.77", new=True),
        group("peer", 9, address="192.0.2.77", new=True),
        group("timeout", 9, 1200, address="192.0.2.88"),
    )
    found = study(*groups)
    assert found.unanswering == ("192.0.2.66",), (
        "a laptop that goes to sleep answers mostly; old sessions had other values"
    )
    silent = judge(found)[-1]
    assert (str(silent.scope), silent.state) == ("192.0.2.66", State.DRIFT)
    assert silent.value == "does not answer keep-alives: 3 of 4 sessions were dropped"
    assert study(*groups, pair="300/0", version="8.1p1").unanswering == (), "there sshd drops clients that answer"


def test_accounts_can_be_hidden_and_counts_stay() -> None:
    log = SessionLog(
        groups=(group("cut", 2, account="alice"), group("peer", 1, account="bob"), group("peer", 1, account="alice")),
        first_at=None, last_at=None, sources=(), unread=(), was_cut=False,
    )  # fmt: skip
    assert [one.account for one in losses.hide_accounts(log).groups] == ["account-1", "account-2", "account-1"]


def test_the_table_names_the_worst_and_draws_the_lengths() -> None:
    found = study(group("timeout", 40, *[300] * 40), group("cut", 1, 5, account="ops"), group("peer", 3))
    assert list(losses.render_table(found)) == [
        "etl from 192.0.2.9: 40 dropped (client did not respond), 3 ended by the client",
        "ops from 192.0.2.9: 1 cut by a reset or a broken connection",
        "     0 s to 10 s # 1",
        "  300 s to 350 s " + "#" * 40 + " 40",
    ]
    many = study(*(group("cut", 1, 5, account=f"u{number}") for number in range(12)))
    assert "and 2 more; --format json names all" in list(losses.render_table(many))


def test_the_history_gets_figures_without_names() -> None:
    found = study(
        group("cut", 2, 350, account="alice"), group("cut", 3, account="bob"), group("timeout", 2, 9, new=True)
    )
    kept = found.without_names()
    assert [(one.account, one.address, one.end, one.is_new, one.n, one.lengths) for one in kept.groups] == [
        ("*", "*", SessionEnd.TIMEOUT, True, 2, ()),
        ("*", "*", SessionEnd.CUT, False, 5, ()),
    ]
    assert (kept.count(), kept.unanswering, found.unanswering) == (7, (), ("192.0.2.9",))


def test_what_only_the_new_values_drop_is_found() -> None:
    found = study(
        group("timeout", 2, 1200, address="192.0.2.66", new=True),
        group("timeout", 1, 1200, address="192.0.2.66", account="ops", new=True),
        group("timeout", 1, 1200, address="192.0.2.77", new=True),
        group("timeout", 1, 300, address="192.0.2.77"),
        group("cut", 1, 300, address="192.0.2.88", new=True),
    )
    (dropped,) = losses.find_newly_dropped(found)
    assert (str(dropped.scope), dropped.state) == ("192.0.2.66", State.DRIFT), "192.0.2.77 was dropped before as well"
    assert dropped.value.startswith("3 sessions dropped since the change")
