"""A host whose files hold the password it was given: no command shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import keepalive
from tests.support.sshd import Sshd, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]
SECRET = "open-sesame"
LOG = "2026-01-31 02:17:05 INFO start\nclient_loop: send disconnect: Broken pipe\n2026-01-31 02:41:05 ERROR exit 255\n"


@pytest.mark.parametrize(
    "words",
    [
        ("check", "-v"),
        ("check", "--format", "json"),
        ("plan",),
        ("plan", "--format", "json"),
        ("why",),
        ("why", "--format", "json"),
        ("diagnose", "LOG", "--host", "real", "--format", "json"),
    ],
    ids=" ".join,
)
def test_no_command_shows_a_password_that_a_host_repeats(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "log").write_text(LOG)
    folder = tmp_path / SECRET  # the path of the files is told, and so is the line that a plan would change
    with Sshd(
        f"ClientAliveInterval 20\nMatch User {SECRET}\n  ClientAliveInterval 7\nMatch all", folder=folder
    ) as sshd:
        (tmp_path / "hosts.yaml").write_text(
            f"hosts:\n  real: {{address: {sshd.address}, port: {sshd.port}, user: {sshd.user}, become: none, "
            f"identity_file: {sshd.user_key}, known_hosts: {sshd.known_hosts}, sshd_config: {sshd.config_file}, "
            "password: env:LOGIN_PASSWORD}\n"
        )
        given = [str(tmp_path / "log") if word == "LOG" else word for word in words]
        ran = keepalive(*given, "-i", tmp_path / "hosts.yaml", LOGIN_PASSWORD=SECRET)
        assert "Accepted publickey" in sshd.log, ran
    assert "***" in ran.stdout, ran
    assert SECRET not in ran.stdout + ran.stderr
