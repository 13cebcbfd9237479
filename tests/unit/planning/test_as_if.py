"""What another release would make of the same files, line by line. tests/sshd asks real servers whether it is so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sshd_keepalive.config import releases
from sshd_keepalive.model import Daemon, Place, State
from sshd_keepalive.planning import as_if
from sshd_keepalive.planning.as_if import Difference, Effect
from sshd_keepalive.sshd_config.reading import read, read_files
from tests.support.snapshots import MAIN, look

GOOD = "ClientAliveInterval 300\nClientAliveCountMax 3\n"
NOTHING = None


def compared(text: str | dict[str, str], now: str, then: str) -> tuple[Difference, ...]:
    files = text if isinstance(text, dict) else {MAIN: text}
    reading = read_files({path: t.encode() for path, t in files.items()}, version=releases.find(now).version)
    return as_if.compare(reading, releases.find(then))


@pytest.mark.parametrize(
    ("text", "now", "then", "instead"),
    [
        ("ClientAliveInterval 300#five\n", "8.6", "8.7", b"ClientAliveInterval 300 #five\n"),
        ("\tClientAliveInterval = +300\r\n", "9.7", "9.8", b"\tClientAliveInterval 300\r\n"),
        ("ClientAliveInterval 300s30\n", "10.2", "10.3", b"ClientAliveInterval 330\n"),
        ("ClientAliveInterval 4294967596\n", "8.4", "8.5", b"ClientAliveInterval 300\n"),
        ("X11Forwarding no#x\n", "8.4", "9.2", b"X11Forwarding no #x\n"),
        ("LoginGraceTime +60\n", "9.7", "9.8", b"LoginGraceTime 60\n"),
        ("MaxAuthTries 4x\n", "7.6", "9.8", b"MaxAuthTries 4\n"),
        ("ClientAliveCountMax -2\n", "7.6", "9.8", None),
        ("Match User = root\n", "9.8", "9.9p2", b"Match User root\n"),
        ("Match User=root\n", "9.8", "9.9p1", b"Match User root\n"),
        ("Match Address 10.0.0.1/8,!10.1.2.3/16\n", "8.3", "8.4", b"Match Address 10.0.0.0/8,!10.1.0.0/16\n"),
        ("Ciphers aes256-ctr,rijndael-cbc@lysator.liu.se\n", "8.4", "8.5", b"Ciphers aes256-ctr\n"),
        ("HostKeyAlgorithms +ssh-dss,ssh-rsa\n", "9.2", "10.0", b"HostKeyAlgorithms +ssh-rsa\n"),
        ("PAMAuthenticationViaKbdInt no\n", "10.3", "10.4", b""),
        ("GSSAPIAuthentication no\n", "10.3", "10.4", NOTHING),
        ("GSSAPIKeyExchange no\n", "debian-13", "debian-sid", NOTHING),
        ("ChannelTimeout *=5m\n", "9.2", "9.1", NOTHING),
        ("Match User root\nPAMServiceName x\n", "10.3", "10.4", NOTHING),
        ("AcceptEnv A=B\n", "8.6", "8.7", b"AcceptEnv A B\n"),
        ("Match User root\nClientAliveInterval 5\nMatch Invalid-User\n", "9.9p2", "9.8", NOTHING),
        ("Include /etc/ssh/none\n", "8.2", "8.1", NOTHING),
    ],
)
def test_a_line_that_is_refused_comes_with_one_that_both_take(
    text: str, now: str, then: str, instead: bytes | None
) -> None:
    (found,) = [d for d in compared(text, now, then) if d.effect is not Effect.BETTER]
    assert (found.effect, found.instead) == (Effect.REFUSED, instead)
    assert found.place == Place(path=MAIN, line=text.rstrip("\r\n").count("\n") + 1)


@pytest.mark.parametrize(
    ("text", "now", "then", "reads", "instead"),
    [
        ("ClientAliveInterval 5m300\n", "8.3", "8.4", ("18300", "600"), b"ClientAliveInterval 18300\n"),
        ("Banner /etc/a#b\n", "8.6", "8.7", ("/etc/a", "/etc/a#b"), b"Banner /etc/a #b\n"),
        ("AllowUsers 'root'\n", "8.7", "8.6", ("root", "'root'"), b"AllowUsers root\n"),
        ("ForceCommand echo a # b\n", "8.6", "8.7", ("echo a", "echo a # b"), b"ForceCommand echo a\n"),
        ("Match User 'root'\n", "9.8", "9.9p2", ("User 'root'", "User root"), b"Match User \"'root'\"\n"),
        ("IPQoS lowdelay cs1\n", "9.9p2", "10.1", ("lowdelay cs1", "ignored cs1"), b"IPQoS 16 cs1\n"),
        ("Include d/*.conf\n", "8.2", "8.4", ("nothing", "/etc/ssh/d/*.conf"), b"Include /etc/ssh/d/*.conf\n"),
    ],
)
def test_a_line_that_is_read_otherwise(text: str, now: str, then: str, reads: tuple[str, str], instead: bytes) -> None:
    found = next(d for d in compared(text, now, then) if d.effect is Effect.CHANGED)
    assert (found.now, found.then) == reads
    assert found.instead == instead


@pytest.mark.parametrize(
    ("text", "now", "then", "effect", "instead"),
    [
        (GOOD, "9.0", "9.2", Effect.CHANGED, b"ClientAliveInterval 150"),
        (GOOD, "debian-12", "debian-13", Effect.BETTER, b"ClientAliveInterval 300"),
        ("ClientAliveInterval 300\nClientAliveCountMax 0\n", "8.1", "8.2", Effect.CHANGED, b"ClientAliveCountMax 3"),
    ],
)
def test_the_same_values_that_do_something_else(text: str, now: str, then: str, effect: Effect, instead: bytes) -> None:
    (found,) = compared(text, now, then)
    assert (found.effect, found.instead) == (effect, instead)


def test_two_lines_of_which_another_one_counts() -> None:
    text = "MaxStartups 5\nMaxStartups 9\nMaxStartups 5\n"
    (found,) = compared(text, "10.0", "10.1")
    assert (found.place, found.instead) == (Place(path=MAIN, line=2), b"")
    assert compared("MaxStartups 5\nMaxStartups 5\n", "10.0", "10.1") == ()


def test_keyboard_interactive_became_one_setting() -> None:
    (found,) = compared("KbdInteractiveAuthentication no\n", "8.6", "8.7")
    assert (found.effect, found.instead) == (Effect.CHANGED, b"ChallengeResponseAuthentication yes")
    both = "ChallengeResponseAuthentication no\nKbdInteractiveAuthentication no\n"
    assert compared(both, "8.6", "8.7") == ()


def test_a_match_block_in_an_included_file_comes_alive() -> None:
    files = {MAIN: f"Include /etc/ssh/a\n{GOOD}", "/etc/ssh/a": "Match User root\nClientAliveInterval 60\n"}
    places = [(d.place, d.effect) for d in compared(files, "8.2", "8.4")]
    assert places[0] == (Place(path="/etc/ssh/a", line=1), Effect.CHANGED)
    assert (Place(path="/etc/ssh/a", line=2), Effect.CHANGED) in places


def test_every_refused_line_is_reported_and_not_only_the_first() -> None:
    text = "ClientAliveInterval 300#x\nMatch User = root\nClientAliveCountMax 3#x\nMatch Address 1.2.3.4/8\n"
    assert [d.place.line for d in compared(text, "8.3", "10.0") if d.place] == [1, 2, 3, 4]


def test_what_cannot_be_determined_is_unknown() -> None:
    """Another vendor's keyword, and one that the present build should not know either."""
    for text, now, then in (
        ("GSSAPIKeyExchange no\n", "debian-13", "10.2"),
        ("GSSAPIKeyExchange no\n", "debian-13", "ubuntu-26.04"),
        ("RequiredRSASize 2048\n", "rhel-9", "9.0"),
    ):
        (found,) = (d for d in compared(text, now, then) if d.effect is not Effect.BETTER)
        assert found.effect is Effect.UNKNOWN, text


def test_stock_files_of_today_are_taken_by_all_later_releases() -> None:
    stock = f"Include /etc/ssh/sshd_config.d/*.conf\n{GOOD}KbdInteractiveAuthentication no\nUsePAM yes\n#PermitTTY no\n"
    stock += "X11Forwarding yes\nPrintMotd no\nAcceptEnv LANG LC_*\nSubsystem sftp /usr/lib/openssh/sftp-server\n"
    for then in ("debian-12", "debian-13", "debian-sid", "ubuntu-26.04", "rhel-10", "alpine-3.24"):
        assert not any(d.effect in (Effect.REFUSED, Effect.UNKNOWN) for d in compared(stock, "8.9", then)), then
        assert then == "debian-12" or compared(stock, "9.6", then) == ()


def test_a_daemon_option_counts_too() -> None:
    snapshot = look({MAIN: GOOD}, version="9.7p1", daemon=Daemon(pid=1, options=("ClientAliveInterval=+300",)))
    (found,) = as_if.compare(read(snapshot), releases.find("9.8"))
    assert found.effect is Effect.REFUSED


def test_a_daemon_option_that_does_something_else_has_no_line_to_write() -> None:
    options = ("ClientAliveInterval=300",)
    snapshot = look({MAIN: "UsePAM yes\n"}, version="9.0p1", daemon=Daemon(pid=1, options=options))
    (found,) = as_if.compare(read(snapshot), releases.find("9.2"))
    assert (found.effect, found.instead) == (Effect.CHANGED, None)


def test_findings_fail_and_what_gets_better_is_a_note() -> None:
    reading = read_files({MAIN: b"ClientAliveInterval 300#x\n"}, version=releases.find("8.4").version)
    (finding,), notes = as_if.judge(reading, releases.find("debian-13"))
    assert (finding.state, finding.value, finding.wanted) == (State.DRIFT, "refused", "accepted")
    assert (str(finding.scope), notes) == ("debian-13 (OpenSSH 10.0p2)", ())
    assert "write instead, for both releases: ClientAliveInterval 300 #x" in finding.reason
    reading = read_files({MAIN: GOOD.encode()}, version=releases.find("debian-12").version)
    found, (note,) = as_if.judge(reading, releases.find("debian-13"))
    assert found == ()
    assert "every 300 s" in note


def test_the_advice_depends_on_what_is_known() -> None:
    text = b"PAMAuthenticationViaKbdInt no\nGSSAPIAuthentication no\nNoSuchKeyword yes\n"
    reading = read_files({MAIN: text}, version=releases.find("10.3").version)
    found, _ = as_if.judge(reading, releases.find("10.4"))
    ends = [finding.reason.rpartition(";")[2].strip() for finding in found]
    assert ends[0] == "delete the line, it is not needed in either release"
    assert ends[1] == "sshd would not start: it has no keyword GSSAPIAuthentication"
    assert (found[2].state, ends[2]) == (
        State.UNKNOWN, "whether OpenSSH 10.4p1 has it is not known: name a distribution, --as-if debian-13",
    )  # fmt: skip


def test_more_refused_lines_than_are_reported_make_the_comparison_unknown() -> None:
    (found,) = compared("ClientAliveInterval 300#x\n" * 201, "8.6", "8.7")
    assert (found.effect, found.place) == (Effect.UNKNOWN, None)
    assert "the files cannot be compared" in found.reason


def test_a_relative_include_that_was_not_looked_up_names_no_file() -> None:
    snapshot = look({MAIN: "Include d/*.conf\n"}, version="8.2p1")
    (found,) = as_if.compare(read(replace(snapshot, globs=())), releases.find("8.4"))
    assert (found.now, found.then) == ("nothing", "/etc/ssh/d/*.conf")


def test_a_file_that_only_the_present_release_includes() -> None:
    files = {MAIN: "Include '/etc/ssh/a'\n", "/etc/ssh/a": "X11Forwarding no\n"}
    first, second = compared(files, "8.7", "8.6")
    assert (first.then, first.instead) == ("/etc/ssh/'/etc/ssh/a'", b"Include /etc/ssh/a\n")
    assert (second.place, second.then) == (Place(path="/etc/ssh/a", line=1), "not read")


@pytest.mark.parametrize(
    ("text", "now", "then", "instead"),
    [
        ("UnusedConnectionTimeout none#x\n", "8.6", "8.7", NOTHING),
        ("LoginGraceTime abc#x\n", "8.6", "8.7", NOTHING),
        ('Banner ""#x\n', "8.6", "8.7", NOTHING),
        ("X11Forwarding no#x\0\n", "8.6", "8.7", NOTHING),
        ("SetEnv A='b c'\n", "8.6", "8.7", NOTHING),
        ("SetEnv A=b#c\n", "8.6", "8.7", b"SetEnv A=b\n"),
        ("Match Address 10.0.0.1/8,x/y\n", "8.3", "8.4", b"Match Address 10.0.0.0/8,x/y\n"),
        ("Match Address 10.0.0.1/8 User 'root'\n", "8.3", "8.4", b"Match Address 10.0.0.0/8 User \"'root'\"\n"),
    ],
)
def test_what_is_suggested(text: str, now: str, then: str, instead: bytes | None) -> None:
    found = [d for d in compared(text, now, then) if d.effect is not Effect.BETTER]
    assert [d.instead for d in found] == [instead], found


def test_files_that_are_refused_now_have_no_differences() -> None:
    assert compared("ClientAliveInterval abc\n", "9.2", "10.0") == ()
