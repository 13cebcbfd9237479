"""The documentation says what the program does."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.machinery import SourceFileLoader
from pathlib import Path

import click
import pytest

import sshd_keepalive
from sshd_keepalive import registry
from sshd_keepalive.cli import COMMANDS
from sshd_keepalive.cli import command as program
from sshd_keepalive.model import ChangeCause, FailureKind
from sshd_keepalive.probing.proof import Loss
from sshd_keepalive.ssh.errors import LoginCause
from tests.lab import guarantees

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))


def test_the_pages_made_from_the_program_are_current() -> None:
    loader = SourceFileLoader("write_reference", str(ROOT / "tools/write-reference"))
    spec = importlib.util.spec_from_loader("write_reference", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    for name, page in module.PAGES.items():
        assert (ROOT / name).read_text() == page(), "run make docs"


def test_every_kind_of_report_is_in_the_reference() -> None:
    page = (ROOT / "docs/reference/reports.md").read_text()
    assert set(registry.list_built_in("reports")) <= set(re.findall(r"`(\w+)`", page.split("## html")[0]))


def test_the_readme_names_every_command() -> None:
    table = re.findall(r"^\| `([\w-]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert set(COMMANDS) <= set(table)


def test_the_guarantees_are_those_of_the_tests_that_found_them() -> None:
    """A row for every fault and step; what stands in it was found on all kinds of hosts, or nothing does."""
    found = guarantees.rows()
    assert list(found) == [(fault, step) for fault, steps in guarantees.FAULTS.items() for step in steps]
    good = re.compile(
        r"(old|new)(, reported (refused|rolled_back|applied|unproved))?|old, \d+ times|(\d+ (old|new)(, |$))+",
    )
    for row, (*cells, day) in found.items():
        assert len(cells) == len(guarantees.KINDS), row
        if day:
            assert re.fullmatch(r"\d{4}-\d\d-\d\d", day), row
            assert all(good.fullmatch(cell) for cell in cells), (row, cells)


def test_the_page_says_of_each_odd_host_what_became_of_it() -> None:
    found = guarantees.hosts()
    assert list(found) == list(guarantees.HOSTS.values())
    for host, (apply, helps, day) in found.items():
        assert re.fullmatch(r"applied \(`\w+`\)|refused \(`\w+`\)", apply), host
        assert bool(helps) == apply.startswith("refused"), host
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", day), host


def list_documented_commands() -> list[str]:
    """List the commands in the code of all pages, each once: as a shell reads them, up to a pipe or a redirection."""
    commands: dict[str, None] = {}
    for page in PAGES:
        blocks = re.findall(r"^ *```\w+\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL)
        quoted = re.findall(r"`(sshd-keepalive [^`]+)`", page.read_text())
        for line in (*"".join(blocks).splitlines(), *quoted):
            if found := re.match(r"(?:\$ |\s*- (?:run: )?|\s+)?sshd-keepalive (.+)", line):
                commands[re.split(r" +(?:# |\|\|? |>)", found[1])[0]] = None
    return list(commands)


@pytest.mark.parametrize("command", list_documented_commands())
def test_a_documented_command_is_understood(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sshd-keepalive.yaml").write_text("forks: 5\n")
    context = program.make_context("sshd-keepalive", shlex.split(command))
    while isinstance(context.command, click.Group):
        name, inner, words = context.command.resolve_command(context, [*context._protected_args, *context.args])
        assert inner is not None
        context = inner.make_context(name, words, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / link).exists(), f"{page}: {link}"


def test_the_changelog_begins_with_this_version_and_has_each_heading_once() -> None:
    newest = (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1]
    assert newest.split()[0] == sshd_keepalive.__version__
    headings = re.findall(r"^### (.+)$", newest, re.MULTILINE)
    assert headings == [
        name for name in ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security") if name in headings
    ]
    bullets = re.findall(r"^- .+(?:\n  .+)*", newest, re.MULTILINE)
    assert len(bullets) == len(set(bullets)) > 50


def test_one_address_and_release_of_the_repository_is_named_everywhere() -> None:
    """The release workflow compares `Repository` with where it runs; all other addresses must follow it."""
    settings = (ROOT / "pyproject.toml").read_text()
    repository = tomllib.loads(settings)["project"]["urls"]["Repository"]
    name = repository.removeprefix("https://github.com/")
    text = settings + "".join(page.read_text() for page in PAGES)
    addresses = re.findall(r"https://github\.com/[\w-]+/sshd-keepalive\b", text)
    assert len(addresses) > 6
    assert set(addresses) == {repository}
    assert re.findall(r"uses: ([\w-]+/sshd-keepalive)@", text) == [name]
    pipeline = (ROOT / "docs/how-to/run-it-in-a-pipeline.md").read_text()
    releases = re.findall(r"(?:rev: |sshd-keepalive@)(\S+)", pipeline)
    assert releases == [f"v{sshd_keepalive.__version__}"] * 2


def test_the_workflows_call_targets_and_sessions_that_exist() -> None:
    workflows = "".join(path.read_text() for path in (ROOT / ".github/workflows").glob("*.yml"))
    called = " ".join(re.findall(r"\bmake ([a-z -]+)$", workflows, re.MULTILINE)).split()
    assert len(called) > 8
    assert set(called) <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    sessions = re.findall(r"\bnox .*-s (\w+)", workflows)
    assert sessions
    assert set(sessions) <= set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE))


def test_every_failure_kind_of_the_code_is_documented() -> None:
    scripts = "".join(path.read_text() for path in (ROOT / "src").rglob("*.sh"))
    used = set(re.findall(r"\bkind=([a-z_]+)\b", scripts))
    used |= set(re.findall(r"^[^#]*\b(?:stop|refuse) ([a-z_]+) \"", scripts, re.MULTILINE))
    assert used <= {kind.value for kind in FailureKind}
    used = {kind.value for kind in FailureKind}
    page = (ROOT / "docs/reference/json.md").read_text()
    known = set(re.findall(r"`(\w+)`", page.split("## failure.kind")[1]))
    assert used <= known, used - known


def test_every_word_for_a_loss_of_probe_is_documented() -> None:
    page = (ROOT / "docs/reference/json.md").read_text()
    (listed,) = re.findall(r"`loss` if the session ended: ([^|]*) \|", page)
    assert set(re.findall(r"`(\w+)`", listed)) == {loss.name.lower() for loss in Loss}


def test_the_library_is_as_its_page_says(tmp_path: Path) -> None:
    page = (ROOT / "docs/reference/library.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "etc/ssh/sshd_config.d").mkdir(parents=True)
    (tmp_path / "etc/ssh/sshd_config").write_text("ClientAliveInterval 60\nClientAliveInterval 70\n")
    example = example.replace('Path("/etc', f'Path("{tmp_path}/etc')
    example += "import sys\nassert not {'paramiko', 'click', 'yaml', 'sqlite3', 'socket'} & set(sys.modules)\n"
    ran = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "60 /etc/ssh/sshd_config:1 (Place(path='/etc/ssh/sshd_config', line=2),)\n" in ran.stdout
    assert "-ClientAliveInterval 60\n+ClientAliveInterval 300\n" in ran.stdout
    names = set(re.findall(r"`(\w+)[.(]", page.partition("| name |")[2])) | {"policy_from_mapping"}
    promised = {name for name in names if hasattr(sshd_keepalive, name)}
    assert promised >= set(sshd_keepalive.__all__) - {
        *("ConfigError", "KeepaliveError", "ParseError", "PlanError"),
        *("Effective", "Finding", "Plan", "Policy", "Reading", "Setting", "Snapshot", "State"),
    }


def test_the_index_leads_to_every_page_of_docs() -> None:
    linked = set(re.findall(r"\]\(([\w/-]+\.md)\)", (ROOT / "docs/index.md").read_text()))
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert pages - linked == {"index.md"}


def test_the_navigation_holds_every_page_of_docs() -> None:
    listed = set(re.findall(r'"docs/([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text()))
    assert listed == {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}


def test_every_failure_has_an_entry_in_troubleshoot() -> None:
    """Each kind is a heading; each cause of a login, and each that the code names, is below its kind or another."""
    page = (ROOT / "docs/how-to/troubleshoot.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert set(sections) == {kind.value for kind in FailureKind}
    for cause in LoginCause:
        assert f"`{cause}`" in sections[cause.kind.value], cause
    python = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    named = {*re.findall(r'\bcause="([a-z_-]+)"', python), *ChangeCause}
    assert {cause for cause in named if f"`{cause}`" not in page} == set()
