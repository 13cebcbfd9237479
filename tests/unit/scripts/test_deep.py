"""Other killers: what counts as one for a job, and what is only told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sshd_keepalive.model import Context, Dump, Host, Snapshot, State
from sshd_keepalive.scripts import deep
from sshd_keepalive.sshd_config.version import Version


def snapshot(**values: str) -> Snapshot:
    return Snapshot(
        host=Host(name="one", address="192.0.2.1"),
        taken_at=datetime(2026, 1, 31, tzinfo=UTC),
        version="9.6p1",
        files=(),
        globs=(),
        dumps=(Dump(context=Context(), settings=tuple(values.items())),),
        daemon=None,
    )


def said(**words: str) -> bytes:
    return b"".join(b"%s %d\n%s\n" % (k.encode(), len(v.encode()), v.encode()) for k, v in words.items())


@pytest.mark.parametrize(
    ("channeltimeout", "limit_s"),
    [
        ("none", None),
        ("session=300", 300),
        ("session:command=5m", 300),
        ("session:*=1h", 3600),
        ("*=10m", 600),
        ("x11-connection=5m", None),
        ("session:shell=5m", None),  # a prompt is not a job
        ("agent-connection=1m session*=90", 90),
        ("session=0", None),
    ],
)
def test_a_channel_timeout_that_a_job_can_meet_is_a_finding(channeltimeout: str, limit_s: int | None) -> None:
    found = deep.judge(b"", snapshot(channeltimeout=channeltimeout))
    (finding,) = found.findings
    assert (finding.setting, finding.value) == ("ChannelTimeout", channeltimeout)
    assert finding.state is (State.OK if limit_s is None else State.DRIFT)
    if limit_s is not None:
        assert f"without output for {limit_s} s" in finding.reason
        assert ("channel-timeout", limit_s) in found.limits


@pytest.mark.parametrize(
    ("version", "time", "state"),
    [
        ("10.3p1", "300.5", State.DRIFT),  # fractions came with 10.3
        ("10.2p1", "300.5", State.UNKNOWN),
        ("10.3p1", "1f", State.UNKNOWN),
        ("10.3p1", "none", State.OK),
    ],
)
def test_a_channel_timeout_that_cannot_be_read_is_never_ok(version: str, time: str, state: State) -> None:
    asked = replace(snapshot(channeltimeout=f"session={time}"), version=version)
    (finding,) = deep.judge(b"", asked).findings
    assert finding.state is state


@pytest.mark.parametrize(("version", "limit_s"), [("10.4p1", None), ("10.5p1", 300)])
def test_a_channel_timeout_inside_match_counts_from_the_release_that_applies_it(
    version: str, limit_s: int | None
) -> None:
    """Before 10.5 `sshd -T -C` prints it, and no channel is ever closed."""
    inside = Dump(context=Context(user="etl"), settings=(("channeltimeout", "session=300"),))
    everybody = Dump(context=Context(), settings=(("channeltimeout", "none"),))
    found = deep.judge(b"", replace(snapshot(), version=version, dumps=(everybody, inside)))
    assert [limit for name, limit in found.limits if name == "channel-timeout"] == [limit_s] * (limit_s is not None)
    assert (State.DRIFT in {finding.state for finding in found.findings}) is (limit_s is not None)


@pytest.mark.parametrize(("told", "is_off"), [("no", True), ("false", True), ("yes", False), ("true", False)])
def test_tcp_keep_alive_is_reported_in_the_words_of_every_release(told: str, is_off: bool) -> None:
    found = deep.judge(said(kernel="7200 9 75 "), snapshot(tcpkeepalive=told))
    assert (dict(found.facts)["tcp_keepalive"] == "no") is is_off


@pytest.mark.parametrize(("most", "n", "is_wrong"), [("10", 10, False), ("10", 11, True), ("1", None, False)])
def test_max_sessions_counts_against_the_concurrency_asked_about(most: str, n: int | None, is_wrong: bool) -> None:
    found = deep.judge(b"", snapshot(maxsessions=most), n)
    wanted = [] if n is None else [State.DRIFT if is_wrong else State.OK]
    assert [finding.state for finding in found.findings] == wanted


def test_what_ends_prompts_only_is_reported_but_no_finding() -> None:
    found = deep.judge(
        said(
            tmout="/etc/profile.d/tmout.sh:3:readonly TMOUT=900\n/etc/profile:9:TMOUT=0\n",
            logind="t 900000000",
            kernel="7200 75 9 ",
        ),
        snapshot(unusedconnectiontimeout="5m"),
    )
    assert [(f.setting, f.value, f.state) for f in found.findings] == [("TCPKeepAlive", "first after 7200 s", State.OK)]
    assert len(found.notes) == 3
    assert dict(found.limits) == {"shell-tmout": 900, "logind": 900, "unused-connection": 300}
    assert "7875 s" in dict(found.facts)["tcp_keepalive"]


@pytest.mark.parametrize(
    ("logind", "files", "limit_s"),
    [
        ("t 18446744073709551615", "/etc/systemd/logind.conf:1:StopIdleSessionSec=900", None),  # in effect beats files
        ("", "/a:1:StopIdleSessionSec=infinity\n/b:1:StopIdleSessionSec=15min\n", 900),
        ("", "", None),
        ("Failed to connect", "", None),
    ],
)
def test_logind_says_what_is_in_effect(logind: str, files: str, limit_s: int | None) -> None:
    found = deep.judge(said(logind=logind, files=files), snapshot())
    assert dict(found.limits).get("logind") == limit_s


def test_logins_at_the_same_moment_are_counted_against_max_startups() -> None:
    dump = snapshot(maxstartups="10:30:100", unusedconnectiontimeout="soon").dumps[0]
    assert "MaxStartups 10:30:100: when 20 connections" in "".join(deep._list_notes(dump, Version(9, 6), 20))
    assert list(deep._list_notes(dump, Version(9, 6), 5)) == []


def test_keep_alives_of_tcp_that_are_off_are_reported() -> None:
    assert deep._find_tcp_keep_alive({"kernel": "7200 75 9"}, snapshot(tcpkeepalive="no").dumps[0]) == ("no",)
