"""Replace every secret that this process has read by `***` in all output.

A host can repeat a password that it received. So reports, log lines and error messages pass through here on their
way out. Files and plans do not: they are not output, and must not change.
"""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, Final, TypeVar

#: Shorter values are left alone: `***` in place of every `300` would say more than it hides.
SHORTEST: Final = 4
SHOWN: Final = "***"
#: Fields with fixed words, with data of the inventory, or with content that is not output.
_KEPT: Final = frozenset({"host", "fingerprint", "kind", "cause", "name", "setting", "wanted"})

_Value = TypeVar("_Value")
_values: set[str] = set()
_pattern: re.Pattern[str] | None = None
_lock = threading.Lock()


def remember(value: str) -> None:
    """Redact this value from now on, also with its white space collapsed."""
    global _pattern
    forms = {form for form in (value, " ".join(value.split())) if len(form) >= SHORTEST}
    with _lock:
        if not forms <= _values:
            _values.update(forms)
            _pattern = re.compile("|".join(map(re.escape, sorted(_values, key=len, reverse=True))))


def redact(value: _Value) -> _Value:
    """Replace all secrets in a text, or in all texts of a report."""
    return value if _pattern is None else _redact(value, _pattern)


def _redact(value: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(value, str) and not isinstance(value, Enum):  # a word of ours decides something
        return pattern.sub(SHOWN, value)
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(_redact(one, pattern) for one in value)
    if isinstance(value, list):
        return [_redact(one, pattern) for one in value]
    if isinstance(value, dict):
        return {key: value if key in _KEPT else _redact(value, pattern) for key, value in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        texts = {field.name: getattr(value, field.name) for field in fields(value) if field.name not in _KEPT}
        changed = {name: _redact(text, pattern) for name, text in texts.items()}
        if "facts" in texts:
            changed["facts"] = tuple((key, _redact(text, pattern)) for key, text in texts["facts"])
        return replace(value, **changed)
    return value


class RedactingFormatter(logging.Formatter):
    """Formats log records and tracebacks without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        return redact(super().format(record))
