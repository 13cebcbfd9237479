from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts.limit import select
from sshd_keepalive.model import Host

FLEET = (
    Host(name="web1", address="192.0.2.1", groups=("web", "eu")),
    Host(name="web2", address="192.0.2.2", groups=("web", "us")),
    Host(name="db1", address="192.0.2.3", groups=("db", "eu")),
    Host(name="db2", address="2001:db8::4", groups=("db", "us")),
    Host(name="2001:db8::5", address="2001:db8::5"),
    Host(name="lone:2222", address="lone", port=2222),
)
NAMES = [host.name for host in FLEET]


def chosen(pattern: str, hosts: tuple[Host, ...] = FLEET) -> list[str]:
    return [host.name for host in select(hosts, pattern)]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("all", NAMES),
        ("*", NAMES),
        ("web1", ["web1"]),
        ("web", ["web1", "web2"]),
        ("web*", ["web1", "web2"]),
        ("ungrouped", ["2001:db8::5", "lone:2222"]),
        ("db,web1", ["web1", "db1", "db2"]),
        ("db:web1", ["web1", "db1", "db2"]),
        (" db , web1 ,", ["web1", "db1", "db2"]),
        ("!web", ["db1", "db2", "2001:db8::5", "lone:2222"]),
        ("web:&eu", ["web1"]),
        ("&eu:web", ["web1"]),
        ("all:!eu:&web", ["web2"]),
        ("!eu,web,db", ["web2", "db2"]),
        ("~^(web|db)1$", ["web1", "db1"]),
        (r"~.*b\d{1,2}$", ["web1", "web2", "db1", "db2"]),
        ("all,!~.*1$", ["web2", "db2", "2001:db8::5", "lone:2222"]),
        ("?b1", ["db1"]),
        ("web[12]", ["web1", "web2"]),
        ("web[0]", ["web1"]),
        ("web[-1]", ["web2"]),
        ("all[1:2]", ["web2", "db1"]),
        ("all[4:]", ["2001:db8::5", "lone:2222"]),
        ("db[1:2]", ["db2"]),  # the second of group db: a group goes before a range, as in Ansible
        ("we[a:b][1:2]", ["web1", "web2"]),
        ("2001:db8::5", ["2001:db8::5"]),
        ("2001:db8::5,web1", ["web1", "2001:db8::5"]),
        ("2001:db8::4", ["db2"]),
        ("192.0.2.3", ["db1"]),
        ("lone:2222", ["lone:2222"]),
        ("lone", ["lone:2222"]),
        ("!2001:db8::5,!lone:2222", ["web1", "web2", "db1", "db2"]),
    ],
)
def test_selects(pattern: str, names: list[str]) -> None:
    assert chosen(pattern) == names


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("wbe1", "no host and no group is called 'wbe1', did you mean 'web1'?"),
        ("ops@192.0.2.7", "no host and no group is called 'ops@192.0.2.7'"),
        ("web,!usa", "no host and no group is called 'usa', did you mean 'us'?"),
        ("web,&x*", "no host and no group is called 'x*'"),
        ("web1,&db", "'web1,&db' leaves no host"),
        ("all,!all", "leaves no host"),
        ("~[", "'[' is not a regular expression"),
        ("~eb1", "is called '~eb1'"),
        ("~nothing", "no host and no group is called '~nothing'"),
        ("x[3:1]", "runs backwards"),
        ("@/nonexistent/hosts", "@/nonexistent/hosts: No such file or directory"),
        ("a\x1b[2Jb", r"'a\x1b[2Jb'"),
        ("", "--limit is empty"),
        (" , ", "--limit is empty"),
        ("web[9]", "is called 'web[9]'"),
    ],
)
def test_refuses(pattern: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        select(FLEET, pattern)
    assert message in str(caught.value)


def test_reads_patterns_from_a_file(tmp_path: Path) -> None:
    plain = tmp_path / "failed:hosts"
    plain.write_text("# last run\r\n\r\ndb2  # banned\r\nweb*\r\n2001:db8::5\r\n")
    assert chosen(f"@{plain}") == ["web1", "web2", "db2", "2001:db8::5"]
    assert chosen(f"all,!@{plain}") == ["db1", "lone:2222"]
    plain.write_text("# nothing\n")
    with pytest.raises(ConfigError, match="the file contains no host"):
        chosen(f"@{plain}")
    plain.write_text("@other\n")
    with pytest.raises(ConfigError, match="cannot name another file"):
        chosen(f"@{plain}")
    plain.write_bytes(b"\xff\n")
    with pytest.raises(ConfigError, match="not a text file"):
        chosen(f"@{plain}")


SUBSETS = st.lists(st.sampled_from(NAMES), min_size=1)


@given(wanted=SUBSETS, dropped=SUBSETS)
def test_is_set_algebra_in_the_order_of_the_inventory(wanted: list[str], dropped: list[str]) -> None:
    assert chosen(",".join(wanted)) == [name for name in NAMES if name in wanted]
    rest = [name for name in NAMES if name in wanted and name not in dropped]
    pattern = ",".join([*(f"!{name}" for name in dropped), *wanted])
    if rest:
        assert chosen(pattern) == rest
    else:
        with pytest.raises(ConfigError, match="leaves no host"):
            chosen(pattern)


@given(st.text(alphabet="web12db*?[]:!&~@,{}()-0.x", max_size=20))
def test_any_text_selects_hosts_once_or_is_refused(pattern: str) -> None:
    try:
        names = chosen(pattern)
    except ConfigError:
        return
    assert names
    assert names == [name for name in NAMES if name in names]


def test_a_long_file_of_a_large_fleet(tmp_path: Path) -> None:
    fleet = tuple(Host(name=f"ecs-{number}", address="192.0.2.1", groups=("g",)) for number in range(20_000))
    file = tmp_path / "failed"
    file.write_text("".join(f"ecs-{number}\n" for number in range(0, 20_000, 2)))
    assert len(chosen(f"@{file}", fleet)) == 10_000
