"""Logging in to a real sshd: algorithms, host keys, keys, refusals."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from sshd_keepalive.errors import ConnectError
from sshd_keepalive.model import Host
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh import throttle as ramp
from sshd_keepalive.ssh.connect import connect
from sshd_keepalive.ssh.known_hosts import compute_fingerprint
from tests.support.cli import keepalive
from tests.support.leaks import nothing_left
from tests.support.reach import reach, run
from tests.support.sshd import Sshd, make_key, sign_key, wait_until, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with Sshd() as sshd:
        yield sshd


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def refusal(host: Host, **options: object) -> ConnectError:
    with nothing_left(), pytest.raises(ConnectError) as caught:
        connect(host, **{"secrets": Secrets(), "timeout_s": 60, **options})
    assert caught.value.hint
    assert str(host.port) in str(caught.value)
    return caught.value


def authorize(sshd: Sshd, key: Path) -> str:
    with (sshd.folder / "authorized_keys").open("a") as file:
        file.write(Path(f"{key}.pub").read_text())
    return str(key)


def test_a_login_leaves_nothing_behind(sshd: Sshd) -> None:
    with nothing_left():
        shell = connect(reach(sshd), secrets=Secrets(), timeout_s=30)
        assert shell.server_version.startswith("SSH-2.0-OpenSSH_")
        assert shell.login_method == str(sshd.user_key)
        assert shell.run("echo hello", timeout_s=30).stdout == b"hello\n"
        assert shell.run("exit 9", timeout_s=30).status == 9
        shell.close()


@pytest.mark.parametrize(
    "line",
    [
        "KexAlgorithms curve25519-sha256",
        "KexAlgorithms curve25519-sha256@libssh.org",
        "KexAlgorithms ecdh-sha2-nistp384",
        "KexAlgorithms diffie-hellman-group16-sha512",
        "Ciphers aes256-gcm@openssh.com",
        "Ciphers aes256-ctr\nMACs hmac-sha2-512",
        "Ciphers aes128-ctr\nMACs hmac-sha2-256-etm@openssh.com",
        "Compression no\nBanner /etc/passwd",
        "RekeyLimit 64K",
        "PubkeyAcceptedAlgorithms ssh-ed25519",
    ],
)
def test_narrow_servers(line: str) -> None:
    with Sshd(line) as sshd:
        assert len(run(reach(sshd), "head -c 300000 /dev/zero").stdout) == 300_000


def test_nothing_in_common() -> None:
    with Sshd("Ciphers chacha20-poly1305@openssh.com") as sshd:
        failure = refusal(reach(sshd))
    assert (failure.kind, failure.cause) == ("banner", "incompatible")
    assert "ciphers" in str(failure)


def test_ipv6() -> None:
    if (
        not socket.has_ipv6
        or not Path("/proc/net/if_inet6").exists()
        or "lo" not in Path("/proc/net/if_inet6").read_text()
    ):
        pytest.skip("no IPv6 on loopback")
    with Sshd(address="::1") as sshd:
        assert run(reach(sshd)).status == 0


# ------------------------------------------------------------------------------------------- host keys


def test_the_host_key_on_file_is_the_one_asked_for(tmp_path: Path) -> None:
    """A server with several keys must not show one that is not on file."""
    keys = make_key(tmp_path / "ed25519"), make_key(tmp_path / "rsa", kind="rsa")
    with Sshd(host_keys=keys) as sshd:
        lines = sshd.known_hosts.read_text().splitlines()
        known = tmp_path / "known_hosts"
        known.write_text(next(line for line in lines if "ssh-rsa" in line))
        assert run(reach(sshd, known_hosts=str(known))).status == 0


def test_a_certified_host(tmp_path: Path) -> None:
    authority, key = make_key(tmp_path / "ca"), make_key(tmp_path / "host")
    certificate = sign_key(authority, Path(f"{key}.pub"), "-h", "-n", "127.0.0.1")
    known = tmp_path / "known_hosts"
    known.write_text(f"@cert-authority * {Path(f'{authority}.pub').read_text()}")
    with Sshd(f"HostCertificate {certificate}", host_keys=(key,)) as sshd:
        assert run(reach(sshd, known_hosts=str(known))).status == 0


def test_accept_new_then_strict_then_changed(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    assert refusal(reach(sshd, known_hosts=str(known))).cause == "hostkey-unknown"
    assert run(reach(sshd, known_hosts=str(known), host_keys="accept-new")).status == 0
    assert known.read_text() == sshd.known_hosts.read_text()
    assert run(reach(sshd, known_hosts=str(known))).status == 0
    changed = tmp_path / "changed"
    other = make_key(tmp_path / "other")
    changed.write_text(f"[127.0.0.1]:{sshd.port} {Path(f'{other}.pub').read_text()}")
    failure = refusal(reach(sshd, known_hosts=str(changed), host_keys="accept-new"))
    assert (failure.kind, failure.cause) == ("host_key", "hostkey-changed")
    assert f"{changed}:1" in str(failure)


def test_a_pinned_fingerprint_needs_no_file(sshd: Sshd, tmp_path: Path) -> None:
    import base64

    pin = compute_fingerprint(base64.b64decode(sshd.known_hosts.read_text().split()[2]))
    assert run(reach(sshd, known_hosts=str(tmp_path / "none"), host_key=pin)).status == 0


# ------------------------------------------------------------------------------------------------ keys


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("form", ["RFC4716", "PEM", "PKCS8"])
def test_kinds_and_formats_of_keys(sshd: Sshd, tmp_path: Path, kind: str, form: str) -> None:
    if kind == "ed25519" and form != "RFC4716":
        pytest.skip("ssh-keygen writes Ed25519 in its own format only")
    key = make_key(tmp_path / "key", kind=kind)
    if form != "RFC4716":
        subprocess.run(["ssh-keygen", "-q", "-p", "-N", "", "-m", form, "-f", key], check=True, capture_output=True)
    assert run(reach(sshd, identity_file=authorize(sshd, key))).status == 0


def test_an_encrypted_key_asks_once(sshd: Sshd, tmp_path: Path) -> None:
    key = authorize(sshd, make_key(tmp_path / "key", passphrase="open sesame"))
    failure = refusal(reach(sshd, identity_file=key))
    assert (failure.kind, failure.cause) == ("auth", "key-file")
    asked: list[str] = []

    def prompt(purpose: str) -> str:
        asked.append(purpose)
        return "open sesame"

    secrets = Secrets(prompt)
    for _ in range(2):
        assert run(reach(sshd, identity_file=key), secrets=secrets).status == 0
    assert asked == [f"passphrase of {key}"]


def test_a_wrong_passphrase(sshd: Sshd, tmp_path: Path) -> None:
    key = authorize(sshd, make_key(tmp_path / "key", passphrase="open sesame"))
    failure = refusal(reach(sshd, identity_file=key), secrets=Secrets(lambda _: "wrong"))
    assert "wrong passphrase" in str(failure)


@pytest.mark.parametrize(
    "content", ["", "nonsense", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"]
)
def test_a_file_that_is_no_key(sshd: Sshd, tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    failure = refusal(reach(sshd, identity_file=str(tmp_path / "key")))
    assert failure.cause == "key-file"
    assert str(failure).endswith(f"({tmp_path / 'key'}: not a private key that this program can read)")
    assert "--private-key" in str(failure.hint)


def test_a_certified_user(tmp_path: Path) -> None:
    authority, key = make_key(tmp_path / "ca"), make_key(tmp_path / "key")
    with Sshd(f"TrustedUserCAKeys {authority}.pub\nAuthorizedKeysFile none") as sshd:
        certificate = sign_key(authority, Path(f"{key}.pub"), "-n", sshd.user)
        shell = connect(reach(sshd, identity_file=str(key)), secrets=Secrets(), timeout_s=30)
        assert shell.login_method == f"certificate of {key}"  # found beside the key
        shell.close()
        elsewhere = certificate.rename(tmp_path / "elsewhere.pub")
        assert run(reach(sshd, identity_file=str(key), certificate_file=str(elsewhere))).status == 0
        assert refusal(reach(sshd, identity_file=str(make_key(tmp_path / "k2")))).cause == "auth-failed"


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    path = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: listens(path), 60, "the agent")
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        yield
        process.terminate()


def listens(path: Path) -> bool:
    """Whether a server listens at a socket, which exists a moment earlier."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def add_to_agent(*keys: Path | str) -> None:
    subprocess.run(["ssh-add", "-q", *keys], check=True, capture_output=True, env=os.environ)


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize("way", ["agent", "key"])
def test_verbose_shows_what_the_server_accepted(sshd: Sshd, tmp_path: Path, way: str) -> None:
    host = {**sshd.inventory_host}
    key = make_key(tmp_path / "id", comment="ops@laptop")
    authorize(sshd, key)
    if way == "agent":
        add_to_agent(key)
        key.unlink()
        del host["identity_file"]
    else:
        host["identity_file"] = str(key)
    (tmp_path / "hosts.yaml").write_text(yaml.safe_dump({"hosts": {"one": host}}))
    words = ("check", "-i", tmp_path / "hosts.yaml", "--interval", "0")
    expected = "login with agent key ops@laptop, " if way == "agent" else f"login with {key}, "
    assert expected in keepalive(*words, "-v").stdout
    assert "login with" not in keepalive(*words).stdout


@pytest.mark.usefixtures("agent")
def test_an_encrypted_key_in_the_agent_needs_no_passphrase(sshd: Sshd, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    authorize(sshd, key)
    add_to_agent(key)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", key], check=True, capture_output=True)
    assert run(reach(sshd, identity_file=str(key))).status == 0
    assert run(reach(sshd, identity_file=f"{key}.pub")).status == 0
    assert run(reach(sshd, identity_file=None)).status == 0


@pytest.mark.usefixtures("agent")
def test_the_agent_is_shared_by_threads(sshd: Sshd, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    key = make_key(tmp_path / "key", kind="rsa")
    authorize(sshd, key)
    add_to_agent(key)
    with ThreadPoolExecutor(8) as pool:
        assert all(done.status == 0 for done in pool.map(lambda _: run(reach(sshd, identity_file=None)), range(16)))


def test_default_files_are_tried_on_one_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ssh").mkdir(mode=0o700)
    for kind in ("ed25519", "ecdsa"):
        make_key(tmp_path / ".ssh" / f"id_{kind}", kind=kind)
    right = make_key(tmp_path / ".ssh" / "id_rsa", kind="rsa")
    with Sshd() as sshd:
        authorize(sshd, right)
        assert run(reach(sshd, identity_file=None)).status == 0
        assert sshd.log.count("Connection from") == 1
        assert "Failed publickey" in sshd.log or sshd.log.count("Accepted publickey") == 1


# -------------------------------------------------------------------------------------------- refusals


def test_a_wrong_key_is_one_failure_on_one_connection(tmp_path: Path) -> None:
    with Sshd("LogLevel DEBUG") as sshd:
        failure = refusal(reach(sshd, identity_file=str(make_key(tmp_path / "wrong"))))
        assert (failure.kind, failure.cause) == ("auth", "auth-failed")
        log = sshd.wait_for_log("Connection closed by")
        assert log.count("Connection from") == 1
        assert log.count("Failed publickey") == 1


def test_a_wrong_password_counts_where_sshd_takes_one_attempt_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the connection instead of refusing the password."""
    monkeypatch.setenv("LOGIN", "wrong")
    secrets = Secrets()
    with Sshd("PasswordAuthentication yes\nMaxAuthTries 1\nLogLevel DEBUG") as sshd:
        host = reach(sshd, identity_file=None, password="env:LOGIN")
        first, second = refusal(host, secrets=secrets), refusal(host, secrets=secrets)
    assert (first.cause, second.cause) == ("auth-failed", "auth-failed")
    assert "it was refused before" in str(second)


def test_no_key_at_all(sshd: Sshd) -> None:
    failure = refusal(reach(sshd, identity_file=None))
    assert (failure.kind, failure.cause) == ("auth", "no-key")


def test_a_barred_account(tmp_path: Path) -> None:
    with Sshd("DenyUsers *") as sshd:
        assert refusal(reach(sshd)).kind == "auth"


def test_too_many_logins_at_once() -> None:
    with Sshd("MaxStartups 1:100:1\nLoginGraceTime 20") as sshd:
        with socket.create_connection((sshd.address, sshd.port)) as waiting:
            assert waiting.recv(100).startswith(b"SSH-")
            failure = refusal(reach(sshd))
        assert (failure.kind, failure.cause) == ("banned", "busy")


def test_a_server_that_was_full_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ramp, "WAITS_S", ((0.5, 0.6),) * 20)
    with Sshd("MaxStartups 1:100:1\nLoginGraceTime 60") as sshd, ThreadPoolExecutor(1) as pool:
        with socket.create_connection((sshd.address, sshd.port)) as waiting:
            assert waiting.recv(100).startswith(b"SSH-")
            login = pool.submit(connect, reach(sshd), secrets=Secrets(), timeout_s=30, is_patient=True)
            sshd.wait_for_log("past MaxStartups")
        login.result().close()


def test_forty_logins_at_once_to_one_server_all_come_about() -> None:
    """This sshd turns all away that are more than twice as many as may be under way."""

    def login(host: Host) -> None:
        connect(host, secrets=Secrets(), timeout_s=180).close()

    limit = 2 * ramp.SERVER_MAX
    with Sshd(f"MaxStartups {limit}:100:{limit}") as sshd, ThreadPoolExecutor(40) as pool:
        list(pool.map(login, [reach(sshd, name=f"h{n}") for n in range(40)]))
        # sshd tells the client before it writes it down.
        wait_until(lambda: sshd.log.count("Accepted publickey") == 40, 60, "all logins in the log")
