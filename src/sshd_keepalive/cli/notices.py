"""`--notify`: where a finished run is sent, and when. A sink that is dead is told, and fails nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sshd_keepalive import registry
from sshd_keepalive.errors import ConfigError, KeepaliveError
from sshd_keepalive.history import notice
from sshd_keepalive.model import Run
from sshd_keepalive.notifiers import Notifier
from sshd_keepalive.quoting import printable
from sshd_keepalive.secrets.redaction import redacted

if TYPE_CHECKING:
    from sshd_keepalive.secrets.retrieval import Secrets


@dataclass(frozen=True, slots=True)
class Sink:
    """One `--notify`, ready to be sent to."""

    kind: str
    notifier: Notifier
    target: str = field(repr=False)  # may be a secret


def sinks(targets: Sequence[str], secrets: Secrets) -> tuple[Sink, ...]:
    """Resolve and check every `KIND:TARGET`, before any host is contacted.

    Raises:
        ConfigError: an unknown kind, a secret that is not there, a target that can never work.
    """
    return tuple(_sink(text, secrets) for text in targets)


def _sink(text: str, secrets: Secrets) -> Sink:
    kind, colon, target = text.partition(":")
    if not colon or not target:
        hint = "for example --notify apprise:env:TEAM_CHAT or --notify command:./page-somebody"
        raise ConfigError("--notify: not KIND:TARGET", hint=hint)  # not repeated: it may hold a secret
    notifier: Notifier = registry.load("notifiers", kind)
    if notifier.SECRET:
        target = secrets.get(target, purpose=f"--notify {kind}").reveal()
    notifier.check(target)
    return Sink(kind, notifier, target)


def send(run: Run, to: Sequence[Sink], when: notice.When) -> None:
    """Send a run to every sink, if it is worth a message."""
    if not notice.is_due(run, when):
        return
    for sink in to:
        try:
            sink.notifier.send(run, sink.target)
        except KeepaliveError as error:
            hint = f"; {error.hint}" if error.hint else ""
            sys.stderr.write(printable(redacted(f"warning: --notify {sink.kind}: {error}{hint}")) + "\n")
        except Exception as error:  # a stranger's notifier: whatever it raises, the run is as it was
            sys.stderr.write(f"warning: --notify {sink.kind}: {type(error).__name__}\n")
