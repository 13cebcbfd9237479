"""Hosts as they stand in the case files of inventories."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from datetime import date
from enum import Enum
from typing import Any


def told(value: Any) -> Any:
    """A host as plain data, without what is at its default."""
    if is_dataclass(value):
        named = {field.name: (getattr(value, field.name), field.default) for field in fields(value)}
        return {name: told(given) for name, (given, default) in named.items() if default is MISSING or given != default}
    if isinstance(value, tuple):
        return [told(one) for one in value]
    return value.value if isinstance(value, Enum) else str(value) if isinstance(value, date) else value
