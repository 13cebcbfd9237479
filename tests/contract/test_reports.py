"""Every report format takes any run: empty, one host, hostile names."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sshd_keepalive import registry
from sshd_keepalive.model import End, Failure, Finding, Host, HostReport, Place, Run, Step, Verdict

NOW = datetime(2026, 1, 31, tzinfo=UTC)
HOSTILE = "<&\"\n\x1b[31m\u202e\udc80'"
FULL = HostReport(
    host=Host(name=HOSTILE, address="192.0.2.1", groups=(HOSTILE,)),
    verdict=Verdict.FAIL,
    end=End.ROLLED_BACK,
    findings=(
        Finding(
            setting="ClientAliveInterval",
            scope=HOSTILE,
            wanted="300",
            value=HOSTILE,
            verdict=Verdict.FAIL,
            place=Place(path=HOSTILE, line=1),
            hides=(Place(path=HOSTILE, line=2),),
            reason=HOSTILE,
        ),
    ),
    diff=HOSTILE,
    steps=(Step(name="restart", ok=False, detail=HOSTILE),),
    facts=(("os", HOSTILE),),
    notes=(HOSTILE,),
    failure=Failure(kind="restart", message=HOSTILE, hint=HOSTILE),
)


@pytest.mark.parametrize("name", registry.names("reports"))
@pytest.mark.parametrize("hosts", [(), (FULL,), (FULL, FULL)], ids=["none", "one", "two"])
def test_any_run_is_rendered_as_text_that_can_be_written(name: str, hosts: tuple[HostReport, ...]) -> None:
    run = Run(id="r", command="apply", started_at=NOW, ended_at=NOW, exit_code=4, hosts=hosts)
    module = registry.load("reports", name)
    text = module.render(run)
    text.encode("utf-8")
    assert "\x1b" not in text
    assert text == "" or text.endswith("\n")
    assert module.SUFFIX.startswith(".")
