"""The program without an extra: it checks, plans, applies and explains, and says what to install for the rest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sshd_keepalive.quoting import join

NOBODY = "ops@127.0.0.1:1"
#: Where the extras are installed, their packages cannot be imported all the same.
HIDDEN = """
import sys
for name in ("sqlalchemy", "alembic", "jinja2", "prometheus_client", "junitparser", "distributed"):
    sys.modules[name] = None
from sshd_keepalive.__main__ import main
sys.exit(main())
"""


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        [sys.executable, "-c", HIDDEN, *map(str, words)], capture_output=True, text=True, timeout=180, check=False
    )
    assert "Traceback" not in ran.stderr, ran.stderr
    return ran


@pytest.mark.parametrize("kind", ["text", "json", "jsonl", "csv", "markdown", "sarif"])
def test_check_and_most_reports_need_no_extra(kind: str, tmp_path: Path) -> None:
    config = tmp_path / "sshd_config"
    config.write_text("ClientAliveInterval 300\nClientAliveCountMax 3\n")
    checked = run("check", "--file", config, "--format", kind)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("command", ["check", "plan", "apply", "undo", "confirm", "why", "probe", "sessions"])
def test_commands_that_connect_need_no_extra(command: str) -> None:
    ran = run(command, NOBODY, *(["--yes"] if command in ("apply", "undo") else []))
    assert ran.returncode == 3
    assert "next: " in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (("check", NOBODY, "--record"), "sqlalchemy", "history"),
        (("history",), "sqlalchemy", "history"),
        (("report",), "sqlalchemy", "history"),
        (("schedule", "install", "--every", "day", NOBODY), "sqlalchemy", "history"),
        (("check", NOBODY, "--format", "junit"), "junitparser", "reports"),
        (("check", NOBODY, "--out", "html:page.html"), "jinja2", "reports"),
        (("check", NOBODY, "--out", "prometheus:metrics.prom"), "prometheus_client", "reports"),
        (("check", NOBODY, "--engine", "dask"), "distributed", "dask"),
    ],
)
def test_what_needs_an_extra_says_what_to_install(words: tuple[str, ...], package: str, extra: str) -> None:
    ran = run(*words)
    assert (ran.returncode, ran.stdout) == (2, "")
    install = join((sys.executable, "-m", "pip", "install", f"sshd-keepalive[{extra}]"))
    assert ran.stderr == f"error: {package} is not installed\nnext: {install}\n"
