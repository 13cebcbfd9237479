"""One real sshd that answers on every address of 127.0.0.0/8, and an inventory of as many of them as wanted."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from types import TracebackType

from sshd_keepalive.model import Become, Host, ServiceChoice
from sshd_keepalive.remote.observe import build_functions
from sshd_keepalive.scripts import survey
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.connect import connect
from tests.support.sshd import Sshd

CONFIG = "ClientAliveInterval 300\nClientAliveCountMax 3\nMaxStartups 2000\nLogLevel ERROR\n"


#: What the account runs instead of a shell: it reads the script for its nonce and repeats a recorded answer. It ends
#: with the last line of a framed script (ssh.framing), after which our shell would wait for another one.
ANSWER = r"""
nonce=$(sed -n 's/.*SKA1 BEGIN \([0-9a-f]*\).*/\1/p; /^task$/q')
printf '\nSKA1 BEGIN %s\n' "$nonce"
cat "$1"
printf '\nSKA1 END %s 0\n' "$nonce"
"""


class Farm:
    """Use it as a context.

    The login is real; the script's own work, some thirty processes, is done once, and every later login is given the
    same answer: otherwise ten thousand hosts on one machine would take an hour that says nothing about the controller.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sshd = Sshd(CONFIG, address="0.0.0.0")
        self._full: list[socket.socket] = []

    def __enter__(self) -> Farm:
        self.sshd.__enter__()
        kind, blob = Path(f"{self.sshd.folder}/host_ed25519.pub").read_text().split()[:2]
        self.key = f"{kind} {blob}"
        self.known_hosts = self.folder / "known_hosts"
        self.known_hosts.write_text(f"[127.*]:{self.sshd.port} {self.key}\n")
        self._answer_without_work()
        # A listener with a full queue drops every further SYN, as a firewall would; it costs no packet filter.
        listener = socket.create_server(("0.0.0.0", 0), backlog=0)
        self.dead_port = int(listener.getsockname()[1])
        self._full.append(listener)
        for _ in range(2):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", self.dead_port))
            self._full.append(client)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in self._full:
            one.close()
        self.sshd.__exit__(kind, error, trace)

    def _answer_without_work(self) -> None:
        shell = connect(self.host(), secrets=Secrets(), timeout_s=30)
        try:
            answered = shell.run(self.script(), timeout_s=30)
        finally:
            shell.close()
        assert (answered.ended, answered.status) == (True, 0), answered
        (self.folder / "answered").write_bytes(answered.stdout)
        (self.folder / "answer.sh").write_text(ANSWER)
        command = f"exec sh {self.folder}/answer.sh {self.folder}/answered"
        config = self.sshd.config_file
        config.write_text(f"ForceCommand {command}\n{config.read_text()}")
        self.sshd.reload()

    def host(self, n: int = 0, *, port: int | None = None) -> Host:
        """Give the n-th host."""
        return Host(
            name=f"h{n}",
            address=f"127.{10 + n // 62500}.{n // 250 % 250}.{n % 250 + 1}",
            port=port or self.sshd.port,
            user=self.sshd.user,
            identity_file=str(self.sshd.user_key),
            known_hosts=str(self.known_hosts),
            become=Become(method="none"),
            sshd_config=str(self.sshd.config_file),
            service=ServiceChoice(manager="pidfile", pidfile=str(self.sshd.folder / "pid")),
        )

    def inventory(self, n: int, *, n_dead: int = 0) -> Path:
        """Write a file with n hosts; spread the dead ones evenly among the others."""
        host = self.host()
        defaults = {
            "user": host.user,
            "identity_file": host.identity_file,
            "known_hosts": host.known_hosts,
            "become": "none",
            "sshd_config": host.sshd_config,
            "service": {"manager": "pidfile", "pidfile": host.service.pidfile},
        }
        dead = {i * n // n_dead for i in range(n_dead)}
        hosts = {
            f"h{i}": {"address": self.host(i).address, "port": self.dead_port if i in dead else host.port}
            for i in range(n)
        }
        path = self.folder / f"hosts-{n}-{n_dead}.yaml"
        path.write_text(json.dumps({"defaults": defaults, "hosts": hosts}))  # JSON is YAML
        return path

    def script(self) -> str:
        """Build what `check` has a host run: the bare scripts send the same."""
        host = self.host()
        return survey.build_script(host, build_functions(host.service), users=("root",), banner="SSH-2.0-OpenSSH_9.2p1")

    def task(self, n: int, at_once: int) -> Path:
        """Write what a bare script needs to know to a file."""
        path = self.folder / f"task-{n}.json"
        data = {
            "addresses": [self.host(i).address for i in range(n)],
            "port": self.sshd.port,
            "user": self.sshd.user,
            "key": str(self.sshd.user_key),
            "host_key": self.key,
            "script": self.script(),
            "at_once": at_once,
        }
        path.write_text(json.dumps(data))
        return path
