from __future__ import annotations

import base64
import hmac
import threading
import time
from pathlib import Path

import pytest

from sshd_keepalive.ssh.known_hosts import KnownHosts, compute_fingerprint, name_of


def blob(kind: str = "ssh-ed25519", n: int = 0) -> bytes:
    return len(kind).to_bytes(4, "big") + kind.encode() + (32).to_bytes(4, "big") + bytes([n]) * 32


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def line(names: str, n: int = 0, kind: str = "ssh-ed25519") -> str:
    return f"{names} {kind} {b64(blob(kind, n))} comment here\n"


def hashed(name: str) -> str:
    salt = bytes(range(20))  # not random: test names must be the same in every worker
    return f"|1|{b64(salt)}|{b64(hmac.digest(salt, name.encode(), 'sha1'))}"


def read(tmp_path: Path, text: str) -> KnownHosts:
    path = tmp_path / "known_hosts"
    path.write_text(text)
    return KnownHosts((str(path),))


@pytest.mark.parametrize(
    ("names", "name", "found"),
    [
        ("web", "web", True),
        ("web", "WEB", True),
        ("Web", "web", True),
        ("a,web,192.0.2.1", "192.0.2.1", True),
        ("web", "web2", False),
        ("[web]:2222", "[web]:2222", True),
        ("web", "[web]:2222", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "example.com", False),
        ("web?", "web1", True),
        ("*.example.com,!bad.example.com", "bad.example.com", False),
        ("*.example.com,!bad.example.com", "good.example.com", True),
        ("!bad", "other", False),
        ("192.0.2.*", "192.0.2.77", True),
        ("a.b", "axb", False),
        (hashed("web"), "web", True),
        (hashed("[web]:2222"), "[web]:2222", True),
        (hashed("web"), "other", False),
        ("2001:db8::1", "2001:db8::1", True),
        ("fe80::1%eth0", "fe80::1%eth0", True),
    ],
)
def test_names(tmp_path: Path, names: str, name: str, found: bool) -> None:
    assert bool(read(tmp_path, line(names)).lookup(name)) is found


def test_markers(tmp_path: Path) -> None:
    known = read(tmp_path, "@cert-authority " + line("*.x", 1) + "@revoked " + line("*", 2) + line("h.x", 3))
    assert {(entry.marker, entry.line) for entry in known.lookup("h.x")} == {
        ("cert-authority", 1),
        ("revoked", 2),
        ("", 3),
    }


@pytest.mark.parametrize(
    "bad",
    [
        "web",
        "web ssh-ed25519",
        "web ssh-ed25519 !!!",
        f"web ssh-rsa {b64(blob())}",
        "@what web ssh-ed25519 AAAA",
        "|1|x ssh-ed25519 AAAA",
        "\xff",
    ],
)
def test_a_malformed_line_is_passed_over(tmp_path: Path, bad: str, caplog: pytest.LogCaptureFixture) -> None:
    known = read(tmp_path, f"{bad}\n# comment\n\n{line('web')}")
    assert [entry.line for entry in known.lookup("web")] == [4]
    assert ":1: not a known_hosts line" in caplog.text


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert KnownHosts((str(tmp_path / "none"), str(tmp_path))).lookup("web") == ()


def test_four_thousand_lines_are_no_burden(tmp_path: Path) -> None:
    text = "".join(line(f"h{n},192.0.{n // 256}.{n % 256}") for n in range(4000))
    started_s = time.process_time()
    known = read(tmp_path, text)
    assert time.process_time() - started_s < 3  # paramiko's reader: 6 s; this one: 0.05
    assert known.lookup("h3999")


def test_names_of_hosts() -> None:
    assert name_of("Web", 22) == "web"
    assert name_of("Web", 2222) == "[web]:2222"
    assert name_of("fe80::1%eth0", 22) == "fe80::1%eth0"


def test_fingerprint_is_that_of_ssh_keygen() -> None:
    assert compute_fingerprint(b"") == "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"


def test_append(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "known_hosts"
    known = KnownHosts((str(path),))
    assert known.append("web", "ssh-ed25519", blob()) is None
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text(path.read_text().rstrip("\n"))  # an editor that ends no line
    assert known.append("web2", "ssh-ed25519", blob(n=1)) is None
    assert path.read_text() == f"web ssh-ed25519 {b64(blob())}\nweb2 ssh-ed25519 {b64(blob(n=1))}\n"
    for reader in (known, KnownHosts((str(path),))):
        assert [entry.blob for entry in reader.lookup("web2")] == [blob(n=1)]
        assert reader.lookup("web2")[0].line == 2


def test_append_yields_to_who_was_faster(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    slow, fast = KnownHosts((str(path),)), KnownHosts((str(path),))
    fast.append("web", "ssh-ed25519", blob(n=1))
    other = slow.append("web", "ssh-ed25519", blob(n=2))
    assert other is not None
    assert other.blob == blob(n=1)
    assert path.read_text().count("\n") == 1


def test_many_append_at_once(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    readers = [KnownHosts((str(path),)) for _ in range(4)]  # as many processes as far as flock(2) is concerned
    threads = [
        threading.Thread(target=reader.append, args=(f"h{m}-{n}", "ssh-ed25519", blob(n=n)))
        for m, reader in enumerate(readers)
        for n in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    known = KnownHosts((str(path),))
    assert all(known.lookup(f"h{m}-{n}") for m in range(4) for n in range(10))
    assert len(path.read_text().splitlines()) == 40
