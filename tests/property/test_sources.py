"""Whatever stands in a source of another program: hosts, or a ConfigError that shows no secret. Nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sshd_keepalive.config.ansible import build_hosts, read_json
from sshd_keepalive.config.values import parse_name
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts import servers
from sshd_keepalive.inventories import ansible, ssh_config
from sshd_keepalive.model import Host

CASES = Path(__file__).parents[1] / "cases"
SSH = sorted({line for path in (CASES / "ssh_config").glob("*.conf") for line in path.read_bytes().splitlines()})
INI = sorted({line for path in (CASES / "ansible").glob("*.ini") for line in path.read_bytes().splitlines()})
YAML = sorted({line for path in (CASES / "ansible").rglob("*.yml") for line in path.read_bytes().splitlines()})
SCRAPS = [
    b"",
    b'"',
    b"'",
    b"=",
    b"[",
    b"]:",
    b"%",
    b"%h",
    b"!",
    b"\\",
    b"\x00",
    b"\xff",
    b"#",
    b",",
    b"{{",
    b": ",
    b"@",
    b"&",
]
SECRET = "correct-horse-battery"


def checked(load: Callable[[], tuple[Host, ...]]) -> str:
    try:
        hosts = load()
    except ConfigError as error:
        return f"{error} {error.hint or ''}"
    assert len({host.name for host in hosts}) == len(hosts) > 0
    assert all(hop.jump == () for host in hosts for hop in host.jump)
    return ""


@pytest.mark.parametrize(("kind", "lines"), [("ssh_config", SSH), ("ansible", INI), ("ansible", YAML)])
def test_files_give_hosts_or_mistakes(kind: str, lines: list[bytes]) -> None:
    @settings(max_examples=25)
    @given(st.lists(st.sampled_from(lines), max_size=12), st.integers(0, 300), st.sampled_from(SCRAPS))
    def holds(chosen: list[bytes], cut: int, scrap: bytes) -> None:
        text = b"\n".join([*chosen, b""])
        with TemporaryDirectory() as folder:
            file = Path(folder, "file")
            file.write_bytes(text[:cut] + scrap + text[cut:])
            load = ssh_config.load if kind == "ssh_config" else ansible.list_known
            checked(lambda: load(str(file)))

    holds()


WORDS = st.sampled_from(["a", "b", "g", "all", "ungrouped", "a b", "", "-x", "10.0.0.1", "{{ x }}"])
VARIABLES = st.sampled_from(
    ["ansible_host", "ansible_port", "ansible_user", "ansible_connection", "ansible_become", "ansible_become_method",
     "ansible_ssh_common_args", "ansible_group_priority", "ansible_ssh_private_key_file", "x"]
)  # fmt: skip
VALUES = st.one_of(
    WORDS, st.integers(-1, 70_000), st.booleans(), st.none(), st.sampled_from(["-J b", "-J a,b", "no", "su", "-o"])
)
ANY = st.recursive(
    VALUES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=6,
)
VARS = st.one_of(st.dictionaries(VARIABLES, st.one_of(VALUES, ANY), max_size=3), ANY)
GROUP = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "hosts": st.one_of(st.lists(WORDS, max_size=3), ANY),
            "children": st.lists(WORDS, max_size=2),
            "vars": VARS,
        },
    ),
    ANY,
)


@settings(max_examples=25)
@given(groups=st.dictionaries(WORDS, GROUP, max_size=4), hostvars=st.dictionaries(WORDS, VARS, max_size=3))
def test_json_gives_hosts_or_mistakes(groups: dict[str, object], hostvars: dict[str, object]) -> None:
    text = json.dumps({**groups, "_meta": {"hostvars": hostvars}}).encode()
    checked(lambda: build_hosts(read_json(text, "x")))


@settings(max_examples=10)
@given(
    variable=st.sampled_from(
        ["ansible_password", "ansible_ssh_pass", "ansible_become_password", "ansible_become_pass"]
    ),
    form=st.sampled_from(["{}", "{{{{ {} }}}}", "env:{}", "{{{{ lookup('file', {}) }}}}"]),
)
def test_ansible_shows_no_secret(variable: str, form: str) -> None:
    data = {"g": {"hosts": ["a"]}, "_meta": {"hostvars": {"a": {variable: form.format(SECRET)}}}}
    (host,) = build_hosts(read_json(json.dumps(data).encode(), "x"))
    assert SECRET not in repr(host)


ADDRESS = st.fixed_dictionaries(
    {"addr": st.sampled_from(["10.0.0.1", "198.51.100.1", "2001:db8::1", "fe80::1%eth0", "x", ""])},
    optional={"OS-EXT-IPS:type": st.sampled_from(["fixed", "floating"])},
)
SERVER = st.fixed_dictionaries(
    {
        "id": st.uuids().map(str),
        "name": st.one_of(st.none(), st.text(max_size=8)),
        "status": st.sampled_from(["ACTIVE", "ERROR"]),
    },
    optional={
        "addresses": st.dictionaries(st.text(max_size=4), st.lists(ADDRESS, max_size=3), max_size=2),
        "metadata": st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=2),
        "tags": st.lists(st.text(max_size=6), max_size=2),
        "image": st.sampled_from(["", None, {"id": "w"}, {"id": "l"}]),
    },
)


@settings(max_examples=25)
@given(
    st.lists(SERVER, max_size=4, unique_by=lambda one: one["id"]),
    st.sampled_from(["private", "public", "cidr:10.0.0.0/8", "cidr:2001:db8::/32"]),
)
def test_every_active_server_that_is_no_windows_is_a_host(given_servers: list[dict[str, object]], address: str) -> None:
    hosts = servers.build_hosts(given_servers, servers.ServerSelection(address=address), systems={"w": "windows"})
    wanted = [one["id"] for one in given_servers if one["status"] == "ACTIVE" and one.get("image") != {"id": "w"}]
    assert [dict(host.labels)["id"] for host in hosts] == wanted
    assert len({host.name for host in hosts}) == len(hosts)
    for host in hosts:
        for text in (host.name, *host.groups):
            assert parse_name(text) == text
