"""What else ends quiet sessions on a host, beside the two keep-alive settings.

A finding is about what ends a job without a terminal; what ends only prompts, or only connections between jobs, is a
note: TMOUT counts at a prompt alone (bash(1)), logind stops sessions by the idle time of their terminal
(logind.conf(5), StopIdleSessionSec), sshd's UnusedConnectionTimeout looks at connections without any channel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from sshd_keepalive.model import BLANK, GLOBAL, CauseName, Dump, Finding, Place, Scope, Snapshot, State, Subject
from sshd_keepalive.scripts import compose
from sshd_keepalive.scripts.records import legible, read_records
from sshd_keepalive.sshd_config.patterns import is_match
from sshd_keepalive.sshd_config.tokens import decode, encode
from sshd_keepalive.sshd_config.values import BadValue, read_seconds
from sshd_keepalive.sshd_config.version import Version

#: The channel types of a job's command, as ChannelTimeout names them: sshd_config(5).
_JOB_CHANNELS: Final = (b"session:command", b"session")
_WORD_BYTES: Final = 16 * 1024  # of each record that is read
_NEVER_USEC: Final = 2**64 - 1
_SYSTEMD_TIMES: Final = Version(9, 2)  # reads 1h30m as systemd does
_TMOUT: Final = re.compile(r"^(?P<path>[^:]+):(?P<line>\d+):.*?TMOUT=(?P<seconds>\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deep:
    """Other settings of a host that end sessions."""

    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    limits: tuple[tuple[CauseName, float], ...] = ()  # with its limit here, seconds


def build_script() -> str:
    """Build the script that reads them."""
    return compose("deep", {})


@legible("its limits")
def judge(stdout: bytes, snapshot: Snapshot, concurrency: int | None = None) -> Deep:
    """Judge the output of the script and of `sshd -T`.

    Args:
        concurrency: sessions that are to run over one connection at once; None: not asked.
    Raises:
        HostError: kind `observe`, the output is cut.
    """
    words = {kind: decode(value[:_WORD_BYTES]) for kind, value in read_records(stdout)}
    findings: list[Finding] = []
    notes: list[str] = []
    limits: list[tuple[CauseName, float]] = []
    version = Version.parse(snapshot.version)
    for dump in (_drop_unapplied(dump, version) for dump in snapshot.answers.values()):
        findings += _judge_dump(dump, version, concurrency)
        notes += _list_notes(dump, version, concurrency)
        with suppress(BadValue):
            if (limit_s := _find_channel_limit(dump, version)) is not None:
                limits.append((CauseName.CHANNEL_TIMEOUT, float(limit_s)))
        if limit_s := _read_seconds(dump.find("unusedconnectiontimeout"), version):
            limits.append((CauseName.UNUSED_CONNECTION, float(limit_s)))
    first = next(iter(snapshot.answers.values()), Dump(context=BLANK))
    facts = {keyword: first.find(keyword) or "" for keyword in ("maxsessions", "maxstartups")}
    if tcp := _find_tcp_keep_alive(words, first):
        facts["tcp_keepalive"] = ", ".join(tcp)
        findings.append(Finding(setting=Subject.TCP_KEEPALIVE, value=tcp[0], state=State.OK))
    for place, limit_s in _list_tmouts(words.get("tmout", "")):
        notes.append(
            f"TMOUT={limit_s} ({place}) ends a shell that waits at its prompt for {limit_s} s; "
            "it never ends a running command"
        )
        limits.append((CauseName.SHELL_TMOUT, float(limit_s)))
    if (idle_s := _find_logind_s(words)) is not None:
        notes.append(
            f"logind's StopIdleSessionSec ends sessions whose terminal is idle for {idle_s} s, also while a command "
            "runs on it; a session without a terminal is not idle"
        )
        limits.append((CauseName.LOGIND, float(idle_s)))
    return Deep(
        findings=tuple(dict.fromkeys(findings)),
        notes=tuple(dict.fromkeys(notes)),
        facts=tuple((name, value) for name, value in facts.items() if value),
        limits=tuple(dict.fromkeys(limits)),
    )


def _drop_unapplied(dump: Dump, version: Version) -> Dump:
    """Drop the settings that sshd prints for a connection but does not apply."""
    if dump.context == BLANK or version.channel_timeout_in_match:
        return dump
    return replace(dump, settings=tuple(pair for pair in dump.settings if pair[0] != "channeltimeout"))


def _judge_dump(dump: Dump, version: Version, concurrency: int | None) -> Iterator[Finding]:
    scope = GLOBAL if dump.context == BLANK else Scope(text=str(dump.context))
    if timeouts := dump.find("channeltimeout"):
        yield _judge_channels(timeouts, dump, version, scope)
    most = dump.find("maxsessions") or ""
    if concurrency is not None and most.isdigit():
        is_enough = int(most) >= concurrency
        yield Finding(
            setting=Subject.MAX_SESSIONS,
            scope=scope,
            wanted=f"at least {concurrency}",
            value=most,
            state=State.OK if is_enough else State.DRIFT,
            reason=""
            if is_enough
            else f"one connection allows at most {most} sessions; set MaxSessions {concurrency} on the host",
        )


def _judge_channels(timeouts: str, dump: Dump, version: Version, scope: Scope) -> Finding:
    finding = Finding(setting=Subject.CHANNEL_TIMEOUT, scope=scope, value=timeouts, state=State.OK)
    try:
        limit_s = _find_channel_limit(dump, version)
    except BadValue:
        return replace(finding, state=State.UNKNOWN, reason="sshd accepts a time there that this program cannot read")
    if limit_s is None:
        return finding
    return replace(
        finding,
        wanted="no timeout for the channel of a job",
        state=State.DRIFT,
        reason=f"a job without output for {limit_s} s loses its channel; keep-alives do not count as data",
    )


def _list_notes(dump: Dump, version: Version, concurrency: int | None) -> Iterator[str]:
    if limit_s := _read_seconds(dump.find("unusedconnectiontimeout"), version):
        yield (
            f"UnusedConnectionTimeout {limit_s}: a connection that a scheduler keeps open between two jobs is closed "
            f"after {limit_s} s, also with keep-alives"
        )
    starts = (dump.find("maxstartups") or "").partition(":")[0]
    if concurrency is not None and starts.isdigit() and int(starts) < concurrency:
        yield (
            f"MaxStartups {dump.find('maxstartups')}: when {concurrency} connections log in at the same time, "
            f"sshd refuses some of those after the first {starts}"
        )


def _find_channel_limit(dump: Dump, version: Version) -> int | None:
    """Find the shortest time after which a job's quiet channel is closed.

    Raises:
        BadValue: the time for a job's channel is none that we know of this release.
    """
    limits = []
    for entry in (dump.find("channeltimeout") or "").split():
        pattern, equals, time = (encode(part) for part in entry.strip('"').partition("="))
        if equals and any(is_match(channel, pattern) for channel in _JOB_CHANNELS):
            limits.append(0 if time == b"none" else read_seconds(time, version))
    return min(filter(None, limits), default=None)


def _read_seconds(time: str | None, version: Version) -> int:
    """Read a time; 0 for none and for what cannot be read."""
    if not time or time == "none":
        return 0
    try:
        return read_seconds(encode(time), version)
    except BadValue:
        return 0


def _list_tmouts(lines: str) -> Iterator[tuple[Place, int]]:
    for match in filter(None, map(_TMOUT.match, lines.splitlines())):
        if int(match["seconds"]) > 0:
            yield Place(path=match["path"], line=int(match["line"])), int(match["seconds"])


def _find_logind_s(words: dict[str, str]) -> int | None:
    """Read `t 900000000` of busctl, in effect; else the last line of its files, which systemd reads in this order."""
    kind, _, usec = words.get("logind", "").strip().partition(" ")
    if kind == "t" and usec.isdigit():
        return None if int(usec) >= _NEVER_USEC else int(usec) // 1_000_000
    for line in reversed(words.get("files", "").splitlines()):
        value = line.partition("StopIdleSessionSec=")[2].strip()
        return None if value in ("", "infinity") else _read_seconds(value.replace("min", "m"), _SYSTEMD_TIMES) or None
    return None


def _find_tcp_keep_alive(words: dict[str, str], dump: Dump) -> tuple[str, ...]:
    """Say `no`, or after which silence the kernel asks, and when it gives up; empty: not known."""
    if dump.find("tcpkeepalive") in ("no", "false"):  # 10.6 prints true and false
        return ("no",)
    numbers = words.get("kernel", "").split()
    if len(numbers) != 3:
        return ()
    time_s, every_s, probes = map(int, numbers)
    lost_s = time_s + probes * every_s
    return f"first after {time_s} s", f"then {probes} every {every_s} s: the connection is closed after {lost_s} s"
