"""Every file of `tests/cases/ansible` gives the hosts or the mistakes beside it, and what Ansible itself says.

`NAME.hosts` holds one JSON object a line, defaults left out; `NAME.mistakes` the message. After a wanted change:
`KEEP_CASES=1 pytest tests/unit/test_ansible.py`, then read the difference.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sshd_keepalive import inventories
from sshd_keepalive.config.ansible import build_hosts, read_json
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.inventories import ansible
from sshd_keepalive.model import Host
from tests.support.hosts import told

CASES = Path(__file__).parents[1] / "cases" / "ansible"
FILES = [*sorted(CASES.glob("*.*i*")), *sorted(CASES.glob("*.y*ml")), CASES / "site" / "hosts.yml"]
FILES = [path for path in FILES if path.suffix in (".ini", ".yml")]
PROGRAM = shutil.which("ansible-inventory", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    try:
        hosts = ansible.list_known(str(path))
    except ConfigError as error:
        suffix, text = ".mistakes", f"{error}\n" + (f"hint: {error.hint}\n" if error.hint else "")
        text = text.replace(f"{path.parent}{os.sep}", "")
    else:
        suffix, text = ".hosts", "".join(json.dumps(told(host), ensure_ascii=False) + "\n" for host in hosts)
    if "KEEP_CASES" in os.environ:
        path.with_suffix(suffix).write_text(text)
    assert text == path.with_suffix(suffix).read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_plain_path_is_recognised(path: Path) -> None:
    assert inventories.recognise(str(path)) == ("ansible", str(path))


@pytest.mark.parametrize(
    "text", ["[web:vrs]\na\n", "a ansible_port=1\n", "---\nall:\n", "plugin: x\n", "web:\n  hosts:\n    a:\n"]
)
def test_also_a_wrong_file_is_recognised(tmp_path: Path, text: str) -> None:
    (tmp_path / "i").write_text(text)
    assert inventories.recognise(f"{tmp_path}/i")[0] == "ansible"


@pytest.mark.skipif(PROGRAM is None, reason="ansible-inventory is not installed (ansible-core)")
@pytest.mark.parametrize("path", [CASES / "groups.ini", CASES / "site" / "hosts.yml"], ids=lambda path: path.stem)
def test_our_reading_is_that_of_ansible_inventory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(str(PROGRAM)).parent}{os.pathsep}{os.environ['PATH']}")
    assert by_name(ansible.load(str(path))) == by_name(ansible.list_known(str(path)))


def by_name(hosts: tuple[Host, ...]) -> dict[str, Host]:
    assert len({host.name for host in hosts}) == len(hosts)
    return {host.name: host for host in hosts}


def test_a_secret_in_plain_text_is_neither_taken_nor_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "i").write_text("[g]\na ansible_become_password=hunter2 ansible_password=hunter2\n")
    (host,) = ansible.list_known(f"{tmp_path}/i")
    assert (host.password, host.become.password) == (None, None)
    assert "ansible_become_password of a is not a reference and was ignored" in caplog.text
    assert "hunter2" not in caplog.text


def test_what_ansible_inventory_says_when_it_fails_is_reported(
    tmp_path: Path, script: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(script("ansible-inventory", "echo oh no >&2; exit 4").parent))
    (tmp_path / "i").write_text("[g]\na\n")
    with pytest.raises(ConfigError, match=r"ansible-inventory failed with exit code 4: 'oh no'"):
        ansible.load(f"{tmp_path}/i")


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, text: str) -> Path:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    return make


def test_without_ansible_plain_files_are_read_and_a_directory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "i").write_text("a\n")
    with pytest.raises(ConfigError, match="a directory of inventories needs ansible-inventory"):
        ansible.load(str(tmp_path))
    assert [host.name for host in ansible.load(f"{tmp_path}/i")] == ["a"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the output is not JSON (line 1, column 1): it is empty"),
        ("Traceback (most recent", "it begins with 'Traceback (most recent'"),
        ("[" * 100_000, "the output is not JSON"),
        ("[]", "a JSON object is expected, not a list"),
        ('{"g": 5}', "group 'g' is not an object"),
        ('{"g": {"hosts": "a"}}', "hosts of group 'g' is not a list of names"),
        ('{"g": {"hosts": [1]}}', "hosts of group 'g' is not a list of names"),
        ('{"g": {"hosts": ["a"], "vars": []}}', "the vars of group 'g' are not an object"),
        ('{"_meta": [], "g": {"hosts": ["a"]}}', "_meta.hostvars is not an object"),
        ('{"g": {"hosts": ["a"], "children": ["g"]}}', "group loop: g → g"),
        ('{"g": {"hosts": ["a b"]}}', "host 'a b': 'a b' is not a valid name"),
        ("{}", "the inventory contains no host"),
    ],
)
def test_what_is_not_an_inventory_is_reported(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_hosts(read_json(text.encode(), "x"))
    assert str(caught.value).startswith("x: ")
    assert said in str(caught.value)


def test_five_thousand_hosts_are_read() -> None:
    hosts = [f"h{n}" for n in range(5_000)]
    hostvars = {name: {"ansible_host": f"10.0.{n >> 8}.{n & 255}"} for n, name in enumerate(hosts)}
    text = json.dumps({"g": {"hosts": hosts, "vars": {"ansible_user": "ops"}}, "_meta": {"hostvars": hostvars}})
    found = build_hosts(read_json(text.encode(), "x"))
    assert len(found) == 5_000
    assert {host.user for host in found} == {"ops"}
