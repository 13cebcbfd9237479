"""A real sshd that is asked thousands of questions: `sshd -T -C …`, in a root filesystem of its own if given.

The server is never started. One shell per oracle runs inside a private mount namespace, with a fresh tmpfs on
/etc/ssh, so nothing of this machine or of the root is touched. Needs root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from sshd_keepalive.model import Context, Dump
from sshd_keepalive.scripts.guard import render_specification

CONFIG_DIR = "/etc/ssh"
_KEY = f"{CONFIG_DIR}/key"
_SETUP = """
set -e
mount -t tmpfs tmpfs "$1/etc/ssh"
mount -t tmpfs tmpfs "$1/run"
mkdir -p "$1/run/sshd"
[ -e "$1/dev/null" ] || { mkdir -p "$1/dev"; mount --bind /dev "$1/dev"; }
exec chroot "$1" /bin/sh
"""


def why_not() -> str | None:
    """Why no oracle can run here; None: it can."""
    if os.geteuid() != 0:
        return "needs root: private mounts and chroot"
    missing = [tool for tool in ("unshare", "chroot", "ssh-keygen") if shutil.which(tool) is None]
    return f"needs {', '.join(missing)}" if missing else None


def _question(main: str, spec: str, options: Iterable[str]) -> str:
    extra = " ".join(f"-o '{option}'" for option in options) + (f" -C '{spec}'" if spec else "")
    # Warnings count lines; only a refusal's words are kept.
    return (
        f"/usr/sbin/sshd -T -f '{main}' -h {_KEY} {extra} 2>/run/said; "
        'rc=$?; [ $rc = 0 ] || cat /run/said; echo; echo "=end= $rc"\n'
    )


class Oracle:
    """Ask one OpenSSH; use it as a context.

    Args:
        root: the root filesystem with the sshd to ask; "/" is this machine's.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        where = str(root).rstrip("/")
        setup = _SETUP if where else _SETUP.replace('chroot "$1" ', "")
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", setup, "sh", where]
        self._shell = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self._tell("LC_ALL=C; export LC_ALL; exec 2>&1; echo ready")
            if self._line() != b"ready\n":
                raise RuntimeError("the shell in the namespace did not start")
            self.files = Path(f"/proc/{self._shell.pid}/root")
            key = self.files / _KEY.lstrip("/")
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
            self.version = self._version()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Oracle:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let the shell end; its mounts go with it."""
        if self._shell.stdin:
            self._shell.stdin.close()
        if self._shell.stdout:
            self._shell.stdout.close()
        self._shell.wait(timeout=20)

    def write(self, files: Mapping[str, bytes]) -> None:
        """Put files below /etc/ssh."""
        for path, content in files.items():
            place = self.files / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)

    def remove(self, base: str) -> None:
        """Take a directory away again."""
        shutil.rmtree(self.files / base.lstrip("/"), ignore_errors=True)

    def groups(self, user: str) -> tuple[str, ...]:
        """The groups of an account; none for one that does not exist."""
        self._tell(f"id -Gn {user} 2>/dev/null || echo")
        return tuple(self._line().decode().split())

    def ask(self, main: str, contexts: Iterable[Context], *options: str) -> list[Dump]:
        """`sshd -T` for each context."""
        contexts = list(contexts)
        self._tell("".join(_question(main, render_specification(context), options) for context in contexts))
        return [self._answer(context) for context in contexts]

    def ask_raw(self, main: str, specified: str | None, *options: str) -> Dump:
        """`sshd -T` with a literal -C argument; "U" is root from 10.0.0.1, None is no -C."""
        spec = "user=root,host=h,addr=10.0.0.1,laddr=10.0.0.2,lport=22" if specified == "U" else specified or ""
        self._tell(_question(main, spec, options))
        return self._answer(Context())

    def _answer(self, context: Context) -> Dump:
        lines: list[str] = []
        while not (line := self._line()).startswith(b"=end= "):
            if not line:
                raise RuntimeError("the oracle's shell is gone")
            lines.append(line.decode("utf-8", "surrogateescape").rstrip("\n"))
        if line.split()[1] != b"0":
            return Dump(context=context, error="\n".join(lines).strip() or "failed without a word")
        pairs = (line.partition(" ") for line in lines if line)
        return Dump(context=context, settings=tuple((keyword.lower(), value) for keyword, _, value in pairs))

    def _version(self) -> str:
        self._tell("/usr/sbin/sshd -V 2>&1; echo =end=")
        text = b""
        while b"=end=" not in text:
            line = self._line()
            if not line:
                raise RuntimeError("no sshd in this root")
            text += line
        return text.decode(errors="replace").partition("OpenSSH_")[2].split(",")[0].split()[0]

    def _tell(self, script: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(script.encode("utf-8", "surrogateescape") + b"\n")
        self._shell.stdin.flush()

    def _line(self) -> bytes:
        assert self._shell.stdout is not None
        return self._shell.stdout.readline()
