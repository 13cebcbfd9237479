"""A host that is met for the first time: whether its key is asked about, and what becomes of the answer."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from sshd_keepalive.ssh.known_hosts import compute_fingerprint
from tests.support.cli import keepalive
from tests.support.sshd import Sshd, wait_until, why_not
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]
QUESTION = "write it to known_hosts (yes/no/fingerprint)?"


def inventory(sshd: Sshd, folder: Path, *, names: str = "first", settings: str = "") -> str:
    hosts = "".join(
        f"  {name}: {{address: {sshd.address}, port: {sshd.port}, user: {sshd.user}, known_hosts: {folder}/known, "
        f"identity_file: {sshd.user_key}, become: none, sshd_config: {sshd.config_file}{settings}}}\n"
        for name in names.split()
    )
    (folder / "hosts.yaml").write_text(f"hosts:\n{hosts}")
    return str(folder / "hosts.yaml")


def mark(sshd: Sshd) -> str:
    return compute_fingerprint(base64.b64decode(sshd.known_hosts.read_text().split()[2]))


@pytest.mark.parametrize("answers", [["yes"], ["maybe", "YES"], ["{fingerprint}"], ["SHA256:other", "{fingerprint}"]])
def test_yes_or_the_fingerprint_accepts_the_key(tmp_path: Path, answers: list[str]) -> None:
    with Sshd() as sshd:
        with Terminal("check", "-i", inventory(sshd, tmp_path), NO_COLOR="1") as terminal:
            terminal.wait_for(QUESTION)
            assert mark(sshd) in terminal.shown
            assert f"first (127.0.0.1:{sshd.port})" in terminal.shown
            for answer in answers[:-1]:
                terminal.answer(answer)
                terminal.wait_for("type yes, no, or the fingerprint")
            terminal.answer(answers[-1].format(fingerprint=mark(sshd)))
            terminal.end()
        assert "host_key" not in terminal.shown
        assert (tmp_path / "known").read_text() == sshd.known_hosts.read_text()
        assert "Accepted publickey" in sshd.log


def test_no_refuses_the_key(tmp_path: Path) -> None:
    with Sshd() as sshd:
        with Terminal("check", "-i", inventory(sshd, tmp_path), NO_COLOR="1") as terminal:
            terminal.wait_for(QUESTION)
            terminal.answer("no")
            assert terminal.end() == 3
        assert "its host key is not known" in terminal.shown
        assert not (tmp_path / "known").exists()
        assert "Accepted publickey" not in sshd.log


def test_several_hosts_of_one_key_are_asked_about_one_by_one_and_all_log_in(tmp_path: Path) -> None:
    with Sshd() as sshd:
        words = ("check", "-i", inventory(sshd, tmp_path, names="a b c"))
        with Terminal(*words, NO_COLOR="1") as terminal:
            terminal.wait_for(QUESTION)
            for _ in range(3):  # typed ahead
                terminal.answer("yes")
            terminal.end()
        assert sshd.log.count("Accepted publickey") == 3
        assert (tmp_path / "known").read_text() == sshd.known_hosts.read_text()


def test_a_person_may_take_longer_than_sshd_waits(tmp_path: Path) -> None:
    with Sshd("LoginGraceTime 10") as sshd:  # a busy machine must log in within it
        with Terminal("check", "-i", inventory(sshd, tmp_path), "--timeout", "60", NO_COLOR="1") as terminal:
            terminal.wait_for(QUESTION)
            children = Path(f"/proc/{sshd.pid}/task/{sshd.pid}/children")
            wait_until(lambda: not children.read_text(), 60, "sshd to give up")
            terminal.answer("yes")
            terminal.end()
        assert "Accepted publickey" in sshd.log, terminal.shown
        assert terminal.shown.count(QUESTION) == 1


def test_no_question_where_a_policy_was_chosen_or_there_is_no_terminal(tmp_path: Path) -> None:
    with Sshd() as sshd:
        for words, settings in ((("--host-keys", "strict"), ""), ((), ", host_keys: strict")):
            hosts = inventory(sshd, tmp_path, settings=settings)
            with Terminal("check", "-i", hosts, *words, NO_COLOR="1") as terminal:
                assert terminal.end() == 3
            assert QUESTION not in terminal.shown
        assert keepalive("check", "-i", inventory(sshd, tmp_path)).status == 3
        assert not (tmp_path / "known").exists()
        ran = keepalive("check", "-i", inventory(sshd, tmp_path), "--host-keys", "accept-new")
        assert "its host key" not in ran.stdout
        assert (tmp_path / "known").read_text() == sshd.known_hosts.read_text()


def test_options_of_the_login(tmp_path: Path) -> None:
    """Port, login password and how to become root, all of the command line."""
    with Sshd() as sshd:
        hosts = inventory(sshd, tmp_path, settings=", host_keys: accept-new").replace("hosts.yaml", "")
        text = (tmp_path / "hosts.yaml").read_text()
        (tmp_path / "hosts.yaml").write_text(text.replace(f"port: {sshd.port}", "port: 1").replace("none", "doas"))
        words = ("check", "-i", f"{hosts}hosts.yaml", "-p", str(sshd.port))
        assert "connection refused" not in keepalive(*words, "-b", "none").stdout
        assert "Accepted publickey" in sshd.log
        assert keepalive(*words, "-b", "none", "-K").status == 2
        with Terminal(*words, "-b", "none", "-k", NO_COLOR="1") as terminal:
            terminal.wait_for(f"login password of {sshd.user}: ")
            terminal.answer("secret")
            terminal.end()
