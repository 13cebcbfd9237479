"""Both drivers of the transport: a test module that imports `driver` is run with the one and with the other."""

from __future__ import annotations

import pytest

from sshd_keepalive.model import Host
from sshd_keepalive.ssh import connect as ssh
from sshd_keepalive.ssh import direct
from sshd_keepalive.ssh.transport import Client


@pytest.fixture(autouse=True, params=["standard", "direct"])
def driver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which driver serves whatever host it can serve."""

    def chosen(host: Host, *, scripts_only: bool) -> type[Client]:
        return direct.DirectClient if request.param == "direct" and direct.serves(host) else Client

    monkeypatch.setattr(ssh, "_driver", chosen)
    return str(request.param)
