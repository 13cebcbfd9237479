"""What ends a session, or keeps one from beginning: one row for each cause, with its numbers and their sources.

A cause shows itself by two things: the number of seconds after which the session ends, and what the log says then.
sshd and a TCP reset are noticed at once, so the duration is exact. A firewall that only forgets a connection is
noticed later, when one side sends something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from sshd_keepalive.model import CauseName


class LineKind(Enum):
    """What a line of a log says about the end of a session: the word of the JSON report, and a sentence for people."""

    LOST = "lost", "the session was lost; the line does not say who ended it"
    # The product leaves open whether its script failed.
    BLAMED = "blamed", "the scheduler says that the job failed, but not why"
    NO_STATUS = "no_status", "no exit status arrived; the client reports a substitute"  # the client made up -1 or 255
    CLOSED = "closed", "the server's side closed the connection"
    RESET = "reset", "a TCP reset arrived"
    BROKEN = "broken", "the client noticed the loss only when it sent data"
    SERVER_GAVE_UP = "server_gave_up", "sshd says that the client does not respond"
    CLIENT_GAVE_UP = "client_gave_up", "the client says that the server does not respond"
    OWN_LIMIT = "own_limit", "the scheduler says that its own time limit was reached"
    LOGIND = "logind", "systemd-logind says that it stopped the session"
    SHELL_TMOUT = "shell_tmout", "the shell says that it waited too long for input"
    UNUSED = "unused", "sshd says that the connection had no session"  # UnusedConnectionTimeout
    CHANNEL = "channel", "sshd says that no data passed through the channel"  # ChannelTimeout
    SERVER_STOPPED = "server_stopped", "the daemon or the host was being stopped"
    KILLED = "killed", "the kernel ran out of memory"  # by a signal
    NO_LOGIN = "no_login", "the login failed"  # there was no session, so none was killed
    GRACE_OVER = "grace_over", "sshd says that the time limit for the login expired"  # LoginGraceTime
    PENALISED = "penalised", "sshd says that it blocks this address for a while"  # PerSourcePenalties
    STARTUPS = "startups", "sshd says that too many logins are in progress"  # MaxStartups
    # Penalised or startups: from 9.8 on sshd says the same to both.
    TURNED_AWAY = "turned_away", "sshd says that it does not allow the login at this time"
    FAILED = "failed", "the command itself ended with an exit status"
    SUCCEEDED = "succeeded", "the command ended with exit status 0"
    STARTED = "started", "the session began"
    RAN = "ran", "a duration"

    text: str

    def __new__(cls, word: str, text: str) -> LineKind:
        """Make a member whose value is its word."""
        kind = object.__new__(cls)
        kind._value_, kind.text = word, text
        return kind


#: There was no session, so none was killed.
NO_LOGINS: Final = frozenset(
    {LineKind.NO_LOGIN, LineKind.GRACE_OVER, LineKind.PENALISED, LineKind.STARTUPS, LineKind.TURNED_AWAY}
)
#: A session was lost.
LOSSES: Final = frozenset(LineKind) - NO_LOGINS - {LineKind.STARTED, LineKind.RAN, LineKind.FAILED, LineKind.SUCCEEDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One row."""

    name: CauseName
    title: str
    marks: Mapping[float, str] = field(default_factory=dict)  # seconds after which it ends sessions → who sets them
    next_step: str  # what to type or do; HOST is replaced


#: Intervals that guides, benchmarks and images set together with a count of 0.
_ZERO_PAIRS: Final = {
    300.0: "300/0: the published DataArts Studio case, and the hardening guides ANSSI and CIS for SLE",
    600.0: "600/0: DISA STIG for RHEL 7 and SLE 12",
    900.0: "900/0: PCI-DSS version 3",
    60.0: "60/0",
    120.0: "120/0",
    180.0: "180/0",
    1800.0: "1800/0",
    3600.0: "3600/0",
}
#: (count + 1) x interval for pairs that are in use; twice that on OpenSSH 9.2 to 9.4.
_DEAD_PAIRS: Final = {
    1200.0: "300/3, or 600/1 (DISA STIG)",
    2400.0: "300/3 or 600/1 on OpenSSH 9.2 to 9.4",
    60.0: "15/3 (CIS)",
    480.0: "120/3",
    720.0: "180/3",
    1680.0: "420/3",
    1800.0: "900/1 (PCI-DSS version 4)",
}
#: Idle limits that products document: Azure Load Balancer, AWS NLB and NAT gateway, Google VPC, RFC 5382 REQ-5;
#: 3600 s is what Cisco ASA, Palo Alto, FortiGate and Juniper SRX-class firewalls begin with or are set to.
_IDLE_LIMITS: Final = {
    240.0: "Azure Load Balancer and NAT, 4 minutes",
    300.0: "a limit of 5 minutes, usual on load balancers and firewalls",
    350.0: "AWS Network Load Balancer and NAT gateway",
    600.0: "Google Cloud, 10 minutes",
    900.0: "a limit of 15 minutes, usual on NAT gateways",
    1800.0: "a limit of 30 minutes",
    3600.0: "firewalls with a limit of an hour",
    7200.0: "a limit of 2 hours",
    7440.0: "NAT as RFC 5382 requires, 2 hours and 4 minutes",
}

CAUSES: Final[tuple[Cause, ...]] = (
    Cause(
        name=CauseName.COUNT_ZERO,
        title="sshd ends every quiet session: ClientAliveCountMax 0 on OpenSSH before 8.2",
        marks=_ZERO_PAIRS,
        next_step="sshd-keepalive plan HOST",
    ),
    Cause(
        name=CauseName.DEAD_CLIENT,
        title="sshd dropped a client that did not answer (count + 1) keep-alives",
        marks=_DEAD_PAIRS,
        next_step="sshd-keepalive probe HOST",
    ),
    Cause(
        name=CauseName.IDLE_LIMIT,
        title="a NAT gateway, load balancer or firewall dropped the idle connection",
        marks=_IDLE_LIMITS,
        next_step="sshd-keepalive probe --find-limit HOST",
    ),
    Cause(
        name=CauseName.TCP_KEEPALIVE,
        title="the kernel's TCP keep-alive got no answer from the other side",
        # net.ipv4.tcp_keepalive_time 7200, then 9 probes 75 s apart: tcp(7).
        marks={7875.0: "7200 s and 9 probes, 75 s apart", 7275.0: "7200 s and one answered by a reset"},
        next_step="sshd-keepalive plan HOST",
    ),
    Cause(
        name=CauseName.OWN_LIMIT,
        title="the scheduler's own maximum duration of the node or task",
        next_step="raise the node's maximum duration in the scheduler; do not change a host",
    ),
    Cause(
        name=CauseName.LOGIND,
        title="systemd-logind: StopIdleSessionSec ended an idle terminal session",
        marks={900.0: "900 (DISA STIG)", 300.0: "300", 600.0: "600", 1800.0: "1800"},
        next_step="sshd-keepalive check --deep HOST",
    ),
    Cause(
        name=CauseName.SHELL_TMOUT,
        title="the shell's TMOUT ended an idle prompt; it never ends a running command",
        marks={300.0: "300", 600.0: "600", 900.0: "900 (DISA STIG)", 1800.0: "1800"},
        next_step="sshd-keepalive check --deep HOST",
    ),
    Cause(
        name=CauseName.CHANNEL_TIMEOUT,
        title="sshd's ChannelTimeout closed a channel without data (OpenSSH 9.2 and later)",
        next_step="sshd-keepalive check --deep HOST",
    ),
    Cause(
        name=CauseName.UNUSED_CONNECTION,
        title="sshd's UnusedConnectionTimeout closed a connection without a session (OpenSSH 9.2 and later)",
        next_step="sshd-keepalive check --deep HOST",
    ),
    Cause(
        name=CauseName.SERVER_STOPPED,
        title="sshd's service or the host itself was stopped",
        next_step="read the host's log of that minute: journalctl -t sshd -t sshd-session; last -x",
    ),
    Cause(
        name=CauseName.KILLED,
        title="a signal ended the command: from the kernel, out of memory, or from a person or program",
        next_step="read the host's kernel log of that minute: journalctl -k",
    ),
    Cause(
        name=CauseName.LOGIN_GRACE,
        title="sshd's LoginGraceTime expired before the login succeeded; no session was killed",
        marks={120.0: "LoginGraceTime 120, the default", 60.0: "60 (CIS)", 30.0: "30"},
        next_step="find out why the login takes so long: sshd-keepalive check -v HOST",
    ),
    Cause(
        name=CauseName.MAX_STARTUPS,
        title="sshd refused the login: too many logins at once (MaxStartups)",
        next_step="start fewer logins at once, or raise MaxStartups in sshd_config; this shows the limit: "
        "sshd-keepalive check --deep --concurrency 20 HOST",
    ),
    Cause(
        name=CauseName.SOURCE_PENALTY,
        title="sshd blocks this address for a while: PerSourcePenalties (OpenSSH 9.8 and later)",
        next_step="wait a minute; then read the failed logins in the host's log, and see PerSourcePenaltyExemptList",
    ),
)


def compute_slack_s(mark_s: float) -> float:
    """How much later than its mark a cause is seen: the login counts, and clocks of logs tick in seconds."""
    return max(3.0, 0.01 * mark_s)


def is_at_limit(seconds: float, limit_s: float) -> bool:
    """Whether a session that lasted so long ended at a limit."""
    return -1.0 <= seconds - limit_s <= compute_slack_s(limit_s)


def find_mark(cause: Cause, seconds: float) -> float | None:
    """Give the mark of a cause that a duration shows; None: none of them."""
    return next((mark_s for mark_s in cause.marks if is_at_limit(seconds, mark_s)), None)
