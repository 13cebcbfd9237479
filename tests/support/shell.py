"""A Shell that runs scripts with a shell of this machine, framed as over SSH, but without SSH.

Scripts run for real, as the account that runs the tests: give them a `fence`, a directory of stand-ins (`sshd`,
`systemctl`, `sudo`, …) that comes before everything else on PATH, and paths below a temporary directory.
"""

from __future__ import annotations

import atexit
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sshd_keepalive.model import Become, Completed, Host
from sshd_keepalive.ssh.framing import Exchange, Way

#: Shells a host may have as `sh`. With busybox its applets come before all other tools, as on Alpine.
SHELLS = ("dash", "bash", "busybox", "mksh")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOCAL = Host(name="local", address="127.0.0.1", become=Become(method="none"))


def installed_shells() -> list[str]:
    """The names of SHELLS that this machine has."""
    return [name for name in SHELLS if shutil.which(name)]


@cache
def _links() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="shells-")
    atexit.register(folder.cleanup)  # else its end is a warning
    return folder


@cache
def tools_of(shell: str) -> Path:
    """Make a directory for PATH in which `sh` is one of SHELLS: some shells behave differently under that name."""
    # Threads that come at the same time make one each: the cache holds no lock while the function runs.
    folder = Path(tempfile.mkdtemp(prefix=f"{shell}-", dir=_links().name))
    program = shutil.which(shell)
    assert program is not None
    names = ["sh"]
    if shell == "busybox":
        names = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in names:
        (folder / name).symlink_to(program)
    return folder


def argv_of(shell: str) -> tuple[str, str]:
    """Build the command that has one of SHELLS read a script from standard input, as `sh`."""
    return str(tools_of(shell) / "sh"), "-s"


def write_command(fence: Path, name: str, body: str) -> Path:
    """Put a stand-in for a command into a fence; the body is sh."""
    fence.mkdir(parents=True, exist_ok=True)
    path = fence / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


class LocalShell:
    """See remote.shell.Shell.

    Args:
        shell: one of SHELLS, or the path of another one.
        fence: comes first on PATH; None: nothing stands in for anything.
        path: the rest of PATH.
        environment: what the script sees beside PATH and HOME; nothing else is passed on.
        way: how the script becomes root; with a fence that holds `id` and `sudo`, root is not needed.
        password: what the stand-in for sudo gets when it asks.
    """

    server_version = "SSH-2.0-OpenSSH_9.2p1 local"
    login_method = "no authentication"

    def __init__(
        self,
        host: Host = LOCAL,
        *,
        shell: str = "dash",
        fence: Path | None = None,
        path: str = SYSTEM_PATH,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        way: Way = Way.PLAIN,
        password: str | None = None,
    ) -> None:
        self.host = host
        self.exchanges: list[Exchange] = []
        self.scripts: list[str] = []
        self._argv = argv_of(shell) if shell in SHELLS else (shell, "-s")
        self._folder = folder or Path("/")
        tools = f"{tools_of(shell)}:" if shell in SHELLS else ""
        full = f"{fence}:{tools}{path}" if fence else f"{tools}{path}"
        self._environment = {"HOME": str(self._folder), "PATH": full, **(environment or {})}
        self._way = way
        self._password = password
        self._rests = False
        self._process: subprocess.Popen[bytes] | None = None
        self.n_started = 0

    @contextmanager
    def resting(self) -> Iterator[LocalShell]:
        """Let one shell serve as many scripts as it can, as a login does."""
        self._rests = True
        try:
            yield self
        finally:
            if self._process is not None:
                _end(self._process)

    def run(self, script: str, *, timeout_s: float) -> Completed:
        self.scripts.append(script)
        way = self._way if self._process is None else Way.RESUMED
        exchange = Exchange(script, way=way, nonce=os.urandom(8).hex())
        self.exchanges.append(exchange)
        started_s = time.monotonic()
        process = self._process or self._start()
        self._process = None
        try:
            _converse(process, exchange, self._password, started_s + timeout_s, rests=self._rests)
            if self._rests and exchange.rests:
                self._process = process
        finally:
            if self._process is None:
                _end(process)
        return Completed(
            status=exchange.status,
            stdout=exchange.stdout,
            noise=exchange.noise,
            begun=exchange.begun,
            ended=exchange.done,
            seconds_s=time.monotonic() - started_s,
        )

    def _start(self) -> subprocess.Popen[bytes]:
        self.n_started += 1
        return subprocess.Popen(
            self._argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            env=self._environment,
            start_new_session=True,
            bufsize=0,
        )

    def close(self) -> None:
        pass


def _converse(
    process: subprocess.Popen[bytes], exchange: Exchange, password: str | None, end_s: float, *, rests: bool
) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    outgoing = bytearray(exchange.start())
    os.set_blocking(process.stdin.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        writing = True
        while not exchange.done and (left_s := end_s - time.monotonic()) > 0:
            for key, _ in selector.select(left_s):
                if key.fileobj is process.stdin:
                    try:
                        del outgoing[: os.write(process.stdin.fileno(), outgoing[:65536])]
                    except BrokenPipeError:
                        outgoing.clear()
                    continue
                data = os.read(process.stdout.fileno(), 65536)
                if not data:
                    return
                outgoing += exchange.feed(data)
                if exchange.dialogue.asks:
                    if password is None:
                        exchange.dialogue.asks = exchange.sends_more = False  # the end of input
                    else:
                        exchange.dialogue.asks = False
                        outgoing += password.encode() + b"\n"
            if writing and not outgoing:
                selector.unregister(process.stdin)
                writing = False
                if not exchange.sends_more and not rests:
                    process.stdin.close()
            elif not writing and outgoing:
                selector.register(process.stdin, selectors.EVENT_WRITE)
                writing = True
            elif not writing and not exchange.sends_more and not rests and not process.stdin.closed:
                process.stdin.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what the script left behind: only what belongs to its own session."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
