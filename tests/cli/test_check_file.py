"""`check --file`: the verdict of `check` for files that are kept in git or in an image."""

from __future__ import annotations

import json
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


def test_what_no_sshd_reads_is_refused_at_once(tmp_path: Path) -> None:
    big = write(tmp_path / "sshd_config", GOOD + "# a comment\n" * 500_000)
    ran = keepalive("check", "--file", big)
    assert ran.status == 3
    assert "its files have more than 4 MiB; no sshd reads more" in ran.stdout


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


@pytest.mark.parametrize(
    "option",
    [("-i", "hosts.yaml"), ("-l", "etl"), ("--deep",), ("--losses",), ("--record",), ("--notify", "command:true")],
)
def test_an_option_that_needs_a_host_is_refused(option: tuple[str, ...], tmp_path: Path) -> None:
    """Also where it would only be without effect: nobody would get the notice."""
    ran = keepalive("check", "--file", write(tmp_path / "sshd_config", GOOD), *option)
    assert ran.status == 2
    assert "cannot be combined with --file" in ran.stderr


def test_a_setting_for_other_runs_does_not_stop_a_check_of_files(tmp_path: Path) -> None:
    file = write(tmp_path / "sshd_config", GOOD)
    assert keepalive("check", "--file", file, SSHD_KEEPALIVE_RECORD="1").status == 0


def test_another_release_is_reported_line_by_line_in_every_report(tmp_path: Path) -> None:
    file = write(tmp_path / "sshd_config", f"{GOOD}Banner none#x\nMatch User = root\n PermitTTY no\n")
    words = ("check", "--file", file, "--openssh", "debian-11", "--as-if", "debian-13")
    ran = keepalive(*words, "--format", "json", "--out", f"sarif:{tmp_path}/s", "--out", f"junit:{tmp_path}/j")
    told = [finding for finding in ran.host()["findings"] if finding["setting"] == "as-if"]
    assert (ran.status, ran.host()["state"]) == (1, "drift")
    assert [(f["place"]["line"], f["value"]) for f in told] == [(3, "none#x"), (4, "refused")]
    results = json.loads((tmp_path / "s").read_text())["runs"][0]["results"]
    lines = [r["locations"][0]["physicalLocation"]["region"]["startLine"] for r in results]
    assert lines == [3, 4]
    assert len({r["partialFingerprints"]["hostSettingScope/v1"] for r in results}) == 2
    assert (tmp_path / "j").read_text().count("<failure ") == 2
    text = keepalive(*words)
    assert "write instead, for both releases: Match User root" in text.stdout
    assert "next: sshd-keepalive plan" not in text.stdout + text.stderr


def test_a_release_that_changes_nothing_changes_no_verdict(tmp_path: Path) -> None:
    file = write(tmp_path / "sshd_config", GOOD)
    assert keepalive("check", "--file", file, "--openssh", "10.0", "--as-if", "10.2").status == 0
    better = keepalive("check", "--file", file, "--openssh", "debian-12", "--as-if", "debian-13")
    assert better.status == 0
    assert "note: with debian-13 (OpenSSH 10.0p2): a quiet session gets a keep-alive every 300 s" in better.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--file", "x", "--as-if", "10.0"), "--openssh 9.2"),
        (("--as-if", "debain-13", "ops@192.0.2.1"), "did you mean 'debian-13'"),
        (("--as-if", "10.0", "--record", "ops@192.0.2.1"), "--as-if is not recorded"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_reported_before_a_host_is_contacted(
    words: tuple[str, ...], said: str
) -> None:
    ran = keepalive("check", *words)
    assert ran.status == 2
    assert said in ran.stderr
