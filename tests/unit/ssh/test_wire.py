"""A wire through a jump host: what it does when that host is gone."""

from __future__ import annotations

from typing import cast

import paramiko
import pytest

from sshd_keepalive.ssh.wire import ChannelWire


class Gone:
    """A channel of a connection that is gone."""

    closed = False

    def recv(self, nbytes: int) -> bytes:
        raise EOFError

    def send(self, s: bytes) -> int:
        raise EOFError

    def send_ready(self) -> bool:
        return True

    def settimeout(self, timeout: float | None) -> None:
        pass

    def close(self) -> None:
        raise EOFError


def test_closing_says_nothing_and_nothing_is_sent_any_more() -> None:
    """The library's thread closes it last of all, and would print whatever that raises."""
    wire = ChannelWire(cast(paramiko.Channel, Gone()))
    wire.close()
    wire.close()
    with pytest.raises(EOFError):
        wire.send(b"x")
