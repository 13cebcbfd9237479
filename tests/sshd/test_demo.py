"""`demo` against the sshd of this machine, as a newcomer types it."""

from __future__ import annotations

import pytest

from tests.support.cli import keepalive

pytestmark = pytest.mark.sshd


def test_the_demo_repairs_four_servers_and_rolls_the_fifth_back() -> None:
    ran = keepalive("demo")
    assert ran.status == 0, ran.stdout
    assert "\nrolled_back fragile\n" in ran.stdout
    assert "\n5 hosts: 4 applied, 1 rolled_back\n" in ran.stdout
    assert "-l '!fragile' -i hosts.yaml\n4 hosts: 4 ok\n" in ran.stdout
    assert "    next: run on the host and read what it says: sh fragile/restart\n" in ran.stdout
    assert ran.stdout.count("\n--- ") == 1, "one plan is shown, once"
    assert len(ran.stdout.splitlines()) <= 60
    assert "/tmp" not in ran.stdout
    assert ran.stdout.endswith("sshd-keepalive check ops@192.0.2.11\n")
