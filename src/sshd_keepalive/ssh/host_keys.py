"""Check that the key that a server shows is the key of the expected host.

Order: revoked, pinned by the inventory, on file, certified by an authority on file, policy. A key that differs
from the one on file is refused under every policy, and there is no way to switch the check off. RSA keys below 2048
bits and SHA-1 signatures of authorities are refused; an ssh_config may demand more (`SshRules`).
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Final

from sshd_keepalive.model import Host
from sshd_keepalive.quoting import quote
from sshd_keepalive.ssh.errors import make_error, where
from sshd_keepalive.ssh.known_hosts import (
    Entry,
    KnownHosts,
    RevocationError,
    compute_fingerprint,
    is_revoked,
    known_hosts,
    name_of,
)

_CERTIFICATE: Final = "-cert-v01@openssh.com"
_ECDSA: Final = ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
_RSA: Final = ("rsa-sha2-512", "rsa-sha2-256")
_PREFERRED: Final = ("ssh-ed25519", *_ECDSA, *_RSA)
#: How many fields of a certificate stand between its nonce and its serial number, PROTOCOL.certkeys.
_KEY_FIELDS: Final = {"ssh-ed25519": 1, "ssh-rsa": 2, **dict.fromkeys(_ECDSA, 2)}


class HostKeyVerifier:
    """The check of one host's key."""

    def __init__(self, host: Host) -> None:
        """Look up what is known."""
        self._host = host
        self.was_confirmed = False
        self._name = host.host_key_alias or name_of(host.address, host.port)
        self._known: KnownHosts = known_hosts(host.known_hosts, host.more_known_hosts)
        found = self._known.lookup(self._name)
        # As ssh(1) does (sshconnect.c, check_host_key, HOST_NEW): what is on file for the host at port 22
        # is good evidence for its other ports, but no reason to call another key there a changed one.
        bare = self._known.lookup(host.address) if host.port != 22 and not host.host_key_alias else ()
        self._keys = tuple(entry for entry in found if not entry.marker)
        self._bare = tuple(entry for entry in bare if not entry.marker)
        self._authorities = tuple(entry for entry in (*found, *bare) if entry.marker == "cert-authority")
        self._revoked = tuple(entry for entry in (*found, *bare) if entry.marker == "revoked")

    def offer(self) -> tuple[str, ...]:
        """Give the host key algorithms to propose: those we can check come first.

        Otherwise a server with several keys would show one that is not on file, and look like an impostor.
        """
        plain = tuple(name for entry in (*self._keys, *self._bare) for name in _algorithms(entry.kind))
        certified = tuple(name + _CERTIFICATE for name in _PREFERRED) if self._by_authority() else ()
        ours = tuple(dict.fromkeys((*certified, *plain, *_PREFERRED)))
        offered = choose_algorithms(ours, self._host.ssh_rules.host_keys)
        if not offered:
            raise make_error(
                self._host,
                "hostkey-weak",
                "HostKeyAlgorithms of the ssh_config allows no algorithm that this program supports",
            )
        return offered

    def check(
        self,
        kind: str,
        blob: bytes,
        certificate: bytes | None,
        confirm: Callable[[str, str], bool] = lambda _question, _fingerprint: False,
    ) -> None:
        """Accept the key, or refuse it.

        Args:
            kind, blob: the plain public key.
            certificate: the host certificate that came in its place.
            confirm: asks a person about an unknown key, given the question and the key's fingerprint.
        Raises:
            HostError: kind `host_key`.
        """
        shown = f"{kind} {compute_fingerprint(blob)}"
        if any(entry.blob == blob for entry in self._revoked):
            raise make_error(self._host, "hostkey-revoked", shown)
        self._check_rules(blob, certificate, shown)
        if self._host.host_key is not None:
            if compute_fingerprint(blob) != self._host.host_key.rstrip("="):
                raise make_error(self._host, "hostkey-changed", f"{shown}, expected {self._host.host_key} as pinned")
            return
        if any(entry.blob == blob for entry in self._keys):
            return
        if certificate is not None and self._by_authority():
            self._check_certificate(certificate)
            return
        if self._keys:
            entry = next((entry for entry in self._keys if entry.kind == kind), self._keys[0])
            raise make_error(
                self._host,
                "hostkey-changed",
                f"{shown}, expected {entry.kind} {compute_fingerprint(entry.blob)} at {entry.place}",
                hint="find out why the key changed; only if the change is correct: "
                f"ssh-keygen -R {quote(self._name)} -f {quote(str(entry.path))}",
            )
        if any(entry.blob == blob for entry in self._bare):
            return
        if self._host.host_keys == "ask":
            known = self._known.paths[0]
            question = f"the host key of {where(self._host)} is not in {known}:\n  {shown}"
            self.was_confirmed = confirm(question, compute_fingerprint(blob))
        if self._host.host_keys != "accept-new" and not self.was_confirmed:
            raise make_error(self._host, "hostkey-unknown", shown)
        self._accept(kind, blob, shown)

    def _check_rules(self, blob: bytes, certificate: bytes | None, shown: str) -> None:
        rules = self._host.ssh_rules
        authority = _Certificate(certificate).authority if certificate is not None else None
        for key, whose in ((blob, shown), (authority, "the key of its certificate authority")):
            bits = rsa_bits(key) if key is not None else None
            if bits is not None and bits < rules.rsa_bits:
                raise make_error(
                    self._host, "hostkey-weak", f"{whose}, {bits} bits, at least {rules.rsa_bits} required"
                )
        for path in rules.revoked:
            try:
                revoked = is_revoked(path, certificate or blob, blob, *([authority] if authority else ()))
            except RevocationError as error:
                raise make_error(
                    self._host, "hostkey-file", str(error), hint=f"check {path}; ssh refuses it too"
                ) from None
            if revoked:
                raise make_error(self._host, "hostkey-revoked", f"{shown}, in {path}")

    def _by_authority(self) -> bool:
        return bool(self._authorities) and self._host.host_key is None

    def _accept(self, kind: str, blob: bytes, shown: str) -> None:
        try:
            other = self._known.append(self._name, kind, blob)
        except OSError as error:
            raise make_error(self._host, "hostkey-file", f"{error.filename}: {error.strerror}") from None
        if other is not None and other.blob != blob:
            raise make_error(
                self._host,
                "hostkey-changed",
                f"{shown}, another run has just recorded a different key at {other.place}",
                hint="find out which of the two keys is the right one, then run the command again",
            )

    def _check_certificate(self, certificate: bytes) -> None:
        """Check what PROTOCOL.certkeys asks of a host certificate; paramiko checks only the key exchange."""
        reason = _find_fault(certificate, self._host, self._authorities, self._revoked, time.time())
        if reason:
            cause = "hostkey-revoked" if reason == "revoked" else "hostkey-certificate"
            raise make_error(self._host, cause, reason)
        algorithm = _Certificate(certificate).signature_algorithm
        if algorithm not in choose_algorithms(_PREFERRED, self._host.ssh_rules.ca_signatures):
            detail = f"its certificate authority signed with {algorithm}"
            raise make_error(
                self._host, "hostkey-weak", detail, hint="sign it again: ssh-keygen -t rsa-sha2-512 -s CA -h …"
            )


class _Certificate:
    """The fields that nothing else gives: the authority's key, and how it signed (PROTOCOL.certkeys).

    Of something else, or of an unknown kind, both are empty.
    """

    def __init__(self, blob: bytes) -> None:
        self.authority = b""
        self.signature_algorithm = ""
        try:
            kind, at = _string(blob, 0)
            _, at = _string(blob, at)  # nonce
            for _ in range(_KEY_FIELDS[kind.decode().removesuffix(_CERTIFICATE)]):
                _, at = _string(blob, at)
            at += 8 + 4  # serial, type
            for _ in range(2):  # key id, principals
                _, at = _string(blob, at)
            at += 8 + 8  # validity
            for _ in range(3):  # critical options, extensions, reserved
                _, at = _string(blob, at)
            authority, at = _string(blob, at)
            signature, _ = _string(blob, at)
            algorithm = _string(signature, 0)[0].decode()
        except (ValueError, KeyError):
            return
        self.authority, self.signature_algorithm = authority, algorithm


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    """A string of RFC 4251, and where the next field begins.

    Raises:
        ValueError: it is cut off.
    """
    end = at + 4 + int.from_bytes(data[at : at + 4], "big")
    if end > len(data) or at + 4 > len(data):
        raise ValueError("cut off")
    return data[at + 4 : end], end


def rsa_bits(blob: bytes) -> int | None:
    """Give the size of an RSA key; None: it is of another kind."""
    try:
        kind, at = _string(blob, 0)
        if kind != b"ssh-rsa":
            return None
        _, at = _string(blob, at)
        return int.from_bytes(_string(blob, at)[0], "big").bit_length()
    except ValueError:
        return 0


def choose_algorithms(ours: tuple[str, ...], wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    """Give those of our algorithms that an ssh_config leaves, in our order."""
    return ours if wanted is None else tuple(name for name in ours if name in wanted)


def _algorithms(kind: str) -> tuple[str, ...]:
    """Signature algorithms of a key type; an RSA key signs with SHA-2, never with SHA-1."""
    if kind == "ssh-rsa":
        return _RSA
    return (kind,) if kind in _PREFERRED else ()


def _find_fault(
    certificate: bytes, host: Host, authorities: tuple[Entry, ...], revoked: tuple[Entry, ...], now_s: float
) -> str:
    """Give the reason to refuse a host certificate; empty: it is good."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        SSHCertificate,
        SSHCertificateType,
        load_ssh_public_identity,
    )

    kind = certificate[4 : 4 + int.from_bytes(certificate[:4], "big")]
    try:
        identity = load_ssh_public_identity(kind + b" " + base64.b64encode(certificate))
        if not isinstance(identity, SSHCertificate):
            return "not a certificate"
        identity.verify_cert_signature()
    except (ValueError, InvalidSignature):
        return "it cannot be verified"
    public = identity.signature_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    authority = base64.b64decode(public.split()[1])
    if any(entry.blob == authority for entry in revoked):
        return "revoked"
    if all(entry.blob != authority for entry in authorities):
        return f"signed by {compute_fingerprint(authority)}, not by the certificate authority at {authorities[0].place}"
    if identity.type is not SSHCertificateType.HOST:
        return "it is a user's certificate"
    if not identity.valid_after <= now_s < identity.valid_before:
        return "it is expired or not valid yet"
    principals = {name.decode("utf-8", "replace").lower() for name in identity.valid_principals}
    if (host.host_key_alias or host.address).lower() not in principals:  # an empty list would be good for every host
        return f"it is for {', '.join(sorted(principals)) or 'no host name'}"
    if identity.critical_options:
        return f"unknown critical option {next(iter(identity.critical_options))!r}"
    return ""
