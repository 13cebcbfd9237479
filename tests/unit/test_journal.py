"""The journal of a run that changes hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from sshd_keepalive.cli.journal import Journal, find_done
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import End, Host, HostReport, State

REPORT = HostReport(host=Host(name="web", address="192.0.2.1"), state=State.OK, end=End.APPLIED)


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def test_a_run_is_resumed_by_its_own_command_alone() -> None:
    Journal("20260131T020000Z-aaaaaa", "apply", confirms=True).write(REPORT)
    assert find_done("20260131", "apply") == {"web"}
    with pytest.raises(ConfigError, match="that was a run of apply, not of undo"):
        find_done("20260131", "undo")


def test_a_run_that_confirmed_nothing_is_not_resumed() -> None:
    """Its hosts may revert by themselves."""
    Journal("20260131T020000Z-aaaaaa", "apply", confirms=False).write(REPORT)
    with pytest.raises(ConfigError, match="did not confirm its changes"):
        find_done("20260131", "apply")
