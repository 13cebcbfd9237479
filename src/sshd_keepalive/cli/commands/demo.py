"""`demo`: check, plan and apply on real sshd servers on loopback, in a directory that is removed afterwards."""

from __future__ import annotations

import getpass
import io
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from sshd_keepalive import program
from sshd_keepalive.cli.base import Command
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.quoting import quote

#: name → (what is typical about it, the files below its directory). `@` is that directory, `ME` the account.
SERVERS = {
    "stock": (
        "as the package ships it: both settings commented out",
        {"sshd_config": "#TCPKeepAlive yes\n#ClientAliveInterval 0\n#ClientAliveCountMax 3\n#UseDNS no\n"},
    ),
    "drop-in": (
        "the main file has the right values, but a drop-in is read first and wins",
        {
            "sshd_config": "Include @/sshd_config.d/*.conf\n\nClientAliveInterval 300\nClientAliveCountMax 3\n",
            "sshd_config.d/50-cloudimg-settings.conf": "ClientAliveInterval 120\n",
        },
    ),
    "match": (
        "right for everybody, except for the account that runs the jobs",
        {
            "sshd_config": "ClientAliveInterval 300\nClientAliveCountMax 3\n\n"
            "# batch jobs\nMatch User ME\n    ClientAliveInterval 0\n    X11Forwarding no\n"
        },
    ),
    "deadly": (
        "300/0: before OpenSSH 8.2 it ends every session quiet for 300 s",
        {"sshd_config": "ClientAliveInterval 300\nClientAliveCountMax 0\n"},
    ),
    "fragile": (
        "as the package ships it, but its service manager fails to restart it",
        {
            "sshd_config": "#ClientAliveInterval 0\n#ClientAliveCountMax 3\n",
            # The second restart, which brings the old files back into effect, succeeds.
            "restart": "[ -e @/failed ] || { : >@/failed; echo 'start request repeated too quickly' >&2; exit 1; }\n"
            'pid=$(cat @/sshd.pid); rm @/sshd.pid; kill -HUP "$pid"; n=0\n'
            "until [ -s @/sshd.pid ]; do n=$((n+1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done\n",
        },
    ),
}
#: What is typed, and the exit code that it ends with.
STEPS = (
    ("check -q", 1),
    ("why drop-in", 0),
    ("plan -q -l drop-in", 1),
    ("apply --yes -q", 4),
    ("check -q -l '!fragile'", 0),
)


@dataclass(frozen=True, slots=True)
class Server:
    """One sshd of the demo."""

    name: str
    directory: Path
    port: int


@click.command("demo", cls=Command, short_help="Check, plan and apply on real sshd servers on loopback.")
@click.option("--keep", is_flag=True, help="Keep the directory and the servers until you press Ctrl-C.")
def command(keep: bool) -> None:
    """Start real sshd servers on loopback, and check, plan, apply and check them."""
    binary = _find_sshd()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the servers end with the program, as after Ctrl-C
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-", dir=_choose_parent())))
        if os.geteuid() == 0:
            _make_separation_directory()
        key = _make_key(folder / "id_ed25519")
        servers = [stack.enter_context(_run_server(binary, folder, name, key)) for name in SERVERS]
        click.echo(f"{len(servers)} real sshd servers on loopback, each with a typical configuration:")
        for server in servers:
            click.echo(f"  {server.name:<8} {SERVERS[server.name][0]}")
        (folder / "hosts.yaml").write_text(_write_inventory(servers, key, folder), encoding="utf-8")
        is_as_expected = all(_run_step(folder, words) == code for words, code in STEPS)
        if keep:
            ends = {signal.SIGINT, signal.SIGTERM}
            signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # from the moment on at which a person may press Ctrl-C
            click.echo(f"\nthe inventory is {folder}/hosts.yaml; Ctrl-C ends the servers and removes it")
            signal.sigwait(ends)
            click.echo("")
    if not is_as_expected:
        click.echo("\na step of the demo did not end as expected; please report the output above")
        raise SystemExit(5)
    click.echo("\nfour servers keep quiet sessions alive, verified over new logins; one was rolled back")
    click.echo("next, with a host of yours: sshd-keepalive check ops@192.0.2.11")


def _choose_parent() -> str:
    """Choose a directory whose path needs no quotes: the words of an sshd are read from its title, which has none."""
    parent = tempfile.gettempdir()
    return parent if quote(parent) == parent else "/tmp"  # noqa: S108 - TemporaryDirectory makes the name


def _find_sshd() -> str:
    binary = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/sbin")
    if binary is None:
        raise ConfigError(
            "sshd is not installed on this machine", hint="install it, for example: apt install openssh-server"
        )
    return binary


def _make_separation_directory() -> None:
    """Make the directory that every sshd of root needs; Debian makes it only when its service starts.

    It stays: another sshd may use it by the time that the demo ends, and a reboot empties /run.
    """
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)


def _make_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "demo", "-f", str(path)], check=True)
    return path


@contextmanager
def _run_server(binary: str, folder: Path, name: str, key: Path) -> Iterator[Server]:
    """Run one sshd as this account until the end of the block."""
    directory = folder / name
    directory.mkdir()
    _make_key(directory / "host_key")
    reserved = _reserve_port()
    port: int = reserved.getsockname()[1]
    own = (
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host_key\nPidFile {directory}/sshd.pid\n"
        f"AuthorizedKeysFile {key}.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\n"
    )
    for path, content in SERVERS[name][1].items():
        file = directory / path
        file.parent.mkdir(exist_ok=True)
        text = content.replace("@", str(directory)).replace("ME", getpass.getuser())
        file.write_text(own + text if path == "sshd_config" else text, encoding="utf-8")
    log = directory / "log"
    with reserved, subprocess.Popen([binary, "-D", "-f", str(directory / "sshd_config"), "-E", str(log)]) as process:
        try:
            _wait_until_ready(process, directory, log)
            yield Server(name, directory, port)
        finally:
            process.terminate()


def _reserve_port() -> socket.socket:
    """Take a port that no other program gets by chance, also while sshd restarts.

    With SO_REUSEADDR, as sshd sets it, several sockets may have an address of which one listens (socket(7)).
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


def _wait_until_ready(process: subprocess.Popen[bytes], directory: Path, log: Path) -> None:
    """Wait for the PID file, the last thing an sshd writes before it serves."""
    for _ in range(500):
        if (directory / "sshd.pid").exists():
            return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    reason = log.read_text(errors="replace").strip() if log.exists() else ""
    raise ConfigError(f"sshd did not start: {reason or 'it printed no message'}")


def _write_inventory(servers: list[Server], key: Path, folder: Path) -> str:
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(
        "".join(f"[127.0.0.1]:{s.port} {(s.directory / 'host_key.pub').read_text()}" for s in servers), encoding="utf-8"
    )
    hosts = "".join(
        f"  {s.name}:\n"
        f"    address: 127.0.0.1\n    port: {s.port}\n"
        f"    sshd_config: {s.directory}/sshd_config\n"
        f"    service: {_describe_service(s)}\n"
        for s in servers
    )
    return (
        f"defaults:\n  user: {getpass.getuser()}\n  identity_file: {key}\n"
        f"  known_hosts: {known_hosts}\n  become: none\nhosts:\n{hosts}"
    )


def _describe_service(server: Server) -> str:
    pidfile = server.directory / "sshd.pid"
    if not (server.directory / "restart").exists():
        return f"{{manager: pidfile, pidfile: {pidfile}}}"
    is_active = f'kill -0 "$(cat {pidfile})"'
    return f"{{manager: command, restart: sh {server.directory}/restart, is_active: '{is_active}'}}"


def _run_step(folder: Path, words: str) -> int:
    """Show a command as a person would type it, and its output; give its exit code."""
    words = f"{words} -i hosts.yaml"
    click.secho(f"\n$ sshd-keepalive {words}", fg="cyan", bold=True)
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000
    code, text = run_on_terminal([*program.argv(), *shlex.split(words)], folder, columns)
    click.echo(text, nl=False)  # click removes the colours where the output is not a terminal
    return code


def run_on_terminal(argv: list[str], folder: Path, columns: int) -> tuple[int, str]:
    """Run the program in the demo's directory; give its exit code and what a terminal shows, paths made relative.

    Standard output and standard error are one pseudo-terminal, so that their lines come in the order of a terminal.
    """
    environment = {
        **os.environ,
        "TERM": "xterm-256color",
        "COLUMNS": str(columns),
        "XDG_STATE_HOME": str(folder),  # the journals too are gone afterwards
        "SSHD_KEEPALIVE_NO_PROGRESS": "1",
    }
    shown, terminal = os.openpty()
    with (
        os.fdopen(shown, "rb", buffering=0) as output,
        subprocess.Popen(
            argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal
        ) as process,
    ):
        os.close(terminal)
        text = b"".join(iter(lambda: _read(output), b"")).decode(errors="replace")
    return process.returncode, text.replace("\r\n", "\n").replace(f"{folder}/", "")


def _read(output: io.RawIOBase) -> bytes:
    """Read the next output; nothing when the program has ended, which Linux reports as EIO."""
    try:
        return output.read(65536) or b""
    except OSError:
        return b""
