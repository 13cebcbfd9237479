"""What keeps the program readable: length of functions, names of classes, modules in a package."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from pkgutil import resolve_name

import pytest

import sshd_keepalive
from sshd_keepalive.cli import COMMANDS

SOURCE = Path(sshd_keepalive.__file__).parent
ROOT = SOURCE.parents[1]
LONGEST = 60  # lines; ruff counts the parameters
MOST_MODULES = 20
MOST_LINES = 400  # of two modules that could be one
TYPE_NAME = re.compile(r"[A-Z][a-z]\w")
MODULES = [path for path in sorted(SOURCE.rglob("*.py")) if "migrations" not in path.parts]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_function_is_longer_than_a_page(path: Path) -> None:
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_cause_or_state_is_compared_with_a_text(path: Path) -> None:
    """A typo in a text is never found; a member of an enum is checked by mypy."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    compared = [
        ast.unparse(node)
        for node in nodes
        if isinstance(node, ast.Compare)
        and isinstance(node.left, ast.Attribute)
        and node.left.attr in ("cause", "end", "loss", "setting", "state")
        and any(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in ast.walk(node))
    ]
    matched = [node for node in nodes if isinstance(node, ast.Match) and isinstance(node.subject, ast.Attribute)]
    compared += [
        ast.unparse(case.pattern)
        for match in matched
        for case in match.cases
        if isinstance(case.pattern, ast.MatchValue) and isinstance(case.pattern.value, ast.Constant)
    ]
    assert compared == []


def test_every_field_has_a_reader() -> None:
    """By name: a field that shares its name with one that is read is not found."""
    trees = [ast.parse(path.read_text()) for path in MODULES]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
    unread = {
        f"{node.name}.{field.target.id}"
        for node in nodes
        if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(one) for one in node.decorator_list)
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.target.id not in read
    }
    assert unread == {
        *(f"Options.{name}" for name in ("interval", "keep_alive_every", "drop_dead_after")),  # read by name
        *("Row.example", "Rule.example"),  # the tests read the messages that a row is for
        "PlanFile.made_at",  # for people who read the file
        "Run.by",  # is read by page.html
    }


def test_a_command_is_one_file_and_nothing_else_is_among_the_commands() -> None:
    files = {path.stem for path in (SOURCE / "cli/commands").glob("*.py")} - {"__init__"}
    assert files == {name.replace("-", "_") for name in COMMANDS}


def test_no_package_has_more_modules_than_a_reader_can_survey() -> None:
    sizes = Counter(str(path.parent.relative_to(SOURCE)) for path in MODULES if path.stem != "__init__")
    assert {package: n for package, n in sizes.items() if n > MOST_MODULES} == {}


def find_importers(paths: Iterable[Path]) -> dict[str, set[Path]]:
    """Find which files import each module of the program."""
    importers: dict[str, set[Path]] = defaultdict(set)
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            else:
                continue
            for name in names:
                importers[name].add(path)
    return importers


def test_no_module_exists_only_for_one_other_of_its_package() -> None:
    """One that a test or benchmark uses is a seam; two that would be too long to read together stay apart."""
    paths = {".".join((SOURCE.name, *path.relative_to(SOURCE).with_suffix("").parts)): path for path in MODULES}
    users = find_importers(MODULES)
    checkers = find_importers(path for name in ("tests", "bench") for path in (ROOT / name).rglob("*.py"))
    parts: dict[Path, list[Path]] = defaultdict(list)
    for name, path in paths.items():
        if len(users[name]) != 1 or checkers[name] or path.parent == SOURCE / "cli/commands":  # started by their names
            continue
        (user,) = users[name]
        if path.parent in (user.parent, SOURCE) and user.stem != "__init__":
            parts[user].append(path)
    lengths = {user: sum(len(one.read_text().splitlines()) for one in (user, *more)) for user, more in parts.items()}
    assert {str(user): parts[user] for user, length in lengths.items() if length <= MOST_LINES} == {}


def test_no_two_types_have_the_same_name() -> None:
    places = defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            names = [node.name] if isinstance(node, ast.ClassDef) else []
            if isinstance(node, ast.Assign):  # a name of a type, `Wave = tuple[Host, ...]`
                names = [one.id for one in node.targets if isinstance(one, ast.Name) and TYPE_NAME.match(one.id)]
            for name in names:
                places[name].append(str(path.relative_to(SOURCE)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_the_architecture_page_names_functions_that_exist() -> None:
    page = (ROOT / "docs/explanation/architecture.md").read_text()
    names = re.findall(r"`((?:ssh|remote|planning|sshd_config|fleet)(?:\.\w+)+)`", page)
    assert len(names) > 5
    for name in names:
        assert resolve_name(f"sshd_keepalive.{name}")  # raises for a name that does not exist


def test_the_architecture_page_lists_every_package() -> None:
    page = (ROOT / "docs/explanation/architecture.md").read_text()
    first_cells = re.findall(r"^\| (`\w+/`.*?) \|", page.partition("## Packages")[2], re.MULTILINE)
    listed = {name for cell in first_cells for name in re.findall(r"`(\w+)/`", cell)}
    assert listed == {path.parent.name for path in SOURCE.glob("*/__init__.py")}
