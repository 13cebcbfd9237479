"""Notifiers: a finished run sent to where people look. One module each."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from sshd_keepalive.model import Run


@runtime_checkable
class Notifier(Protocol):
    """What a module of this package provides."""

    SECRET: bool  # what stands behind `KIND:` is a secret reference, and `target` the secret

    def check(self, target: str) -> None:
        """Find what can never work, before any host is contacted; nothing is sent.

        Raises:
            ConfigError: the target is wrong, or what it needs is missing. The message does not hold a secret.
        """

    def send(self, run: Run, target: str) -> None:
        """Send the notice of a run, within a minute.

        Raises:
            NotifyError: it did not arrive. The message does not hold a secret.
        """
