"""What holds for a whole process is set only where the process is this program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Loads everything a check needs, then tells what it has changed for the process.
LIBRARY = """
import gc, sys, pkgutil, importlib, sshd_keepalive
before = (gc.get_threshold(), gc.isenabled(), gc.get_freeze_count())
for module in pkgutil.walk_packages(sshd_keepalive.__path__, "sshd_keepalive."):
    if "__main__" not in module.name and "migrations" not in module.name:
        importlib.import_module(module.name)
from sshd_keepalive import engines
from sshd_keepalive.model import Host
from tests.support import jobs
list(engines.select("thread").run(jobs.passing, [Host(name="a", address="192.0.2.1")], workers=1))
print(before == (gc.get_threshold(), gc.isenabled(), gc.get_freeze_count()), sys.modules.get("invoke", 0))
"""
PROGRAM = """
import gc, sys
from sshd_keepalive import __main__, cli
cli.run = lambda: print(gc.get_threshold()[0], sys.modules["invoke"]) or 0
__main__.main()
"""
#: Ends while the thread of a host runs. What `Witness` says, it says while Python is taken down.
LEAVES = """
import atexit, os, sys, threading
from sshd_keepalive import __main__, cli
class Witness:
    write = os.write
    def __del__(self):
        self.write(1, b"taken down")
sys.witness = Witness()
atexit.register(os.write, 1, b"terminal restored ")
def run():
    if {is_running}:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    print("report", end=" ")
    return {code}
cli.run = run
__main__.main()
"""


def said(code: str, ends_with: int = 0) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == ends_with, done.stderr
    return done.stdout


def test_the_library_leaves_the_process_as_it_was() -> None:
    assert said(LIBRARY).startswith("True ")
    assert not said(LIBRARY).endswith("None\n")


def test_the_program_sets_what_makes_it_faster() -> None:
    assert said(PROGRAM) == "20000 None\n"


def test_python_is_not_taken_down_under_the_threads_of_hosts_that_are_not_waited_for() -> None:
    assert said(LEAVES.format(is_running=True, code=130), 130).split() == ["report", "terminal", "restored"]
    assert said(LEAVES.format(is_running=False, code=3), 3) == "report terminal restored taken down"
