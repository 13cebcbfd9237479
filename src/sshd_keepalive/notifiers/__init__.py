"""Notifiers: send the notice of a finished run. One module each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from sshd_keepalive import registry
from sshd_keepalive.errors import ConfigError, KeepaliveError
from sshd_keepalive.model import Run
from sshd_keepalive.quoting import printable
from sshd_keepalive.secrets.redaction import redact

if TYPE_CHECKING:
    from sshd_keepalive.secrets.retrieval import Secrets


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


@dataclass(frozen=True, slots=True)
class Sink:
    """One `--notify`."""

    kind: str
    notifier: Notifier
    target: str = field(repr=False)  # may be a secret; until it is opened, its reference


def open_sinks(texts: Sequence[str], secrets: Secrets) -> tuple[Sink, ...]:
    """Resolve and check every `KIND:TARGET`, before any host is contacted.

    Raises:
        ConfigError: an unknown kind, a secret that cannot be read, a target that can never work.
    """
    return tuple(_open_sink(text, secrets) for text in texts)


def find_reference(text: str) -> str:
    """Find the secret reference in a `KIND:TARGET`; empty where a target of this kind is no secret.

    Raises:
        ConfigError: as `open_sinks`.
    """
    sink = _parse_sink(text)
    return sink.target if sink.notifier.SECRET else ""


def _open_sink(text: str, secrets: Secrets) -> Sink:
    sink = _parse_sink(text)
    if sink.notifier.SECRET:
        sink = replace(sink, target=secrets.get(sink.target, purpose=f"--notify {sink.kind}").reveal())
    sink.notifier.check(sink.target)
    return sink


def _parse_sink(text: str) -> Sink:
    kind, _, target = text.partition(":")
    if not target:
        hint = "for example --notify apprise:env:TEAM_CHAT or --notify command:./page-on-call"
        raise ConfigError("--notify: not KIND:TARGET", hint=hint)  # not repeated: it may hold a secret
    return Sink(kind, registry.load("notifiers", kind, option="--notify"), target)


def send(run: Run, sinks: Sequence[Sink]) -> Iterator[str]:
    """Send a run to every sink; yield a line for each failure, which changes nothing about the run."""
    for sink in sinks:
        try:
            sink.notifier.send(run, sink.target)
        except KeepaliveError as error:
            yield printable(redact(f"--notify {sink.kind}: {error}{f'; {error.hint}' if error.hint else ''}"))
        except Exception as error:  # of a notifier from another distribution; its text may hold the secret
            yield f"--notify {sink.kind}: {type(error).__name__}"
