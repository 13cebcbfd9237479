"""What keeps the program readable: how long a function may be, and which helpers the command line has."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sshd_keepalive
from sshd_keepalive.cli import COMMANDS

SOURCE = Path(sshd_keepalive.__file__).parent
LONGEST = 60  # lines; ruff counts the parameters
MODULES = [path for package in ("cli", "fleet") for path in sorted((SOURCE / package).glob("*.py"))]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_function_is_longer_than_a_page(path: Path) -> None:
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_the_command_line_is_one_file_per_command_and_a_few_helpers() -> None:
    names = {path.stem for path in MODULES if path.parent.name == "cli"} - {"__init__"}
    commands = {name.replace("-", "_") for name in COMMANDS}
    assert commands <= names
    helpers = {"_options", "_run", "_change", "_results", "_terminal", "_journal"}
    assert names - commands == helpers
