"""Programs that may write sshd_config: what a plan says of those that are on a host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sshd_keepalive.agents import AGENTS, notes
from sshd_keepalive.planning import plan
from sshd_keepalive.sshd_config.reading import read
from tests.support.snapshots import MAIN, USUAL, look


def test_whatever_sets_the_values_names_its_own_place_and_where_it_was_read() -> None:
    for agent in AGENTS:
        assert all(path.startswith("/") and "|" not in path for path in agent.paths)
        assert not {"|", ","} & set(agent.name)
        assert agent.source.startswith("https://"), agent
        assert bool(agent.sets) == bool(agent.change), agent
    assert len({agent.name for agent in AGENTS}) == len(AGENTS)


def test_a_plan_that_writes_says_who_sets_the_values_back_and_where_to_change_it() -> None:
    found = replace(look({MAIN: ""}), agents=("secScanner", "Puppet", "cloud-init"))
    told = plan.plan(read(found), USUAL).notes
    assert any(
        "secScanner is on this host" in note and "change /etc/secScanner/secscanner.cfg" in note for note in told
    )
    assert any("if Puppet or cloud-init of this host writes sshd_config" in note for note in told)
    right = replace(look({MAIN: "ClientAliveInterval 300\nClientAliveCountMax 3\n"}), agents=found.agents)
    assert not [note for note in plan.plan(read(right), USUAL).notes if "secScanner" in note]


def test_nothing_is_said_where_there_is_none() -> None:
    assert notes(()) == ()


def test_the_page_names_them_all() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/hosts.md").read_text()
    assert [
        agent.name for agent in AGENTS if not all(word in page for word in (agent.name, agent.sets, agent.source))
    ] == []
