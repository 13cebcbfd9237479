"""The schema and the checker agree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sshd_keepalive.config import schema
from sshd_keepalive.config.document import Node, read
from sshd_keepalive.config.settings import HOST, POLICY
from sshd_keepalive.inventories import yaml

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests" / "cases" / "inventory"
VALIDATOR = jsonschema.Draft202012Validator(schema.build())

#: Mistakes that a schema can see; the others are about what several keys say together.
VISIBLE = ("bad_keys", "secrets", "ansible", "a_list")


def as_an_editor_sees_it(node: Node) -> Any:
    """Plain YAML 1.2, as the language server of editors reads it."""
    if node.kind == "mapping":
        return {key.value: as_an_editor_sees_it(value) for key, value in node.value}
    if node.kind == "list":
        return [as_an_editor_sees_it(one) for one in node.value]
    if node.is_empty:
        return None
    if node.plain and re.fullmatch("[0-9]+", node.value):
        return int(node.value)
    return float(node.value) if node.plain and re.fullmatch(r"[0-9]+\.[0-9]+", node.value) else node.value


def mistakes(path: Path) -> list[str]:
    root = read(str(path)).root
    return [error.message for error in VALIDATOR.iter_errors(as_an_editor_sees_it(root) if root else None)]


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.build())


GOOD = [path for path in sorted(CASES.glob("*.yaml")) if path.with_suffix(".hosts").exists() and path.stem != "anchors"]


@pytest.mark.parametrize("path", [ROOT / "inventory.example.yaml", *GOOD], ids=lambda path: path.stem)
def test_it_accepts_what_the_checker_accepts(path: Path) -> None:
    assert mistakes(path) == []


@pytest.mark.parametrize("name", VISIBLE)
def test_it_refuses_what_it_can_see(name: str) -> None:
    assert mistakes(CASES / f"{name}.yaml")


def test_the_example_loads_without_a_mistake() -> None:
    hosts = yaml.load(str(ROOT / "inventory.example.yaml"))
    assert len(hosts) == 27
    assert len({host.name for host in hosts}) == 27


@pytest.mark.parametrize("key", [*HOST, *POLICY.fields, "defaults", "groups", "hosts"])
def test_the_example_shows_every_key_and_the_reference_explains_it(key: str) -> None:
    assert re.search(rf"(^|[\s{{]){key}:", (ROOT / "inventory.example.yaml").read_text(), re.MULTILINE)
    assert f"`{key}`" in (ROOT / "docs" / "reference" / "inventory.md").read_text()
