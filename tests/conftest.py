"""What holds for all tests."""

from __future__ import annotations

import signal

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Set what holds for the whole process."""
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
