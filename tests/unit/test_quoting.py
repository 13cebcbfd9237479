"""Every value that reaches a shell is one word there, and everything a host says is safe to show."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from sshd_keepalive.model import Host, ServiceChoice
from sshd_keepalive.quoting import printable, quote, quote_bytes
from sshd_keepalive.remote.observe import build_functions
from sshd_keepalive.scripts import survey
from sshd_keepalive.scripts.guard import show_command
from tests.support.shell import argv_of, installed_shells

HOSTILE = [
    "it's",
    "a b",
    "",
    "$(touch never)",
    "`touch never`",
    "-rf",
    "*",
    "a;touch never",
    "a\ntouch never",
    "'; touch never; '",
    "\\",
    "~",
    "~/x",
    "=ls",
    "{a,b}",
    "%self",
    "!x",
    "Zoë",
    "\x1b[2J",
    "'\\''",
    "a" * 20000,
]


@pytest.mark.parametrize("shell", installed_shells())
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:20])
def test_quoted_is_one_word_in_every_shell(shell: str, value: str) -> None:
    script = f"set -- {quote(value)}\nprintf '%s.%s' $# \"$1\"\n"
    done = subprocess.run(argv_of(shell), input=script.encode(), capture_output=True, check=True)
    assert done.stdout == f"1.{value}".encode()


@pytest.mark.parametrize("value", ["web-1.example.com", "a=b", "/var/lib/x@2", "ops@192.0.2.1:22", "10:02+00:00"])
def test_a_word_that_needs_no_quotes_has_none(value: str) -> None:
    assert quote(value) == value


@pytest.mark.parametrize("shell", [shell for shell in ("bash", "zsh", "fish") if shutil.which(shell)])
@pytest.mark.parametrize("value", ["a=b", "=ls", "%self", "~root", "{a,b}", "it's $HOME", "x!!"])
def test_what_is_shown_means_the_same_where_people_paste_it(shell: str, value: str) -> None:
    done = subprocess.run([shell, "-c", f"printf %s {quote(value)}"], capture_output=True, check=True, text=True)
    assert done.stdout == value


def test_bytes_come_through_and_nul_is_refused() -> None:
    content = bytes(range(1, 256))
    script = f"printf %s {quote_bytes(content)}".encode("utf-8", "surrogateescape")
    assert subprocess.run(["dash"], input=script, capture_output=True, check=True).stdout == content
    with pytest.raises(ValueError, match="NUL"):
        quote("a\0b")


@pytest.mark.parametrize("value", [value for value in HOSTILE if value], ids=lambda value: repr(value)[:20])
def test_a_hostile_inventory_cannot_change_what_the_scripts_do(value: str) -> None:
    """The same script with harmless values has the same commands: only quoted words differ."""

    def commands(text: str) -> str:
        service = ServiceChoice(manager="pidfile", pidfile=f"/{text}", unit=text)
        host = Host(name=text, address=text, sshd_config=f"/{text}", sshd=f"/{text}", service=service)
        script = survey.build_script(host, build_functions(service), users=("root",), extra=(f"/{text}",))
        for word in (f"/{text}", text):
            script = script.replace(quote(word), "WORD")
        return script

    assert commands(value) == commands("a word")


def test_what_a_host_says_cannot_move_the_cursor_or_hide() -> None:
    assert printable("a\x1b[2Jb\r\x07\u202e\udcff") == "a\\x1b[2Jb\\x0d\\x07\\u202e\\xff"
    assert printable("two\nlines\tand Zoë") == "two\nlines\tand Zoë"


def test_the_command_that_is_shown_can_be_typed() -> None:
    done = subprocess.run(["dash", "-c", f"sudo() {{ printf '%s|' \"$@\"; }}; {show_command('/var/it s $HOME')}"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout == "sh|/var/it s $HOME/guard.sh|revert|"
