"""The connection to a jump host; tests/sshd/test_transport_jump.py has the rest."""

from __future__ import annotations

import threading

from sshd_keepalive.model import Host
from sshd_keepalive.ssh.jump import _JumpHost


def test_the_end_of_the_program_does_not_wait_for_a_login() -> None:
    jump_host = _JumpHost((Host(name="gate", address="192.0.2.1"),))
    with jump_host._lock:  # as during the login
        end = threading.Thread(target=jump_host.close_if_idle, daemon=True)
        end.start()
        end.join(60)
        assert not end.is_alive()
