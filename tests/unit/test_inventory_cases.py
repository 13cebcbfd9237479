"""Every file of `tests/cases/inventory` gives the hosts or the mistakes that stand beside it.

`NAME.hosts` holds one JSON object a line, defaults left out; `NAME.mistakes` holds the message. After a wanted
change: `KEEP_CASES=1 pytest tests/unit/test_inventory_cases.py`, then read the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sshd_keepalive import registry
from sshd_keepalive.config.values import list_choices
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.inventories import yaml
from tests.support.hosts import told

CASES = Path(__file__).parents[1] / "cases" / "inventory"


def outcome(path: Path) -> tuple[str, str]:
    try:
        hosts = yaml.load(str(path))
    except ConfigError as error:
        text = f"{error}\n" + (f"hint: {error.hint}\n" if error.hint else "")
        managers = list_choices(registry.list_names("services"))  # a new one changes no case
        return ".mistakes", text.replace(f"{CASES}{os.sep}", "").replace(managers, "MANAGERS")
    lines = (json.dumps(told(host), ensure_ascii=False) for host in hosts)
    return ".hosts", "".join(line + "\n" for line in lines).replace(f"{CASES}{os.sep}", "FOLDER/")


@pytest.mark.parametrize("path", sorted(CASES.glob("*.yaml")), ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    suffix, text = outcome(path)
    if "KEEP_CASES" in os.environ:
        path.with_suffix(suffix).write_text(text)
    assert text == path.with_suffix(suffix).read_text()


def test_no_mistake_repeats_a_secret() -> None:
    assert "hunter2" in (CASES / "secrets.yaml").read_text()
    assert "hunter2" not in (CASES / "secrets.mistakes").read_text()
