"""mockssh with a handler of our own, fenced.

mockssh runs commands for real, as the account that runs the tests, whatever the login name is. So commands get an
environment with nothing but HOME and a PATH that starts with a directory of stand-ins, and a working directory of
their own. The package's handler also hangs at the end of input and spins while a command runs; this one does not.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import mockssh.server
import paramiko

from sshd_keepalive.model import Become, Host
from tests.support.sshd import make_key


class FencedHandler(mockssh.server.Handler):
    """One connection."""

    def __init__(self, server: FencedServer, client_conn: tuple[socket.socket, Any]) -> None:
        self.server = server
        self.transport = paramiko.Transport(client_conn[0])
        self.transport.add_server_key(server.host_key)
        self._channels: list[paramiko.Channel | None] = []
        server.transports.append(self.transport)

    def run(self) -> None:
        try:
            self.transport.start_server(server=self)
        except (paramiko.SSHException, EOFError, OSError):
            return
        while self.transport.is_active():
            self._channels.append(self.transport.accept(0.2))  # a dropped one would close itself

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.server.attempts.append((username, "publickey"))
        known = self.server._users.get(username)
        if known is None or known[1] != key:
            return paramiko.AUTH_FAILED
        return paramiko.AUTH_PARTIALLY_SUCCESSFUL if username in self.server.two_steps else paramiko.AUTH_SUCCESSFUL

    def check_auth_password(self, username: str, password: str) -> int:
        self.server.attempts.append((username, "password"))
        good = self.server.passwords.get(username) == password
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_auth_interactive(self, username: str, submethods: str) -> Any:
        self.server.attempts.append((username, "keyboard-interactive"))
        self._user = username
        return paramiko.InteractiveQuery("", "", *self.server.prompts)

    def check_auth_interactive_response(self, responses: list[str]) -> Any:
        if not responses:
            return paramiko.AUTH_SUCCESSFUL
        good = responses == [self.server.passwords.get(self._user)]
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return self.server.methods

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if kind == "session" and self.server.n_sessions_max > 0:
            return paramiko.OPEN_SUCCEEDED
        return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_pty_request(self, *_: Any) -> bool:
        return True

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.server.commands.append(command.decode())
        threading.Thread(target=self._execute, args=(channel, command), daemon=True).start()
        return True

    def _execute(self, channel: paramiko.Channel, command: bytes) -> None:
        process = subprocess.Popen(
            [*self.server.login_shell, command.decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.server.folder,
            env=self.server.environment,
            start_new_session=True,
            bufsize=0,
        )
        self.server.processes.append(process)
        assert process.stdout is not None
        assert process.stderr is not None
        pumps = [
            threading.Thread(target=_pump, args=(process.stdout, channel.sendall), daemon=True),
            threading.Thread(target=_pump, args=(process.stderr, channel.sendall_stderr), daemon=True),
        ]
        threading.Thread(target=_feed, args=(channel, process), daemon=True).start()
        for pump in pumps:
            pump.start()
        status = process.wait()
        for pump in pumps:
            pump.join()
        try:
            # The thread that reads the answer to this has by then sent its own, that the command was started.
            self.transport.global_request("is-started", wait=True)
            if status >= 0:
                channel.send_exit_status(status)
            else:
                _send_exit_signal(channel, signal.Signals(-status).name.removeprefix("SIG"))
            channel.close()
        except (OSError, EOFError, paramiko.SSHException):
            pass
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


class FencedServer(mockssh.server.Server):
    """The server. Use it as a context.

    Attributes to set before a login: `methods`, `passwords`, `prompts`, `two_steps`, `login_shell`,
    `n_sessions_max`. To look at afterwards: `attempts`, `commands`.
    """

    handler_cls = FencedHandler

    def __init__(self, folder: Path, *, users: Mapping[str, Path] | None = None, host: str = "127.0.0.1") -> None:
        super().__init__({})
        self.host = host
        self.folder = folder
        self.fence = folder / "fence"
        self.fence.mkdir(parents=True, exist_ok=True)
        self.environment = {"HOME": str(folder), "PATH": f"{self.fence}:/usr/bin:/bin"}
        self.host_key = paramiko.Ed25519Key(filename=str(_key(folder / "mock_host_key")))
        self.user_key = _key(folder / "mock_user_key")
        for name, path in (users or {"ops": self.user_key}).items():
            self.add_user(name, str(path), "ssh-ed25519")
        self.methods = "publickey"
        self.passwords: dict[str, str] = {}
        self.prompts: tuple[tuple[str, bool], ...] = (("Password: ", False),)
        self.two_steps: set[str] = set()
        self.login_shell: tuple[str, ...] = ("sh", "-c")
        self.n_sessions_max = 10
        self.attempts: list[tuple[str, str]] = []
        self.commands: list[str] = []
        self.transports: list[paramiko.Transport] = []
        self.processes: list[subprocess.Popen[bytes]] = []

    def reach(self, **settings: Any) -> Host:
        """The server as a host of an inventory."""
        known = self.folder / "known_hosts"
        known.write_text(f"[{self.host}]:{self.port} ssh-ed25519 {self.host_key.get_base64()}\n")
        return Host(
            **{
                "name": "mock",
                "address": self.host,
                "port": self.port,
                "user": "ops",
                "identity_file": str(self.user_key),
                "known_hosts": str(known),
                "become": Become(method="none"),
                **settings,
            }
        )

    def __exit__(self, *exc_info: object) -> None:
        # mockssh closes its socket under its own thread, which then sleeps for the rest of a second.
        assert self._socket is not None
        assert self._thread is not None
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(2)
        self._socket.close()
        for transport in self.transports:
            transport.close()
            if transport.is_alive():
                transport.join(2)
            transport.sock.close()
        for process in self.processes:
            if process.poll() is None:
                # The server's own thread may reap it first.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _key(path: Path) -> Path:
    return path if path.exists() else make_key(path)


def _pump(stream: Any, send: Any) -> None:
    try:
        while data := stream.read(32768):
            send(data)
    except (OSError, ValueError, EOFError):
        pass


def _feed(channel: paramiko.Channel, process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    try:
        while data := channel.recv(32768):
            process.stdin.write(data)
        process.stdin.close()
    except (OSError, ValueError, EOFError):
        pass


def _send_exit_signal(channel: paramiko.Channel, name: str) -> None:
    message = paramiko.Message()
    message.add_byte(paramiko.common.cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string("exit-signal")
    message.add_boolean(False)
    message.add_string(name)
    message.add_boolean(False)
    message.add_string("")
    message.add_string("")
    channel.transport._send_user_message(message)
