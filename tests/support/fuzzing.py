"""Hostile answers through every command that reads from a host, in this process and without a network.

The transport is left out: what a host can do on its own side of it is the business of tests/mock and of
tests/fuzz/test_hostile_fleet.py. Everything from the bytes of an answer to the report is the program's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final
from unittest import mock

from click.testing import CliRunner, Result

from sshd_keepalive import registry
from sshd_keepalive.cli import command as program
from sshd_keepalive.errors import ConnectError, HostError
from sshd_keepalive.model import Completed, FailureKind, Host
from sshd_keepalive.probing.idle_limit import SpacedResult
from sshd_keepalive.probing.proof import IdleResult, Loss
from sshd_keepalive.remote import execute
from sshd_keepalive.ssh import connect
from tests.support import snapshots
from tests.support.answers import DUMP, FILE, Records, look, written

NASTY: Final = (
    b"", b" ", b"\n", b"0", b"-1", b"1", b"9" * 5000, b"nan", b"inf", b"1e400", b"1 2 3 4 5 6 /x", b"\xff\xfe", b"\x00",
    b"3 nan nan", b"3 1e99 1e99", b"3x 1 1", b"\x1b[2J", b"\xe2\x80\xae", b"\x9b1m",
    b"/etc/ssh/sshd_config", b"/etc/ssh/../etc", b"user=a,host", b"user=a,lport=x", b"user=a,host=b,addr=c,lport=22",
    b"s ok 1 2", b"s ok nan inf x", b"s ok", b"internal", b"applied", b"changed", b"refused", b"rolled_back", b"ready",
    b"OpenSSH_9.6p1", b"OpenSSH_7.4p1", b"OpenSSH_99999.99999", b"sshd: a@pts/0", b"1 0 1 sshd", b"0 0 0 0\n1 1 1 sshd",
    b"0100007F:0016 zz:yy 7", b"t 18446744073709551616", b"7 8 x", b"/x:1:TMOUT=" + b"9" * 5000, b"Match all",
    b"clientaliveinterval 300\nclientalivecountmax x", b"clientaliveinterval 0\nclientalivecountmax 3", DUMP, FILE,
    b"Include /etc/ssh/*\n", b"Match User a\nClientAliveInterval 1\n", b"ClientAliveInterval 0\n", b"a" * 2000,
    b"/etc/ssh/sshd_config line 1: Bad configuration option: x", b"=HYPERLINK(1)", b"<script>alert(1)</script>",
    b"20260131T000000Z-abcdef 99 boot 1 1", b"20260131T000000Z-abcdef",
)  # fmt: skip
_SESSIONS: Final = [
    ("clock", b"1700000000.5"), ("uptime", b"1000.0"), ("hertz", b"100"), ("self", b"7"),
    ("processes", b"1 0 0 init\n5 1 0 sshd\n7 5 0 sh\n"), ("server", b"5"), ("title", b"sshd: ops [priv]"),
    ("sockets", b"200"), ("network", b"01 0100007F:0016 0100007F:C418 200"), ("child", b"7"),
    ("command", b"sleep 1"),
]  # fmt: skip
_DEEP: Final = [
    ("tmout", b"/etc/profile:3:TMOUT=300"),
    ("logind", b"t 900000000"),
    ("files", b""),
    ("kernel", b"7200 75 9"),
]
_STEPS: Final = [("step", b"arm ok 1.0 2.0 x"), ("complaints", b"x"), ("lasting", b"sshd: a@pts/0")]
_RUNS: Final = [
    ("run", b"20260131T000000Z-abcdef"), ("how", b"applied"), ("target", b"/etc/ssh/sshd_config"), ("old", b"Port 1\n"),
    ("new", FILE),
]  # fmt: skip
_DAEMON: Final = {
    "pid": b"5", "command": b"sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", "binary": b"/usr/sbin/sshd",
    "loaded": b"5 1700000001.0 1700000001.0", "start": b"/usr/sbin/sshd -D",
}  # fmt: skip
#: What a script is recognised by → what an honest host says to it.
_KINDS: Final = {"tell_system": "look", "list_processes": "sessions", "logind_files": "deep", "WANTED=": "runs"}
COMMANDS: Final = (
    ("check",), ("check", "--deep"), ("plan",), ("apply", "--yes"), ("apply", "--yes", "--no-rehearsal"),
    ("undo", "--yes"), ("undo", "--dry-run"), ("confirm",), ("sessions",), ("sessions", "--all"), ("why",),
    ("probe", "--fast"), ("probe", "--idle", "1s"), ("diagnose",),
)  # fmt: skip
HOSTS: Final = ("ops@192.0.2.1", "ops@192.0.2.2")
FORMATS: Final = registry.list_built_in("reports")


class Hostile:
    """The answers of one host, from one seed."""

    def __init__(self, seed: str) -> None:
        self.random = Random(seed)
        self._is_changed = False

    def records(self, script: str) -> Records:
        """What an honest host could say to a script, before it is spoilt."""
        random = self.random
        kind = next((kind for word, kind in _KINDS.items() if word in script), "guard")
        if random.random() < 0.03:
            kind = random.choice(("look", "sessions", "deep", "runs", "guard"))
        if kind == "guard":
            return self._guard(script)
        if kind != "look":
            return list({"sessions": _SESSIONS, "deep": _DEEP, "runs": _RUNS}[kind])
        content = FILE if self._is_changed else self._file()
        answer = snapshots.dump({snapshots.MAIN: content}, "9.6p1")
        said = b"".join(f"{keyword} {value}\n".encode() for keyword, value in answer.settings)
        dumps = [("dump", b""), ("answer", said) if answer.error is None else ("refusal", answer.error.encode())]
        daemon = _DAEMON if random.random() < 0.5 else {}
        return look(content, dumps=dumps, globs={b"/etc/ssh/d/*": []}, **daemon)

    def _guard(self, script: str) -> Records:
        end = b"ready" if "PHASE='prepare'" in script else b"applied" if "confirm" in script[:200] else b"changed"
        self._is_changed = end != b"ready"
        return [*_STEPS, ("end", end)]

    def _file(self) -> bytes:
        lines = [
            b"Match User a\n", b"Match Address 10.0.0.0/8,!10.1.0.0/16\n", b"Match all\n", b"Include /etc/ssh/d/*\n",
            b"ClientAliveInterval 60\n", b"ClientAliveCountMax 0\n", b"Port 22\n", b"# managed by puppet\n", b"\0\n",
            b'"x\n', b"Match Group b Host *\n", b"ClientAliveInterval 1h\n", b"AllowUsers a b\n", b"\xff\n",
            *[FILE] * 5,
        ]  # fmt: skip
        return b"".join(self.random.choices(lines, k=self.random.choice((0, 1, 2, 8))))

    def answer(self, script: str) -> bytes:
        """The bytes of one answer."""
        random = self.random
        records = self.records(script)
        for _ in range(random.choice((0, 0, 0, 1, 1, 3))):
            at = random.randrange(len(records) or 1)
            match random.randrange(6) if records else 5:
                case 0:
                    del records[at]
                case 1:
                    records.insert(at, records[random.randrange(len(records))])
                case 2:
                    records[at] = (records[at][0], random.choice(NASTY))
                case 3:
                    records[at] = (records[random.randrange(len(records))][0], records[at][1])
                case 4:
                    records[at] = (records[at][0], records[at][1] * random.choice((2, 50, 2000)))
                case 5:
                    records.insert(at, (random.choice(("active", "held", "lost", "nosshd", "x")), random.choice(NASTY)))
        text = bytearray(written(records))
        if text and random.random() < 0.08:
            for _ in range(random.choice((1, 3, 20))):
                text[random.randrange(len(text))] = random.randrange(256)
        if random.random() < 0.05:
            del text[random.randrange(len(text) + 1) :]
        return bytes(text)


class Shell:
    """See ssh.shell.Shell: a login on a host that says what `Hostile` makes up."""

    def __init__(self, host: Host, hostile: Hostile) -> None:
        self.host = host
        self.login_s = 0.1
        self._hostile = hostile
        self.server_version = hostile.random.choice(("SSH-2.0-OpenSSH_9.6p1",) * 9 + ("SSH-2.0-\x1b[2J",))
        self.login_method = "password"

    def run(self, script: str, *, timeout_s: float) -> Completed:
        dice = self._hostile.random.random()
        if dice < 0.02:
            raise HostError("the connection broke", kind=FailureKind.TCP, cause="lost(read)")
        return Completed(status=0, stdout=self._hostile.answer(script), begun=dice > 0.03, ended=dice > 0.05)

    def open_ahead(self, n_sessions: int) -> None:
        pass

    def prepare_login(self, command: str, *, timeout_s: float) -> None:
        pass

    def login_through(self, command: str, *, timeout_s: float) -> None:
        if self._hostile.random.random() < 0.1:
            raise HostError("no shell", kind=FailureKind.SHELL, cause="no-shell")

    def hold(self, idle_s: float, *, stop: Callable[[], bool]) -> IdleResult:
        return self._held(idle_s)

    def rehearse(self, script: str, idle_s: float, *, answers: bool, timeout_s: float) -> IdleResult:
        return self._held(idle_s)

    def pace(self, spacing_s: float, total_s: float, *, stop: Callable[[], bool]) -> SpacedResult:
        return SpacedResult(spacing_s=spacing_s, proven_s=spacing_s)

    def close(self) -> None:
        pass

    def _held(self, idle_s: float) -> IdleResult:
        random = self._hostile.random
        keep_alives_s = tuple(map(float, range(random.randint(0, 3))))
        loss = random.choice((None, *Loss))
        quiet_s = random.choice((0.0, idle_s))
        return IdleResult(quiet_s=quiet_s, keep_alives_s=keep_alives_s, loss=loss, farewell="\x1b[2J")


class _Clock:
    """Time in which nobody sleeps."""

    def __init__(self) -> None:
        self._slept_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._slept_s

    def sleep(self, seconds_s: float) -> None:
        self._slept_s += seconds_s


@contextmanager
def hostile_hosts(seed: int) -> Iterator[None]:
    """Nearly every login succeeds, and meets a host that says what the seed wants. Each host has its own thread."""
    hosts: dict[str, Hostile] = {}

    def connected(host: Host, **_: object) -> Shell:
        hostile = hosts.setdefault(host.address, Hostile(f"{seed} {host.address}"))
        if hostile.random.random() < 0.02:
            raise ConnectError("no answer", kind=FailureKind.TCP, cause="unreachable")
        return Shell(host, hostile)

    with mock.patch.object(connect, "connect", connected), mock.patch.object(execute, "time", _Clock()):
        yield


class _Same(Hostile):
    """Says one thing, whatever it is asked."""

    def __init__(self, text: bytes) -> None:
        super().__init__("same")
        self._text = text

    def answer(self, script: str) -> bytes:
        return self._text


class _SureShell(Shell):
    """Every script reaches its end."""

    def __init__(self, host: Host, hostile: Hostile) -> None:
        super().__init__(host, hostile)
        self.server_version = "SSH-2.0-OpenSSH_9.6p1"
        self.login_method = "password"

    def run(self, script: str, *, timeout_s: float) -> Completed:
        return Completed(status=0, stdout=self._hostile.answer(script))


@contextmanager
def hosts_that_say(text: bytes) -> Iterator[None]:
    """Every login succeeds, and every script gets the same answer."""

    def connected(host: Host, **_: object) -> Shell:
        return _SureShell(host, _Same(text))

    with mock.patch.object(connect, "connect", connected), mock.patch.object(execute, "time", _Clock()):
        yield


def run(seed: int, folder: Path) -> Result:
    """One command over hosts that answer as the seed wants it. Raises AssertionError for what must not happen."""
    random = Random(seed)
    words = [*random.choice(COMMANDS)]
    name = words[0]
    log, out = folder / "run.log", folder / "out.json"
    log.write_text("com.jcraft.jsch.JSchException: session is down\n")
    out.unlink(missing_ok=True)
    words += [str(log), "--host", HOSTS[0]] if name == "diagnose" else HOSTS[: 1 if name == "why" else 2]
    words += ["--format", random.choice(("json", "text") if name in ("why", "diagnose") else FORMATS)]
    if name != "why":
        words += ["--out", f"json:{out}"]
    if name in ("check", "apply") and random.random() < 0.3:
        words += ["--record", "--store", f"sqlite:///{folder}/history.db"]
    with hostile_hosts(seed):
        result = CliRunner().invoke(program, words, env={"XDG_STATE_HOME": str(folder)})
    said = f"seed {seed}: {' '.join(words)}: exit {result.exit_code}\n{result.output[-2000:]}"
    assert result.exception is None or isinstance(result.exception, SystemExit), f"{said}{result.exc_info}"
    assert result.exit_code in (0, 1, 3, 4, 5), said
    assert not set(result.output) & set("\x1b\x9b\x07\u202e"), said
    if name != "why":
        failures = [host["failure"] for host in json.loads(out.read_text())["hosts"] if host["failure"]]
        assert all(failure["kind"] != "internal" for failure in failures), f"{said}{failures}"
    return result
