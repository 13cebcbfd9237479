from __future__ import annotations

from pathlib import Path

import pytest

from sshd_keepalive import inventories
from sshd_keepalive.errors import ConfigError


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*sources: str) -> list[str]:
    return [host.name for host in inventories.load(sources)]


def test_sources_stand_in_their_order(place: Path) -> None:
    (place / "one.yaml").write_text("hosts: {b: , a: }\n")
    (place / "two").write_text("hosts: {c: }\n")
    assert names("two", "one.yaml") == ["c", "b", "a"]
    assert names("one.yaml", "one.yaml") == ["b", "a"]
    assert names(str(place / "two")) == names("yaml:two") == ["c"]


@pytest.mark.parametrize("name", ["yaml:hosts", "C:\\hosts.yaml", "a:b:c", "ünï cödé.yaml"])
def test_a_file_goes_before_a_kind(place: Path, name: str) -> None:
    (place / name).write_text("hosts: {a: }\n")
    assert names(name) == ["a"]


def test_a_host_in_two_sources_is_refused_with_both(place: Path) -> None:
    (place / "one").write_text("hosts: {a: , b: }\n")
    (place / "two").write_text("hosts: {b: , a: }\n")
    with pytest.raises(ConfigError) as caught:
        names("one", "two")
    assert str(caught.value) == "host 'b' is in one and in two\nhost 'a' is in one and in two"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gone.yaml", "gone.yaml: the file does not exist"),
        (".", ".: is a directory, a file is expected"),
        ("ymal:hosts", "inventory ymal:hosts: the file does not exist, and 'ymal' is not a kind, did you mean 'yaml'?"),
        ("yaml:gone", "gone: the file does not exist"),
        ("C:\\gone.yaml", "C:\\gone.yaml: the file does not exist"),
        ("", "inventory '': no file is named"),
    ],
)
def test_an_unknown_source_is_reported(source: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        names(source)
    assert str(caught.value) == message


def test_paths_count_from_the_folder_of_the_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/jo")
    (place / "sub").mkdir()
    (place / "sub" / "h.yaml").write_text(
        "hosts:\n  a: {identity_file: keys/id, certificate_file: ~/c.pub, known_hosts: /k, password: 'file:~/pw'}\n"
    )
    (host,) = inventories.load(["sub/h.yaml"])
    assert host.identity_file == str(place / "sub" / "keys" / "id")
    assert (host.certificate_file, host.known_hosts, host.password) == ("/home/jo/c.pub", "/k", "file:/home/jo/pw")


def test_a_home_without_an_account_is_reported(place: Path) -> None:
    (place / "h").write_text("hosts:\n  a: {identity_file: ~nobody-here/id}\n")
    with pytest.raises(ConfigError, match="h:2:22: the user does not exist on this machine"):
        names("h")


def test_five_thousand_hosts_load_in_seconds(place: Path) -> None:
    lines = (f"      ecs-{n}: {{address: 10.0.{n >> 8}.{n & 255}, port: 22}}\n" for n in range(5_000))
    (place / "big").write_text("groups:\n  g:\n    hosts:\n" + "".join(lines))
    assert len(names("big")) == 5_000


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("web1,web2,", ["web1", "web2"]),
        ("web1,", ["web1"]),
        ("ops@192.0.2.1:2222, web[01:02]", ["192.0.2.1:2222", "web01", "web02"]),
        ("list:web1", ["web1"]),
    ],
)
def test_a_comma_makes_a_list_of_hosts(source: str, names: list[str]) -> None:
    assert [host.name for host in inventories.load([source])] == names


def test_a_file_whose_name_has_a_comma_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a,b.yaml"
    file.write_text("hosts: {web1: 192.0.2.1}\n")
    assert [host.name for host in inventories.load([str(file)])] == ["web1"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (",", "',' names no host"),
        (" , ", "' , ' names no host"),
        ("-oProxyCommand=x,", "is not a host name"),
        ("web[3:1],", r"web\[3:1\],: \[3:1\] runs backwards"),
        ("a@web1,b@web1,", "'web1' is given differently in a@web1,b@web1,"),
    ],
)
def test_a_list_with_a_mistake_is_refused(source: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        inventories.load([source])
