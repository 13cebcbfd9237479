"""The proxy that makes a path longer loses nothing."""

from __future__ import annotations

import socket
import time
from types import SimpleNamespace

import pytest

from tests.support import slow_path
from tests.support.slow_path import SlowPath


@pytest.mark.parametrize("uptime_s", [100.0, 40_000.0, 67_200.0, 140_000.0])
@pytest.mark.parametrize("rtt_s", [0.02, 0.06, 0.15])
def test_what_a_client_sends_at_once_arrives_at_any_uptime(
    monkeypatch: pytest.MonkeyPatch, uptime_s: float, rtt_s: float
) -> None:
    began_s = time.monotonic()
    clock = SimpleNamespace(monotonic=lambda: uptime_s + time.monotonic() - began_s)
    monkeypatch.setattr(slow_path, "time", clock)
    with socket.create_server(("127.0.0.1", 0)) as server, SlowPath(server.getsockname()[:2], rtt_s) as path:
        server.settimeout(30)
        with socket.create_connection(path.address) as client:
            client.sendall(b"SSH-2.0-early\r\n")
            reached, _ = server.accept()
            with reached:
                reached.settimeout(30)
                client.shutdown(socket.SHUT_WR)
                assert reached.makefile("rb").read() == b"SSH-2.0-early\r\n"
