"""sshd-keepalive: make SSH servers keep quiet sessions alive.

The names below are the library: the pure half, which reads, judges and edits sshd configurations given as bytes.
They are loaded when first used, and none of them imports paramiko or click. See docs/reference/library.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sshd_keepalive.errors import ConfigError, KeepaliveError, ParseError, PlanError
    from sshd_keepalive.model import Context, Finding, Plan, Policy, Snapshot, State
    from sshd_keepalive.planning.diff import render_diff, render_value_diff
    from sshd_keepalive.planning.judge import judge
    from sshd_keepalive.planning.plan import plan, plan_files
    from sshd_keepalive.planning.policy import from_mapping as policy_from_mapping
    from sshd_keepalive.sshd_config.document import parse, render
    from sshd_keepalive.sshd_config.reading import Reading, read, read_files
    from sshd_keepalive.sshd_config.resolve import Effective, Setting
    from sshd_keepalive.sshd_config.version import Version

__version__ = "0.2.0"
__all__ = [
    "ConfigError",
    "Context",
    "Effective",
    "Finding",
    "KeepaliveError",
    "ParseError",
    "Plan",
    "PlanError",
    "Policy",
    "Reading",
    "Setting",
    "Snapshot",
    "State",
    "Version",
    "judge",
    "parse",
    "plan",
    "plan_files",
    "policy_from_mapping",
    "read",
    "read_files",
    "render",
    "render_diff",
    "render_value_diff",
]

_HOMES = {
    "planning.diff": ("render_diff", "render_value_diff"),
    "sshd_config.document": ("parse", "render"),
    "planning.judge": ("judge",),
    "planning.plan": ("plan", "plan_files"),
    "sshd_config.resolve": ("Effective", "Setting"),
    "sshd_config.reading": ("Reading", "read", "read_files"),
    "sshd_config.version": ("Version",),
    "errors": ("ConfigError", "KeepaliveError", "ParseError", "PlanError"),
    "model": ("Context", "Finding", "Plan", "Policy", "Snapshot", "State"),
}


def __getattr__(name: str) -> Any:
    if name == "policy_from_mapping":
        return import_module("sshd_keepalive.planning.policy").from_mapping
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"sshd_keepalive.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
