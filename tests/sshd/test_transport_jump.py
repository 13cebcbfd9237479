"""Jump hosts: real sshd servers behind real sshd servers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from sshd_keepalive.errors import HostError
from sshd_keepalive.model import Host
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh import jump
from sshd_keepalive.ssh.connect import connect
from sshd_keepalive.ssh.shell import Shell
from tests.support.hostile import HostileServer, version_and_silence
from tests.support.leaks import nothing_left
from tests.support.reach import reach, run
from tests.support.sshd import Sshd, make_key, wait_until, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]


@pytest.fixture(scope="module")
def target() -> Iterator[Sshd]:
    with Sshd("MaxStartups 100") as sshd:
        yield sshd


@pytest.fixture
def hop() -> Iterator[Sshd]:
    with Sshd() as sshd:
        yield sshd
        jump.close_idle()


def behind(target: Sshd, *hops: Host) -> Host:
    return reach(target, name="target", jump=hops)


def test_one_hop(target: Sshd, hop: Sshd) -> None:
    with nothing_left():
        host = behind(target, reach(hop, name="hop"))
        assert run(host, "head -c 3000000 /dev/zero").status == 0
        assert run(host, "cat\n" + "# comment\n" * 60_000).status == 0
        jump.close_idle()
    assert hop.log.count("Accepted publickey") == 1


def test_two_hops(target: Sshd, hop: Sshd) -> None:
    with Sshd() as second, nothing_left():
        assert run(behind(target, reach(hop, name="hop"), reach(second, name="second"))).status == 0
        jump.close_idle()
        jump.close_idle()  # the first hop is free once the second is gone


def test_many_targets_share_a_connection(target: Sshd, hop: Sshd) -> None:
    hosts = [replace(behind(target, reach(hop, name="hop")), name=f"target{n}") for n in range(40)]
    with ThreadPoolExecutor(6) as pool:  # ten at once are turned away at random (MaxStartups), the hop being one source
        assert all(done.stdout == b"hello\n" for done in pool.map(run, hosts))
    assert hop.log.count("Accepted publickey") == 1
    assert "nonexistent channel" not in hop.log


def test_an_interrupted_target_does_not_disturb_the_others(target: Sshd, hop: Sshd) -> None:
    """Data after a channel's CLOSE would end the whole connection to the jump host."""
    host = behind(target, reach(hop, name="hop"))

    def visit(n: int) -> bool:
        if n % 2:
            return run(host, "head -c 200000 /dev/zero").ended
        shell = connect(host, secrets=Secrets(), timeout_s=60)
        try:
            return not shell.run("yes", timeout_s=0.2).ended
        except HostError as error:  # on a busy machine the time ends before the script begins
            return error.kind == "timeout"
        finally:
            shell.close()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(visit, range(24)))
    assert hop.log.count("Accepted publickey") == 1


def test_a_hop_that_refuses_further_logins_is_tried_once(target: Sshd, hop: Sshd, tmp_path: Path) -> None:
    host = behind(target, reach(hop, name="hop", identity_file=str(make_key(tmp_path / "wrong"))))
    for _ in range(3):
        with pytest.raises(HostError) as caught:
            run(host)
        assert (caught.value.kind, caught.value.cause) == ("auth", "auth-failed")
        assert "jump host hop" in str(caught.value)
    assert hop.log.count("Connection from") == 1


def test_a_hop_that_does_not_forward(target: Sshd) -> None:
    with Sshd("AllowTcpForwarding no") as hop, pytest.raises(HostError) as caught:
        run(behind(target, reach(hop, name="hop")))
    jump.close_idle()
    assert caught.value.cause == "jump-host-denied"


def test_a_target_the_hop_cannot_reach(target: Sshd, hop: Sshd) -> None:
    host = replace(behind(target, reach(hop, name="hop")), port=1)
    with pytest.raises(HostError) as caught:
        run(host)
    assert (caught.value.kind, caught.value.cause) == ("tcp", "unreachable")
    assert "from jump host hop" in str(caught.value)


def test_a_hop_that_died_is_connected_to_again(target: Sshd, hop: Sshd) -> None:
    host = behind(target, reach(hop, name="hop"))
    shell = connect(host, secrets=Secrets(), timeout_s=60)
    hop.kill_sessions()
    wait_until(lambda: _fails(shell), 60, "the loss of the connection to be seen")
    shell.close()
    assert run(host).status == 0


def test_a_hop_that_dies_during_a_login_behind_it(hop: Sshd) -> None:
    with HostileServer(version_and_silence) as silent, ThreadPoolExecutor(1) as pool:
        host = silent.reach(jump=(reach(hop, name="hop"),), identity_file=str(hop.user_key))
        login = pool.submit(connect, host, secrets=Secrets(), timeout_s=60)
        wait_until(lambda: silent.n_connections == 1, 60, "the login to begin")
        hop.kill_sessions()
        with pytest.raises(HostError) as caught:
            login.result()
    assert (caught.value.kind, caught.value.cause) == ("tcp", "jump-host-lost")
    assert "hop" in str(caught.value)


@pytest.mark.parametrize("n", [0, 1])
def test_a_hop_that_dies_while_a_script_runs_is_named(target: Sshd, hop: Sshd, tmp_path: Path, n: int) -> None:
    with Sshd() as second:
        host = behind(target, reach(hop, name="first-hop"), reach(second, name="second-hop"))
        begun = tmp_path / "begun"
        with nothing_left(), ThreadPoolExecutor(1) as pool:
            done = pool.submit(run, host, f"echo some output; echo > {begun}; sleep 60", timeout_s=60)
            wait_until(begun.exists, 60, "the script to begin")
            (hop, second)[n].kill_sessions()
            with pytest.raises(HostError) as caught:
                done.result()
            jump.close_idle()
            jump.close_idle()
    assert (caught.value.kind, caught.value.cause) == ("tcp", "jump-host-lost")
    name = ("first-hop", "second-hop")[n]
    assert str(caught.value).startswith(f"{name} ("), caught.value
    assert "the connection to this jump host was lost (while a script ran on target)" in str(caught.value)
    assert "jump host" in str(caught.value.hint)


def _fails(shell: Shell) -> bool:
    try:
        return not shell.run("echo still there", timeout_s=30).ended
    except HostError:
        return True
