"""Jobs for engines: module-level, so that another process can be sent them; what they do is seen in a file."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from sshd_keepalive import serialization
from sshd_keepalive.deadline import Deadline
from sshd_keepalive.engines import dask
from sshd_keepalive.errors import KeepaliveError
from sshd_keepalive.model import Host, HostReport, State
from sshd_keepalive.secrets.attempts import AttemptRefused
from sshd_keepalive.secrets.retrieval import Secrets


def passing(host: Host) -> HostReport:
    return HostReport(host=host, state=State.OK)


def noted(host: Host, *, file: Path, seconds_s: float = 0.002) -> HostReport:
    """Note the beginning and the end, in one file for all processes."""
    note(file, f"+{host.name}")
    time.sleep(seconds_s)
    note(file, f"-{host.name}")
    return HostReport(host=host, state=State.OK, facts=(("pid", str(os.getpid())),))


def deadly(host: Host, *, file: Path, name: str, times: int) -> HostReport:
    """Kill the process that has the host of this name, so many times; the others wait until that has happened."""
    note(file, f"+{host.name}")
    if host.name == name and lines(file).count(f"+{name}") <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return HostReport(host=host, state=State.OK)


def held(host: Host, *, file: Path, until: Path) -> HostReport:
    """Last until a file exists."""
    note(file, f"+{host.name} {os.getpid()}")
    while not until.exists():
        time.sleep(0.01)
    return HostReport(host=host, state=State.OK)


def held_one(host: Host, *, name: str, file: Path, until: Path) -> HostReport:
    """Last until a file exists, for the host of this name."""
    return held(host, file=file, until=until) if host.name == name else passing(host)


class Attack:
    """Whoever unpickles it creates a directory."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.file),)


def attacking(host: Host, *, file: Path, name: str) -> HostReport:
    """The worker answers with an attack for the host of this name, if it had another one before."""
    dask.serialization = _Attacker(file, name)  # type: ignore[assignment]
    return HostReport(host=host, state=State.OK)


class _Attacker:
    def __init__(self, file: Path, name: str) -> None:
        self.file = file
        self.name = name

    def write(self, report: HostReport) -> object:
        return Attack(self.file) if report.host.name == self.name else serialization.write(report)


def note(file: Path, text: str) -> None:
    with file.open("a") as out:  # O_APPEND: whole lines, whoever writes
        out.write(f"{text}\n")


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def asking(host: Host, *, secrets: Secrets, meeting: Path | None = None) -> HostReport:
    """Ask for a secret; tell its length, or the error.

    Args:
        meeting: a directory; the job waits there until another process has a job too.
    """
    facts = {"pid": str(os.getpid())}
    if meeting is not None:
        (meeting / facts["pid"]).touch()
        deadline = Deadline(60)
        while len(list(meeting.iterdir())) < 2 and not deadline.is_over:
            time.sleep(0.02)
    try:
        facts["length"] = str(len(secrets.ask("a test").reveal()))
    except KeepaliveError as error:
        facts["error"] = f"{type(error).__name__}: {error}"
    return HostReport(host=host, state=State.OK, facts=tuple(facts.items()))


def refused(host: Host, *, secrets: Secrets) -> HostReport:
    """Send a password that the host refuses, if there is leave to."""
    try:
        with contextlib.closing(secrets.attempts.start("credential", host.name, Deadline(30))) as attempt:
            attempt.refuse()
    except AttemptRefused:
        return HostReport(host=host, state=State.OK, facts=(("sent", "no"),))
    return HostReport(host=host, state=State.OK, facts=(("sent", "yes"),))
