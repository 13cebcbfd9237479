"""A check spends most of its own time on imports: the connection begins before what is needed later is imported."""

from __future__ import annotations

from pathlib import Path

from tests.support.imports import record_imports

#: What reads, judges and plans, and what other commands and options need.
LATER = (
    "sshd_keepalive.diagnosis",
    "sshd_keepalive.planning.judge",
    "sshd_keepalive.planning.plan",
    "sshd_keepalive.probing",
    "sshd_keepalive.remote",
    "sshd_keepalive.reports.html",
    "sshd_keepalive.reports.json",
    "sshd_keepalive.scripts",
    "sshd_keepalive.sshd_config.reading",
    "sshd_keepalive.store",
    "asyncio",
    "encodings.idna",
    "sqlalchemy",
    "statistics",
)


def test_a_check_connects_before_it_imports_what_reads_the_host(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text("hosts:\n  here: {address: 127.0.0.1, port: 1, user: ops, password: env:KEEPALIVE_PASSWORD}\n")
    record = record_imports(tmp_path, "check", "-i", inventory, KEEPALIVE_PASSWORD="x")
    modules = [module for thread, module in record if thread != "imports"]
    until_then = modules[: modules.index("connect")]
    assert [module for module in until_then if module.startswith(LATER)] == []
