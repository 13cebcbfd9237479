"""Every error of the program, in one tree.

::

    KeepaliveError               .hint: one sentence the user can act on, or None
    ├─ ConfigError               command line, inventory, policy or configuration; no host was contacted
    │  └─ ExtensionError         unknown extension, contract not met
    │     └─ ExtraError          an extra is not installed: .extra
    ├─ ParseError                a line of sshd_config that sshd would refuse; .path and .line
    ├─ NotifyError               a notice was not delivered; the run is not affected
    ├─ PlanError                 no edit passed the proofs; nothing was written
    ├─ StoreError                the history cannot be read or written; hosts are not affected
    └─ HostError                 a failure of one host: .kind and .cause as in the JSON report
       ├─ ConnectError           login failed; the host is unchanged
       └─ MomentaryError         something changed while it was read; another look may succeed

The core raises ParseError, PlanError and ConfigError, and HostError of kind `observe` for what a host
has sent. `fleet` turns every error into a `Failure` in the host's report, so that one failed host
never hides another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line catches these errors; `--version` and completion must not wait for the model
    from sshd_keepalive.model import Failure, FailureKind


class KeepaliveError(Exception):
    """Base of all expected errors; the text is lower case, without a full stop."""

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

    All mistakes of one file are reported together, one per line of the message.
    """


class ExtensionError(ConfigError):
    """A `KIND` is unknown, or does not satisfy its Protocol."""


class ExtraError(ExtensionError):
    """An extra of this program is not installed; `program.suggest_extra` says how to install it."""

    def __init__(self, message: str, *, extra: str = "") -> None:
        super().__init__(message, hint=f"install 'sshd-keepalive[{extra}]'")
        self.extra = extra


@contextmanager
def require_extra(name: str) -> Iterator[None]:
    """Turn the failed import of a package inside the block into an ExtraError."""
    try:
        yield
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package == "sshd_keepalive":
            raise
        raise ExtraError(f"{package} is not installed", extra=name) from None


class ParseError(KeepaliveError):
    """sshd would refuse this line. `line` is 1-based; 0 is the command line of the daemon."""

    kind = "config_broken"
    usual_hint = "correct that line first; sshd refuses it too"

    def __init__(self, message: str, *, path: str, line: int, hint: str | None = None) -> None:
        super().__init__(f"{path}:{line}: {message}", hint=hint)
        self.reason = message
        self.path = path
        self.line = line


class NotifyError(KeepaliveError):
    """A notice was not delivered. The run is not affected."""


class PlanError(KeepaliveError):
    """No edit passed the proofs (see `planning.plan`); nothing was written."""

    kind = "validate"
    usual_hint = "nothing was written; please report the file"


class StoreError(KeepaliveError):
    """The history cannot be read or written: locked, damaged, read-only, of a newer release, unreachable."""


class HostError(KeepaliveError):
    """Something went wrong with one host before or while it was changed.

    Args:
        message: what happened; never contains a secret.
        kind: what went wrong, in the words of the JSON report.
        cause: the detailed class, `refused`, `hostkey-changed`, …; empty where there is none.
    """

    kind: FailureKind

    def __init__(self, message: str, *, kind: FailureKind, cause: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.cause = cause


class ConnectError(HostError):
    """The login failed: the host counts as unreachable."""


class MomentaryError(HostError):
    """Something on the host changed, or may have changed, while it was read: another look may succeed.

    Its kind is `observe`.
    """

    def __init__(self, message: str, *, cause: str = "output-cut", hint: str = "run the command again") -> None:
        from sshd_keepalive.model import FailureKind

        super().__init__(message, kind=FailureKind.OBSERVE, cause=cause, hint=hint)
