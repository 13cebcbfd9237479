"""`check --file`: the verdict of `check` for files that are kept in git or in an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import keepalive

GOOD = "ClientAliveInterval 300\nClientAliveCountMax 3\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "status", "verdict"),
    [
        (GOOD, 0, "ok"),
        ("ClientAliveInterval 300\nClientAliveCountMax 0\n", 1, "drift"),
        ("ClientAliveInterval abc\n", 3, "unknown"),
    ],
)
def test_the_exit_code_is_that_of_check(text: str, status: int, verdict: str, tmp_path: Path) -> None:
    ran = keepalive("check", "--file", write(tmp_path / "sshd_config", text), "--format", "json")
    assert (ran.status, ran.host()["state"]) == (status, verdict)
    assert ran.host()["name"] == str(tmp_path / "sshd_config")


def test_a_copied_directory_is_read_with_its_drop_ins(tmp_path: Path) -> None:
    write(tmp_path / "ssh/sshd_config", f"Include /etc/ssh/sshd_config.d/*.conf\n{GOOD}")
    write(tmp_path / "ssh/sshd_config.d/50-cloud.conf", "ClientAliveInterval 0\n")
    ran = keepalive("check", "--file", tmp_path / "ssh", "--format", "json")
    (wrong,) = [finding for finding in ran.host()["findings"] if finding["state"] == "drift"]
    assert (ran.status, wrong["place"]) == (1, {"path": "/etc/ssh/sshd_config.d/50-cloud.conf", "line": 1})


def test_the_release_that_reads_the_file_counts(tmp_path: Path) -> None:
    file = write(tmp_path / "sshd_config", GOOD)
    assert "first keep-alive comes after 600 s" in keepalive("check", "--file", file, "--openssh", "9.2").stdout
    assert "600 s" not in keepalive("check", "--file", file, "--openssh", "9.6").stdout
    by_effect = keepalive("check", "--file", file, "--openssh", "9.2", "--keep-alive-every", "300")
    assert by_effect.status == 1


def test_the_names_behind_the_options_are_files_too(tmp_path: Path) -> None:
    """As a pre-commit hook calls it. The worst file decides, each is told once, and reports are written."""
    good = write(tmp_path / "a/sshd_config", GOOD)
    bad = write(tmp_path / "b/sshd_config", "ClientAliveInterval 0\n")
    ran = keepalive("check", "--file", good, bad, good, "--format", "json", "--out", f"junit:{tmp_path}/report.xml")
    assert (ran.status, [host["name"] for host in ran.data["hosts"]]) == (1, [str(good), str(bad)])
    assert (tmp_path / "report.xml").read_text().startswith("<testsuites>")


def test_a_missing_file_and_a_release_without_a_file_are_wrong_command_lines(tmp_path: Path) -> None:
    assert keepalive("check", "--file", tmp_path / "nothing").status == 2
    assert keepalive("check", "--openssh", "9.2", "ops@192.0.2.1").status == 2
