"""How often a login waits for the network: what can be sent ahead is sent ahead."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sshd_keepalive.errors import HostError
from sshd_keepalive.fleet.one_host import Orders, apply_host, observe_host
from sshd_keepalive.model import Become, End, Host, ServiceChoice
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.connect import connect
from tests.support.reach import reach as reach_directly
from tests.support.slow_path import SlowPath
from tests.support.sshd import Sshd, make_key, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]

#: Long beside the time that a server takes to answer, so that what is sent without waiting counts as such. A process
#: that has to wait for a processor for so long seems to wait for the network: then the count is taken again.
RTT_S = 0.25
TRIES = 4
#: What a server is sent before its first acknowledgement: ten segments of an Ethernet (RFC 6928).
WINDOW_BYTES = 10 * 1460


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    return {kind: make_key(folder / kind, kind=kind) for kind in ("ed25519", "rsa", "ecdsa")}


@pytest.fixture(scope="module")
def sshd(keys: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    allowed = tmp_path_factory.mktemp("allowed") / "authorized_keys"
    allowed.write_text("".join(Path(f"{key}.pub").read_text() for key in keys.values()))
    with Sshd(f"AuthorizedKeysFile {allowed}\nStrictModes no\n") as sshd:
        yield sshd


@pytest.fixture
def path(sshd: Sshd) -> Iterator[SlowPath]:
    with SlowPath((sshd.address, sshd.port), RTT_S) as path:
        yield path


def reach(path: SlowPath, sshd: Sshd, key: Path, folder: Path) -> Host:
    """The server behind the slow path."""
    address, port = path.address
    kind, blob = sshd.known_hosts.read_text().split()[1:3]
    known = folder / "known_hosts"
    known.write_text(f"[{address}]:{port} {kind} {blob}\n")
    return replace(reach_directly(sshd), address=address, port=port, identity_file=str(key), known_hosts=str(known))


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_login_with_one_script_takes_four_round_trips(
    kind: str, keys: dict[str, Path], sshd: Sshd, path: SlowPath, tmp_path: Path
) -> None:
    """Versions and key exchange 2, login with the opening of the session 1, the shell with its script 1."""

    def count() -> int:
        n_before = len(path.paths)
        shell = connect(reach(path, sshd, keys[kind], tmp_path), secrets=Secrets(), timeout_s=60)
        try:
            assert shell.run("echo hello", timeout_s=60).stdout == b"hello\n"
            (only,) = path.paths[n_before:]
            return only.round_trips
        finally:
            shell.close()

    assert any(count() <= 4 for _ in range(TRIES))


def test_a_refused_key_is_offered_once_and_named(
    keys: dict[str, Path], sshd: Sshd, path: SlowPath, tmp_path: Path
) -> None:
    """What was sent ahead of an answer that says no changes neither the message nor the number of attempts."""
    stranger = make_key(tmp_path / "stranger")
    host = reach(path, sshd, stranger, tmp_path)
    with pytest.raises(HostError) as caught:
        connect(host, secrets=Secrets(), timeout_s=60)
    assert (str(caught.value.kind.value), caught.value.cause) == ("auth", "auth-failed")
    assert len(path.paths) == 1
    # The next login of the same process, with the right key, is as quick as any.
    connect(replace(host, identity_file=str(keys["ed25519"])), secrets=Secrets(), timeout_s=60).close()
    assert len(path.paths) == 2


def test_all_that_a_look_sends_fits_into_the_first_window_of_tcp(
    keys: dict[str, Path], sshd: Sshd, path: SlowPath, tmp_path: Path
) -> None:
    """Ten segments (RFC 6928): what is longer waits for another round trip, which a proxy above TCP does not show."""
    host = reach(path, sshd, keys["ed25519"], tmp_path)
    observe_host(host, Orders(run_id="20260101T000000Z-test", secrets=Secrets()))
    (way,) = path.paths
    assert sum(way.client_bytes) < WINDOW_BYTES


@pytest.mark.parametrize("become", ["none", "sudo"] if os.geteuid() == 0 else ["none"])
def test_an_apply_takes_fifteen_round_trips(become: str, tmp_path: Path) -> None:
    """Look 5, prepare 1, rehearse 3, install 1, look again over a new login and confirm 5."""
    assert any(count_round_trips(become, tmp_path / str(n)) <= 15 for n in range(TRIES))


def count_round_trips(become: str, folder: Path) -> int:
    """Count those of one apply. Its server has a new key, and a process reads a file of known keys once."""
    folder.mkdir()
    with Sshd("ClientAliveInterval 300\nClientAliveCountMax 0\n") as sshd:
        pidfile = str(sshd.folder / "pid")
        with SlowPath((sshd.address, sshd.port), RTT_S) as path:
            host = replace(
                reach(path, sshd, sshd.user_key, folder),
                become=Become(method=become),
                sshd_config=str(sshd.config_file),
                service=ServiceChoice(manager="pidfile", pidfile=pidfile),
            )
            report = apply_host(host, Orders(run_id="20260101T000000Z-test", secrets=Secrets()))
        assert report.end is End.APPLIED, report
        (rehearsed,) = (step.detail for step in report.steps if step.name == "rehearse")
        assert rehearsed.startswith("a login through the new files works")
        assert max(n for way in path.paths for n in way.client_bytes) < WINDOW_BYTES
        return path.round_trips
