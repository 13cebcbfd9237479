from __future__ import annotations

import pytest

from sshd_keepalive.model import Host
from sshd_keepalive.ssh.errors import LoginCause, clean, make_error, make_shell_error, where

HOST = Host(name="web", address="192.0.2.1", port=2222)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("sudo: a password is required\n", "need-password"),
        ("Sorry, try again.\nsudo: no password was provided\nsudo: 1 incorrect password attempt\n", "bad-password"),
        ("sudo: sorry, you must have a tty to run sudo\n", "sudo-tty"),
        ("nosudo is not in the sudoers file.  This incident will be reported.\n", "sudo-denied"),
        ("Sorry, user ops is not allowed to execute '/bin/sh -s' as root on h.\n", "sudo-denied"),
        ("Sorry, user ops may not run sudo on h.\n", "sudo-denied"),
        ("sudo: interactive authentication is required\n", "need-password"),
        ("sudo: I'm sorry ops. I'm afraid I can't do that\n", "sudo-denied"),
        (
            "sudo: effective uid is not 0, is /usr/bin/sudo on a file system with the 'nosuid' option set\n",
            "sudo-broken",
        ),
        ('sudo: The "no new privileges" flag is set, which prevents sudo from running as root.\n', "sudo-broken"),
        ("doas: Authentication required\n", "doas-denied"),
        ("doas: Operation not permitted\n", "doas-denied"),
        ("This account is currently not available.\n", "no-shell"),
        ("WARNING: Your password has expired.\nPassword change required but no TTY available.\n", "password-expired"),
        ("", "no-shell"),
    ],
)
def test_what_sudo_and_others_say(said: str, cause: str) -> None:
    failure = make_shell_error(HOST, f"motd\n{said}".encode(), ended="exit status 1", became=True)
    assert failure.cause == cause
    assert "web (192.0.2.1:2222)" in str(failure)
    assert failure.hint


def test_without_sudo_its_words_mean_nothing() -> None:
    assert (
        make_shell_error(HOST, b"sudo: a password is required", ended="exit status 1", became=False).cause == "no-shell"
    )


def test_an_unresolvable_own_name_is_not_the_reason() -> None:
    said = b"sudo: unable to resolve host web: Name or service not known\nsudo: a password is required\n"
    assert make_shell_error(HOST, said, ended="exit status 1", became=True).cause == "need-password"


def test_a_phase_belongs_to_the_cause_but_not_to_the_table() -> None:
    failure = make_error(HOST, LoginCause.DEADLINE, phase="kex")
    assert (failure.kind, failure.cause) == ("timeout", "deadline(kex)")


def test_strangers_words_are_made_printable() -> None:
    assert clean("a\x1b[31mred\x07\n\u202eb\tc") == "a [31mred b c"
    assert len(clean("x" * 1000)) == 300


@pytest.mark.parametrize(
    ("host", "text"),
    [
        (Host(name="web", address="192.0.2.1"), "web (192.0.2.1:22)"),
        (Host(name="192.0.2.1", address="192.0.2.1"), "192.0.2.1:22"),
        (Host(name="v6", address="2001:db8::1", port=2222), "v6 ([2001:db8::1]:2222)"),
    ],
)
def test_where(host: Host, text: str) -> None:
    assert where(host) == text
