"""What ends a session that did nothing wrong: one row for each killer, with its numbers and their sources.

A killer is recognised by two things: after how many seconds it strikes, and what is heard when it does. sshd and a
reset are heard at once, so the duration is exact. A box that merely forgets a connection is heard later, when
somebody speaks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final


class Sign(Enum):
    """What a line of a log says about the end of a session."""

    LOST = "lost"  # it was gone; nobody says who ended it
    BLAMED = "blamed"  # the product says that the job failed, and leaves open whether its script did
    NO_STATUS = "no_status"  # the command ended without an exit status: the client made up -1 or 255
    CLOSED = "closed"  # the server's side closed it
    RESET = "reset"  # a TCP RST came
    BROKEN = "broken"  # noticed when something was to be sent
    SERVER_GAVE_UP = "server_gave_up"  # sshd: the client does not answer
    CLIENT_GAVE_UP = "client_gave_up"  # the client: the server does not answer
    OWN_LIMIT = "own_limit"  # the product's own time limit
    LOGIND = "logind"
    SHELL_TMOUT = "shell_tmout"
    UNUSED = "unused"  # sshd: UnusedConnectionTimeout
    CHANNEL = "channel"  # sshd: ChannelTimeout
    SERVER_STOPPED = "server_stopped"  # the daemon or the host was going down
    KILLED = "killed"  # the command was ended by a signal, out of memory for one
    NO_LOGIN = "no_login"  # no session came about, so none was killed
    FAILED = "failed"  # the command ended by itself, with a status above 0
    SUCCEEDED = "succeeded"  # with status 0
    STARTED = "started"
    RAN = "ran"  # a duration, nothing more


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A duration at which a killer is known to strike."""

    seconds: float
    where: str  # who sets it


@dataclass(frozen=True, slots=True, kw_only=True)
class Killer:
    """One row. Points are added up; they rank suspects and mean nothing else."""

    name: str  # the word of the JSON report
    title: str
    base: int  # how often it is met, before anything is known
    marks: tuple[Mark, ...] = ()
    fits: int = 35  # for a duration at one of its marks
    round_fits: int = 0  # for a duration that is round but not one of the marks
    signs: Mapping[Sign, int] = field(default_factory=dict)
    needs: frozenset[Sign] = frozenset()  # without one of these signs it is no suspect
    next_step: str = ""  # what to type or do; HOST is replaced


def _marks(where_by_seconds: dict[float, str]) -> tuple[Mark, ...]:
    return tuple(Mark(seconds=seconds, where=where) for seconds, where in where_by_seconds.items())


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
#: (count + 1) x interval for pairs that are met in the wild; twice that on OpenSSH 9.2 to 9.4.
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
    3600.0: "firewalls that forget after an hour",
    7200.0: "a limit of 2 hours",
    7440.0: "NAT as RFC 5382 asks for, 2 hours and 4 minutes",
}

KILLERS: Final[tuple[Killer, ...]] = (
    Killer(
        name="count-zero",
        title="sshd ends every quiet session: ClientAliveCountMax 0 on OpenSSH before 8.2",
        base=20,
        marks=_marks(_ZERO_PAIRS),
        round_fits=12,
        signs=MappingProxyType(
            {
                Sign.LOST: 15,
                Sign.BLAMED: 15,
                Sign.NO_STATUS: 10,
                Sign.CLOSED: 25,
                Sign.SERVER_GAVE_UP: 40,
                Sign.RESET: -10,
                Sign.BROKEN: -5,
                Sign.CLIENT_GAVE_UP: -60,
            }
        ),
        next_step="sshd-keepalive plan HOST",
    ),
    Killer(
        name="dead-client",
        title="sshd gave up on a client that did not answer (count + 1) keep-alives",
        base=5,
        marks=_marks(_DEAD_PAIRS),
        fits=25,
        signs=MappingProxyType({Sign.SERVER_GAVE_UP: 45, Sign.CLIENT_GAVE_UP: 10, Sign.CLOSED: -5}),
        next_step="sshd-keepalive probe HOST",
    ),
    Killer(
        name="idle-limit",
        title="a NAT gateway, load balancer or firewall on the way forgot the quiet connection",
        base=15,
        marks=_marks(_IDLE_LIMITS),
        fits=28,
        round_fits=8,
        signs=MappingProxyType(
            {
                Sign.LOST: 8,
                Sign.BLAMED: 8,
                Sign.NO_STATUS: 5,
                Sign.RESET: 30,
                Sign.BROKEN: 25,
                Sign.CLIENT_GAVE_UP: 35,
                Sign.CLOSED: -10,
                Sign.SERVER_GAVE_UP: 5,
            }
        ),
        next_step="sshd-keepalive probe --find-limit HOST",
    ),
    Killer(
        name="tcp-keepalive",
        title="the kernel's TCP keep-alive found the other side gone",
        base=0,
        # net.ipv4.tcp_keepalive_time 7200, then 9 probes 75 s apart: tcp(7).
        marks=_marks({7875.0: "7200 s and 9 probes, 75 s apart", 7275.0: "7200 s and one answered by a reset"}),
        signs=MappingProxyType({Sign.RESET: 10, Sign.BROKEN: 10, Sign.LOST: 5}),
        next_step="sshd-keepalive plan HOST",
    ),
    Killer(
        name="own-limit",
        title="the scheduler's own maximum duration of the node or task",
        base=2,
        round_fits=10,
        signs=MappingProxyType({Sign.OWN_LIMIT: 95}),
        next_step="raise the node's maximum duration in the scheduler; no host needs a change",
    ),
    Killer(
        name="logind",
        title="systemd-logind: StopIdleSessionSec ended an idle terminal session",
        base=0,
        marks=_marks({900.0: "900 (DISA STIG)", 300.0: "300", 600.0: "600", 1800.0: "1800"}),
        fits=8,
        signs=MappingProxyType({Sign.LOGIND: 95}),
        next_step="sshd-keepalive check --deep HOST",
    ),
    Killer(
        name="shell-tmout",
        title="the shell's TMOUT ended an idle prompt; a command that runs is never ended by it",
        base=0,
        marks=_marks({300.0: "300", 600.0: "600", 900.0: "900 (DISA STIG)", 1800.0: "1800"}),
        fits=8,
        signs=MappingProxyType({Sign.SHELL_TMOUT: 95}),
        next_step="sshd-keepalive check --deep HOST",
    ),
    Killer(
        name="channel-timeout",
        title="sshd's ChannelTimeout closed a channel without data (OpenSSH 9.2 and later)",
        base=0,
        round_fits=5,
        signs=MappingProxyType({Sign.CHANNEL: 95, Sign.LOST: 2, Sign.CLOSED: 3}),
        next_step="sshd-keepalive check --deep HOST",
    ),
    Killer(
        name="unused-connection",
        title="sshd's UnusedConnectionTimeout closed a connection without a session (OpenSSH 9.2 and later)",
        base=0,
        signs=MappingProxyType({Sign.UNUSED: 95}),
        needs=frozenset({Sign.UNUSED}),
        next_step="sshd-keepalive check --deep HOST",
    ),
    Killer(
        name="server-stopped",
        title="sshd's service or the host itself was stopped",
        base=3,
        signs=MappingProxyType({Sign.SERVER_STOPPED: 80, Sign.CLOSED: 10}),
        next_step="look at the host's log of that minute: journalctl -t sshd -t sshd-session, last -x",
    ),
    Killer(
        name="killed",
        title="the command was ended by a signal, by the kernel when memory ran out or by somebody",
        base=0,
        signs=MappingProxyType({Sign.KILLED: 85}),
        needs=frozenset({Sign.KILLED}),
        next_step="look at the host's kernel log of that minute: journalctl -k",
    ),
)


def slack_s(mark_s: float) -> float:
    """How much later than its mark a killer is seen: the login counts, and clocks of logs tick in seconds."""
    return max(3.0, 0.01 * mark_s)


def fitting(killer: Killer, seconds: float) -> Mark | None:
    """The mark of a killer that a duration shows; None: none of them."""
    for mark in killer.marks:
        if -1.0 <= seconds - mark.seconds <= slack_s(mark.seconds):
            return mark
    return None


def is_round(seconds: float) -> bool:
    """Whether a duration is a little more than a whole number of half minutes, as limits that people set are."""
    if seconds < 30:
        return False
    over = seconds % 30
    return over <= min(3.0, 0.01 * seconds + 0.5) or over >= 29.5
