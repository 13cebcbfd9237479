"""Whatever the registry names can be loaded and keeps its contract; what does not is refused by name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sshd_keepalive
from sshd_keepalive import registry
from sshd_keepalive.errors import ConfigError, ExtensionError

KINDS = [
    folder.name
    for folder in sorted(Path(sshd_keepalive.__file__).parent.iterdir())
    if (folder / "__init__.py").exists() and "runtime_checkable" in (folder / "__init__.py").read_text()
]


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in registry.list_built_in(kind)])
def test_every_extension_keeps_its_contract(kind: str, name: str) -> None:
    assert registry.load(kind, name)
    assert name in registry.list_names(kind)


def test_an_unknown_name_is_reported_with_the_known_ones() -> None:
    with pytest.raises(ExtensionError, match="services: 'sistemd' is not known, did you mean 'systemd'") as caught:
        registry.load("services", "sistemd")
    assert caught.value.hint
    assert "openrc" in caught.value.hint


@pytest.fixture
def dropped_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory whose modules count as inventories."""
    from sshd_keepalive import inventories

    monkeypatch.setattr(inventories, "__path__", [*inventories.__path__, str(tmp_path)])
    registry.list_built_in.cache_clear()
    yield tmp_path
    registry.list_built_in.cache_clear()
    for name in [name for name in sys.modules if name.startswith("sshd_keepalive.inventories.dropped")]:
        del sys.modules[name]


def test_a_file_dropped_in_is_found_and_used(dropped_in: Path) -> None:
    from sshd_keepalive import inventories

    (dropped_in / "dropped.py").write_text(
        "from sshd_keepalive.model import Host\n"
        "def load(source): return (Host(name=source, address=source),)\n"
        "def can_load(head, path): return head.startswith(b'#dropped')\n"
    )
    (dropped_in / "file").write_text("#dropped\nhosts:\n")
    assert "dropped" in registry.list_names("inventories")
    assert [host.name for host in inventories.load(["dropped:web1"])] == ["web1"]
    with pytest.raises(ConfigError, match="could be of several kinds"):
        inventories.load([str(dropped_in / "file")])


DROPPED = {
    "reports": "def render(run): return ''.join(f'{report.host.name}\\n' for report in run.hosts)\n",
    "engines": "def run(job, hosts, options): return map(job, reversed(list(hosts)))\n",
    "notifiers": "SECRET = False\ndef check(target): pass\ndef send(run, target): open(target, 'w').write(run.id)\n",
}
#: The program, with one more directory for each of these packages.
RUN = f"""
import importlib, sys
for kind in {tuple(DROPPED)}:
    importlib.import_module(f"sshd_keepalive.{{kind}}").__path__.append(f"{{sys.argv[1]}}/{{kind}}")
del sys.argv[1]
from sshd_keepalive.__main__ import main
main()
"""


def test_one_new_file_is_a_report_an_engine_or_a_notifier(tmp_path: Path) -> None:
    for kind, text in DROPPED.items():
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "dropped.py").write_text(text)
    words = ["check", "a@127.0.0.1:1", "b@127.0.0.2:1", "--engine", "dropped", "--format", "dropped"]
    words += ["--notify", f"dropped:{tmp_path}/notice", "--notify-on", "always"]
    done = subprocess.run([sys.executable, "-c", RUN, tmp_path, *words], capture_output=True, text=True, check=False)
    assert done.stdout == "127.0.0.1:1\n127.0.0.2:1\n", done.stderr
    assert (tmp_path / "notice").read_text()
    text = DROPPED["notifiers"].replace("False", "True")
    (tmp_path / "notifiers" / "dropped.py").write_text(text)
    words = ["schedule", "install", "--every", "daily", "a@127.0.0.1:1", "--notify", "dropped:env:URL"]
    done = subprocess.run([sys.executable, "-c", RUN, tmp_path, *words], capture_output=True, text=True, check=False)
    assert done.stderr.startswith(
        "error: --notify is env:URL, and the check will not have the variables of this session"
    )


def test_a_file_without_the_functions_is_refused(dropped_in: Path) -> None:
    (dropped_in / "dropped_wrong.py").write_text("def can_load(head, path): return True\n")
    with pytest.raises(ExtensionError, match="does not satisfy the Protocol Inventory: it lacks load"):
        registry.load("inventories", "dropped_wrong")


def test_a_stranger_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "foreign_hosts.py").write_text("def load(source): return ()\n")
    metadata = tmp_path / "foreign-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[sshd_keepalive.inventories]\nforeign = foreign_hosts\nbroken = not_there\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._find_entry_points.cache_clear()
    try:
        assert {"foreign", "broken", "yaml"} <= set(registry.list_names("inventories"))
        assert registry.load("inventories", "foreign").load("x") == ()
        with pytest.raises(ExtensionError, match=r"'broken' .* cannot be imported"):
            registry.load("inventories", "broken")
    finally:
        registry._find_entry_points.cache_clear()
        sys.modules.pop("foreign_hosts", None)
