"""Every report format takes any run: empty, one host, hostile names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sshd_keepalive import registry
from sshd_keepalive.config import benchmarks
from sshd_keepalive.model import (
    Caveat,
    End,
    Failure,
    Finding,
    Host,
    HostReport,
    PastRun,
    Place,
    Run,
    Scope,
    State,
    Step,
    Subject,
)
from tests.support.fleets import NOW

HOSTILE = "=<&\"\n\r\x1b[31m\u202e\u2028\udc80\ufffe\0|`</script>]]>{{7*7}}%s'"
FULL = HostReport(
    host=Host(name=HOSTILE, address="192.0.2.1", groups=(HOSTILE,)),
    state=State.DRIFT,
    end=End.ROLLED_BACK,
    findings=(
        Finding(
            setting=Subject.INTERVAL,
            scope=Scope(text=HOSTILE),
            wanted="300",
            value=HOSTILE,
            state=State.DRIFT,
            place=Place(path=HOSTILE, line=1),
            hides=(Place(path=HOSTILE, line=2),),
            reason=HOSTILE,
        ),
    ),
    diff=HOSTILE,
    steps=(Step(name="restart", ok=False, detail=HOSTILE),),
    facts=(("os", HOSTILE),),
    notes=(HOSTILE,),
    changes=(HOSTILE,),
    failure=Failure(kind="restart", message=HOSTILE, hint=HOSTILE),
)


PAST = PastRun(id=HOSTILE, command="check", started_at=NOW, counts={"drift": 1})


def a_run(hosts: tuple[HostReport, ...]) -> Run:
    """Every field of a run filled in, except where there are no hosts: then nothing is."""
    full = {"past": (PAST, PAST), "benchmarks": benchmarks.load_table()} if hosts else {}
    return Run(id="r", command="apply", started_at=NOW, ended_at=NOW, exit_code=4, hosts=hosts, **full)


@pytest.mark.parametrize("name", registry.list_names("reports"))
@pytest.mark.parametrize("hosts", [(), (FULL,), (FULL, FULL)], ids=["none", "one", "two"])
def test_any_run_is_rendered_as_text_that_can_be_written(name: str, hosts: tuple[HostReport, ...]) -> None:
    run = a_run(hosts)
    module = registry.load("reports", name)
    text = module.render(run)
    text.encode("utf-8")
    assert not set("\x1b\0\u202e\u2028\ufffe") & set(text)
    assert text == "" or text.endswith("\n")


@pytest.mark.parametrize("name", registry.list_names("reports"))
def test_every_report_shows_what_changed(name: str) -> None:
    changed = replace(FULL, host=Host(name="ecs-01", address="192.0.2.1"), state=State.OK, end=None, findings=())
    quiet = registry.load("reports", name).render(a_run((replace(changed, changes=()),)))
    text = registry.load("reports", name).render(a_run((replace(changed, changes=("interval went to 0",)),)))
    assert "interval went to 0" in text or "sshd_keepalive_host_changes" in text
    assert text != quiet


@pytest.mark.parametrize("name", registry.list_names("reports"))
def test_every_report_shows_a_caveat(name: str) -> None:
    late = Caveat(interval_s=300, keep_alive_after_s=600, release="9.2", cure_interval_s=150)
    kept = HostReport(host=Host(name="ecs-01", address="192.0.2.1"), state=State.OK)
    render = registry.load("reports", name).render
    shown = (str(late), 'sshd_keepalive_first_keep_alive_seconds{host="ecs-01"} 600.0')  # Prometheus has the number
    assert any(text in render(a_run((replace(kept, caveat=late),))) for text in shown)
    assert not any(text in render(a_run((kept,))) for text in shown)
