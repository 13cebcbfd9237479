"""What keeps the program readable: length of functions, names of classes, helpers of the command line."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path
from pkgutil import resolve_name

import pytest

import sshd_keepalive
from sshd_keepalive.cli import COMMANDS

SOURCE = Path(sshd_keepalive.__file__).parent
LONGEST = 60  # lines; ruff counts the parameters
MODULES = [path for path in sorted(SOURCE.rglob("*.py")) if "migrations" not in path.parts]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_function_is_longer_than_a_page(path: Path) -> None:
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_the_command_line_is_one_file_per_command_and_a_few_helpers() -> None:
    names = {path.stem for path in MODULES if path.parent.name == "cli"} - {"__init__"}
    commands = {name.replace("-", "_") for name in COMMANDS}
    assert commands <= names
    helpers = {
        "_command",
        "_options",
        "_run",
        "_change",
        "_plan_file",
        "_records",
        "_journal",
        "_output",
        "_progress",
        "_prompts",
    }
    assert names - commands == helpers


def test_no_two_classes_have_the_same_name() -> None:
    places = defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(SOURCE)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_the_architecture_page_names_functions_that_exist() -> None:
    page = (SOURCE.parents[1] / "docs/explanation/architecture.md").read_text()
    names = re.findall(r"`((?:ssh|remote|planning|sshd_config|fleet)(?:\.\w+)+)`", page)
    assert len(names) > 5
    for name in names:
        assert resolve_name(f"sshd_keepalive.{name}")  # raises for a name that does not exist


def test_the_architecture_page_lists_every_package() -> None:
    page = (SOURCE.parents[1] / "docs/explanation/architecture.md").read_text()
    first_cells = re.findall(r"^\| (`\w+/`.*?) \|", page.partition("## Packages")[2], re.MULTILINE)
    listed = {name for cell in first_cells for name in re.findall(r"`(\w+)/`", cell)}
    assert listed == {path.parent.name for path in SOURCE.glob("*/__init__.py")}
