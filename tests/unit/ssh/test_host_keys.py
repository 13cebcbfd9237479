from __future__ import annotations

import base64
import itertools
import re
from pathlib import Path

import pytest

from sshd_keepalive.errors import HostError
from sshd_keepalive.model import Host
from sshd_keepalive.ssh.host_keys import HostKeyVerifier
from sshd_keepalive.ssh.known_hosts import compute_fingerprint
from tests.support.sshd import make_key, sign_key

NUMBER = itertools.count()


class Keys:
    """Real keys of a host, made by ssh-keygen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host, self.other, self.authority = (make_key(folder / name) for name in ("host", "other", "ca"))

    def text(self, key: Path) -> str:
        return " ".join(Path(f"{key}.pub").read_text().split()[:2])

    def blob(self, key: Path) -> bytes:
        return base64.b64decode(self.text(key).split()[1])

    def certificate(self, *options: str) -> bytes:
        path = sign_key(self.authority, Path(f"{self.host}.pub"), *options)
        return base64.b64decode(path.read_text().split()[1])


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


def check(keys: Keys, tmp_path: Path, known: str, certificate: bytes | None = None, **settings: object) -> Path:
    file = tmp_path / f"known_hosts_{next(NUMBER)}"  # each is read once per process
    file.write_text(known)
    host = Host(**{"name": "web", "address": "web.example", "known_hosts": str(file), **settings})
    HostKeyVerifier(host).check("ssh-ed25519", keys.blob(keys.host), certificate)
    return file


def refusal(keys: Keys, tmp_path: Path, known: str, certificate: bytes | None = None, **settings: object) -> HostError:
    with pytest.raises(HostError) as caught:
        check(keys, tmp_path, known, certificate, **settings)
    assert caught.value.kind == "host_key"
    assert caught.value.hint
    return caught.value


def test_the_key_on_file(keys: Keys, tmp_path: Path) -> None:
    check(keys, tmp_path, f"web.example {keys.text(keys.host)}\n")


@pytest.mark.parametrize("policy", ["strict", "accept-new"])
def test_a_changed_key_is_refused_by_every_policy(keys: Keys, tmp_path: Path, policy: str) -> None:
    failure = refusal(keys, tmp_path, f"\nweb.example {keys.text(keys.other)}\n", host_keys=policy)
    assert failure.cause == "hostkey-changed"
    assert re.search(rf"{tmp_path}/known_hosts_\d+:2\b", str(failure))
    assert compute_fingerprint(keys.blob(keys.host)) in str(failure)
    assert "ssh-keygen -R web.example -f " in (failure.hint or "")


def test_an_unknown_host(keys: Keys, tmp_path: Path) -> None:
    assert refusal(keys, tmp_path, "").cause == "hostkey-unknown"


def test_accept_new_writes_it_down(keys: Keys, tmp_path: Path) -> None:
    file = check(keys, tmp_path, "", host_keys="accept-new", port=2222)
    assert file.read_text() == f"[web.example]:2222 {keys.text(keys.host)}\n"


def test_accept_new_without_a_place_to_write(keys: Keys, tmp_path: Path) -> None:
    host = Host(name="web", address="web.example", known_hosts="/proc/none/known_hosts", host_keys="accept-new")
    with pytest.raises(HostError) as caught:
        HostKeyVerifier(host).check("ssh-ed25519", keys.blob(keys.host), None)
    assert caught.value.cause == "hostkey-file"


def test_a_pin_counts_more_than_the_file(keys: Keys, tmp_path: Path) -> None:
    pin = compute_fingerprint(keys.blob(keys.host))
    check(keys, tmp_path, f"web.example {keys.text(keys.other)}\n", host_key=pin)
    failure = refusal(keys, tmp_path, f"web.example {keys.text(keys.host)}\n", host_key="SHA256:other")
    assert failure.cause == "hostkey-changed"
    assert (failure.hint or "").endswith("write the new fingerprint into `host_key`")


def test_revoked_counts_most(keys: Keys, tmp_path: Path) -> None:
    known = f"web.example {keys.text(keys.host)}\n@revoked * {keys.text(keys.host)}\n"
    pin = compute_fingerprint(keys.blob(keys.host))
    for settings in ({}, {"host_key": pin}, {"host_keys": "accept-new"}):
        assert refusal(keys, tmp_path, known, **settings).cause == "hostkey-revoked"


def test_the_key_of_port_22_is_good_for_others(keys: Keys, tmp_path: Path) -> None:
    check(keys, tmp_path, f"web.example {keys.text(keys.host)}\n", port=2222)
    assert refusal(keys, tmp_path, f"web.example {keys.text(keys.other)}\n", port=2222).cause == "hostkey-unknown"


def test_an_alias_is_the_name_on_file_without_a_port(keys: Keys, tmp_path: Path) -> None:
    plain = keys.text(keys.host)
    check(keys, tmp_path, f"fleet {plain}\n", host_key_alias="fleet", port=2222)
    assert (
        refusal(keys, tmp_path, f"[web.example]:2222 {plain}\n", host_key_alias="fleet", port=2222).cause
        == "hostkey-unknown"
    )
    certificate = keys.certificate("-h", "-n", "fleet")
    check(keys, tmp_path, f"@cert-authority fleet {keys.text(keys.authority)}\n", certificate, host_key_alias="fleet")


def test_further_files_count_and_stay_as_they_are(keys: Keys, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.write_text(f"web.example {keys.text(keys.host)}\n")
    check(keys, tmp_path, "", more_known_hosts=(str(more),))
    more.write_text("")
    first = check(keys, tmp_path, "", more_known_hosts=(str(tmp_path / "other"),), host_keys="accept-new")
    assert "web.example" in first.read_text()
    assert not (tmp_path / "other").exists()


def test_a_good_certificate(keys: Keys, tmp_path: Path) -> None:
    certificate = keys.certificate("-h", "-n", "web.example,other")
    check(keys, tmp_path, f"@cert-authority *.example {keys.text(keys.authority)}\n", certificate)
    check(keys, tmp_path, f"@cert-authority *.example {keys.text(keys.authority)}\n", certificate, port=2222)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-h", "-n", "db.example"), "db.example"),
        (("-h",), "for no host name"),
        (("-n", "web.example"), "user's certificate"),
        (("-h", "-n", "web.example", "-V", "20200101:20200201"), "expired"),
        (("-h", "-n", "web.example", "-V", "20400101:20400201"), "expired"),
    ],
)
def test_a_bad_certificate(keys: Keys, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    known = f"@cert-authority * {keys.text(keys.authority)}\n"
    failure = refusal(keys, tmp_path, known, keys.certificate(*options))
    assert failure.cause == "hostkey-certificate"
    assert said in str(failure)


def test_a_certificate_of_somebody_else(keys: Keys, tmp_path: Path) -> None:
    certificate = keys.certificate("-h", "-n", "web.example")
    failure = refusal(keys, tmp_path, f"@cert-authority * {keys.text(keys.other)}\n", certificate)
    assert "not by the certificate authority" in str(failure)


def test_a_forged_certificate(keys: Keys, tmp_path: Path) -> None:
    certificate = bytearray(keys.certificate("-h", "-n", "web.example"))
    certificate[-1] ^= 1
    failure = refusal(keys, tmp_path, f"@cert-authority * {keys.text(keys.authority)}\n", bytes(certificate))
    assert "cannot be verified" in str(failure)


def test_a_revoked_authority(keys: Keys, tmp_path: Path) -> None:
    authority = keys.text(keys.authority)
    known = f"@cert-authority * {authority}\n@revoked * {authority}\n"
    failure = refusal(keys, tmp_path, known, keys.certificate("-h", "-n", "web.example"))
    assert failure.cause == "hostkey-revoked"


@pytest.mark.parametrize(
    ("known", "first"),
    [
        ("", "ssh-ed25519"),
        ("web.example ssh-rsa {rsa}\n", "rsa-sha2-512"),
        ("@cert-authority * {ca}\n", "ssh-ed25519-cert-v01@openssh.com"),
    ],
)
def test_known_types_are_offered_first(keys: Keys, tmp_path: Path, known: str, first: str) -> None:
    rsa = base64.b64encode(b"\0\0\0\x07ssh-rsa").decode()
    file = tmp_path / "known_hosts"
    file.write_text(known.format(rsa=rsa, ca=keys.text(keys.authority)))
    offer = HostKeyVerifier(Host(name="web", address="web.example", known_hosts=str(file))).offer()
    assert offer[0] == first
    assert len(set(offer)) == len(offer)
    assert "ssh-ed25519" in offer
    assert all("cert" not in name for name in offer) or known.startswith("@cert")


@pytest.mark.parametrize("certificate", [b"\0" * 40, b"\0\0\0\x04rsa!", b"\xff" * 9])
def test_a_certificate_that_cannot_be_read_is_refused(keys: Keys, tmp_path: Path, certificate: bytes) -> None:
    """Also where the plain key is on file: nothing about its authority could be checked."""
    failure = refusal(keys, tmp_path, f"web.example {keys.text(keys.host)}\n", certificate)
    assert failure.cause == "hostkey-certificate"
