"""Scripts over a real sshd: what stands between us and `sh`, and what may go wrong on the way."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import paramiko
import pytest
from paramiko.transport import _active_threads

from sshd_keepalive.errors import HostError
from sshd_keepalive.model import Become, Host
from sshd_keepalive.quoting import quote
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.connect import connect
from sshd_keepalive.ssh.framing import Exchange
from sshd_keepalive.ssh.transport import Deflate, Inflate
from tests.support.cli import keepalive
from tests.support.reach import reach, run
from tests.support.shell import argv_of, installed_shells
from tests.support.sshd import Sshd, find_sshd, wait_until, why_not

pytestmark = [pytest.mark.sshd, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with Sshd() as sshd:
        yield sshd


def forced(folder: Path, body: str) -> str:
    """The configuration line for a stand-in of the login shell; $SSH_ORIGINAL_COMMAND is what we sent."""
    script = folder / "forced"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return f"ForceCommand {script}"


def test_a_megabyte(sshd: Sshd) -> None:
    script = "cat\n" + "# it's a \\ comment\n" * 60_000 + "echo end; exit 5"
    done = run(reach(sshd), script)
    assert (done.stdout, done.status) == (b"end\n", 5)


def test_keys_are_exchanged_again_during_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways: while much is sent, and while much comes back."""
    activated = []
    activate = paramiko.Transport._activate_outbound
    monkeypatch.setattr(paramiko.Transport, "_activate_outbound", lambda self: activated.append(1) or activate(self))
    with Sshd("RekeyLimit 64K") as sshd:
        script = "# it's a \\ comment\n" * 30_000 + "head -c 3000000 /dev/zero; exit 5"
        done = run(reach(sshd), script, timeout_s=60)
        assert (len(done.stdout), done.status, done.ended) == (3_000_000, 5, True)
    assert len(activated) > 10


def test_a_closed_connection_keeps_nothing_of_what_it_sent(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """zlib takes a quarter of a MiB, and Python looks for the cycles of a connection only now and then."""
    kept: list[weakref.ref[object]] = []
    for kind in (Deflate, Inflate):
        monkeypatch.setattr(kind, "__init__", record_birth(kind.__init__, kept))
    gc.collect()
    gc.disable()
    try:
        assert run(reach(sshd), "echo done").stdout == b"done\n"
        assert kept
        assert not any(one() for one in kept)
    finally:
        gc.enable()


def record_birth(create: Callable[[object], None], born: list[weakref.ref[object]]) -> Callable[[object], None]:
    def create_and_record(self: object) -> None:
        create(self)
        born.append(weakref.ref(self))

    return create_and_record


def test_keepalives_of_the_server_are_answered_while_a_script_is_silent() -> None:
    """Without an answer sshd ends the session after 3 s, or 6 s on 9.2 to 9.4."""
    with Sshd("ClientAliveInterval 1\nClientAliveCountMax 2") as sshd:
        done = run(reach(sshd), "sleep 8; echo alive")
        assert (done.stdout, done.ended) == (b"alive\n", True)


def test_a_login_leaves_nothing_in_the_library(sshd: Sshd) -> None:
    others = set(_active_threads)  # paramiko's own list: what stands there is never forgotten
    assert run(reach(sshd), "echo one").stdout == b"one\n"
    wait_until(lambda: set(_active_threads) <= others, 60, "its thread to end")


def test_both_streams_in_their_order_and_any_bytes(sshd: Sshd) -> None:
    done = run(reach(sshd), r"for n in 1 2 3; do echo out; echo err >&2; done; printf '\000\377\r\n'")
    assert done.stdout == b"out\nerr\n" * 3 + b"\0\xff\r\n"
    assert len(run(reach(sshd), "head -c 5000000 /dev/zero >&2", timeout_s=30).stdout) == 5_000_000


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh", "mksh", "zsh", "ksh", "fish", "tcsh", "rbash"])
def test_login_shells(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"no {shell} here")
    with Sshd(forced(tmp_path, f'exec {shell} -c "$SSH_ORIGINAL_COMMAND"')) as sshd:
        done = run(reach(sshd), "echo it\\'s fine; exit 3")
        assert (done.stdout, done.status) == (b"it's fine\n", 3)


def test_a_noisy_profile_that_does_not_end_its_line(tmp_path: Path) -> None:
    noise = "echo Welcome; echo trouble >&2; printf 'no newline'; eval \"$SSH_ORIGINAL_COMMAND\"; printf bye"
    with Sshd(forced(tmp_path, noise)) as sshd:
        done = run(reach(sshd), "echo payload")
    assert done.stdout == b"payload\n"
    assert b"Welcome" in done.noise
    assert b"trouble" in done.noise


def test_a_background_child_from_the_profile_does_not_hold_us(tmp_path: Path) -> None:
    with Sshd(forced(tmp_path, 'sleep 300 & echo $!; eval "$SSH_ORIGINAL_COMMAND"')) as sshd:
        done = run(reach(sshd), "echo payload", timeout_s=120)
        assert done.stdout == b"payload\n"
        os.kill(int(done.noise.split()[-1]), signal.SIGKILL)  # it lives: nobody waited for it


#: A "shell" that keeps all that it is sent; the prompt of sudo is in it as far as we send it.
ECHOES = (
    "tee -a {kept}",
    "tee -a {kept} >&2",
    "tee -a {kept} | sed 's/^/+ /'",
    "sed -u 's/.*/echo &/' | tee -a {kept}",
)


def asking(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("SUDO_PASSWORD", "open sesame")
    return reach(sshd, become=Become(method="sudo", password="env:SUDO_PASSWORD"))


@pytest.mark.parametrize("body", ECHOES)
def test_a_shell_that_echoes_gets_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    kept = tmp_path / "kept"
    with Sshd(forced(tmp_path, body.format(kept=kept))) as sshd:
        host = asking(sshd, monkeypatch)
        with contextlib.closing(connect(host, secrets=Secrets(), timeout_s=60)) as shell, pytest.raises(HostError):
            shell.login_through("sh /nowhere rehearse", timeout_s=1)
        with contextlib.closing(connect(host, secrets=Secrets(), timeout_s=60)) as shell, pytest.raises(HostError):
            shell.run("echo never", timeout_s=8)
        wait_until(lambda: kept.exists() and "SKA1 PASSWORD" in kept.read_text(), 60, "what was sent to be kept")
    assert "sesame" not in kept.read_text()


#: Speaks as our text and sudo would, and gives no shell: it asks, keeps the answer, repeats it, and asks again.
GREEDY = """\
while read -r line; do
case $line in *nonce=*) nonce=${{line##*nonce=}}; nonce=${{nonce%%;*}}; break ;; esac
done
printf '\\nSKA1 SUDO %s\\nSKA1 PASSWORD %s' $nonce $nonce >&2
while read -r line; do case $line in open*) break ;; esac; done
[ "$line" ] || exit 1
echo "$line" >>{kept}; echo "you said $line" >&2
{then}
"""
AGAIN = "printf 'SKA1 PASSWORD %s' $nonce >&2; cat >>{kept}"


@pytest.mark.parametrize(("then", "cause"), [(AGAIN, "bad-password"), ("exit 1", "no-shell")])
@pytest.mark.parametrize("through", [False, True])
def test_whoever_took_the_password_and_gave_no_shell_gets_it_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    then: str,
    cause: str,
    through: bool,
) -> None:
    kept = tmp_path / "kept"
    body = GREEDY.format(kept=kept, then=then.format(kept=kept))
    if not through:
        body = f"exec 2>&1\n{body}"
    secrets = Secrets()
    causes = []
    with Sshd(forced(tmp_path, body)) as sshd:
        host = asking(sshd, monkeypatch)
        for _ in range(2):
            with contextlib.closing(connect(host, secrets=secrets, timeout_s=60)) as shell:
                attempt = shell.login_through if through else shell.run
                with pytest.raises(HostError) as caught:
                    attempt("exit 0", timeout_s=60)
                causes.append(caught.value.cause)
    assert causes == [cause, "bad-password"]
    assert "not sent: it was refused before" in str(caught.value)
    assert kept.read_text() == "open sesame\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("echo 'This account is currently not available.'; exit 1", "This account is currently not available."),
        ("echo menu; exit 0", "menu"),
        ("exit 127", "exit status 127"),
        ("kill -KILL $$", "KILL"),
    ],
)
def test_no_shell(tmp_path: Path, body: str, said: str) -> None:
    with Sshd(forced(tmp_path, body)) as sshd, pytest.raises(HostError) as caught:
        run(reach(sshd))
    assert (caught.value.kind, caught.value.cause) == ("shell", "no-shell")
    assert said in str(caught.value)


def test_no_session() -> None:
    with Sshd("MaxSessions 0") as sshd, pytest.raises(HostError) as caught:
        run(reach(sshd))
    assert (caught.value.kind, caught.value.cause) == ("shell", "no-session")


def test_one_session_at_a_time_is_enough() -> None:
    with Sshd("MaxSessions 1") as sshd:
        shell = connect(reach(sshd), secrets=Secrets(), timeout_s=30)
        for n in range(5):
            assert shell.run(f"echo {n}", timeout_s=30).stdout == b"%d\n" % n
            # A shell that waits for a script makes room for whatever else is to be run.
            assert shell.hold(0, stop=lambda: False).loss is None
        shell.close()


def serve_once(sshd: Sshd) -> str:
    """The command of a rehearsed login."""
    serve = f"echo SKA1 READY >&2; exec {find_sshd()} -i -f {sshd.config_file} 2>/dev/null"
    return f"sh -c {quote(serve)}"


@pytest.mark.parametrize("is_prepared", [False, True])
@pytest.mark.parametrize("most", [1, 2, 10])
def test_a_session_that_was_asked_for_ahead_may_be_refused(most: int, is_prepared: bool) -> None:
    """Then the shell that waits for a script makes room, as for any other session."""
    with (
        Sshd(f"MaxSessions {most}") as sshd,
        contextlib.closing(connect(reach(sshd), secrets=Secrets(), timeout_s=60)) as shell,
    ):
        for n in range(3):
            shell.open_ahead(2)
            assert shell.run(f"echo {n}", timeout_s=60).stdout == b"%d\n" % n
            if is_prepared:
                shell.prepare_login(serve_once(sshd), timeout_s=60)
            assert shell.run(f"echo again {n}", timeout_s=60).stdout == b"again %d\n" % n
            shell.login_through(serve_once(sshd), timeout_s=60)


@pytest.mark.parametrize("name", installed_shells())
def test_a_prepared_command_runs_only_with_its_login(name: str, tmp_path: Path) -> None:
    """The line that starts it and the beginning of SSH come in one piece, of which the shell reads only the line."""
    began, ended = tmp_path / "began", tmp_path / "ended"
    with Sshd(forced(tmp_path, f"{argv_of(name)[0]} -s; echo >>{ended}")) as sshd:
        command = f"sh -c {quote(f'touch {began}; exec {serve_once(sshd)}')}"
        for n_shells, logs_in in ((2, False), (4, True)):
            with contextlib.closing(connect(reach(sshd), secrets=Secrets(), timeout_s=60)) as shell:
                shell.open_ahead(2)
                shell.run("true", timeout_s=60)
                shell.prepare_login(command, timeout_s=60)
                assert shell._connection.started is not None  # type: ignore[attr-defined]
                shell.run("true", timeout_s=60)
                if logs_in:
                    shell.login_through(command, timeout_s=60)
            wait_until(partial(has_lines, ended, n_shells), 60, "the end of the shells")
            assert began.exists() == logs_in


@pytest.mark.skipif(not shutil.which("bash"), reason="only bash ends a read after TMOUT")
def test_a_prepared_shell_that_has_ended_is_replaced(tmp_path: Path) -> None:
    with (
        Sshd(forced(tmp_path, "TMOUT=3 exec bash --posix -s")) as sshd,
        contextlib.closing(connect(reach(sshd), secrets=Secrets(), timeout_s=60)) as shell,
    ):
        shell.open_ahead(2)
        shell.run("true", timeout_s=60)
        shell.prepare_login(serve_once(sshd), timeout_s=60)
        started = shell._connection.started  # type: ignore[attr-defined]
        wait_until(lambda: started.channel.closed, 60, "the end of the shell")
        shell.login_through(serve_once(sshd), timeout_s=60)


def has_lines(path: Path, n_lines: int) -> bool:
    return path.exists() and path.read_text().count("\n") == n_lines


def test_a_lost_connection_ends_the_wait_for_a_session_that_was_asked_for_ahead(sshd: Sshd) -> None:
    with contextlib.closing(connect(reach(sshd), secrets=Secrets(), timeout_s=60)) as shell:
        shell.run("true", timeout_s=60)
        shell._connection.interrupt()  # type: ignore[attr-defined]
        wait_until(lambda: not shell._connection.is_alive, 60, "the end of the connection")  # type: ignore[attr-defined]
        shell.open_ahead(1)
        began_s = time.monotonic()
        with pytest.raises(HostError) as caught:
            shell.run("true", timeout_s=300)
        assert caught.value.cause == "lost(channel)"
        assert time.monotonic() - began_s < 60


def test_a_script_that_was_cut_off_has_an_unknown_outcome(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection dies; without a terminal the script goes on."""
    mark, has_arrived = tmp_path / "mark", threading.Event()
    feed = Exchange.feed

    def feed_and_tell(self: Exchange, data: bytes) -> bytes:
        reply = feed(self, data)
        if b"first\n" in self.stdout:
            has_arrived.set()
        return reply

    monkeypatch.setattr(Exchange, "feed", feed_and_tell)

    def cut() -> None:
        wait_until(mark.exists, 60, "the script's pid")
        has_arrived.wait(60)  # sshd may send it later than the script goes on
        os.kill(int(mark.read_text()), signal.SIGKILL)

    thread = threading.Thread(target=cut)
    thread.start()
    # The parent of our shell is the sshd process of this session.
    leaves = f"ps -o ppid= -p $PPID >/dev/null; echo $PPID >{mark}.new; mv {mark}.new {mark}"
    script = f"echo first; {leaves}; sleep 90; echo last"
    host = reach(sshd)
    started_s = time.monotonic()
    done = run(host, script, timeout_s=120)
    thread.join()
    assert (done.begun, done.ended, done.status) == (True, False, None)
    assert done.stdout == b"first\n"
    assert time.monotonic() - started_s < 75


def test_out_of_time_in_the_middle(sshd: Sshd) -> None:
    done = run(reach(sshd), "echo first; sleep 30", timeout_s=6)
    assert (done.begun, done.ended, done.stdout) == (True, False, b"first\n")


def test_a_profile_that_hangs_is_cut_off_with_an_unknown_outcome(tmp_path: Path) -> None:
    with Sshd(forced(tmp_path, "exec sleep 30")) as sshd:
        done = run(reach(sshd), timeout_s=6)
    assert (done.begun, done.ended) == (False, False)


def test_what_a_host_repeats_of_its_password_is_reported_nowhere(tmp_path: Path) -> None:
    """Reports, history, notices, log lines: everything that a run leaves behind."""
    kept = tmp_path / "kept"
    body = GREEDY.format(kept=kept, then='echo "password $line is wrong"; exit 1')
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    with Sshd(forced(tmp_path, f"exec 2>&1\n{body}")) as sshd:
        (tmp_path / "hosts.yaml").write_text(
            f"hosts:\n  greedy: {{address: {sshd.address}, port: {sshd.port}, user: {sshd.user}, "
            f"identity_file: {sshd.user_key}, known_hosts: {sshd.known_hosts}, "
            "become: {method: sudo, password: env:SUDO_PASSWORD}}\n"
        )
        reports = [f"--out={kind}:{outputs / kind}" for kind in ("json", "html", "junit", "csv", "markdown", "sarif")]
        (tmp_path / "notice").write_text(f"#!/bin/sh\ncat >{outputs}/notice\n")
        (tmp_path / "notice").chmod(0o755)
        ran = keepalive(
            *("check", "-vv", "-i", tmp_path / "hosts.yaml", *reports, "--record", "--store", outputs / "db"),
            *("--notify", f"command:{tmp_path}/notice", "--notify-on", "always"),
            SUDO_PASSWORD="open sesame",
        )
    assert kept.exists(), ran
    assert "password *** is wrong" in ran.stdout + ran.stderr
    assert "sesame" not in ran.stdout + ran.stderr
    assert {path.name for path in outputs.iterdir()} >= {"json", "html", "notice", "db"}
    for path in outputs.iterdir():
        assert b"sesame" not in path.read_bytes(), path


def test_a_command_on_a_connection_that_was_just_lost_fails_at_once(sshd: Sshd) -> None:
    """paramiko waits for an event of the connection's thread, which has ended."""
    shell = connect(reach(sshd), secrets=Secrets(), timeout_s=60)
    client = shell._connection.client
    channel = client.open_session(timeout=60)
    shell._connection.interrupt()
    client.join(60)
    errors: list[Exception] = []

    def execute() -> None:
        try:
            client.execute(channel, "sh -s", b"", 60)
        except (paramiko.SSHException, EOFError, OSError) as error:
            errors.append(error)

    thread = threading.Thread(target=execute, daemon=True)
    thread.start()
    thread.join(10)
    shell.close()
    assert errors
