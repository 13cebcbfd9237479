"""A whole `apply` on a real sshd reads the host's files once before and once after the edit."""

from __future__ import annotations

from pathlib import Path

import pytest

from sshd_keepalive import inventories
from sshd_keepalive.fleet import one_host as fleet
from sshd_keepalive.model import End
from sshd_keepalive.secrets.retrieval import Secrets
from tests.sshd.test_cli import inventory
from tests.support.passes import count_readings
from tests.support.sshd import Sshd, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]


def test_apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sshd("ClientAliveInterval 60\n") as server:
        with server.config_file.open("a") as file:
            file.write("Match User bob\n    ClientAliveCountMax 9\n")
        server.reload()
        (host,) = inventories.load((str(inventory(server, tmp_path)),))
        counted = count_readings(monkeypatch)
        orders = fleet.Orders(run_id="20260131T020000Z-000000", secrets=Secrets())
        report = fleet.apply_host(host, orders)
        assert report.end is End.APPLIED, report
        assert counted["trees"] <= 2
        assert counted["resolutions"] <= 4
        counted.clear()
        assert fleet.apply_host(host, orders).end is End.UNCHANGED
        assert counted["trees"] == 1
        assert counted["resolutions"] <= 2
