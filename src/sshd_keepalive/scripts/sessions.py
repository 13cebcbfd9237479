"""The live sessions of a host, and which of them still run with older values.

A session keeps the values it was set up with for life (measured; serverloop.c reads them once, before the loop). So
one that began before the daemon last read its files does not have what the files say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, ip_address
from typing import Final

from sshd_keepalive.scripts import compose
from sshd_keepalive.scripts.records import legible, parse_clock, read_records
from sshd_keepalive.sshd_config.limits import make_too_large
from sshd_keepalive.sshd_config.tokens import decode

# The title of a session's process: `sshd: ops [priv]`, `sshd-session: root@pts/0`; before a login `[accepted]`.
_TITLE: Final = re.compile(r"sshd(?:-session)?: (?P<user>[^\s@\[]+)(?:@(?P<line>\S+))?(?: \[(?P<part>\w+)\])?")
#: The privileged process of a session whose user is not root; `postauth` from OpenSSH 10.5 on.
_MONITOR: Final = frozenset({"priv", "postauth"})
_BEFORE_LOGIN: Final = frozenset({"accepted", "net", "preauth", "pam"})
#: Clock ticks and the moment between two readings: a session this much older may be as old as the values.
_TICK_S: Final = 0.5
_MOST_LINES: Final = 100_000  # processes, or connections
_LISTENS: Final = "0A"  # as /proc/net/tcp writes the state of a socket; include/net/tcp_states.h


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSession:
    """One connection with a completed login."""

    pid: int
    user: str
    line: str  # pts/0, notty; empty where sshd does not tell
    peer: str  # address:port of the client; empty when it is not known
    began_at: datetime
    age_s: float
    commands: tuple[str, ...]  # what runs in it; empty: nothing, or only forwarded ports
    is_ours: bool  # this very login
    silent_s: float | None = None  # since the client was heard, 0 if it was sent nothing since; None: not known

    def is_older(self, than: datetime | None) -> bool:
        """Whether it began before a moment; never when that is not known."""
        return than is not None and self.began_at < than - timedelta(seconds=_TICK_S)


@dataclass(slots=True)
class _Process:
    pid: int
    parent: int
    started: int
    name: str
    title: str = ""
    sockets: frozenset[str] = frozenset()


def build_script(*, asks_silence: bool = False) -> str:
    """Build the script that lists them.

    Args:
        asks_silence: also tell how long each client has been silent; the kernel walks through all connections for that.
    """
    return compose("sessions", {"SILENT": "yes" if asks_silence else ""})


@legible("its processes")
def parse(stdout: bytes, *, daemon: int | None = None) -> tuple[LiveSession, ...]:
    """Read the script's records, oldest session first. All times are the host's own: its clock may be wrong.

    Args:
        daemon: the listener whose sessions are wanted, known by its ports; None: those of every sshd.
    Raises:
        HostError: kind `observe`, the output is cut, or names too many processes.
    """
    values, processes, commands = _read_processes(stdout)
    now = datetime.fromtimestamp(parse_clock(values.get("clock", ""))[0], UTC)
    hertz, uptime_s = int(values.get("hertz") or 100), float(values.get("uptime") or 0)
    listening, peers = _read_network(values.get("network", ""))
    ports = {listening[s] for s in processes[daemon].sockets if s in listening} if daemon in processes else set()
    silent_s = {inode: int(ms) / 1000 for inode, ms in (line.split() for line in values.get("silent", "").splitlines())}
    ours = _list_ancestors(int(values.get("self") or 0), processes)
    children: dict[int, list[_Process]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process)
    sessions = []
    for process in processes.values():
        title = _match_session(process.title)
        if title is None or _is_inner(process, processes):
            continue
        family = [process, *(p for p in children.get(process.pid, ()) if _TITLE.match(p.title))]
        line = next((m["line"] for p in family if (m := _TITLE.match(p.title)) and m["line"]), "")
        local, peer = next((peers[s] for p in family for s in sorted(p.sockets) if s in peers), (None, ""))
        # An account that may read the listener's sockets may read these: then a process without any is about to end.
        if local is None and (ports or (peers and any(p.sockets for p in family))):
            continue  # its connection is closed or closing, or it serves a pipe: it has no client
        if ports and local is not None and local not in ports:
            continue
        age_s = max(0.0, uptime_s - process.started / hertz)
        sessions.append(
            LiveSession(
                pid=process.pid,
                user=title["user"],
                line=line,
                peer=peer,
                began_at=now - timedelta(seconds=age_s),
                age_s=age_s,
                commands=tuple(command for p in family for command in commands.get(p.pid, [])),
                is_ours=process.pid in ours,
                silent_s=next((silent_s[s] for p in family for s in p.sockets if s in silent_s), None),
            )
        )
    return tuple(sorted(sessions, key=lambda session: (-session.age_s, session.pid)))


def _read_processes(stdout: bytes) -> tuple[dict[str, str], dict[int, _Process], dict[int, list[str]]]:
    """Read the records: single values by kind, processes by number, command lines by the process they run under."""
    values: dict[str, str] = {}
    processes: dict[int, _Process] = {}
    commands: dict[int, list[str]] = {}
    current = 0
    for kind, value in read_records(stdout):
        if value.count(b"\n") > _MOST_LINES:
            raise make_too_large(f"its answer has more than {_MOST_LINES} lines of kind {kind}")
        words = decode(value)
        if kind == "processes":
            processes = {process.pid: process for process in _read_table(words)}
        elif kind in ("server", "child"):
            current = int(words.split()[0])
        elif kind == "title" and current in processes:
            processes[current].title = words.strip()
        elif kind == "sockets" and current in processes:
            processes[current].sockets = frozenset(words.split())
        elif kind == "command":
            if current in processes:
                commands.setdefault(processes[current].parent, []).append(words.strip() or processes[current].name)
        else:
            values[kind] = words
    return values, processes, commands


def count_logged_in(titles: Iterable[str]) -> int:
    """Count the processes left alone by a restart that serve a session with a completed login.

    Args:
        titles: theirs, as `tell_lasting` of the guard gives them.
    """
    return sum(_match_session(title) is not None for title in titles)


def _match_session(title: str) -> re.Match[str] | None:
    """Match the title of a process with a completed login; None for others, and for the listener."""
    match = _TITLE.match(title)
    if match is None or match["part"] in _BEFORE_LOGIN or match["user"] == "unknown":
        return None
    return None if title.endswith("startups") or "[listener]" in title else match


def _read_table(table: str) -> Iterator[_Process]:
    for row in table.splitlines():
        words = row.split(" ", 3)
        if len(words) == 4 and all(word.isdigit() for word in words[:3]):
            yield _Process(pid=int(words[0]), parent=int(words[1]), started=int(words[2]), name=words[3])


def _is_inner(process: _Process, processes: dict[int, _Process]) -> bool:
    """Say whether this is the unprivileged half of a session, `sshd: ops@notty` below `sshd: ops [priv]`."""
    above = processes.get(process.parent)
    if above is None:
        return False
    title = _TITLE.match(above.title)
    return title is not None and title["part"] in _MONITOR


def _list_ancestors(pid: int, processes: dict[int, _Process]) -> set[int]:
    ancestors: set[int] = set()
    while pid in processes and pid not in ancestors:
        ancestors.add(pid)
        pid = processes[pid].parent
    return ancestors


def _read_network(table: str) -> tuple[dict[str, int], dict[str, tuple[int, str]]]:
    """Map each listening inode to its port, and each connected inode to the port here and the address there."""
    listening, peers = {}, {}
    for words in map(str.split, table.splitlines()):
        if len(words) == 4:
            state, local, peer, inode = words
            port = int(local.rpartition(":")[2], 16)
            if state == _LISTENS:
                listening[inode] = port
            else:
                peers[inode] = (port, _read_address(peer))
    return listening, peers


def _read_address(text: str) -> str:
    """Read `0100007F:0016` of /proc/net/tcp: four bytes at a time, little-endian nearly everywhere."""
    digits, _, port = text.rpartition(":")
    packed = b"".join(bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8))
    address = ip_address(packed)
    if isinstance(address, IPv6Address):
        return f"{address.ipv4_mapped or f'[{address}]'}:{int(port, 16)}"
    return f"{address}:{int(port, 16)}"
