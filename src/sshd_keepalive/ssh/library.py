"""Bring in paramiko without invoke, which it takes along when it is there.

paramiko uses invoke for `Match exec` lines of an ssh_config alone, which nobody here asks it to read; it does
without where invoke is not installed (paramiko/config.py). Leaving it out saves a third of paramiko's 200 ms.
"""

from __future__ import annotations

import sys


def _import_paramiko() -> None:
    if "paramiko" in sys.modules or "invoke" in sys.modules:
        return
    sys.modules["invoke"] = None  # type: ignore[assignment]  # how Python says: not to be had
    try:
        import paramiko  # noqa: F401
    finally:
        del sys.modules["invoke"]


_import_paramiko()
