"""Hosts of other programs' inventories, reached over real sshd servers; ssh itself is asked about the same file."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sshd_keepalive import inventories
from sshd_keepalive.model import Become
from sshd_keepalive.ssh import jump
from tests.support.cli import keepalive
from tests.support.reach import run
from tests.support.sshd import Sshd, sign_key, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]


@pytest.fixture
def target() -> Iterator[Sshd]:
    with Sshd() as sshd:
        yield sshd


@pytest.fixture
def hop() -> Iterator[Sshd]:
    with Sshd() as sshd:
        yield sshd
        jump.close_idle()


def ssh(config: Path, name: str) -> str:
    done = subprocess.run(
        ["ssh", "-F", str(config), "-o", "BatchMode=yes", name, "echo hello"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return done.stdout if done.returncode == 0 else done.stderr


def test_a_chain_with_aliases_and_several_known_hosts_is_walked_as_by_ssh(
    target: Sshd, hop: Sshd, tmp_path: Path
) -> None:
    key = target.known_hosts.read_text().split(None, 1)[1]
    (tmp_path / "aliased").write_text(f"fleet {key}")
    config = tmp_path / "config"
    config.write_text(
        f"Host inner\n HostName {target.address}\n Port {target.port}\n HostKeyAlias fleet\n"
        f" UserKnownHostsFile {tmp_path}/none {tmp_path}/aliased\n IdentityFile {tmp_path}/gone\n"
        f" IdentityFile {target.user_key}\n ProxyJump outer\n"
        f"Match originalhost outer\n HostName {hop.address}\n Port {hop.port}\n IdentityFile {hop.user_key}\n"
        f" UserKnownHostsFile {hop.known_hosts}\n"
        f"Host outer\n Compression no\n"
        f"Host *\n User {getpass.getuser()}\n IdentitiesOnly yes\n GlobalKnownHostsFile /dev/null\n"
    )
    hosts = {host.name: host for host in inventories.load([f"ssh_config:{config}"])}
    assert [one.name for one in hosts["inner"].jump] == ["outer"]
    assert ssh(config, "inner") == "hello\n"
    assert run(replace(hosts["inner"], become=Become(method="none"))).stdout == b"hello\n"
    (tmp_path / "aliased").write_text(f"other {key}")
    assert "Host key verification failed" in ssh(config, "inner")
    ran = keepalive("check", "-i", config, "-l", "inner", "--format", "json")
    assert (ran.status, ran.host()["failure"]["cause"]) == (3, "hostkey-unknown")


def test_a_way_that_is_not_taken_is_a_failure_of_that_host(target: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"Host odd\n ProxyCommand nc %h %p\nHost one\nHost *\n HostName {target.address}\n Port {target.port}\n"
        f" IdentityFile {target.user_key}\n UserKnownHostsFile {target.known_hosts}\n"
    )
    ran = keepalive("check", "-i", config, "--format", "json")
    assert ran.status == 3
    failure = ran.host("odd")["failure"]
    assert (failure["kind"], failure["cause"]) == ("tcp", "no-way")
    assert f"{config}:1: ProxyCommand is not supported" in failure["message"]
    assert (ran.host("one")["failure"] or {}).get("cause") != "no-way"


def test_the_same_host_from_ansible_and_from_a_program(target: Sshd, tmp_path: Path) -> None:
    arguments = f"-o UserKnownHostsFile={target.known_hosts}"
    (tmp_path / "site.ini").write_text(
        f'[g]\na ansible_host={target.address} ansible_port={target.port} ansible_ssh_common_args="{arguments}"\n'
        f"[g:vars]\nansible_user={getpass.getuser()}\nansible_ssh_private_key_file={target.user_key}\nansible_become=false\n"
    )
    (host,) = inventories.load([f"ansible:{tmp_path}/site.ini"])
    assert run(host).stdout == b"hello\n"


def test_a_certificate_of_the_configuration_is_shown(tmp_path: Path) -> None:
    with Sshd() as sshd:
        certificate = sign_key(sshd.user_key, Path(f"{sshd.user_key}.pub"), "-n", getpass.getuser())
        config = tmp_path / "config"
        config.write_text(
            f"Host a\n HostName {sshd.address}\n Port {sshd.port}\n IdentityFile {sshd.user_key}\n"
            f" CertificateFile {certificate}\n UserKnownHostsFile {sshd.known_hosts}\n"
        )
        (host,) = inventories.load([str(config)])
        assert (host.identity_file, host.certificate_file) == (str(sshd.user_key), str(certificate))
