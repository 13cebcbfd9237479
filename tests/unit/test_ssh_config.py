"""Hosts of an ssh_config: the names are read, what holds for them is asked of `ssh -G`."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

from sshd_keepalive import inventories
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts.proxy import find_hop
from sshd_keepalive.inventories import ssh_config
from sshd_keepalive.model import Host

pytestmark = pytest.mark.skipif(not shutil.which("ssh"), reason="ssh is not installed")


def load(place: Path, text: str, argument: str = "") -> dict[str, Host]:
    (place / "config").write_text(text)
    return {host.name: host for host in ssh_config.load(f"{place}/config{argument}")}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_hosts_are_the_names_without_wildcards(home: Path) -> None:
    (home / ".ssh" / "more").write_text("Host c a\n")
    (home / ".ssh" / "more").chmod(0o600)
    assert list(load(home, "Host b *.x a !z ?\nMatch host m\nInclude mor*\nHost b\n")) == ["b", "a", "c"]


def test_a_chain_of_jumps_is_followed_as_ssh_would(home: Path) -> None:
    hosts = load(
        home,
        "Host in\n ProxyJump jo@mid:2200,last.corp\nHost mid\n ProxyJump out\n User no\nHost *.corp\n User corp\n"
        "Host out\n Port 2022\nHost never\n ProxyJump none\nHost *\n ProxyJump never\n",
    )
    way = [(hop.name, hop.address, hop.user, hop.port) for hop in hosts["in"].jump]
    assert way == [
        ("never", "never", None, 22),
        ("out", "out", None, 2022),
        ("jo@mid:2200", "mid", "jo", 2200),
        ("last.corp", "last.corp", "corp", 22),
    ]
    assert hosts["never"].jump == ()


def test_keys_certificates_and_known_hosts_reach_the_host(home: Path) -> None:
    (home / ".ssh" / "id_b").touch()
    (home / ".ssh" / "b-cert.pub").touch()
    hosts = load(
        home,
        "Host a b\n IdentityFile ~/.ssh/id_gone\n IdentityFile ~/.ssh/id_%n\n CertificateFile ~/.ssh/%n-cert.pub\n"
        f" UserKnownHostsFile {home}/k1 {home}/k2\n GlobalKnownHostsFile none\n HostKeyAlias al\n"
        " StrictHostKeyChecking no\n"
        "Host only\n IdentityFile ~/.ssh/id_gone\n IdentitiesOnly yes\n",
    )
    b = hosts["b"]
    assert (b.identity_file, b.certificate_file) == (f"{home}/.ssh/id_b", f"{home}/.ssh/b-cert.pub")
    assert (b.known_hosts, b.more_known_hosts) == (f"{home}/k1", (f"{home}/k2",))
    assert (b.host_key_alias, b.host_keys) == ("al", "accept-new")
    assert (hosts["a"].identity_file, hosts["a"].certificate_file) == (None, None)
    assert hosts["only"].identity_file == f"{home}/.ssh/id_gone"


def test_another_proxy_command_is_a_failure_of_its_hosts_only(home: Path) -> None:
    hosts = load(home, "Host a\n ProxyCommand nc -X 5 %h %p\nHost b\n ProxyJump a\nHost c\n")
    assert hosts["a"].obstacle == f"{home}/config:1: ProxyCommand is not supported; use ProxyJump"
    assert hosts["b"].obstacle.startswith("a: ")
    assert not hosts["c"].obstacle


@pytest.mark.parametrize(
    ("command", "hop"),
    [
        ("ssh -W %h:%p bastion", "bastion"),
        ("ssh bastion -W [%h]:%p", "bastion"),
        ("exec /usr/bin/ssh -q -p 2200 -l jo bastion nc -w 10 %h %p 2>/dev/null", "jo@bastion:2200"),
        ("ssh -o ConnectTimeout=5 -qW %h:%p jo@b", "jo@b"),
        ("ssh -o ProxyJump=x -W %h:%p b", None),
        ("ssh -i key -W %h:%p b", None),
        ("ssh b", None),
        ("nc -X 5 %h %p", None),
        ("ssh 'b", None),
        ("", None),
    ],
)
def test_a_proxy_command_that_is_a_jump_is_known(command: str, hop: str | None) -> None:
    assert find_hop(command) == hop


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Host a\nMatch usr x\n", "config:2: Bad Match condition"),
        ("Match exec true\nHost a\n", "config:1: Match exec runs a command; allow it with ssh_config:FILE?exec=yes"),
        ("Host a\n Port 99999\n", "config:2: Bad port '99999'."),
        ("Host a\n User 'x\n", "config:2: invalid quotes"),
        ("Host a\n Port\n", "config:2: no argument after keyword"),
        ("Host a\n HostName %z\n", "config:1: vdollar_percent_expand: unknown key %z"),
        ("Host a,b\n", "config:1: 'a,b' is not a valid name"),
        ("Host *\n", "config: the file contains no host"),
        ("Host a\n ProxyJump b\nHost b\n ProxyJump a\n", "config:1: jump loop: a → b → a"),
        ("Host *\n ProxyJump a\nHost a\n", "config:3: jumphost loop via a"),
        ("Host a\n ProxyJump b:c\n", 'config:2: Invalid ProxyJump "b:c"'),
        ("Include config\nHost a\n", "config:2: Too many recursive configuration includes"),
        ("Host a\n StrictHostKeyChecking maybe\n", 'config:2: unsupported option "maybe"'),
    ],
)
def test_mistakes_are_reported_with_their_place(home: Path, text: str, said: str) -> None:
    text = text.replace("Include config", f"Include {home}/config")
    (home / "config").touch(mode=0o600)
    with pytest.raises(ConfigError) as caught:
        load(home, text)
    assert f"{home}/{said}" in str(caught.value)


def test_match_exec_runs_only_when_allowed(home: Path) -> None:
    text = f'Match exec "test %n = a && : >{home}/ran"\n Port 2200\nHost a b\n'
    hosts = load(home, text, "?exec=yes")
    assert (hosts["a"].port, hosts["b"].port) == (2200, 22)
    (home / "ran").unlink()
    with pytest.raises(ConfigError):
        load(home, text)
    assert not (home / "ran").exists()


SPELLINGS = (
    "Match exec C", "MATCH EXEC C", "Match !exec C", "Match host a exec C", "match originalhost a,b !host c exec C",
    '"Match" exec C', 'Match "exec" C', "Match host=a exec=C", "Match=exec C", "\tMatch\texec\tC", "\fMatch exec C",
    "Match host \"a\" exec C", "Match all\r\nMatch exec C", "Match final exec C", "Match  =  exec C", "'Match' exec C",
    "Match 'exec' C", "Match host a\\ exec C", "Match e\\xec C", "Match host a#exec C", "M\"atch\" exec C",
    "Match host a \"exec=C\"", "Match host a,exec C", "Match user x # exec C", "# Match exec C",
)  # fmt: skip


@pytest.mark.parametrize("included", [False, True])
@pytest.mark.parametrize("line", SPELLINGS)
def test_no_spelling_of_match_exec_runs_unless_allowed(home: Path, line: str, included: bool) -> None:
    """Whatever the names are read from without complaint is given to a real ssh."""
    text = f"{line}\nHost a\n".replace("C", f'"touch {home}/ran"', 1)
    if included:
        (home / "more").write_text(text)
        (home / "more").chmod(0o600)
        text = f"Include {home}/mor?\nHost b\n"
    with contextlib.suppress(ConfigError):
        load(home, text)
    assert not (home / "ran").exists()


def test_match_exec_among_them_is_seen_to_run(home: Path) -> None:
    with contextlib.suppress(ConfigError):
        load(home, f'Match exec "touch {home}/ran"\nHost a\n', "?exec=yes")
    assert (home / "ran").exists()


def test_files_are_divided_where_ssh_prints_no_quotes(home: Path) -> None:
    hosts = load(home, f'Host a\n UserKnownHostsFile {home}/one "{home}/two three"\n')
    assert (hosts["a"].known_hosts, hosts["a"].more_known_hosts[0]) == (f"{home}/one", f"{home}/two three")


def test_what_every_host_gets_anyway_is_left_to_the_defaults(home: Path) -> None:
    host = load(home, "Host a\n Port 22\n StrictHostKeyChecking ask\n")["a"]
    assert host == Host(name="a", address="a")


def test_a_host_that_is_this_machine(home: Path) -> None:
    assert load(home, "Host a\n HostName localhost\nHost localhost\n")["a"].address == "localhost"


def test_without_ssh_the_message_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(home))
    with pytest.raises(ConfigError, match="ssh is not installed on this machine") as caught:
        load(home, "Host a\n")
    assert "openssh-client" in str(caught.value.hint)
    assert [host.name for host in ssh_config.list_known(f"{home}/config")] == ["a"]  # completion needs no ssh


def test_completion_offers_the_names_of_a_file_with_a_match_exec_and_runs_nothing(home: Path) -> None:
    (home / "config").write_text(f'Match exec "touch {home}/ran"\nHost a\n')
    for source in ("config", "config?exec=no"):
        assert [host.name for host in ssh_config.list_known(f"{home}/{source}")] == ["a"]
    assert not (home / "ran").exists()


def test_what_others_can_write_is_not_included(home: Path) -> None:
    (home / "open").write_text("Host b\n")
    (home / "open").chmod(0o666)
    with pytest.raises(ConfigError, match=f"Bad owner or permissions on {home}/open"):
        load(home, f"Include {home}/open\nHost a\n")


@pytest.mark.parametrize(
    "text", ["# mine\n\nHost a\n Port 22\n", "Compression yes\nHOST=a\n", "Include x\nMatch all\nHost a\n"]
)
def test_a_plain_path_is_recognised(home: Path, text: str) -> None:
    (home / "config").write_text(text)
    assert inventories.recognise(f"{home}/config") == ("ssh_config", f"{home}/config")


def test_many_hosts_are_asked_at_the_same_time(home: Path) -> None:
    lines = "".join(f"Host h{n}\n HostName 10.0.{n >> 8}.{n & 255}\n" for n in range(300))
    hosts = load(home, lines + "Host *\n User ops\n")
    assert [(host.address, host.user) for host in hosts.values()] == [
        (f"10.0.{n >> 8}.{n & 255}", "ops") for n in range(300)
    ]


def test_a_target_is_reached_as_ssh_would(home: Path) -> None:
    (home / ".ssh" / "config").write_text(
        "Host web\n HostName 192.0.2.7\n Port 2200\n User ops\n ProxyJump gate\nHost gate\n User jo\n"
        "Match host other exec true\n User by-exec\n"
    )
    (web,) = inventories.resolve_targets(("web",))
    assert (web.name, web.address, web.port, web.user) == ("web", "192.0.2.7", 2200, "ops")
    assert [(hop.name, hop.user) for hop in web.jump] == [("gate", "jo")]
    (typed,) = inventories.resolve_targets(("jo@web:22",))
    assert (typed.name, typed.address, typed.port, typed.user) == ("web", "192.0.2.7", 22, "jo")
    (other,) = inventories.resolve_targets(("other",))
    assert (other.address, other.user) == ("other", "by-exec")
    with pytest.raises(ConfigError, match="the same host"):
        inventories.resolve_targets(("web", "root@web"))
    (home / ".ssh" / "config").write_text("Host web\n NoSuchOption 1\n")
    with pytest.raises(ConfigError, match="nosuchoption"):
        inventories.resolve_targets(("web",))


def test_without_a_configuration_a_target_is_taken_literally() -> None:
    (web,) = inventories.resolve_targets(("ops@web:2222",))
    assert web == Host(name="web:2222", address="web", port=2222, user="ops")
