"""The program as a user starts it: a process of its own, its output and its exit code."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sshd_keepalive.model import State

#: Journals and whatever else the program remembers: never the account's own directory.
STATE_HOME = tempfile.TemporaryDirectory(prefix="sshd-keepalive-state-")
atexit.register(STATE_HOME.cleanup)  # else its end is a warning

#: How the tests start the program: this Python's package, or the file that TESTED_PROGRAM names, a .pyz for example.
PROGRAM = (sys.executable, *([program] if (program := os.environ.get("TESTED_PROGRAM")) else ["-m", "sshd_keepalive"]))


@dataclass(frozen=True, slots=True)
class Ran:
    """One call of the program."""

    status: int
    stdout: str
    stderr: str

    @property
    def data(self) -> dict[str, Any]:
        """The JSON document on standard output; there must be nothing else."""
        document = json.loads(self.stdout)
        assert document["exit_code"] == self.status, self.stdout
        assert sum(document["summary"][state] for state in State) == len(document["hosts"])
        return document

    def host(self, name: str | None = None) -> dict[str, Any]:
        """One host of the JSON document; without a name there must be only one."""
        hosts = self.data["hosts"]
        if name is None:
            assert len(hosts) == 1, self.stdout
            return hosts[0]
        return next(host for host in hosts if host["name"] == name)


def keepalive(*words: str | Path, timeout_s: float = 180, **environment: str) -> Ran:
    """Run `sshd-keepalive WORDS…` without a terminal. A traceback is a failure wherever it shows up."""
    completed = subprocess.run(
        [*PROGRAM, *map(str, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, "XDG_STATE_HOME": STATE_HOME.name, **environment},
        check=False,
    )
    assert "Traceback" not in completed.stdout + completed.stderr, completed.stderr
    return Ran(completed.returncode, completed.stdout, completed.stderr)
