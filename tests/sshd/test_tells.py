"""What a real host comes to, in front of benchmarks, in report files and in a notice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sshd.test_cli import inventory
from tests.support.cli import keepalive
from tests.support.sshd import Sshd, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]


@pytest.fixture
def sshd() -> Iterator[Sshd]:
    with Sshd("ClientAliveInterval 300\nClientAliveCountMax 0\n") as server:
        yield server


def test_a_real_host_is_held_against_benchmarks_and_reported_everywhere(sshd: Sshd, tmp_path: Path) -> None:
    hosts = inventory(sshd, tmp_path)
    outs = [word for kind in ("html", "sarif", "csv") for word in ("--out", f"{kind}:{tmp_path}/{kind}")]
    words = ["--benchmark", "telekom-psa", "--benchmark", "dev-sec", "--notify", f"command:tee {tmp_path}/notice"]
    ran = keepalive("check", "-i", hosts, "--format", "json", *outs, *words)
    assert ran.status == 1
    held = {row["name"]: row["hosts"] for row in ran.data["benchmarks"]["all"]}
    assert held == {
        "telekom-psa": {"ok": 1, "drift": 0, "unknown": 0},
        "dev-sec": {"ok": 0, "drift": 1, "unknown": 0},
    }
    lines = sshd.config_file.read_text().splitlines()
    line = lines.index("ClientAliveCountMax 0") + 1
    place = f"{sshd.config_file}:{line}"
    (result,) = json.loads((tmp_path / "sarif").read_text())["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == line
    assert place in (tmp_path / "html").read_text()
    assert f",{sshd.config_file},{line}," in (tmp_path / "csv").read_text()
    assert f"ClientAliveCountMax 0, wanted 3, {place}" in (tmp_path / "notice").read_text()
