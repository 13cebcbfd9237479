"""What we read in ssh_config(5) is what ssh reads: every case, and generated files, beside `ssh -G -F FILE HOST`."""

from __future__ import annotations

import getpass
import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sshd_keepalive import inventories
from sshd_keepalive.config.openssh import SshConfig
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts.proxy import hop_of
from sshd_keepalive.inventories import ssh_config
from sshd_keepalive.model import Host

CASES = sorted((Path(__file__).parents[1] / "cases" / "ssh_config").glob("*.conf"))
LISTS = ("identityfile", "certificatefile")
WORDS = ("userknownhostsfile", "globalknownhostsfile")
ASKED = ("hostname", "port", "user", "hostkeyalias", "stricthostkeychecking", "proxyjump", "proxycommand")
TRUST = {"true": "yes", "false": "no", "off": "no"}
needs_ssh = pytest.mark.skipif(not shutil.which("ssh"), reason="ssh is not installed")


def by_ssh(path: Path, name: str, home: Path) -> dict[str, list[str]]:
    done = subprocess.run(
        ["ssh", "-G", "-F", str(path), name],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": str(home)},
    )
    said: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        keyword, _, value = line.partition(" ")
        said.setdefault(keyword, []).append(value)
    return said


def compare(path: Path, name: str, home: Path) -> None:
    said = by_ssh(path, name, home)
    user, _, bare = name.rpartition("@")
    found = SshConfig(str(path)).resolve(bare, user=user or None)
    ours = {keyword: " ".join(found[keyword][0].words) for keyword in ASKED if keyword in found}
    ours.setdefault("hostname", bare)
    ours["hostname"] = ours["hostname"].lower()
    ours.setdefault("user", getpass.getuser())
    ours.setdefault("port", "22")
    ours["stricthostkeychecking"] = TRUST.get(trust := ours.get("stricthostkeychecking", "ask"), trust)
    theirs = {keyword: said[keyword][0] for keyword in ASKED if keyword in said}
    theirs["stricthostkeychecking"] = TRUST.get(trust := theirs["stricthostkeychecking"], trust)
    if "proxyjump" in ours:  # ssh prints its own reading of it
        ours["proxyjump"] = ours["proxyjump"].replace("ssh://", "")
        if ours["proxyjump"] == "none":
            del ours["proxyjump"]
    assert ours == theirs
    for keyword in LISTS:
        if keyword in found:
            assert [line.words[0] for line in found[keyword]] == said.get(keyword), keyword
    for keyword in WORDS:
        if keyword in found:
            account = pwd.getpwuid(os.getuid()).pw_dir  # ssh does not ask $HOME
            assert [" ".join(found[keyword][0].words).replace("~", account)] == said[keyword]


@needs_ssh
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_reads_as_ssh_does(path: Path, tmp_path: Path) -> None:
    asked = re.search(r"# asked: (.*\w)", path.read_text())
    assert asked
    for name in asked[1].split():
        compare(path, name, tmp_path)


NAMES = ("a", "b", "ab", "c.d", "A")
PATTERNS = st.lists(st.sampled_from(["a", "!a", "b", "ab", "a*", "!*b", "?", "*.d", "*", "!*", "C.D"]), min_size=1)
VALUES = st.sampled_from(
    ["HostName %h.d", "HostName B", "HostName c.d", "Port 2201", "port=2202", "User jo", "User mo", "IdentityFile ~/x",
     "IdentityFile y", "CertificateFile z", "ProxyJump b", "ProxyJump none", "ProxyCommand nc", "HostKeyAlias k",
     "StrictHostKeyChecking accept-new", "StrictHostKeyChecking no", "UserKnownHostsFile /k /l"]
)  # fmt: skip
HOST_LINES = st.builds(lambda words: f"Host {' '.join(words)}", PATTERNS)
CRITERION = st.one_of(
    st.builds(lambda no, name, words: f"{no}{name} {','.join(words)}", st.sampled_from(["", "!"]),
              st.sampled_from(["host", "originalhost", "user"]), PATTERNS),
    st.sampled_from(["user jo", "!user jo", "localuser nobody", "!localuser nobody", "final", "!final", "canonical"]),
)  # fmt: skip
MATCH_LINES = st.builds(
    lambda words, end: f"Match {' '.join(words)}{end}",
    st.lists(CRITERION, min_size=1, max_size=2),
    st.sampled_from(["", " # end"]),
)
LINES = st.lists(
    st.one_of(VALUES, VALUES, VALUES, HOST_LINES, MATCH_LINES, st.sampled_from(["Match all", "Include inner", "#"])),
    max_size=14,
)


@needs_ssh
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(outer=LINES, inner=LINES, name=st.sampled_from(NAMES))
def test_generated_files_read_as_ssh_does(outer: list[str], inner: list[str], name: str, tmp_path: Path) -> None:
    for file, lines in (("outer", outer), ("inside", inner)):
        text = "\n".join(lines).replace("Include inner", f"Include {tmp_path}/insid?")
        (tmp_path / file).write_text(text if file == "outer" else text.replace("Include", "#"))
        (tmp_path / file).chmod(0o600)
    compare(tmp_path / "outer", name, tmp_path)


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
        "Host out\n Port 2022\nHost *\n ProxyJump never\nHost never\n",
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
        " UserKnownHostsFile ~/k1 ~/k2\n GlobalKnownHostsFile none\n HostKeyAlias al\n StrictHostKeyChecking no\n"
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
    assert hosts["a"].obstacle == f"{home}/config:2: ProxyCommand is not run here, ProxyJump is followed"
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
    assert hop_of(command) == hop


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Host a\nMatch tagged x\n", "config:2: Match 'tagged' cannot be judged here; known are host, originalhost"),
        ("Host a\nMatch usr x\n", "config:2: Match 'usr' cannot be judged here, did you mean 'user'?"),
        ("Match exec true\nHost a\n", "config:1: Match exec runs a command; allow it with ssh_config:FILE?exec=yes"),
        ("Host a\n Port 99999\n", "config:2: '99999' is not a port"),
        ("Host a\n User 'x\n", "config:2: a quote is not closed"),
        ("Host a\n Port\n", "config:2: a value is missing"),
        ("Host a\n HostName %z\n", "config:2: '%z': %z cannot be filled in"),
        ("Host a,b\n", "config:1: 'a,b' cannot be a name"),
        ("Host *\n", "config: there are no hosts in this file"),
        ("Host a\n ProxyJump b\nHost b\n ProxyJump a\n", "config:1: jump loop: a → b → a"),
        ("Host a\n ProxyJump b:c\n", "config:2: target 'b:c': 'c' is not a port"),
        ("Host a\nCanonicalDomains x.org\n", "config:2: CanonicalDomains makes ssh ask the DNS"),
        ("Include config\nHost a\n", "config:1: Include leads more than 16 files deep"),
        ("Host a\n StrictHostKeyChecking maybe\n", "config:2: StrictHostKeyChecking is one of"),
    ],
)
def test_mistakes_are_told_with_their_place(home: Path, text: str, said: str) -> None:
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


def test_what_others_can_write_is_not_included(home: Path) -> None:
    (home / "open").write_text("Host a\n")
    (home / "open").chmod(0o666)
    with pytest.raises(ConfigError, match="open: belongs to somebody else, or others can write it"):
        load(home, f"Include {home}/open\n")


@pytest.mark.parametrize(
    "text", ["# mine\n\nHost a\n Port 22\n", "Compression yes\nHOST=a\n", "Include x\nMatch all\nHost a\n"]
)
def test_a_plain_path_is_recognised(home: Path, text: str) -> None:
    (home / "config").write_text(text)
    assert inventories.recognise(f"{home}/config") == ("ssh_config", f"{home}/config")


def test_ten_thousand_hosts_are_indexed(home: Path) -> None:
    lines = "".join(f"Host h{n}\n HostName 10.0.{n >> 8}.{n & 255}\n" for n in range(3_000))
    assert len(load(home, lines + "Host *\n User ops\n")) == 3_000
