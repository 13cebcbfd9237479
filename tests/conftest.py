"""What holds for all tests."""

from __future__ import annotations

import os
import signal
import tempfile

import pytest

#: What an account may have set for itself and the programs under test would obey.
SETTINGS = {"COLUMNS", "EDITOR", "FORCE_COLOR", "NO_COLOR", "PAGER", "PYTHONWARNINGS", "SSH_AUTH_SOCK", "VISUAL"}


def pytest_configure(config: pytest.Config) -> None:
    """Set what holds for the whole process."""
    for name in tuple(os.environ):
        if name in SETTINGS or name.startswith(("ANSIBLE_", "OS_", "SSHD_KEEPALIVE_")):
            del os.environ[name]
    # Where everybody may write, files are refused: that is tested, and holds for no other test.
    os.umask(0o022)
    # The words of an sshd are read from its title, which has no quotes; the path of a socket has at most 107 bytes.
    if " " in tempfile.gettempdir() or len(tempfile.gettempdir()) > 40:
        os.environ["TMPDIR"] = tempfile.tempdir = "/tmp"
    # A configuration file of the account would change what the program does.
    folder = tempfile.TemporaryDirectory(prefix="sshd-keepalive-config-")
    config.add_cleanup(folder.cleanup)
    os.environ["XDG_CONFIG_HOME"] = folder.name
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
