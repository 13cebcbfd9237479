"""RevokedHostKeys: keys that are good for no host, ssh_config(5).

As in ssh(1) (authfile.c, sshkey_check_revoked): a file is a list of public keys or a KRL; a certificate is revoked with
its key or with its authority; a file that cannot be read refuses every key. KRLs are read by ssh-keygen(1).
"""

from __future__ import annotations

import base64
import subprocess
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

_KRL_MAGIC: Final = b"SSHKRL\n\0"
_LIMIT_S: Final = 30


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
    keys = _keys(path)
    return _is_in_krl(path, shown) if keys is None else any(blob in keys for blob in (shown, *others))


@lru_cache(maxsize=64)
def _keys(path: str) -> frozenset[bytes] | None:
    """The keys of a list; None: it is a KRL."""
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
    with NamedTemporaryFile() as file:
        file.write(kind + b" " + base64.b64encode(shown) + b"\n")
        file.flush()
        try:
            done = subprocess.run(
                ["ssh-keygen", "-Q", "-f", path, file.name],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RevocationError(f"RevokedHostKeys {path}: a KRL, and ssh-keygen cannot read it: {error}") from None
    if done.returncode == 0:
        return False
    if b": REVOKED" in done.stdout:
        return True
    said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
    raise RevocationError(f"RevokedHostKeys {path}: ssh-keygen: {said[-200:]}")
