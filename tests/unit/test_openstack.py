"""`openstack:CLOUD` over HTTP against two small clouds: no server is lost, whatever happens between two pages."""

from __future__ import annotations

import importlib.util
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sshd_keepalive import inventories
from sshd_keepalive.errors import ConfigError, ExtraError
from sshd_keepalive.hosts.servers import ServerSelection, build_hosts
from sshd_keepalive.inventories import openstack
from tests.support.cloud import Cloud, running, server

needs_sdk = pytest.mark.skipif(
    not importlib.util.find_spec("openstack"), reason="openstacksdk is not installed (the extra openstack)"
)
pytestmark = [  # what openstacksdk warns itself of
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Support for InfluxDB"),
    pytest.mark.filterwarnings("ignore:The 'service_type' parameter"),
    pytest.mark.filterwarnings("ignore:The _compute_attributes method"),
]
Start = Callable[..., Cloud]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    return tmp_path


@pytest.fixture
def start(place: Path) -> Iterator[Start]:
    """Serve a cloud and enter it into clouds.yaml."""
    entries: dict[str, Any] = {}
    with ExitStack() as stack:

        def begin(name: str, cloud: Cloud, certificate: tuple[Path, Path] | None = None, **more: Any) -> Cloud:
            stack.enter_context(running(cloud, certificate=certificate))
            auth = {"auth_url": f"{cloud.url}/v3", "username": "u", "password": "right", "project_name": "p",
                    "user_domain_name": "Default", "project_domain_name": "Default"}  # fmt: skip
            entries[name] = {"auth": auth, "region_name": "r1", **more}
            (place / "clouds.yaml").write_text(json.dumps({"clouds": entries}))
            return cloud

        yield begin


def names(*sources: str) -> list[str]:
    return [host.name for host in inventories.load(sources)]


@needs_sdk
@pytest.mark.parametrize("has_links", [True, False], ids=["links", "no links"])
def test_host_26_is_not_lost_though_the_token_expires_between_the_pages(start: Start, has_links: bool) -> None:
    cloud = start("one", Cloud([server(n) for n in range(1, 61)], has_links=has_links, expires_after_pages=1))
    assert names("openstack:one") == [f"ecs-{n:02d}" for n in range(1, 61)]
    assert cloud.requests.count("POST /v3/auth/tokens") >= 3


@needs_sdk
def test_two_clouds_stand_beside_each_other(start: Start) -> None:
    start("one", Cloud([server(n) for n in range(1, 28)]))
    start("two", Cloud([server(n) for n in range(100, 103)]))
    assert len(names("openstack:one", "openstack:two")) == 30
    with pytest.raises(ConfigError, match=r"host 'ecs-01' is in openstack:one and in openstack:one\?address=private"):
        names("openstack:one", "openstack:one?address=private")
    assert names("openstack:two", "openstack:two?prefix=b-")[3:] == ["b-ecs-100", "b-ecs-101", "b-ecs-102"]


@needs_sdk
def test_a_server_deleted_between_two_pages_loses_no_other(start: Start) -> None:
    start("one", Cloud([server(n) for n in range(1, 31)], deletes_marker=1))
    assert len(names("openstack:one")) == 29


@needs_sdk
def test_windows_is_left_out_if_only_the_image_names_it(start: Start) -> None:
    images = {"w": {"id": "w", "os_type": "windows"}, "l": {"id": "l", "__os_type": "Linux"}}
    servers = [server(n, metadata={}, image={"id": image}) for n, image in enumerate("wlx")]
    start("one", Cloud([*servers, server(4, metadata={}, image="")], images=images))
    assert names("openstack:one") == ["ecs-01", "ecs-02", "ecs-04"]


@needs_sdk
def test_tags_and_the_cache_with_its_age(
    start: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = start("one", Cloud([server(1, tags=["etl"])]))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    (host,) = inventories.load(["openstack:one?cache=600&user=linux"])
    assert (host.groups, host.user) == (("etl", "zone=eu-01", "net=net-a"), "linux")
    assert not caplog.records
    asked = len(cloud.requests)
    monkeypatch.setattr(time, "time", lambda: now + 100)
    with caplog.at_level(logging.WARNING):
        assert names("openstack:one?cache=600") == ["ecs-01"]
    assert "openstack:one: 1 servers from the cache, 100 s old; cache=0 asks the cloud" in caplog.text
    assert [host.name for host in openstack.list_known("one")] == ["ecs-01"]
    assert len(cloud.requests) == asked
    cloud.servers.append(server(2))
    assert names("openstack:one?cache=99") == ["ecs-01", "ecs-02"]
    assert names("openstack:one") == ["ecs-01", "ecs-02"]


@needs_sdk
@pytest.mark.parametrize(
    ("cloud", "said"),
    [
        (Cloud([], password="other"), "requires authentication"),
        (Cloud([server(1)], ignores_marker=True), "Endless pagination loop detected"),
        (Cloud([server(n) for n in range(99)], deletes_marker=99), "the servers change faster than they can be listed"),
        (Cloud([], garbage=b"<html>"), "the answer is not a list of servers"),
        (Cloud([], garbage=b'{"servers": [1]}'), "the answer is not a list of servers"),
        (Cloud([server(1, status="SHUTOFF")]), "none of 1 servers is ACTIVE and runs Linux"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_cloud_that_fails_is_reported(start: Start, cloud: Cloud, said: str) -> None:
    start("one", cloud)
    with pytest.raises(ConfigError) as caught:
        names("openstack:one")
    assert str(caught.value).startswith("openstack:one: ")
    assert said in str(caught.value)
    assert "right" not in str(caught.value)


@needs_sdk
def test_tls_is_verified(start: Start, place: Path) -> None:
    start("one", Cloud([server(1)]), certificate=certificate(place))
    with pytest.raises(ConfigError) as caught:
        names("openstack:one")
    assert "certificate" in str(caught.value).lower()
    assert "`cacert`" in str(caught.value.hint)
    start("two", Cloud([server(1)]), certificate=certificate(place), cacert=str(place / "tls.pem"))
    assert names("openstack:two") == ["ecs-01"]
    start("three", Cloud([server(1)]), certificate=certificate(place), verify=False)
    with pytest.raises(ConfigError, match=r"clouds\.yaml says `verify: false`"):
        names("openstack:three")


@needs_sdk
def test_an_unknown_cloud_is_reported(start: Start, place: Path) -> None:
    start("one", Cloud([]), auth_type="password")
    with pytest.raises(ConfigError, match=r"openstack:gone: .*gone was not found"):
        names("openstack:gone")
    text = (place / "clouds.yaml").read_text().replace("http://127.0.0.1", "http://192.0.2.1")
    (place / "clouds.yaml").write_text(text)
    with pytest.raises(ConfigError, match="is not https, so the password or token would be sent in clear text"):
        names("openstack:one")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openstack", None)
    with pytest.raises(ExtraError) as caught:
        names("openstack:one")
    assert caught.value.extra == "openstack"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("openstack:", "the name of the cloud is missing"),
        ("openstack:one?adress=public", "'adress' is not an option of this kind, did you mean 'address'?"),
        ("openstack:one?address=outside", "address is private, public or cidr:NETWORK, not 'outside'"),
        ("openstack:one?address=cidr:10.0.0.1/8", "has host bits set"),
        ("openstack:one?cache=soon", "cache is a number of seconds"),
    ],
)
def test_an_option_that_does_not_exist_is_refused(source: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        names(source)
    assert said in str(caught.value)


ADDRESSES = {
    "vpc": [
        {"version": 6, "addr": "2001:db8::7", "OS-EXT-IPS:type": "fixed"},
        {"version": 4, "addr": "10.1.0.7", "OS-EXT-IPS:type": "fixed"},
        {"version": 4, "addr": "198.51.100.7", "OS-EXT-IPS:type": "floating"},
    ],
    "admin": [{"version": 4, "addr": "172.16.0.7", "OS-EXT-IPS:type": "fixed"}],
}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("private", "10.1.0.7"),
        ("public", "198.51.100.7"),
        ("cidr:172.16.0.0/12", "172.16.0.7"),
        ("cidr:2001:db8::/32", "2001:db8::7"),
        ("cidr:192.0.2.0/24", None),
    ],
)
def test_the_address_that_is_asked_for_is_taken(wanted: str, expected: str | None) -> None:
    (host,) = build_hosts([server(7, addresses=ADDRESSES)], ServerSelection(address=wanted), systems={})
    if expected:
        assert (host.address, host.obstacle) == (expected, "")
    else:
        assert host.obstacle == f"the server has no address that is {wanted}"


def test_names_and_groups_are_fit_for_limit() -> None:
    servers = [
        server(
            1,
            name="web 1/a",
            tags=["stage=prod", "all", "-x"],
            metadata={"role": "etl", "metering.x": "y", "vpc_id": "v1"},
        ),
        server(2, name="twin"),
        server(3, name="twin", id="11111111-0000-4000-8000-000000000003"),
        server(4, name=""),
    ]
    hosts = build_hosts(servers, ServerSelection(), systems={})
    ids = [one["id"] for one in servers]
    assert [host.name for host in hosts] == ["web_1_a", "twin-00000000", "twin-11111111", ids[3]]
    assert hosts[0].groups == ("stage=prod", "x", "zone=eu-01", "net=net-a", "vpc=v1", "role=etl")
    assert len({host.name for host in hosts}) == 4


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of its own authority for 127.0.0.1."""
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    paths = folder / "tls.pem", folder / "tls.key"
    if paths[0].exists():
        return paths
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return paths


def test_names_of_servers_hold_nothing_that_a_shell_would_run() -> None:
    names = ("web$(touch${IFS}x)", "a`b`;c", "größe-1.eu_2:3=4+5@6", "@!&~x")
    found = build_hosts(
        [server(n, name=name, tags=[name]) for n, name in enumerate(names, 1)], ServerSelection(), systems={}
    )
    assert [host.name for host in found] == ["web_touch_IFS_x_", "a_b_c", "größe-1.eu_2:3=4+5@6", "_x"]
    assert [host.groups[0] for host in found] == [host.name for host in found]
