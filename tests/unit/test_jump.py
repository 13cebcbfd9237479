from __future__ import annotations

import pytest

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts.jump import Ways, override_jump
from sshd_keepalive.model import Host

HOSTS = tuple(Host(name=name, address=f"{name}.example.com", user="ops") for name in ("bastion", "a", "b"))


def ways(host: Host) -> list[tuple[str | None, str, int]]:
    return [(hop.user, hop.address, hop.port) for hop in host.jump]


def test_the_command_line_sends_all_hosts_through_a_hop() -> None:
    bastion, a, b = override_jump(HOSTS, "jo@bastion:2222, outside.example.com")
    assert ways(bastion) == []  # the hops before itself: none
    assert ways(a) == ways(b) == [("jo", "bastion.example.com", 2222), (None, "outside.example.com", 22)]
    assert all(host.jump == () for host in override_jump((a, b), "none"))


@pytest.mark.parametrize("hops", ["", "a,,b", "jo:pw@bastion", "bastion:0"])
def test_a_hop_that_is_none_is_refused(hops: str) -> None:
    with pytest.raises(ConfigError) as caught:
        override_jump(HOSTS, hops)
    assert "pw" not in str(caught.value)


def test_a_long_chain_is_refused() -> None:
    hosts = {f"h{n}": Host(name=f"h{n}", address="192.0.2.1") for n in range(5000)}
    chain = Ways(hosts, {f"h{n}": (f"h{n + 1}",) for n in range(4999)})
    with pytest.raises(ConfigError, match="more than 16 hops"):
        chain.resolve("h0")
    assert len(chain.resolve("h4990")) == 9
