"""`why HOST` against a real sshd on loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.sshd.test_cli import inventory
from tests.support.cli import keepalive
from tests.support.sshd import Sshd, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]


def test_the_deciding_lines_of_a_host(tmp_path: Path) -> None:
    text = "ClientAliveInterval 300\nClientAliveInterval 9\nMatch User bob\n\tClientAliveCountMax 0\nMatch all\n"
    with Sshd(text) as server:
        hosts = inventory(server, tmp_path)
        ran = keepalive("why", "-i", hosts)
        assert ran.status == 0, ran.stderr
        assert ran.stderr == ""
        config = server.config_file
        lines = config.read_text().splitlines()
        first, second = lines.index("ClientAliveInterval 300") + 1, lines.index("ClientAliveInterval 9") + 1
        assert f"\n  ClientAliveInterval 300  {config}:{first}\n" in ran.stdout
        assert f"hides        {config}:{second}  ClientAliveInterval 9\n" in ran.stdout
        assert "\nMatch User bob (" in ran.stdout

        (host,) = json.loads(keepalive("why", "-i", hosts, "--as", "bob", "--format", "json").stdout)["hosts"]
        assert [s["value"] for s in host["answers"][0]["settings"]] == ["300", "0"]
        assert host["warnings"] == []


def test_a_host_that_cannot_be_read(tmp_path: Path) -> None:
    with Sshd("") as server:
        hosts = inventory(server, tmp_path)
        server.config_file.write_text(server.config_file.read_text() + "ClientAliveInterval abc\n")
        ran = keepalive("why", "-i", hosts, "--format", "json")
        assert ran.status == 3
        (host,) = json.loads(ran.stdout)["hosts"]
        assert host["failure"]["kind"] == "config_broken"
        shown = keepalive("why", "-i", hosts)
        assert shown.status == 3
        assert "sshd refuses the present configuration" in shown.stderr
        assert "invalid time value" in shown.stderr  # sshd's own words
