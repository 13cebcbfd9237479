"""What an ssh_config demands of host keys: this program refuses what ssh refuses, against a real sshd."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sshd_keepalive.errors import ConnectError
from sshd_keepalive.inventories import ssh_config
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.connect import connect
from tests.support.sshd import Sshd, make_key, sign_key, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]

ED25519 = "ed25519"
RSA = "rsa"
NUMBER = itertools.count()


class Place:
    """Host keys, an authority, and files that revoke them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = {kind: make_key(folder / kind, kind=kind) for kind in (ED25519, RSA)}
        self.authority = make_key(folder / "ca", kind=RSA)
        self.other = make_key(folder / "other")

    def listed(self, *keys: Path, text: str = "# revoked\n\n") -> str:
        path = self.folder / f"revoked{next(NUMBER)}"  # each is read once per process
        path.write_text(text + "".join(Path(f"{key}.pub").read_text() for key in keys))
        return f"RevokedHostKeys {path}"

    def krl(self, *keys: Path, specification: str = "") -> str:
        path, spec = self.folder / f"krl{next(NUMBER)}", self.folder / "spec"
        spec.write_text(specification)
        words = ["-s", f"{self.authority}.pub", str(spec)] if specification else [f"{key}.pub" for key in keys]
        subprocess.run(["ssh-keygen", "-k", "-q", "-f", path, *words], check=True, capture_output=True)
        return f"RevokedHostKeys {path}"


PLAIN: dict[str, Callable[[Place], str]] = {
    "nothing": lambda place: "",
    "a list with another key": lambda place: place.listed(place.other),
    "a list with the key": lambda place: place.listed(place.other, place.host[ED25519]),
    "a KRL with another key": lambda place: place.krl(place.other),
    "a KRL with the key": lambda place: place.krl(place.host[ED25519]),
    "no such file": lambda place: f"RevokedHostKeys {place.folder}/none",
    "algorithms with it": lambda place: "HostKeyAlgorithms rsa-sha2-512,ssh-ed25519",
    "algorithms without it": lambda place: "HostKeyAlgorithms rsa-sha2-512,ecdsa-sha2-nistp256",
    "taken away": lambda place: "HostKeyAlgorithms -ssh-ed*",
    "another taken away": lambda place: "HostKeyAlgorithms -rsa-sha2*",
    "added": lambda place: "HostKeyAlgorithms +ssh-rsa",
    "put first": lambda place: "HostKeyAlgorithms ^rsa-sha2-512",
}
REFUSED = {"a list with the key", "a KRL with the key", "no such file", "algorithms without it", "taken away"}


def both(sshd: Sshd, folder: Path, known: str, options: str) -> tuple[bool, str]:
    """Whether ssh logs in, and why we do not; empty: we do."""
    (folder / "known").write_text(known)
    (folder / "config").write_text(
        f"Host real\n  HostName {sshd.address}\n  Port {sshd.port}\n  User {sshd.user}\n"
        f"  IdentityFile {sshd.user_key}\n  UserKnownHostsFile {folder}/known\n  GlobalKnownHostsFile /dev/null\n"
        f"  {options}\n"
    )
    ssh = subprocess.run(
        ["ssh", "-F", folder / "config", "-o", "BatchMode=yes", "real", "true"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    (host,) = ssh_config.load(str(folder / "config"))
    try:
        connect(host, secrets=Secrets(), timeout_s=30).close()
    except ConnectError as error:
        return ssh.returncode == 0, error.cause
    return ssh.returncode == 0, ""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("keys"))


def line(sshd: Sshd, key: Path, marker: str = "") -> str:
    return f"{marker}[{sshd.address}]:{sshd.port} {Path(f'{key}.pub').read_text()}"


@pytest.mark.parametrize("case", PLAIN)
def test_a_plain_key(place: Place, tmp_path: Path, case: str) -> None:
    with Sshd(host_keys=(place.host[ED25519],)) as sshd:
        by_ssh, cause = both(sshd, tmp_path, line(sshd, place.host[ED25519]), PLAIN[case](place))
    assert by_ssh is (case not in REFUSED)
    assert bool(cause) is (case in REFUSED), cause
    expected = {"a list with the key": "hostkey-revoked", "a KRL with the key": "hostkey-revoked"}
    assert cause == expected.get(case, cause)


#: case → (options of ssh-keygen when the authority signs, lines of the ssh_config, our cause)
CERTIFIED: dict[str, tuple[tuple[str, ...], Callable[[Place], str], str]] = {
    "SHA-2": (("-t", "rsa-sha2-512"), lambda place: "", ""),
    "SHA-1": (("-t", "ssh-rsa"), lambda place: "", "hostkey-weak"),
    "an algorithm that is wanted": (("-t", "rsa-sha2-256"), lambda place: "CASignatureAlgorithms rsa-sha2-256", ""),
    "one that is not": (("-t", "rsa-sha2-256"), lambda place: "CASignatureAlgorithms rsa-sha2-512", "hostkey-weak"),
    "one taken away": (("-t", "rsa-sha2-256"), lambda place: "CASignatureAlgorithms -rsa-sha2-256", "hostkey-weak"),
    "its authority in a list": ((), lambda place: place.listed(place.authority), "hostkey-revoked"),
    "its key in a list": ((), lambda place: place.listed(place.host[ED25519]), "hostkey-revoked"),
    "its authority in a KRL": ((), lambda place: place.krl(place.authority), "hostkey-revoked"),
    "its serial in a KRL": (("-z", "7"), lambda place: place.krl(specification="serial: 7\n"), "hostkey-revoked"),
    "another serial in a KRL": (("-z", "8"), lambda place: place.krl(specification="serial: 7\n"), ""),
}


@pytest.mark.parametrize("case", CERTIFIED)
def test_a_certified_key(place: Place, tmp_path: Path, case: str) -> None:
    signing, options, expected = CERTIFIED[case]
    key = place.host[ED25519]
    certificate = sign_key(place.authority, Path(f"{key}.pub"), "-h", "-n", "127.0.0.1", *signing)
    with Sshd(f"HostCertificate {certificate}", host_keys=(key,)) as sshd:
        found = both(sshd, tmp_path, line(sshd, place.authority, "@cert-authority "), options(place))
    assert found == (not expected, expected)


@pytest.mark.parametrize(
    ("bits", "options", "by_ssh", "cause"),
    [
        (2048, "", True, ""),
        (2048, "RequiredRSASize 2048", True, ""),
        (2048, "RequiredRSASize 3072", False, "hostkey-weak"),
        (1024, "RequiredRSASize 2048", False, "hostkey-weak"),
        (1024, "", True, "hostkey-weak"),  # stricter than ssh
        (1024, "RequiredRSASize 1024", True, "hostkey-weak"),
    ],
)
def test_the_size_of_an_rsa_key(tmp_path: Path, bits: int, options: str, by_ssh: bool, cause: str) -> None:
    key = tmp_path / "host"
    command = ["ssh-keygen", "-q", "-t", "rsa", "-b", str(bits), "-N", "", "-f", key]
    subprocess.run(command, check=True, capture_output=True)
    with Sshd(host_keys=(key,)) as sshd:
        assert both(sshd, tmp_path, line(sshd, key), options) == (by_ssh, cause)


def test_what_is_not_followed_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = tmp_path / "config"
    config.write_text(
        "Host a b\n  Ciphers aes128-ctr\n  PubkeyAuthentication yes\n  RequiredRSASize 1025\n"
        "Host c *\n  PubkeyAuthentication no\n  VerifyHostKeyDNS ask\n"
    )
    assert len(ssh_config.load(str(config))) == 3
    assert {record.getMessage() for record in caplog.records} == {
        f"{config}: PubkeyAuthentication false is not supported, for c",
        f"{config}: VerifyHostKeyDNS ask is not supported, for a and 2 more",
        f"{config}: RequiredRSASize 1025 is not supported, for a and 1 more",
    }


@pytest.mark.parametrize(
    ("server", "client", "works"),
    [
        ("Ciphers aes256-ctr", "Ciphers aes256-ctr", True),
        ("Ciphers aes256-ctr", "Ciphers -aes256-ctr", False),
        ("MACs hmac-sha2-256\nCiphers aes256-ctr", "MACs hmac-sha2-512", False),
        ("KexAlgorithms ecdh-sha2-nistp256", "KexAlgorithms ecdh-sha2-nistp256", True),
        ("KexAlgorithms ecdh-sha2-nistp256", "KexAlgorithms curve25519-sha256", False),
        ("", "Ciphers chacha20-poly1305@openssh.com", False),  # ssh has it, we do not
    ],
)
def test_algorithms_of_the_connection(place: Place, tmp_path: Path, server: str, client: str, works: bool) -> None:
    with Sshd(server, host_keys=(place.host[ED25519],)) as sshd:
        by_ssh, cause = both(sshd, tmp_path, line(sshd, place.host[ED25519]), client)
    assert by_ssh is (works or "chacha20" in client)
    assert cause == ("" if works else "incompatible")
