"""Private keys: files, the agent, certificates; each loaded once per process.

Parsing an RSA key of 4096 bits costs 324 ms of CPU, because its numbers are checked. `cryptography` parses what
paramiko refuses (PKCS#8, files encrypted with AES-GCM); paramiko gets the finished key.
"""

from __future__ import annotations

import io
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import paramiko
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import Host
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.errors import LoginCause, make_error

DEFAULT_FILES: Final = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
#: How many keys one connection tries when the inventory names none. sshd logs refused keys as failures from the
#: fourth on (auth.c, auth_log: half of MaxAuthTries), and fail2ban counts what is logged.
TRIES_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Identity:
    """A key to log in with, and where it comes from."""

    key: paramiko.PKey
    source: str


class BadKeyError(Exception):
    """A key file cannot be used; the text says why."""


class NeedsPassphraseError(BadKeyError):
    """It is encrypted, and the passphrase is missing."""


def load_identities(host: Host, secrets: Secrets) -> tuple[Identity, ...]:
    """Load the keys to try on a host, in order.

    A key that the inventory names is the only one. Otherwise the agent's keys, those first that are also default
    files, then the default files; at most TRIES_MAX.

    Raises:
        HostError: the named key cannot be used, or there is none.
    """
    try:
        if host.identity_file is not None:
            return (_load_named(host.identity_file, host.certificate_file, secrets),)
        defaults = _load_defaults(secrets)
    except (BadKeyError, ConfigError) as error:
        raise make_error(host, LoginCause.KEY_FILE, str(error), hint=getattr(error, "hint", None)) from None
    if not defaults:
        raise make_error(host, LoginCause.NO_KEY, "the agent has none, and no default key file exists")
    return defaults


def _load_named(file: str, certificate: str | None, secrets: Secrets) -> Identity:
    slot = _slots.get((file, certificate))
    if slot is not None and slot.key is not None:  # loaded for another host: nothing needs to be looked up
        return Identity(slot.key, file)
    path = Path(file).expanduser()
    if path.suffix == ".pub" or not path.exists():  # a public key stands for the agent's private one
        public = path if path.suffix == ".pub" else _name_public_file(path)
        if key := AGENT.find(_read_public_blob(public), certificate):
            return Identity(key, f"{file}, from the agent")
        raise BadKeyError(f"{file}: {'the agent does not hold it' if path.exists() else 'no such file'}")
    try:
        return Identity(_load(path, certificate, None), file)
    except NeedsPassphraseError:
        if key := AGENT.find(_read_public_blob(_name_public_file(path)), certificate):
            return Identity(key, f"{file}, from the agent")
        if not secrets.can_ask:
            raise
        return Identity(_load(path, certificate, secrets), file)


def _load_defaults(secrets: Secrets) -> tuple[Identity, ...]:
    files = [path for name in DEFAULT_FILES if (path := Path(name).expanduser()).exists()]
    publics = [blob for path in files if (blob := _read_public_blob(_name_public_file(path)))]
    agent_keys = sorted(
        AGENT.list_keys(), key=lambda key: key.asbytes() not in publics
    )  # stable: else the agent's order
    identities = [Identity(key, f"agent key {key.comment or key.get_name()}") for key in agent_keys]
    blobs = {key.asbytes() for key in agent_keys}
    locked: list[Path] = []
    for path in files:
        if len(identities) >= TRIES_MAX:
            break
        try:
            key = _load(path, None, None)
        except NeedsPassphraseError:
            locked.append(path)
        except BadKeyError:
            continue  # as ssh(1): a broken default file is passed over
        else:
            if key.asbytes() not in blobs:
                identities.append(Identity(key, str(path)))
    if not identities and locked and secrets.can_ask:
        identities.append(Identity(_load(locked[0], None, secrets), str(locked[0])))
    return tuple(identities[:TRIES_MAX])


class _Slot:
    """One key file: the key, or why there is none."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.key: paramiko.PKey | None = None
        self.fault: BadKeyError | None = None


_slots: dict[tuple[str, str | None], _Slot] = {}
_lock = threading.Lock()


def _load(path: Path, certificate: str | None, secrets: Secrets | None) -> paramiko.PKey:
    """Load a key, once; `secrets` says that the user may be asked for its passphrase."""
    with _lock:
        slot = _slots.setdefault((str(path), certificate), _Slot())
    with slot.lock:  # of this key only: waiting for its passphrase does not delay other keys
        if slot.key is None and (slot.fault is None or (secrets and isinstance(slot.fault, NeedsPassphraseError))):
            try:
                slot.key, slot.fault = _read(path, certificate, secrets), None
            except BadKeyError as fault:
                slot.fault = fault
        if slot.key is None:
            reason = slot.fault or BadKeyError(str(path))
            raise type(reason)(str(reason))
        return slot.key


def _read(path: Path, certificate: str | None, secrets: Secrets | None) -> paramiko.PKey:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadKeyError(f"{path}: {error.strerror}") from None
    passphrase = secrets.ask(f"passphrase of {path}").reveal().encode() if secrets else None
    key = _to_paramiko(_parse(data, passphrase, path), path)
    certificate_path = Path(certificate).expanduser() if certificate else Path(f"{path}-cert.pub")
    if certificate or certificate_path.exists():
        _attach(key, certificate_path)
    return key


def _parse(data: bytes, passphrase: bytes | None, path: Path) -> object:
    for load in (load_ssh_private_key, load_pem_private_key):
        try:
            return load(data, passphrase)
        except TypeError:  # encrypted without a passphrase, or the other way round
            if passphrase is not None:
                return _parse(data, None, path)
            raise NeedsPassphraseError(f"{path}: encrypted, and no passphrase is given") from None
        except Exception:  # cryptography has no common class for what may be wrong with a key
            wrong = "wrong passphrase" if passphrase else "not a private key that this program can read"
    raise BadKeyError(f"{path}: {wrong}")


def _to_paramiko(key: object, path: Path) -> paramiko.PKey:
    if isinstance(key, RSAPrivateKey):
        return paramiko.RSAKey(key=key)
    if isinstance(key, EllipticCurvePrivateKey):
        return paramiko.ECDSAKey(vals=(key, key.public_key()))
    if isinstance(key, Ed25519PrivateKey):
        text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
        return paramiko.Ed25519Key(file_obj=io.StringIO(text))
    raise BadKeyError(f"{path}: SSH servers do not accept a {type(key).__name__}")


def _attach(key: paramiko.PKey, certificate: Path) -> None:
    try:
        key.load_certificate(certificate.read_text())
    except OSError as error:
        raise BadKeyError(f"{certificate}: {error.strerror}") from None
    except (ValueError, paramiko.SSHException):
        raise BadKeyError(f"{certificate}: the certificate is not for this key") from None


def _name_public_file(path: Path) -> Path:
    return path.with_name(path.name + ".pub")


def _read_public_blob(path: Path) -> bytes | None:
    """Give the key of a .pub file; None: there is none."""
    try:
        return paramiko.pkey.PublicBlob.from_file(str(path)).key_blob
    except (OSError, ValueError, paramiko.SSHException):
        return None


class _SharedAgent(paramiko.Agent):
    """One connection to the agent for all threads; unlocked, their answers would get mixed up and all would hang."""

    _lock = threading.Lock()

    def _send_message(self, msg: object) -> object:
        with self._lock:
            return super()._send_message(msg)  # type: ignore[misc]


class _Agent:
    """The agent of SSH_AUTH_SOCK, asked once per process for its keys."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: str | None = None
        self._agent: _SharedAgent | None = None

    def list_keys(self) -> tuple[paramiko.AgentKey, ...]:
        """List its keys, none without an agent. Certificates are offered as such."""
        socket = os.environ.get("SSH_AUTH_SOCK")
        with self._lock:
            if socket != self._socket:
                self._close()
                self._socket = socket
                if socket:
                    try:
                        self._agent = _SharedAgent()
                    except (OSError, paramiko.SSHException, EOFError):
                        self._agent = None
            keys = self._agent.get_keys() if self._agent else ()
        for key in keys:
            inner = getattr(key, "inner_key", None)
            if "-cert-" in key.get_name() and inner is not None:
                key.public_blob = inner.public_blob
        return keys

    def find(self, blob: bytes | None, certificate: str | None) -> paramiko.PKey | None:
        """Give the agent's key of this public half, with a certificate attached where one is named."""
        for key in self.list_keys() if blob else ():
            if key.asbytes() == blob and "-cert-" not in key.get_name():
                if certificate is None:
                    return key
                own = paramiko.AgentKey(key.agent, key.blob, key.comment)
                _attach(own, Path(certificate).expanduser())
                return own
        return None

    def _close(self) -> None:
        if self._agent is not None:
            self._agent.close()
            self._agent = None


AGENT: Final = _Agent()
