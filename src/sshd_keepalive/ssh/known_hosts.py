"""Files about the keys of hosts: known_hosts, read once per process and indexed, and RevokedHostKeys.

The format is that of sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. paramiko's own reader is quadratic and stops at
`@cert-authority` and `@revoked`, so it is not used.

RevokedHostKeys as in ssh(1) (authfile.c, sshkey_check_revoked): a file is a list of public keys or a KRL; a certificate
is revoked with its key or with its authority; a file that cannot be read refuses every key. KRLs are read by
ssh-keygen(1).
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import logging
import os
import re
import subprocess
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

LOG: Final = logging.getLogger(__name__)
SYSTEM_FILES: Final = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
USER_FILES: Final = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_KRL_MAGIC: Final = b"SSHKRL\n\0"
_KEYGEN_S: Final = 30


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of one line."""

    kind: str  # ssh-ed25519, ssh-rsa, …
    blob: bytes  # the key as it travels
    marker: str  # "", "revoked" or "cert-authority"
    path: str
    line: int

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.path}:{self.line}"


def compute_fingerprint(blob: bytes) -> str:
    """Give a key's fingerprint as `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def name_of(address: str, port: int) -> str:
    """Give the name under which a host stands in known_hosts."""
    return address.lower() if port == 22 else f"[{address.lower()}]:{port}"


class KnownHosts:
    """All entries of some files. Thread-safe; `append` is the only change."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self.paths = paths
        self._exact: dict[str, list[Entry]] = {}
        self._patterns: list[tuple[tuple[tuple[bool, re.Pattern[str]], ...], Entry]] = []
        self._hashed: list[tuple[bytes, bytes, Entry]] = []
        self._lock = threading.Lock()
        for path in paths:
            self._read(path)

    def lookup(self, name: str) -> tuple[Entry, ...]:
        """Give all entries for a name, in no particular order."""
        name = name.lower()
        encoded = name.encode()
        return (
            *self._exact.get(name, ()),
            *(entry for patterns, entry in self._patterns if _is_match(patterns, name)),
            *(entry for salt, digest, entry in self._hashed if hmac.digest(salt, encoded, "sha1") == digest),
        )

    def append(self, name: str, kind: str, blob: bytes) -> Entry | None:
        """Add a key for a name to the first file, unless another process was faster.

        Whole lines are appended under flock(2); a file that was replaced meanwhile (ssh-keygen -R renames) is
        opened again.

        Returns:
            An entry of the same name that another process wrote since the file was read; None: ours was written.
        Raises:
            OSError: the file cannot be written.
        """
        path = Path(self.paths[0])
        with self._lock:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            while True:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX)
                    if not _is_same(fd, path):
                        continue
                    size = os.fstat(fd).st_size
                    text = os.pread(fd, size, 0)
                    others = KnownHosts(())
                    others._parse(text, str(path))
                    if entries := others.lookup(name):
                        return entries[0]
                    missing = b"\n" if text and not text.endswith(b"\n") else b""
                    line = f"{name} {kind} {base64.b64encode(blob).decode()}\n".encode()
                    os.write(fd, missing + line)
                finally:
                    os.close(fd)
                number = (text + missing).count(b"\n") + 1
                self._exact.setdefault(name, []).append(Entry(kind, blob, "", str(path), number))
                return None

    def _read(self, path: str) -> None:
        try:
            self._parse(Path(path).read_bytes(), path)
        except FileNotFoundError:
            pass
        except OSError as error:
            LOG.warning("known_hosts %s cannot be read: %s", path, error.strerror)

    def _parse(self, text: bytes, path: str) -> None:
        for number, raw in enumerate(text.split(b"\n"), 1):
            line = raw.strip()
            if not line or line.startswith(b"#"):
                continue
            try:
                self._add(line.decode(), path, number)
            except ValueError:
                LOG.warning("%s:%d: not a known_hosts line, skipped", path, number)

    def _add(self, line: str, path: str, number: int) -> None:
        marker = ""
        if line.startswith("@"):
            marker, _, line = line[1:].partition(" ")
            if marker not in ("revoked", "cert-authority"):
                raise ValueError(marker)
        fields = line.split(None, 3)
        if len(fields) < 3:
            raise ValueError(line)
        names, kind, encoded = fields[:3]
        blob = base64.b64decode(encoded, validate=True)
        if blob[4 : 4 + int.from_bytes(blob[:4], "big")] != kind.encode():
            raise ValueError(kind)
        entry = Entry(kind, blob, marker, path, number)
        if names.startswith("|1|"):
            _, _, salt, digest = names.split("|")
            self._hashed.append((base64.b64decode(salt), base64.b64decode(digest), entry))
        elif any(c in names for c in "*?!"):
            self._patterns.append((_compile(names), entry))
        else:
            for name in names.lower().split(","):
                self._exact.setdefault(name, []).append(entry)


def _compile(names: str) -> tuple[tuple[bool, re.Pattern[str]], ...]:
    """Compile a pattern list as ssh_config(5) PATTERNS defines it; True: the pattern is negated."""
    compiled = []
    for name in names.lower().split(","):
        text = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in name.removeprefix("!"))
        compiled.append((name.startswith("!"), re.compile(text)))
    return tuple(compiled)


def _is_match(patterns: tuple[tuple[bool, re.Pattern[str]], ...], name: str) -> bool:
    return {negated for negated, pattern in patterns if pattern.fullmatch(name)} == {False}


def _is_same(fd: int, path: Path) -> bool:
    """Tell whether the open file is still the one at the path."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


_READING: Final = threading.Lock()
_read_once: Final = lru_cache(maxsize=64)(KnownHosts)


def read_known_hosts(path: str | None, more: tuple[str, ...] = ()) -> KnownHosts:
    """Read the files for a host: its own one with those beside it, else the user's and the system's."""
    paths = (path, *more) if path is not None else (*USER_FILES, *SYSTEM_FILES)
    with _READING:  # lru_cache alone would let every thread read once
        return _read_once(tuple(str(Path(path).expanduser()) for path in paths))


class RevocationError(Exception):
    """A file cannot be used; the text says which and why."""


def is_revoked(path: str, shown: bytes, *others: bytes) -> bool:
    """Tell whether a file of RevokedHostKeys lists a key.

    Args:
        shown: what the server showed, a key or a certificate.
        others: the key inside a certificate, and the key of its authority.
    Raises:
        RevocationError: the file cannot be used.
    """
    keys = _read_revoked(path)
    return _is_in_krl(path, shown) if keys is None else any(blob in keys for blob in (shown, *others))


@lru_cache(maxsize=64)
def _read_revoked(path: str) -> frozenset[bytes] | None:
    """Read the keys of a list; None: it is a KRL."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise RevocationError(f"RevokedHostKeys {path}: {error.strerror}") from None
    if data.startswith(_KRL_MAGIC):
        return None
    keys = set()
    for number, line in enumerate(data.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith(b"#"):
            continue
        try:
            blob = base64.b64decode(words[1], validate=True)
        except (IndexError, ValueError):
            blob = b""
        if blob[4 : 4 + int.from_bytes(blob[:4], "big")] != words[0]:
            raise RevocationError(f"RevokedHostKeys {path}:{number}: not a public key")
        keys.add(blob)
    return frozenset(keys)


@lru_cache(maxsize=4096)
def _is_in_krl(path: str, shown: bytes) -> bool:
    kind = shown[4 : 4 + int.from_bytes(shown[:4], "big")]
    line = kind + b" " + base64.b64encode(shown) + b"\n"
    command = ["ssh-keygen", "-Q", "-f", path, "/dev/stdin"]
    try:
        done = subprocess.run(command, input=line, capture_output=True, timeout=_KEYGEN_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RevocationError(f"RevokedHostKeys {path}: ssh-keygen cannot read this KRL: {error}") from None
    if done.returncode == 0:
        return False
    if b": REVOKED" in done.stdout:
        return True
    message = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
    raise RevocationError(f"RevokedHostKeys {path}: ssh-keygen: {message[-200:]}")
