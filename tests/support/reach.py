"""A running sshd as a host of an inventory."""

from __future__ import annotations

from typing import Any

from sshd_keepalive.model import Become, Completed, Host
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.connect import connect
from tests.support.sshd import Sshd


def reach(sshd: Sshd, **settings: Any) -> Host:
    """Give the host; nobody becomes root on it."""
    return Host(
        **{
            "name": "real",
            "address": sshd.address,
            "port": sshd.port,
            "user": sshd.user,
            "identity_file": str(sshd.user_key),
            "known_hosts": str(sshd.known_hosts),
            "become": Become(method="none"),
            **settings,
        }
    )


def run(host: Host, script: str = "echo hello", *, secrets: Secrets | None = None, timeout_s: float = 60) -> Completed:
    """Log in, run one script, leave. The login has its own time, since it may be slow on a busy machine."""
    shell = connect(host, secrets=secrets or Secrets(), timeout_s=60)
    try:
        return shell.run(script, timeout_s=timeout_s)
    finally:
        shell.close()
