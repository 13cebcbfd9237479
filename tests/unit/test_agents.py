"""Programs that may write sshd_config: what a plan says of those that are on a host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sshd_keepalive.agents import AGENTS, list_notes
from sshd_keepalive.planning import plan
from sshd_keepalive.sshd_config.reading import read
from tests.support.snapshots import MAIN, USUAL, look


def test_a_program_that_sets_the_values_has_a_place_to_change_them_and_a_source() -> None:
    for agent in AGENTS:
        assert all(path.startswith("/") and "|" not in path for path in agent.paths)
        assert not {"|", ","} & set(agent.name)
        assert agent.source.startswith("https://"), agent
        assert bool(agent.sets) == bool(agent.change), agent
    assert len({agent.name for agent in AGENTS}) == len(AGENTS)


def test_a_plan_that_writes_names_the_programs_that_set_the_values_back() -> None:
    snapshot = replace(look({MAIN: ""}), agents=("secScanner", "Puppet", "cloud-init"))
    notes = plan.plan(read(snapshot), USUAL).notes
    assert (
        "secScanner on this host writes ClientAliveInterval 900 and ClientAliveCountMax 0 to the main file when its "
        "level 3 is applied: change /etc/secScanner/secscanner.cfg too, or the old values come back"
    ) in notes
    assert ("Puppet or cloud-init on this host may write sshd_config: if so, change the values there too") in notes
    right = replace(look({MAIN: "ClientAliveInterval 300\nClientAliveCountMax 3\n"}), agents=snapshot.agents)
    assert not [note for note in plan.plan(read(right), USUAL).notes if "secScanner" in note]


def test_a_host_without_such_programs_has_no_notes() -> None:
    assert list_notes(()) == ()


def test_the_page_names_them_all() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/hosts.md").read_text()
    assert [
        agent.name for agent in AGENTS if not all(word in page for word in (agent.name, agent.sets, agent.source))
    ] == []
