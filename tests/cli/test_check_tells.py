"""`check` and where its result goes: benchmarks, report files, notices. Nobody listens where these hosts should be."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from sshd_keepalive import registry
from tests.support import sinks
from tests.support.cli import PROGRAM, keepalive

NOBODY = "ops@127.0.0.1:1"
KINDS = registry.list_built_in("reports")


def test_a_notice_is_sent_and_does_not_change_the_exit_code(tmp_path: Path) -> None:
    with sinks.http() as hook:
        url = f"json://127.0.0.1:{hook.port}/t0ken"
        ran = keepalive(
            "check", NOBODY, "-vv", "--notify", "apprise:env:CHAT", "--notify", "command:false",
            "--notify", f"command:touch {tmp_path}/sent", CHAT=url,
        )  # fmt: skip
    assert ran.status == 3
    assert "not compliant" in hook.posts[0][1]["title"]
    assert "warning: --notify command: false failed with exit code 1" in ran.stderr
    assert "t0ken" not in ran.stderr + ran.stdout
    assert (tmp_path / "sent").exists()


def test_a_dead_sink_is_one_line_beside_a_whole_report() -> None:
    ran = keepalive(
        "check", NOBODY, "--format", "json", "--notify-on", "always", "--notify", "apprise:env:CHAT",
        CHAT="json://ops:s3cret@127.0.0.1:1/",
    )  # fmt: skip
    assert ran.data["exit_code"] == ran.status == 3
    (warning,) = [line for line in ran.stderr.splitlines() if "notify" in line]
    assert warning.startswith("warning: --notify apprise: ")
    assert "s3cret" not in ran.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--benchmark", "dev-sek"], "did you mean"),
        (["--notify", "apprise:mailtos://ops:s3cret@example.com"], "not a secret reference"),
        (["--notify", "command:/no/such"], "the program does not exist"),
        (["--notify", "s3cret"], "KIND:TARGET"),
        (["--notify-on", "sometimes"], "'change', 'drift', 'always'"),
    ],
)
def test_what_can_never_work_is_reported_before_a_host_is_contacted(words: list[str], said: str) -> None:
    ran = keepalive("check", NOBODY, *words)
    assert ran.status == 2
    assert said in ran.stderr
    assert "s3cret" not in ran.stderr


def test_benchmarks_are_reported_and_not_counted() -> None:
    ran = keepalive("check", NOBODY, "--benchmark", "dev-sec", "--benchmark", "stig-rhel-9", "--format", "json")
    told = ran.data["benchmarks"]
    assert [row["name"] for row in told["all"]] == ["stig-rhel-9", "dev-sec"]
    assert [row["allows"]["300/3"] for row in told["all"]] == [False, True]
    assert told["all"][0]["hosts"] == {"ok": 0, "drift": 0, "unknown": 1}
    assert told["common"] is None
    text = keepalive("check", NOBODY, "--benchmark", "hss").stdout
    assert "benchmark hss-1.12: 0 ok, 0 drift, 1 unknown; interval 1 to 300, count 0 to 3\n" in text


def test_every_kind_of_report_is_written_without_terminal_home_or_locale(tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o555)
    words = [word for kind in KINDS for word in ("--out", f"{kind}:{tmp_path}/{kind}")]
    ran = subprocess.run(
        [*PROGRAM, "check", NOBODY, "ops@127.0.0.1:2", *words, "--benchmark", "all"],
        env={"PATH": "/usr/bin:/bin", "LANG": "C", "XDG_STATE_HOME": str(tmp_path)},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 3, ran.stderr
    assert "Traceback" not in ran.stderr
    for kind in KINDS:
        assert "127.0.0.1" in (tmp_path / kind).read_text(encoding="utf-8"), kind
    assert json.loads((tmp_path / "sarif").read_text())["runs"][0]["invocations"][0]["exitCode"] == 3


def test_a_disk_that_is_full_leaves_the_old_report(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("yesterday's")
    words = [*PROGRAM, "check", NOBODY, "--out", f"html:{page}"]
    sent = tmp_path / "sent"
    ran = subprocess.run(
        ["sh", "-c", 'ulimit -f 4; exec "$@"', "sh", *words, "--notify", f"command:mkdir {sent}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 3
    assert f"error: cannot write the report to {page}" in ran.stderr
    assert page.read_text() == "yesterday's"
    assert {path.name for path in tmp_path.iterdir()} == {"page.html", "sent"}
