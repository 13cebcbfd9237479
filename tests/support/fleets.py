"""Runs over made-up fleets: for the reports, and for their figures in bench/html.py."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from random import Random

from sshd_keepalive.model import (
    Failure,
    Finding,
    Host,
    HostReport,
    PastRun,
    Place,
    Run,
    State,
    Subject,
    Waiver,
)

NOW = datetime(2026, 1, 31, 2, 0, tzinfo=UTC)
GROUPS = ("etl", "web", "db", "batch", "bastion", "kafka", "ml", "edge")
MAIN = "/etc/ssh/sshd_config"
DROP_IN = "/etc/ssh/sshd_config.d/50-cloudimg-settings.conf"
DIFF = """--- /etc/ssh/sshd_config
+++ /etc/ssh/sshd_config
@@ -97,3 +97,3 @@
 #TCPKeepAlive yes
-ClientAliveInterval 0
+ClientAliveInterval 300
 #UseDNS no
"""


def finding(setting: Subject, value: str, wanted: str, place: Place | None, reason: str = "") -> Finding:
    """A finding for everybody."""
    verdict = State.OK if value == wanted else State.DRIFT
    return Finding(
        setting=setting,
        wanted=wanted,
        value=value,
        number=int(value),
        wanted_number=int(wanted),
        state=verdict,
        place=place,
        reason=reason,
    )


def pair(interval: str, count: str, *, path: str = MAIN, line: int = 98) -> tuple[Finding, ...]:
    """Both settings, wanted 300/3."""
    said = "" if interval == "300" else "no keep-alives: a firewall or load balancer may drop idle sessions"
    return (
        finding(Subject.INTERVAL, interval, "300", Place(path=path, line=line), said),
        finding(Subject.COUNT_MAX, count, "3", None),
    )


def a_fleet(n_hosts: int, *, n_past: int = 30, command: str = "check", seed: int = 7) -> Run:
    """A run over a fleet in which most hosts are well, and every other state is there; a plan has diffs, too."""
    random = Random(seed)
    reports = tuple(_hosts(n_hosts, DIFF if command == "plan" else "", random))
    count = {verdict: sum(report.state is verdict for report in reports) for verdict in State}
    past = tuple(_past(n_hosts, n_past, count[State.DRIFT], count[State.WAIVED], random))
    ended = NOW + timedelta(seconds=42)
    return Run(
        id="20260131T020000Z-3f9a1c",
        command=command,
        started_at=NOW,
        ended_at=ended,
        exit_code=3,
        hosts=reports,
        past=past,
    )


def _hosts(n_hosts: int, diff: str, random: Random) -> Iterator[HostReport]:
    for number in range(n_hosts):
        group = GROUPS[number % len(GROUPS)]
        host = Host(name=f"{group}-{number:04}", address=f"10.{number >> 8}.{number & 255}.7", groups=(group, "prod"))
        facts = (("openssh", random.choice(("8.4p1", "9.2p1", "9.6p1"))), ("unit", "ssh.service"))
        dice = random.random()
        if number == 0 or dice < 0.06:
            drift = ("ClientAliveInterval went from 300 to 0", f"{MAIN}:{90 + number % 9} decides now")
            found = pair("0", "3", line=90 + number % 9)
            yield HostReport(
                host=host, state=State.DRIFT, findings=found, diff=diff, changes=drift, facts=facts, seconds_s=0.4
            )
        elif number == 1 or dice < 0.08:
            yield HostReport(host=host, state=State.DRIFT, findings=pair("120", "3", path=DROP_IN, line=1), facts=facts)
        elif number == 2 or dice < 0.09:
            failure = Failure(
                kind="tcp", cause="refused", message=f"{host.address} port 22 refused the connection", hint="is it up?"
            )
            yield HostReport(host=host, state=State.UNREACHABLE, failure=failure)
        elif number == 3 or dice < 0.10:
            waiver = Waiver(reason="vendor appliance, ticket 4711", owner="ops", until=date(2026, 6, 30))
            waived = Host(name=host.name, address=host.address, groups=host.groups, waiver=waiver)
            yield HostReport(host=waived, state=State.WAIVED, findings=pair("0", "3"), facts=facts)
        else:
            yield HostReport(host=host, state=State.OK, findings=pair("300", "3"), facts=facts, seconds_s=0.3)


def _past(n_hosts: int, n_past: int, n_fail: int, n_waived: int, random: Random) -> Iterator[PastRun]:
    for number in range(n_past, 0, -1):
        wrong = min(n_hosts - n_waived, int(n_fail * (1 + number / 8) * random.uniform(0.85, 1.15)))
        unknown = min(n_hosts - n_waived - wrong, random.randrange(1 + n_hosts // 60))
        yield PastRun(
            id=f"past-{number}",
            command="check",
            started_at=NOW - timedelta(days=number),
            counts={
                State.OK: n_hosts - wrong - unknown - n_waived,
                State.DRIFT: wrong,
                State.UNKNOWN: unknown,
                State.WAIVED: n_waived,
            },
        )
