"""The stored form of a host's report and of a run."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import TypeVar

from sshd_keepalive import serialization
from sshd_keepalive.errors import StoreError
from sshd_keepalive.model import Host, HostReport, Run

_T = TypeVar("_T")


def write_host(report: HostReport) -> str:
    """Write one host, with the settings that reports show; equal findings give equal texts, without the duration."""
    host = report.host
    shown = Host(
        name=host.name,
        address=host.address,
        port=host.port,
        user=host.user,
        sshd_config=host.sshd_config,
        policy=host.policy,
        waiver=host.waiver,
        groups=host.groups,
        labels=host.labels,
    )
    losses = report.losses and report.losses.without_names()
    return serialization.write(replace(report, host=shown, fingerprint="", losses=losses, seconds_s=0.0))


def read_host(text: str, seconds_s: float) -> HostReport:
    """Read the report that `write_host` wrote, without the login settings of the host.

    Raises:
        StoreError: the text is damaged.
    """
    return replace(read(text, HostReport), seconds_s=seconds_s)


def write_run(run: Run) -> str:
    """Write a run without its hosts and earlier runs."""
    return serialization.write(replace(run, hosts=(), past=()))


def compute_digest(text: str) -> bytes:
    """Compute the digest of a document, 20 bytes."""
    return blake2b(text.encode("ascii"), digest_size=20).digest()


def read(text: str, of: type[_T]) -> _T:
    """Read what `write_host` or `write_run` wrote.

    Raises:
        StoreError: the text is damaged.
    """
    try:
        return serialization.read(text, of)
    except ValueError:
        raise StoreError(
            f"the history is damaged: a record cannot be read as a {of.__name__}",
            hint="restore a copy of it, or record into a new one: --store PATH",
        ) from None
