"""What holds for all tests."""

from __future__ import annotations

import os
import signal

import pytest

#: What an account may have set for itself and the programs under test would obey.
SETTINGS = {"COLUMNS", "EDITOR", "FORCE_COLOR", "NO_COLOR", "PAGER", "PYTHONWARNINGS", "SSH_AUTH_SOCK", "VISUAL"}


def pytest_configure(config: pytest.Config) -> None:
    """Set what holds for the whole process."""
    for name in tuple(os.environ):
        if name in SETTINGS or name.startswith(("ANSIBLE_", "OS_", "SSHD_KEEPALIVE_")):
            del os.environ[name]
    # A shell that starts the tests in the background has its children ignore Ctrl-C.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.pluginmanager.hasplugin("hypothesispytest"):
        from hypothesis import HealthCheck, settings

        # Each run tries the same examples, and none of them fails because the machine is busy.
        slow = [HealthCheck.too_slow]
        settings.register_profile(
            "tests", derandomize=True, deadline=None, suppress_health_check=slow, max_examples=150
        )
        settings.load_profile("tests")
