"""What the sessions in the log of a host show: who loses sessions, after which time, and which cause fits.

sshd logs a session that it drops itself, and one that a reset ends. Where the log gives no reason, the session may have
been cut or have ended by itself: it does not count as lost, and only a length that many of them share is reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Final

from sshd_keepalive.diagnosis.causes import LineKind, compute_slack_s
from sshd_keepalive.diagnosis.rules import Evidence, Known, PossibleCause, find_causes
from sshd_keepalive.model import (
    Finding,
    LossCluster,
    Losses,
    Scope,
    SessionEnd,
    SessionGroup,
    State,
    Subject,
)
from sshd_keepalive.scripts.losses import SessionLog
from sshd_keepalive.spelling import cut_lines, write_count

#: Idle limits that load balancers, gateways and guides share; those of the host come beside them.
_LIMITS_S: Final = (240, 300, 350, 600, 900, 1200, 1800, 3600, 7200)
_ABOVE_S: Final = 10_000  # longer ones are rounded
_LEAST: Final = 3  # sessions of one length that are no accident
_TIMES: Final = 3  # so many more than beside it
_LOST: Final = (SessionEnd.TIMEOUT, SessionEnd.CUT)
#: What the log says at the end of such a session, for the rules.
_KINDS: Final = {
    SessionEnd.TIMEOUT: LineKind.SERVER_GAVE_UP,
    SessionEnd.CUT: LineKind.RESET,
    SessionEnd.UNKNOWN: LineKind.LOST,
}
_ENDINGS: Final = {
    SessionEnd.TIMEOUT: "dropped (client did not respond)",
    SessionEnd.CUT: "cut by a reset or a broken connection",
    SessionEnd.UNKNOWN: "ended without a reason in the log",
    SessionEnd.PEER: "ended by the client",
    SessionEnd.HOST: "ended by the host",
    SessionEnd.OPEN: "without an end in the log",
}
#: The same after a length that many share.
_ENDINGS_AFTER: Final = {
    SessionEnd.TIMEOUT: "were dropped after {} s (client did not respond)",
    SessionEnd.CUT: "were cut after {} s by a reset or a broken connection",
    SessionEnd.UNKNOWN: "ended after {} s without a reason in the log",
}
#: Where the rows of the histogram begin, seconds; every limit begins one.
_EDGES_S: Final = (0, 10, 60, 120, *_LIMITS_S[:3], 420, 600, 720, 900, 1020, 1200, 1320, 1800, 2400, 3600, 3720, 7200)
_EDGES_ABOVE_S: Final = (7500, 14400, 43200, 86400)
_WIDTH: Final = 40
_MOST_NAMED: Final = 10


def study(log: SessionLog, *, days: int, known: Known | None, name: str) -> Losses:
    """Find the lengths that many lost sessions share, and the addresses whose clients do not answer.

    Args:
        known: what the host does to quiet sessions now; None: its configuration could not be read.
        name: of the host, for the next steps.
    """
    return Losses(
        days=days,
        first_at=log.first_at,
        last_at=log.last_at,
        in_effect_since=log.in_effect_since,
        run_id=log.run_id,
        groups=log.groups,
        clusters=tuple(_find_clusters(log.groups, known, name)),
        unanswering=tuple(_find_unanswering(log.groups, known)),
        was_cut=log.was_cut or log.n_left_out > 0,
    )


def hide_accounts(log: SessionLog) -> SessionLog:
    """Replace the names of accounts by numbers."""
    names = dict.fromkeys(group.account for group in log.groups)
    numbers = {name: f"account-{number}" for number, name in enumerate(names, 1)}
    return replace(log, groups=tuple(replace(group, account=numbers[group.account]) for group in log.groups))


def judge(losses: Losses) -> Iterator[Finding]:
    """Make the findings: how many were lost, then each length, then each address."""
    n, n_lost, n_new = losses.count(), losses.count(*_LOST), losses.count(*_LOST, is_new=True)
    parts = [f", {count} {_ENDINGS[end]}" for end in _LOST if (count := losses.count(end))]
    state = State.DRIFT if n_lost else State.OK
    if not n or (losses.was_cut and not n_lost):
        state = State.UNKNOWN
    if _has_stopped(losses, n_lost - n_new, n_new):
        state = State.OK
    yield Finding(
        setting=Subject.LOST_SESSIONS,
        value=f"{n_lost} of {n} in {losses.days} days" + "".join(parts),
        state=state,
        reason=_describe_since(losses, n_lost - n_new, n_new) if n_lost else "",
    )
    for cluster in losses.clusters:
        yield _build_finding(losses, cluster)
    for address in losses.unanswering:
        n_dropped = losses.count(SessionEnd.TIMEOUT, is_new=True, address=address)
        n_new = losses.count(is_new=True, address=address)
        yield Finding(
            setting=Subject.SILENT_CLIENT,
            scope=Scope(text=address),
            wanted="answers keep-alives",
            value=f"does not answer keep-alives: {n_dropped} of {n_new} sessions were dropped",
            state=State.DRIFT,
            reason="upgrade the client, or raise ClientAliveCountMax for it: how-to/find-out-who-loses-sessions",
        )


def find_newly_dropped(losses: Losses) -> Iterator[Finding]:
    """Name the addresses whose sessions are dropped with the values in effect, and were not before."""
    old = {group.address for group in losses.groups if group.end is SessionEnd.TIMEOUT and not group.is_new}
    new: Counter[str] = Counter()
    for group in losses.groups:
        if group.end is SessionEnd.TIMEOUT and group.is_new and group.address not in old:
            new[group.address] += group.n
    for address, n in sorted(new.items()):
        yield Finding(
            setting=Subject.SILENT_CLIENT,
            scope=Scope(text=address),
            value=f"{write_count(n, 'session')} dropped since the change, none before: the client did not respond",
            state=State.DRIFT,
        )


def _has_stopped(losses: Losses, n_old: int, n_new: int) -> bool:
    """Whether losses came to an end with the values in effect, and not only because few sessions began since.

    With the old share, three lost ones or more would be expected by now.
    """
    return n_new == 0 and n_old * losses.count(is_new=True) >= _LEAST * max(1, losses.count(is_new=False))


def _build_finding(losses: Losses, cluster: LossCluster) -> Finding:
    accounts = write_count(cluster.n_accounts, "account")
    state = State.UNKNOWN if cluster.end is SessionEnd.UNKNOWN else State.DRIFT
    if _has_stopped(losses, cluster.n - cluster.n_new, cluster.n_new):
        state = State.OK
    since = _describe_since(losses, cluster.n - cluster.n_new, cluster.n_new)
    return Finding(
        setting=Subject.LOST_SESSIONS,
        scope=Scope(text=f"{cluster.limit_s} s"),
        value=f"{cluster.n} sessions of {accounts} {_ENDINGS_AFTER[cluster.end].format(cluster.limit_s)}",
        state=state,
        reason="; ".join(filter(None, (since, cluster.cause and f"{cluster.likelihood}: {cluster.cause}"))),
    )


def _describe_since(losses: Losses, n_old: int, n_new: int) -> str:
    """Describe `before run 20261121T080000Z-3f9a1c (2026-11-21 08:00 UTC): 37; since: none of 120 sessions`."""
    if losses.in_effect_since is None:
        return ""
    n_sessions = losses.count(is_new=True)
    since = f"{n_new or 'none'} of {n_sessions} sessions" if n_sessions else "no session began"
    at = f"{losses.in_effect_since:%Y-%m-%d %H:%M} UTC"
    effect = f"run {losses.run_id} ({at})" if losses.run_id else f"{at}, when sshd read its values"
    return f"before {effect}: {n_old}; since: {since}"


# ----------------------------------------------------------------------------------------------- lengths


def _find_clusters(groups: Iterable[SessionGroup], known: Known | None, name: str) -> Iterator[LossCluster]:
    for end, kind in _KINDS.items():
        ended = [group for group in groups if group.end is end]
        lengths: Counter[int] = Counter()
        for group in ended:
            lengths.update(dict(group.lengths))
        for limit_s, next_s in pairwise((*_list_limits_s(known), _ABOVE_S)):
            low, high = limit_s - 1, min(limit_s + int(compute_slack_s(limit_s)), next_s - 2)
            width = high - low + 1
            n = _count_between(lengths, low, high)
            beside = _count_between(lengths, low - width, low - 1) + _count_between(lengths, high + 1, high + width)
            if n < _LEAST or 2 * n < _TIMES * beside:
                continue
            inside = [group for group in ended if any(low <= seconds <= high for seconds, _ in group.lengths)]
            n_new = sum(count for g in inside if g.is_new for seconds, count in g.lengths if low <= seconds <= high)
            cause = _find_cause(kind, limit_s, known if n_new else None, name)
            yield LossCluster(
                limit_s=limit_s,
                end=end,
                n=n,
                n_new=n_new,
                n_accounts=len({group.account for group in inside}),
                cause=cause.title if cause else "",
                likelihood=cause.likelihood.value if cause else "",
                next_step=cause.next_step if cause else "",
            )


def _count_between(lengths: Counter[int], low: int, high: int) -> int:
    return sum(lengths[seconds] for seconds in range(max(0, low), high + 1))


def _list_limits_s(known: Known | None) -> list[int]:
    """List the limits to compare lengths with: usual ones, and those of the values that the host has now."""
    limits = set(_LIMITS_S)
    if known is not None and known.interval_s > 0:
        effect = known.consequence
        limits |= {known.interval_s, known.interval_s * known.count_max}
        limits |= {limit for limit in (effect.alive_dropped_after_s, effect.dead_dropped_after_s) if limit}
    return sorted(limit for limit in limits if 1 < limit < _ABOVE_S)


def _find_cause(kind: LineKind, limit_s: int, known: Known | None, name: str) -> PossibleCause | None:
    evidence = Evidence(
        kinds=frozenset({kind}), measured_s=(float(limit_s),), has_terminal=True, known=known, host=name
    )
    return next(find_causes(evidence, was_killed=True), None)


def _find_unanswering(groups: Iterable[SessionGroup], known: Known | None) -> Iterator[str]:
    """Addresses most of whose sessions are dropped though sshd asks before it drops; twice at least."""
    if known is None or known.consequence.alive_dropped_after_s:
        return
    dropped: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for group in groups:
        if group.is_new and group.end is not SessionEnd.OPEN:
            ended[group.address] += group.n
            dropped[group.address] += group.n * (group.end is SessionEnd.TIMEOUT)
    yield from sorted(address for address, n in dropped.items() if n >= 2 and 2 * n >= ended[address])


# ------------------------------------------------------------------------------------------------- shown


def render_table(losses: Losses) -> Iterator[str]:
    """Render who lost sessions, most first, and how long the lost ones had lasted."""
    of: dict[tuple[str, str], Counter[SessionEnd]] = {}
    for group in losses.groups:
        of.setdefault((group.account, group.address), Counter())[group.end] += group.n
    lost = {who: sum(ends[end] for end in _LOST) for who, ends in of.items()}
    ranked = sorted((who for who in of if lost[who]), key=lambda who: (-lost[who], who))
    lines = []
    for who in ranked:
        counts = ", ".join(f"{of[who][end]} {_ENDINGS[end]}" for end in SessionEnd if of[who][end])
        lines.append(f"{' from '.join(who)}: {counts}")
    yield from cut_lines(lines, _MOST_NAMED, "and {n} more; --format json names all")
    yield from _render_histogram(losses)


def _render_histogram(losses: Losses) -> Iterator[str]:
    lengths: Counter[int] = Counter()
    for group in losses.groups:
        if group.end in _LOST:
            lengths.update(dict(group.lengths))
    rows = []
    for low, high in pairwise((*_EDGES_S, *_EDGES_ABOVE_S, 1 << 62)):
        if n := sum(count for seconds, count in lengths.items() if low <= seconds < high):
            rows.append((f"{low} s to {high} s" if high < 1 << 62 else f"{low} s or more", n))
    most = max((n for _, n in rows), default=1)
    for label, n in rows:
        yield f"{label:>16} {'#' * max(1, _WIDTH * n // most)} {n}"
