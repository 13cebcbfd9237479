"""The framing of scripts, run by the shells of this machine, with stand-ins for id, sudo and doas."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sshd_keepalive.ssh.framing import CAP_BYTES, NOISE_BYTES, Exchange, Way
from tests.support.shell import LocalShell, installed_shells, write_command

SHELLS = installed_shells()
BEGIN = b"\nSKA1 BEGIN n0\n"
SCRIPT = 'cat; cd /; printf "%s|" "it\'s" "a\\b" \'$HOME `id`\'; echo err >&2; exit 7'
PRINTED = b"it's|a\\b|$HOME `id`|err\n"

#: sudo(8) as far as we use it: -n, -S -k -p PROMPT; asks three times for the password "good".
SUDO = r"""
echo "sudo $*" >>"$HOME/log"
while :; do
  case $1 in
  -n) n=1 ;; -S) s=1 ;; -k) ;; -p) shift; prompt=$1 ;; *) break ;;
  esac
  shift
done
if [ -e "$HOME/nopasswd" ]; then exec "$@"; fi
[ -z "$n" ] || { echo "sudo: a password is required" >&2; exit 1; }
echo "We trust you have received the usual lecture." >&2
for try in 1 2 3; do
  printf %s "$prompt" >&2
  IFS= read -r pw || { echo "sudo: no password was provided" >&2; exit 1; }
  echo "password $pw" >>"$HOME/log"
  [ "$pw" != "good one" ] || exec "$@"
  echo "Sorry, try again." >&2
done
exit 1
"""


@pytest.fixture
def fence(tmp_path: Path) -> Path:
    fence = tmp_path / "fence"
    write_command(fence, "id", "echo 1000")
    write_command(fence, "sudo", SUDO)
    return fence


def log_of(fence: Path) -> str:
    return (fence.parent / "log").read_text()


@pytest.mark.parametrize("shell", SHELLS)
def test_plain(shell: str, tmp_path: Path) -> None:
    done = LocalShell(shell=shell, folder=tmp_path).run(SCRIPT, timeout_s=30)
    assert (done.stdout, done.status, done.ended) == (PRINTED, 7, True)


@pytest.mark.parametrize("shell", SHELLS)
def test_root_runs_directly(shell: str, tmp_path: Path, fence: Path) -> None:
    write_command(fence, "id", "echo 0")
    done = LocalShell(shell=shell, fence=fence, folder=tmp_path, way=Way.ROOT).run(SCRIPT, timeout_s=30)
    assert (done.stdout, done.status) == (PRINTED, 7)
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_sudo_without_a_password_gets_the_script_on_standard_input(shell: str, tmp_path: Path, fence: Path) -> None:
    (tmp_path / "nopasswd").touch()
    done = LocalShell(shell=shell, fence=fence, folder=tmp_path, way=Way.ROOT).run(SCRIPT, timeout_s=30)
    assert (done.stdout, done.status) == (PRINTED, 7)
    assert log_of(fence) == "sudo -n sh -s\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_sudo_with_a_password(shell: str, tmp_path: Path, fence: Path) -> None:
    local = LocalShell(shell=shell, fence=fence, folder=tmp_path, way=Way.PASSWORD, password="good one")
    done = local.run(SCRIPT, timeout_s=30)
    assert (done.stdout, done.status) == (PRINTED, 7)
    assert b"lecture" in done.noise
    assert local.exchanges[0].dialogue.accepted
    assert log_of(fence).count("password good one") == 1
    assert "it's" not in log_of(fence)


def test_a_wrong_password_is_one_attempt(tmp_path: Path, fence: Path) -> None:
    local = LocalShell(fence=fence, folder=tmp_path, way=Way.PASSWORD, password="bad")
    done = local.run("echo never", timeout_s=30)
    exchange = local.exchanges[0]
    assert (done.begun, exchange.dialogue.rejected, exchange.dialogue.accepted, exchange.sent) == (
        False,
        True,
        False,
        False,
    )
    assert log_of(fence).count("password ") == 1


def test_a_password_that_is_not_needed_is_not_sent(tmp_path: Path, fence: Path) -> None:
    (tmp_path / "nopasswd").touch()
    local = LocalShell(fence=fence, folder=tmp_path, way=Way.PASSWORD, password="good one")
    assert local.run("echo fine", timeout_s=30).stdout == b"fine\n"
    assert "password" not in log_of(fence).lower().replace("ska1 password", "")


def test_a_prompt_of_pam_is_answered(tmp_path: Path, fence: Path) -> None:
    write_command(fence, "sudo", SUDO.replace('"$prompt" >&2', '"LDAP Password: " >&2'))
    local = LocalShell(fence=fence, folder=tmp_path, way=Way.PASSWORD, password="good one")
    assert local.run("echo fine", timeout_s=30).stdout == b"fine\n"


def test_another_question_is_not_answered(tmp_path: Path, fence: Path) -> None:
    write_command(fence, "sudo", SUDO.replace('"$prompt" >&2', '"One-time code: " >&2'))
    local = LocalShell(fence=fence, folder=tmp_path, way=Way.PASSWORD, password="good one")
    assert not local.run("echo never", timeout_s=0.3).begun
    assert "password" not in log_of(fence).lower().replace("ska1 password", "")


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("before", [b"", b"\n", b"\nSKA1 SUDO n0\n"])
def test_an_echo_of_what_we_send_is_no_prompt(size: int, before: bytes) -> None:
    """Whole, cut anywhere, and behind a sudo that was met."""
    exchange = Exchange("echo never", way=Way.PASSWORD, nonce="n0")
    echo = before + exchange.start()
    for at in range(0, len(echo), size):
        assert exchange.feed(echo[at : at + size]) == b""
        assert not exchange.dialogue.asks
    assert not exchange.is_missing_sudo


@pytest.mark.parametrize(
    "said",
    [
        b"SKA1 PASSWORD n0",  # before sudo was met
        b"\nSKA1 SUDO n0\n+ sudo -p 'SKA1 PASSWORD n0",
        b"\nSKA1 SUDO n0\nSKA1 PASSWORD n0 sh -c",
        b"\nSKA1 SUDO n0\nSKA1 PASSWORD n1",
        b"\nSKA1 SUDO n1\nSKA1 PASSWORD n0",
        b"\nSKA1 SUDO n0\n[sudo: SKA1 PASSWORD n0",
    ],
)
def test_what_only_resembles_the_prompt_is_not_answered(said: bytes) -> None:
    exchange = Exchange("echo never", way=Way.PASSWORD, nonce="n0")
    exchange.feed(said)
    assert not exchange.dialogue.asks


@pytest.mark.parametrize("prompt", [b"SKA1 PASSWORD n0", b"[sudo: SKA1 PASSWORD n0] Password: ", b"LDAP Password: "])
def test_the_second_prompt_is_a_refusal(prompt: bytes) -> None:
    exchange = Exchange("echo never", way=Way.PASSWORD, nonce="n0")
    exchange.feed(b"\nSKA1 SUDO n0\nWe trust you have received the usual lecture.\n" + prompt)
    assert exchange.dialogue.asks
    exchange.dialogue.asks = False
    exchange.feed(b"\nSorry, try again.\n" + prompt)
    assert (exchange.dialogue.asks, exchange.dialogue.rejected, exchange.sends_more) == (False, True, False)
    assert b"SKA1 PASSWORD" not in exchange.noise


def test_no_pattern_is_compiled_for_one_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(re, "compile", lambda *_: pytest.fail("compiled once more"))
    for nonce in ("n0", "n1"):
        exchange = Exchange("", way=Way.PASSWORD, nonce=nonce)
        exchange.feed(f"\nSKA1 SUDO {nonce}\nSKA1 PASSWORD {nonce}".encode())
        assert exchange.dialogue.asks


@pytest.mark.parametrize("way", [Way.ROOT, Way.PASSWORD])
def test_neither_sudo_nor_doas(tmp_path: Path, way: Way) -> None:
    fence = tmp_path / "fence"
    write_command(fence, "id", "echo 1000")
    write_command(fence, "sh", 'exec /bin/sh "$@"')
    local = LocalShell(shell="/bin/sh", fence=fence, path="/nowhere", folder=tmp_path, way=way)
    local.run("echo never", timeout_s=30)
    assert local.exchanges[0].is_missing_sudo


@pytest.mark.parametrize(("way", "argv"), [(Way.ROOT, "-n sh -s"), (Way.DOAS, "-n sh -s"), (Way.PASSWORD, "-n sh -c")])
def test_doas_in_place_of_sudo(tmp_path: Path, way: Way, argv: str) -> None:
    fence = tmp_path / "fence"
    write_command(fence, "id", "echo 1000")
    write_command(fence, "sh", 'exec /bin/sh "$@"')
    write_command(fence, "doas", 'echo "doas $*" >>"$HOME/log"; shift; exec "$@"')
    local = LocalShell(shell="/bin/sh", fence=fence, path="/nowhere", folder=tmp_path, way=way)
    assert local.run("echo fine", timeout_s=30).stdout == b"fine\n"
    assert log_of(fence).startswith(f"doas {argv}")


def test_a_cut_transmission_runs_nothing(tmp_path: Path) -> None:
    import subprocess

    for way in (Way.PLAIN, Way.ROOT):
        text = Exchange("touch ran", way=way, nonce="n0").start()
        last_line = text.rindex(b"\n", 0, -1) + 1
        for cut in [*range(0, last_line, 7), last_line, last_line + len("mai")]:
            subprocess.run(["sh", "-s"], input=text[:cut], cwd=tmp_path, capture_output=True, check=False)
        assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("way", [Way.PLAIN, Way.ROOT, Way.PASSWORD])
def test_one_shell_serves_several_scripts(shell: str, way: Way, tmp_path: Path, fence: Path) -> None:
    """What one of them does to its shell, the next one does not see."""
    write_command(fence, "id", "echo 0")
    scripts = ["echo one; cd /; exit 3", "echo two; rests=; nonce=x; set -f; exec 1>&-", "echo three *; pwd"]
    with LocalShell(shell=shell, fence=fence, folder=tmp_path, way=way).resting() as local:
        done = [local.run(script, timeout_s=30) for script in scripts]
    assert [(one.stdout, one.status) for one in done[:2]] == [(b"one\n", 3), (b"two\n", 0)]
    assert done[2].stdout == f"three fence\n{tmp_path}\n".encode()
    assert local.n_started == 1


@pytest.mark.parametrize("shell", SHELLS)
def test_a_child_of_the_pipe_to_sudo_serves_one(shell: str, tmp_path: Path, fence: Path) -> None:
    (tmp_path / "nopasswd").touch()
    with LocalShell(shell=shell, fence=fence, folder=tmp_path, way=Way.ROOT).resting() as local:
        assert [local.run(f"echo {n}", timeout_s=30).stdout for n in range(2)] == [b"0\n", b"1\n"]
    assert local.n_started == 2


def test_bytes_in_any_pieces() -> None:
    stream = b"motd\n" + BEGIN + b"out\n\nSKA1 END other 0\nmore" + b"\nSKA1 END n0 0\n" + b"bye"
    for size in (1, 2, 5, 17, len(stream)):
        exchange = Exchange("", way=Way.PLAIN, nonce="n0")
        for at in range(0, len(stream), size):
            exchange.feed(stream[at : at + size])
        assert (exchange.status, exchange.stdout) == (0, b"out\n\nSKA1 END other 0\nmore")
        assert exchange.noise.startswith(b"motd\n")


def test_output_cut_inside_a_marker() -> None:
    exchange = Exchange("", way=Way.PLAIN, nonce="n0")
    exchange.feed(BEGIN + b"out\nSKA1 END n0 1")
    assert (exchange.begun, exchange.done, exchange.status) == (True, False, None)


def test_the_wrong_nonce_is_noise() -> None:
    exchange = Exchange("", way=Way.PLAIN, nonce="n0")
    exchange.feed(b"\nSKA1 BEGIN n1\nforged\nSKA1 END n1 0\n")
    assert (exchange.begun, exchange.stdout) == (False, b"")


def test_noise_keeps_its_beginning_and_its_end() -> None:
    exchange = Exchange("", way=Way.PLAIN, nonce="n0")
    for n in range(3000):
        exchange.feed(b"line %d\n" % n)
    assert len(exchange.noise) <= NOISE_BYTES
    assert exchange.noise.startswith(b"line 0\n")
    assert exchange.noise.endswith(b"line 2999\n")


def test_more_output_than_the_cap_is_dropped_and_reported() -> None:
    exchange = Exchange("", way=Way.PLAIN, nonce="n0")
    exchange.feed(BEGIN)
    for _ in range(CAP_BYTES // 65536 + 3):
        exchange.feed(b"x" * 65536)
    exchange.feed(b"\nSKA1 END n0 0\n")
    assert (exchange.done, exchange.overflow, len(exchange.stdout)) == (True, True, CAP_BYTES)
