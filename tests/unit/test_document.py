from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from sshd_keepalive.config import document as documents
from sshd_keepalive.config.document import YamlDocument
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.inventories import yaml


def refusal(data: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        YamlDocument("f.yaml", data)
    return str(caught.value)


def test_nodes_know_their_place() -> None:
    root = YamlDocument("f.yaml", b"\xef\xbb\xbfa:\r\n  - x\r\n  - {b: 'no'}\r\n").root
    assert root is not None
    (key, value) = root.value[0]
    assert (key.value, key.line, key.column, value.kind) == ("a", 1, 1, "list")
    assert [(node.line, node.column) for node in value.value] == [(2, 5), (3, 5)]
    assert [node.plain for node in value.value[1].value[0]] == [True, False]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: \xff\n", "f.yaml:1: not UTF-8, the byte is 0xff"),
        ("x\na: é\n".encode("latin-1"), "f.yaml:2: not UTF-8, the byte is 0xe9"),
        (b"a: 1\nb: \x07\n", "f.yaml:2: the character '\\x07' is not allowed in YAML"),
        (b"a: \x00\n", "f.yaml:1: the character '\\x00' is not allowed in YAML"),
        # From 6.0.4 on PyYAML itself refuses 1,000 of these, before the limit of this program is reached.
        (b"[" * 500, "f.yaml:1:65: nested more than 64 levels deep"),
        (b"- " * 100_000, "f.yaml:1:129: nested more than 64 levels deep"),
        (b"{a: " * 100_000, "f.yaml:1:257: nested more than 64 levels deep"),
    ],
)  # fmt: skip
def test_what_is_not_yaml_is_reported_with_its_place(data: bytes, message: str) -> None:
    assert refusal(data) == message


def test_a_syntax_error_does_not_quote_the_line() -> None:
    assert "hunter2" not in refusal(b"password: hunter2: hunter2\n")


def test_aliases_cannot_make_a_small_file_large() -> None:
    lines = ["a0: &a0 {x: 1, y: 2}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], k{n}: 1}}" for n in range(1, 40)]
    document = YamlDocument("f.yaml", "\n".join(lines).encode())
    assert document.root is not None
    last = document.read_pairs(document.root)["a39"][1]
    assert len(document.read_pairs(last)) == 41


def test_merges_that_lead_too_deep_are_reported(tmp_path: Path) -> None:
    lines = ["a0: &a0 {port: 1}", *(f"a{n}: &a{n} {{<<: *a{n - 1}}}" for n in range(1, 5000))]
    file = tmp_path / "deep.yaml"
    file.write_text("\n".join([*lines, "hosts: {h: *a4999}", ""]))
    with pytest.raises(ConfigError):
        yaml.load(str(file))


def test_an_alias_inside_itself_ends() -> None:
    document = YamlDocument("f.yaml", b"a: &a {<<: *a, b: 1}\n")
    assert document.root is not None
    assert list(document.read_pairs(document.read_pairs(document.root)["a"][1])) == ["b"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.yaml", "the file does not exist"),
        ("", "is a directory, a file is expected"),
        ("a\0b", "is not a path"),
    ],
)
def test_what_cannot_be_read_is_reported(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        documents.read(str(tmp_path / name))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_forbidden_file_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "closed.yaml"
    file.touch(mode=0)
    with pytest.raises(ConfigError, match="Permission denied"):
        documents.read(str(file))


def test_a_pipe_will_do(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"hosts: {a: }\n",))
    writer.start()
    assert [host.name for host in yaml.load(str(pipe))] == ["a"]
    writer.join()


def test_an_endless_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_BYTES", 1024 * 1024)
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        documents.read("/dev/zero")


def test_the_slow_parser_gives_the_same_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml as pyyaml

    text = Path("inventory.example.yaml").read_bytes()

    def shape(node: documents.Node) -> object:
        inside = node.value
        if node.kind == "list":
            inside = [shape(one) for one in node.value]
        elif node.kind == "mapping":
            inside = [(shape(key), shape(value)) for key, value in node.value]
        return node.kind, node.line, node.column, node.plain, inside

    fast = documents.compose(text, "f")
    monkeypatch.setattr(documents, "_LOADER", pyyaml.SafeLoader)
    slow = documents.compose(text, "f")
    assert fast
    assert slow
    assert shape(fast) == shape(slow)


def test_many_mistakes_are_counted() -> None:
    document = YamlDocument("f.yaml", b"".join(b"k%d: 1\n" % n for n in range(50)))
    assert document.root is not None
    document.read_fields(document.root, ("key",))
    with pytest.raises(ConfigError) as caught:
        document.raise_mistakes()
    lines = str(caught.value).splitlines()
    assert len(lines) == 31
    assert lines[-1] == "f.yaml: 20 more mistakes"
