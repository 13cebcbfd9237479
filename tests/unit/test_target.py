from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts.target import parse_target, parse_targets
from sshd_keepalive.model import Host


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("web", Host(name="web", address="web")),
        ("ops@web", Host(name="web", address="web", user="ops")),
        ("web:2222", Host(name="web:2222", address="web", port=2222)),
        ("web:22", Host(name="web", address="web")),
        ("ops@192.0.2.1:2222", Host(name="192.0.2.1:2222", address="192.0.2.1", port=2222, user="ops")),
        ("2001:db8::5", Host(name="2001:db8::5", address="2001:db8::5")),
        ("[2001:db8::5]", Host(name="2001:db8::5", address="2001:db8::5")),
        ("u@[2001:db8::5]:24", Host(name="[2001:db8::5]:24", address="2001:db8::5", port=24, user="u")),
        ("fe80::1%eth0", Host(name="fe80::1%eth0", address="fe80::1%eth0")),
        ("ssh://ops@web:2222/", Host(name="web:2222", address="web", port=2222, user="ops")),
        ("DOMAIN\\ops@web", Host(name="web", address="web", user="DOMAIN\\ops")),
        ("müller.example", Host(name="müller.example", address="müller.example")),
    ],
)
def test_reads(text: str, host: Host) -> None:
    assert parse_target(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "", "@", "ops@", "@web", "web:", "web:0", "web:65536", "web:2x", "web:٣", "-oProxyCommand=x", "a b", "a\nb",
        "-u@web", "192.0.2.256", "192.0.2", "[2001:db8::5", "[2001:db8::5]22", "2001:db8:::5", "fe80::1%", "a..b",
        "a/b", "web:22:22", "x" * 254,
    ],
)  # fmt: skip
def test_refuses(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_target(text)


def test_never_repeats_a_password() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_target("ssh://ops:hunter2@web")
    assert "hunter2" not in str(caught.value)


def test_two_targets_for_one_host_are_refused() -> None:
    assert [host.name for host in parse_targets(["a", "b", "a"])] == ["a", "b"]
    with pytest.raises(ConfigError, match="'a' and 'ops@a' are the same host"):
        parse_targets(["a", "ops@a"])


@given(st.text(max_size=30))
def test_gives_a_host_or_a_config_error(text: str) -> None:
    try:
        host = parse_target(text)
    except ConfigError:
        return
    assert host.address.isprintable()
    assert not host.address.startswith("-")
    assert 1 <= host.port <= 65535
