"""Every error of the program, in one tree.

::

    KeepaliveError               .hint: one sentence the user can act on, or None
    ├─ ConfigError               command line, inventory, policy or configuration; no host was contacted
    ├─ ExtensionError            unknown extension, contract not met, extra not installed
    ├─ ParseError                a line of sshd_config that sshd would refuse; .path and .line
    ├─ NotifyError               a notice did not arrive; the run itself is as it was
    ├─ PlanError                 no edit could be proved right; nothing was written
    ├─ StoreError                the history cannot be read or written; no host is touched by that
    └─ HostError                 trouble of one host: .kind and .cause as in the JSON report
       └─ ConnectError           no login came about; the host was not touched

The core raises ParseError, PlanError and ConfigError, and HostError of kind `observe` for what a host
has sent. `fleet` turns every error into a `Failure` inside the host's report, so that one bad host
never hides another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line catches these errors; `--version` and completion must not wait for the model
    from sshd_keepalive.model import Failure, FailureKind


class KeepaliveError(Exception):
    """Base of all errors raised on purpose; the text is lower case, without a full stop."""

    kind: str = "internal"  # a value of `FailureKind`
    cause: str = ""
    hint: str | None = None
    usual_hint: str = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def to_failure(self) -> Failure:
        """Return the error as the failure in a host's report."""
        from sshd_keepalive.model import Failure, FailureKind

        hint = self.hint or self.usual_hint
        return Failure(kind=FailureKind(self.kind), cause=self.cause, message=str(self), hint=hint)


class ConfigError(KeepaliveError):
    """The command line, an inventory, a policy or the configuration is wrong; exit code 2.

    Several mistakes of one file are told at once, one per line of the message.
    """


class ExtensionError(ConfigError):
    """A name after `KIND:` is not known, does not keep its contract, or needs an extra."""


class ParseError(KeepaliveError):
    """sshd would refuse this line. `line` is 1-based; 0 stands for the command line of the daemon."""

    kind = "config_broken"
    usual_hint = "correct that line first; sshd refuses it too"

    def __init__(self, message: str, *, path: str, line: int, hint: str | None = None) -> None:
        super().__init__(f"{path}:{line}: {message}", hint=hint)
        self.reason = message
        self.path = path
        self.line = line


class NotifyError(KeepaliveError):
    """A notice did not arrive. It is told, and changes nothing about the run."""


class PlanError(KeepaliveError):
    """No edit could be proved right (see `planning.plan`); nothing was written."""

    kind = "validate"
    usual_hint = "nothing was written; please report the file"


class StoreError(KeepaliveError):
    """The history cannot be read or written: locked, damaged, read-only, of a newer release, out of reach."""


class HostError(KeepaliveError):
    """Something went wrong with one host before or while it was changed.

    Args:
        message: what happened; never contains a secret.
        kind: what went wrong, in the words of the JSON report.
        cause: the finer class, `refused`, `hostkey-changed`, …; empty where there is none.
    """

    kind: FailureKind

    def __init__(self, message: str, *, kind: FailureKind, cause: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.cause = cause


class ConnectError(HostError):
    """No login came about, for whatever reason: the host counts as unreachable."""
