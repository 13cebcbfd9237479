"""Answers of hosts to the scripts of the program: one that is honest, and many that are not."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from random import Random
from typing import Final

import paramiko

from sshd_keepalive.ssh.sudo import MARK

MAIN: Final = b"/etc/ssh/sshd_config"
FILE: Final = b"ClientAliveInterval 300\nClientAliveCountMax 3\n"
DUMP: Final = b"port 22\nclientaliveinterval 300\nclientalivecountmax 3\nhostkey /etc/ssh/ssh_host_ed25519_key\n"
MOST: Final = 8 * 1024 * 1024 - 4096  # what fits into one answer
_NONCE: Final = re.compile(rb"%s BEGIN ([0-9a-f]+)" % MARK.encode())
_WHOLE: Final = re.compile(rb"\ntask\n$")

Records = list[tuple[str, bytes]]
#: What is sent for a script: the frame around it is the server's. None: the channel stays silent.
Answer = Callable[[bytes], Iterator[bytes]]


def written(records: Records) -> bytes:
    """The records as the scripts print them."""
    return b"".join(b"%s %d\n%s\n" % (kind.encode(), len(value), value) for kind, value in records)


def look(
    content: bytes = FILE,
    *,
    others: dict[bytes, bytes] | None = None,
    globs: dict[bytes, list[bytes]] | None = None,
    dumps: list[tuple[str, bytes]] | None = None,
    **words: bytes,
) -> Records:
    """What the observing script says of a host that is as the policy wants it, with changes.

    Args:
        content: of the main file.
        others: further files.
        globs: Include pattern → the files it names.
        dumps: records of `sshd -T`, in place of the one that confirms the policy.
        words: other records, by kind.
    """
    files = {MAIN: content, **(others or {})}
    said: Records = [("system", b"Linux 6.1"), ("os", b"Debian"), ("agents", b""), ("manager", b"command")]
    said += [("unit", b"ssh.service"), ("config", MAIN), ("state", b"/var/lib/sshd-keepalive/x")]
    said += [("path", path) for path in files]
    said.append(("details", b"\n".join(b"%d 1700000000.0 1700000000.0" % len(c) for c in files.values())))
    said.append(("content", b"".join(files.values())))
    for pattern, paths in (globs or {}).items():
        said += [("glob", pattern), *(("match", path) for path in paths)]
    said += [("active", b"yes"), *(dumps or [("dump", b""), ("answer", DUMP)]), ("version", b"OpenSSH_9.6p1")]
    known = dict(said)
    return [(kind, words.pop(kind, value) if kind in words else value) for kind, value in said] + [
        (kind, value) for kind, value in words.items() if kind not in known
    ]


def honest(script: bytes) -> Iterator[bytes]:
    """Every script gets the answer to the look."""
    yield written(look())


def saying(records: Records | bytes) -> Answer:
    """Say the same to every script."""
    text = records if isinstance(records, bytes) else written(records)
    assert len(text) <= MOST + 4096, "more than fits into an answer"

    def answer(script: bytes) -> Iterator[bytes]:
        yield text

    return answer


def endless(piece: bytes) -> Answer:
    """Never stop."""

    def answer(script: bytes) -> Iterator[bytes]:
        while True:
            yield piece

    return answer


def slow(script: bytes) -> Iterator[bytes]:
    """One byte now and then."""
    while True:
        threading.Event().wait(0.1)
        yield b"x"


def _networks(n_blocks: int) -> bytes:
    networks = b",".join(b"10.%d.0.0/16" % i for i in range(200))
    block = b"Match Address %s,172.16.%d.0/24\nClientAliveInterval 1\n"
    return b"".join(block % (networks, i) for i in range(n_blocks))


def _nested(depth: int) -> Records:
    """Blocks within blocks, each with a line that is nearly too long."""
    line = b"Match User " + b"a" * 60_000 + b"\nInclude /f%d\n"
    files = {b"/f%d" % i: line % (i + 1) for i in range(depth)}
    files[b"/f%d" % depth] = b"Match User b\nClientAliveInterval 1\n" * 1000
    return look(line % 0, others=files, globs={path: [path] for path in files})


def hostile() -> dict[str, Callable[[], Answer]]:
    """Answers that once hung or filled the controller, or were made to; each of 8 MiB at most, but for the endless."""
    big = 4 * 1024 * 1024

    def content(made: bytes) -> Callable[[], Answer]:
        return lambda: saying(look(made))

    def dumps(*records: tuple[str, bytes]) -> Callable[[], Answer]:
        return lambda: saying(look(dumps=[("dump", b""), *records]))

    def words(**records: bytes) -> Callable[[], Answer]:
        return lambda: saying(look(**records))

    users = b"".join(b"Match User u%d\nClientAliveInterval 1\n" % i for i in range(24_000))
    marks = b"".join(b"Match User %sb%d\nPort 1\n" % (b"*?a" * 300, i) for i in range(3000))
    globs = b"".join(b"Include /%s%d*\n" % (b"[a]*" * 250, i) for i in range(3000))
    daemon = b"/usr/sbin/sshd"
    return {
        "one `Match` line of 27 KiB with conditions": content(b"Match " + b"User a " * 4000 + b"\nPort 1\n"),
        "one `Match` line of 64 KiB with patterns": content(
            b"Match " + b"User *a?,*b,c " * 4600 + b"\nClientAliveInterval 1\n"
        ),
        "1,000 `Match` blocks with 200 networks each": content(_networks(1000)),
        "24,000 `Match` blocks": content(users),
        "`?` and `*` in turn": content(marks),
        "a version of 8 MiB": words(version=b"OpenSSH_for_" * (MOST // 12 - 99)),
        "a version of 1,024 bytes": words(version=b"OpenSSH_for_" * 85),
        "a refusal of 8 MiB": dumps(("refusal", b"line 1: " * (MOST // 8 - 99) + b"in configuration but")),
        "start options of 8 MiB": words(start=daemon + b" -o a=b" * (MOST // 8 - 99), pid=b"1"),
        "start options of 16 KiB": words(start=daemon + b" -o a" * 3200, pid=b"1"),
        "4 MiB of line ends": content(b"\n" * big),
        "50,000 line ends": content(b"\n" * 49_999),
        "50,000 lines with a keyword": content(b"Port 1\n" * 49_999),
        "4 MiB of words": content(b"AllowUsers " + b"a " * (big // 2 - 10)),
        "300,000 words": content((b"AllowUsers " + b"a " * 290 + b"\n") * 1000),
        "NUL bytes": content(b"Match User a" + b" User aaaa\0\n" * 49_000 + b"\nClientAliveInterval 1\n"),
        "a line of 4 MiB of `#`": content(b"#" * big),
        "lines of 64 KiB of `#`": content(FILE + (b"#" * 65_000 + b"\n") * 60),
        "random bytes": content(Random(1).randbytes(big)),
        "a file included 20,000 times": lambda: saying(
            look(b"Include /a\n" * 20_000, others={b"/a": b"Port 22\n" * 200}, globs={b"/a": [b"/a"]})
        ),
        "`Match` lines of 60 KiB, 15 deep": lambda: saying(_nested(14)),
        "40,000 Include patterns": content(b"".join(b"Include /x%d/*\n" % i for i in range(40_000))),
        "Include patterns of 1 KiB": content(globs),
        "800,000 records": lambda: saying(b"active 0\n\n" * (MOST // 10)),
        "40,000 files": lambda: saying(look(others={b"/%d" % i: b"" for i in range(40_000)})),
        "records of a wrong length": lambda: saying(b"path 99999999999\nx\n" * 1000),
        "`sshd -T` with 8 MiB of line ends": dumps(("answer", b"\n" * (MOST - 999))),
        "`sshd -T` with 120 KiB of time limits": dumps(
            *[("answer", DUMP + b"channeltimeout " + b"session=1m1m1m " * 8000)] * 8
        ),
        "facts of 8 MiB": words(os=b"x" * (MOST // 2), agents=b"a," * (MOST // 5)),
        "20,000 changed directories": lambda: saying(
            [*look(pid=b"1", loaded=b"1 1 1 1 1 1\n" * 20_000), *[("directory", b"/etc")] * 20_000]
        ),
        "8 MiB of end markers": lambda: saying(b"\n%s END 0 0\n" % MARK.encode() * (MOST // 20)),
        "output without end": lambda: endless(b"x" * 65536),
        "records without end": lambda: endless(b"active 3\nyes\n" * 5000),
        "a byte now and then": lambda: slow,
    }


class ScriptServer(paramiko.ServerInterface):
    """Lets everybody in and answers each script."""

    def __init__(self, answer: Answer, left: threading.Event) -> None:
        self._answer = answer
        self._left = left

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._serve, args=(channel,), daemon=True).start()
        return True

    def _serve(self, channel: paramiko.Channel) -> None:
        script = b""
        try:
            while data := channel.recv(65536):
                script += data
                if not _WHOLE.search(script):
                    continue
                nonces = _NONCE.findall(script)
                channel.sendall(b"\n%s BEGIN %s\n" % (MARK.encode(), nonces[-1]))
                for piece in self._answer(script):
                    if self._left.is_set():
                        return
                    channel.sendall(piece)
                channel.sendall(b"\n%s END %s 0 RESTS\n" % (MARK.encode(), nonces[-1]))
                script = b""
        except (OSError, EOFError, paramiko.SSHException):
            return
