"""What holds for all tests."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Restore Ctrl-C where a shell started the tests in the background: it has its children ignore that signal."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
