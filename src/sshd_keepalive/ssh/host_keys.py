"""Check that the key that a server shows is the key of the expected host.

Order: revoked, pinned by the inventory, on file, certified by an authority on file, policy. A key that differs
from the one on file is refused under every policy, and the check cannot be switched off. RSA keys below 2048
bits and SHA-1 signatures of authorities are refused; an ssh_config may demand more (`SshRules`).
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_ssh_public_identity,
)

from sshd_keepalive.model import Host
from sshd_keepalive.quoting import quote
from sshd_keepalive.ssh.errors import LoginCause, make_error, where
from sshd_keepalive.ssh.known_hosts import (
    RevocationError,
    compute_fingerprint,
    is_revoked,
    name_of,
    read_known_hosts,
)

_CERTIFICATE: Final = "-cert-v01@openssh.com"
_RSA: Final = ("rsa-sha2-512", "rsa-sha2-256")
_PREFERRED: Final = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", *_RSA)


class HostKeyVerifier:
    """The check of one host's key."""

    def __init__(self, host: Host) -> None:
        """Look up what is known."""
        self._host = host
        self.was_confirmed = False
        self._name = host.host_key_alias or name_of(host.address, host.port)
        self._known_hosts = read_known_hosts(host.known_hosts, host.more_known_hosts)
        entries = self._known_hosts.lookup(self._name)
        # As ssh(1) does (sshconnect.c, check_host_key, HOST_NEW): what is on file for the host at port 22
        # is good evidence for its other ports, but no reason to call another key there a changed one.
        bare = self._known_hosts.lookup(host.address) if host.port != 22 and not host.host_key_alias else ()
        self._keys = tuple(entry for entry in entries if not entry.marker)
        self._bare = tuple(entry for entry in bare if not entry.marker)
        self._authorities = tuple(entry for entry in (*entries, *bare) if entry.marker == "cert-authority")
        self._revoked = tuple(entry for entry in (*entries, *bare) if entry.marker == "revoked")

    def offer(self) -> tuple[str, ...]:
        """Give the host key algorithms to propose: those we can check come first.

        Otherwise a server with several keys would show one that is not on file, and look like an impostor.
        """
        plain = tuple(name for entry in (*self._keys, *self._bare) for name in _list_algorithms(entry.kind))
        certified = tuple(name + _CERTIFICATE for name in _PREFERRED) if self._has_authority() else ()
        ours = tuple(dict.fromkeys((*certified, *plain, *_PREFERRED)))
        offered = _choose_algorithms(ours, self._host.ssh_rules.host_keys)
        if not offered:
            raise make_error(
                self._host,
                LoginCause.HOST_KEY_WEAK,
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
            raise make_error(self._host, LoginCause.HOST_KEY_REVOKED, shown)
        identity = self._load(certificate) if certificate is not None else None
        authority = _encode_authority(identity) if identity is not None else None
        self._check_rules(blob, certificate, authority, shown)
        if self._host.host_key is not None:
            if compute_fingerprint(blob) != self._host.host_key.rstrip("="):
                raise make_error(
                    self._host, LoginCause.HOST_KEY_CHANGED, f"{shown}, expected {self._host.host_key} as pinned"
                )
            return
        if any(entry.blob == blob for entry in self._keys):
            return
        if certificate is not None and identity is not None and self._has_authority():
            self._check_certificate(certificate, identity)
            return
        if self._keys:
            entry = next((entry for entry in self._keys if entry.kind == kind), self._keys[0])
            raise make_error(
                self._host,
                LoginCause.HOST_KEY_CHANGED,
                f"{shown}, expected {entry.kind} {compute_fingerprint(entry.blob)} at {entry.place}",
                hint="find out why the key changed; only if the change is correct: "
                f"ssh-keygen -R {quote(self._name)} -f {quote(str(entry.path))}",
            )
        if any(entry.blob == blob for entry in self._bare):
            return
        if self._host.host_keys == "ask":
            path = self._known_hosts.paths[0]
            question = f"the host key of {where(self._host)} is not in {path}:\n  {shown}"
            self.was_confirmed = confirm(question, compute_fingerprint(blob))
        if self._host.host_keys != "accept-new" and not self.was_confirmed:
            raise make_error(self._host, LoginCause.HOST_KEY_UNKNOWN, shown)
        self._accept(kind, blob, shown)

    def _check_rules(self, blob: bytes, certificate: bytes | None, authority: bytes | None, shown: str) -> None:
        rules = self._host.ssh_rules
        for key, owner in ((blob, shown), (authority, "the key of its certificate authority")):
            bits = _count_rsa_bits(key) if key is not None else None
            if bits is not None and bits < rules.rsa_bits:
                detail = f"{owner}, {bits} bits, at least {rules.rsa_bits} required"
                raise make_error(self._host, LoginCause.HOST_KEY_WEAK, detail)
        for path in rules.revoked:
            try:
                revoked = is_revoked(path, certificate or blob, blob, *([authority] if authority else ()))
            except RevocationError as error:
                hint = f"check {path}; ssh refuses it too"
                raise make_error(self._host, LoginCause.HOST_KEY_FILE, str(error), hint=hint) from None
            if revoked:
                raise make_error(self._host, LoginCause.HOST_KEY_REVOKED, f"{shown}, in {path}")

    def _has_authority(self) -> bool:
        return bool(self._authorities) and self._host.host_key is None

    def _accept(self, kind: str, blob: bytes, shown: str) -> None:
        try:
            other = self._known_hosts.append(self._name, kind, blob)
        except OSError as error:
            raise make_error(self._host, LoginCause.HOST_KEY_FILE, f"{error.filename}: {error.strerror}") from None
        if other is not None and other.blob != blob:
            raise make_error(
                self._host,
                LoginCause.HOST_KEY_CHANGED,
                f"{shown}, another run has just recorded a different key at {other.place}",
                hint="find out which of the two keys is the right one, then run the command again",
            )

    def _load(self, certificate: bytes) -> SSHCertificate:
        try:
            identity = load_ssh_public_identity(_split(certificate)[0] + b" " + base64.b64encode(certificate))
        except (ValueError, UnsupportedAlgorithm):
            identity = None
        if not isinstance(identity, SSHCertificate):
            raise make_error(self._host, LoginCause.HOST_KEY_CERTIFICATE, "it cannot be read")
        return identity

    def _check_certificate(self, certificate: bytes, identity: SSHCertificate) -> None:
        """Check what PROTOCOL.certkeys asks of a host certificate; paramiko checks only the key exchange."""
        authority = _encode_authority(identity)
        if any(entry.blob == authority for entry in self._revoked):
            raise make_error(self._host, LoginCause.HOST_KEY_REVOKED, "the key of its certificate authority")
        if fault := self._find_fault(identity, authority):
            raise make_error(self._host, LoginCause.HOST_KEY_CERTIFICATE, fault)
        # The signature is the last field; cryptography gives all the others.
        algorithm = _split(_split(certificate.rpartition(authority)[2])[0])[0].decode("ascii", "replace")
        if algorithm not in _choose_algorithms(_PREFERRED, self._host.ssh_rules.ca_signatures):
            detail = f"its certificate authority signed with {algorithm}"
            hint = "sign it again: ssh-keygen -t rsa-sha2-512 -s CA -h …"
            raise make_error(self._host, LoginCause.HOST_KEY_WEAK, detail, hint=hint)

    def _find_fault(self, certificate: SSHCertificate, authority: bytes) -> str:
        """Find the reason to refuse the host certificate; empty: it is good."""
        try:
            certificate.verify_cert_signature()
        except (ValueError, InvalidSignature, UnsupportedAlgorithm):
            return "it cannot be verified"
        if all(entry.blob != authority for entry in self._authorities):
            expected = self._authorities[0].place
            return f"signed by {compute_fingerprint(authority)}, not by the certificate authority at {expected}"
        if certificate.type is not SSHCertificateType.HOST:
            return "it is a user's certificate"
        if not certificate.valid_after <= time.time() < certificate.valid_before:
            return "it is expired or not valid yet"
        principals = {name.decode("utf-8", "replace").lower() for name in certificate.valid_principals}
        name = self._host.host_key_alias or self._host.address
        if name.lower() not in principals:  # an empty list would be good for every host
            return f"it is for {', '.join(sorted(principals)) or 'no host name'}"
        if certificate.critical_options:
            return f"unknown critical option {next(iter(certificate.critical_options))!r}"
        return ""


def _split(data: bytes) -> list[bytes]:
    """Split data that consists of strings of RFC 4251."""
    fields = []
    at = 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        fields.append(data[at + 4 : end])
        at = end
    return fields


def _encode_authority(certificate: SSHCertificate) -> bytes:
    """Give the key of the authority that signed a certificate, as it is sent and written to files."""
    public = certificate.signature_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return base64.b64decode(public.split()[1])


def _count_rsa_bits(blob: bytes) -> int | None:
    """Count the bits of an RSA key, whose last field is the modulus; None: a key of another kind."""
    kind, *numbers = _split(blob)
    return int.from_bytes(numbers[-1] if numbers else b"", "big").bit_length() if kind == b"ssh-rsa" else None


def _choose_algorithms(ours: tuple[str, ...], wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    """Choose those of our algorithms that an ssh_config allows, in our order."""
    return ours if wanted is None else tuple(name for name in ours if name in wanted)


def _list_algorithms(kind: str) -> tuple[str, ...]:
    """List the signature algorithms of a key type; an RSA key signs with SHA-2, never with SHA-1."""
    if kind == "ssh-rsa":
        return _RSA
    return (kind,) if kind in _PREFERRED else ()
