"""Notifiers: send the notice of a finished run. One module each."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from sshd_keepalive.model import Run


@runtime_checkable
class Notifier(Protocol):
    """What a module of this package provides."""

    SECRET: bool  # the argument after `KIND:` is a secret reference, and `target` the secret

    def check(self, target: str) -> None:
        """Check the target before any host is contacted; send nothing.

        Raises:
            ConfigError: the target is wrong, or what it needs is missing. The message does not hold a secret.
        """

    def send(self, run: Run, target: str) -> None:
        """Send the notice of a run, within a minute.

        Raises:
            NotifyError: it was not delivered. The message does not hold a secret.
        """
