"""A real sshd on loopback, in a directory of its own, run by whoever runs the tests.

Needs openssh-server and no root: the only account to log in as is one's own. Standard library only, so that
anything may use it.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType

START_TIMEOUT_S = 60.0
_POLL_S = 0.01


def find_sshd() -> str | None:
    """The server binary; it is rarely on an ordinary account's PATH."""
    return shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin")


def why_not() -> str | None:
    """Why no sshd can run here; None: it can."""
    if find_sshd() is None or shutil.which("ssh-keygen") is None:
        return "needs openssh-server and ssh-keygen"
    if os.geteuid() == 0 and not Path("/run/sshd").is_dir():
        return "sshd run by root needs its privilege separation directory, /run/sshd"
    return None


def make_key(path: Path, *, kind: str = "ed25519", comment: str = "test", passphrase: str = "") -> Path:
    """Make a key pair; gives the private file."""
    options = ["-b", "2048"] if kind == "rsa" else []
    _keygen("-t", kind, *options, "-N", passphrase, "-C", comment, "-f", str(path))
    return path


def sign_key(authority: Path, public: Path, *options: str) -> Path:
    """Certify a public key; gives the certificate's file. Options as for ssh-keygen: -h, -n NAMES, -V INTERVAL."""
    _keygen("-s", str(authority), "-I", "test", *options, str(public))
    return public.with_name(public.name.removesuffix(".pub") + "-cert.pub")


class Sshd:
    """One server. Use it as a context.

    Args:
        config: lines put in front of the defaults below, so that they win.
        host_keys: private keys to show instead of a fresh Ed25519 one.
        binary: another sshd than the system's.
        folder: a directory to use and to leave behind, instead of a temporary one.
    """

    def __init__(
        self,
        config: str = "",
        *,
        host_keys: tuple[Path, ...] = (),
        address: str = "127.0.0.1",
        binary: str | None = None,
        folder: Path | None = None,
    ) -> None:
        self.address = address
        self.user = getpass.getuser()
        self.port = 0
        self._config = config
        self._host_keys = host_keys
        self._binary = binary or find_sshd() or "sshd"
        self._own_folder = folder is None
        self._folder = folder
        self._reserved: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        """Where configuration, keys and log are."""
        assert self._folder is not None
        return self._folder

    @property
    def config_file(self) -> Path:
        return self.folder / "sshd_config"

    @property
    def user_key(self) -> Path:
        """A private key that may log in."""
        return self.folder / "user_key"

    @property
    def known_hosts(self) -> Path:
        """A known_hosts file with the host keys."""
        return self.folder / "known_hosts"

    @property
    def inventory_host(self) -> dict[str, object]:
        """What an inventory says of this server."""
        return {
            "address": self.address,
            "port": self.port,
            "user": self.user,
            "identity_file": str(self.user_key),
            "known_hosts": str(self.known_hosts),
            "become": "none",
            "sshd_config": str(self.config_file),
            "service": {"manager": "pidfile", "pidfile": str(self._pid_file)},
        }

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        return (self.folder / "log").read_text(errors="replace")

    @property
    def _pid_file(self) -> Path:
        return self.folder / "pid"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def wait_for_log(self, *texts: str, timeout_s: float = 60.0) -> str:
        """Wait until all texts stand in the log; gives the log."""
        wait_until(lambda: all(text in self.log for text in texts), timeout_s, f"{texts} in the log")
        return self.log

    def kill_sessions(self) -> None:
        """Kill the processes that serve connections: for an ordinary user a monitor and its child each, from above."""
        for pid in _list_sshds_below(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def reload(self) -> None:
        """Have the server read its configuration again."""
        self._pid_file.unlink()
        os.kill(self.pid, signal.SIGHUP)
        wait_until(self._listens, START_TIMEOUT_S, "the server to come back")

    def __enter__(self) -> Sshd:
        if self._own_folder:
            self._folder = Path(tempfile.mkdtemp(prefix="sshd-keepalive-"))
        self.folder.mkdir(mode=0o700, exist_ok=True)
        try:
            self._prepare()
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def stop(self) -> None:
        """End the listener; sessions end when their clients go."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._reserved is not None:
            self._reserved.close()
        if self._own_folder and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _prepare(self) -> None:
        if not self.user_key.exists():
            make_key(self.user_key)
        authorized = self.folder / "authorized_keys"
        if not authorized.exists():
            authorized.write_bytes(Path(f"{self.user_key}.pub").read_bytes())
        if not self._host_keys:
            key = self.folder / "host_ed25519"
            self._host_keys = (key if key.exists() else make_key(key),)

    def _write(self) -> None:
        names = f"[{self.address}]:{self.port}"
        keys = (Path(f"{key}.pub").read_text().split()[:2] for key in self._host_keys)
        self.known_hosts.write_text("".join(f"{names} {kind} {blob}\n" for kind, blob in keys))
        host_keys = "".join(f"HostKey {key}\n" for key in self._host_keys)
        self.config_file.write_text(
            f"{self._config}\n"
            f"ListenAddress {_bracketed(self.address)}:{self.port}\n{host_keys}"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\n"
            f"PidFile {self._pid_file}\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "PermitRootLogin yes\nUseDNS no\nPrintMotd no\nLogLevel VERBOSE\n"
            "SetEnv SHLVL=2\n"  # else bash reads the account's .bashrc, which may take long and say anything
        )

    def _start(self) -> None:
        self._reserved = _reserve_port(self.address)
        self.port = self._reserved.getsockname()[1]
        self._write()
        process = self._process = subprocess.Popen(
            [self._binary, "-D", "-f", str(self.config_file), "-E", str(self.folder / "log")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(partial(self._has_settled, process), START_TIMEOUT_S, "sshd to listen")
        if process.poll() is not None:
            raise RuntimeError(f"sshd did not start: {self.log}")

    def _has_settled(self, process: subprocess.Popen[bytes]) -> bool:
        return process.poll() is not None or self._listens()

    def _listens(self) -> bool:
        return self._pid_file.exists() and self._pid_file.stat().st_size > 0  # sshd writes it once it listens


def wait_until(happened: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Wait for an event that only looking reveals."""
    end = time.monotonic() + timeout_s
    while not happened():
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout_s:g} s for {what}")
        time.sleep(_POLL_S)


def _reserve_port(address: str) -> socket.socket:
    """Take a port that no other program gets by chance, also while sshd restarts; sshd sets SO_REUSEADDR too."""
    reserved = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind((address, 0))
    return reserved


def _keygen(*arguments: str) -> None:
    subprocess.run(["ssh-keygen", "-q", *arguments], check=True, stdin=subprocess.DEVNULL, capture_output=True)


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _list_sshds_below(pid: int) -> list[int]:
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{child}/comm").read_text().startswith("sshd"):  # a shell is not one
                found += [int(child), *_list_sshds_below(int(child))]
    return found
