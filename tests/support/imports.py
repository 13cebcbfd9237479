"""What a run of the program imports, in which thread, and when."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

#: Writes which thread began which import, in their order, with a `connect` where the first connection begins.
_PROGRAM = """
import atexit, json, sys, threading
record = []
def listen(event, arguments):
    if event == "import":
        record.append((threading.current_thread().name, arguments[0]))
    elif event == "socket.connect":
        record.append((threading.current_thread().name, "connect"))
@atexit.register  # also where the program ends around a thread that still runs
def write():
    with open(RECORD, "w") as file:
        json.dump(record, file)
sys.addaudithook(listen)
from sshd_keepalive.__main__ import main
main()
"""


def record_imports(folder: Path, *words: str | Path, **environment: str) -> list[tuple[str, str]]:
    """Run the program; gives (thread, module) for each import."""
    program = _PROGRAM.replace("RECORD", repr(str(folder / "record")))
    argv = [sys.executable, "-c", program, *map(str, words)]
    subprocess.run(argv, env=os.environ | environment, capture_output=True, timeout=180, check=False)
    return [(thread, module) for thread, module in json.loads((folder / "record").read_text())]
