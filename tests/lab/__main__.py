"""The lab from a terminal, as root, from the project's root directory.

usage: python -m tests.lab build [KIND...]     build the root filesystems that are missing
       python -m tests.lab up KIND[:COUNT]...  boot hosts, print an inventory, open a shell among them
       python -m tests.lab run COMMAND...      run a command in a network of its own, e.g. `pytest -m lab`

Where there can be no lab, `run` runs the command as it is: tests that need the lab are then skipped with the reason.
`up` without a terminal waits until its standard input is closed. Another terminal joins with the printed `nsenter`.
KIND is one of: d11 d12 d13 sysv openrc socket, and Debian dressed as others: rhel el7 suse alpine ubuntu sid; without
one, `build` builds these. d12py and sysvpy have Python. On runit, supervisor and sshd1 that is process 1; on byhand a
command started sshd.
"""

import os
import subprocess
import sys
from contextlib import suppress

from .hosts import Lab, LabError
from .namespaces import inside, join_command, missing, run_inside
from .recipes import CONTAINERS, EXTRA_RECIPES, LAYOUTS, RECIPES
from .roots import LabUnavailable, ensure


def main(arguments: list[str]) -> int:
    """Do what the arguments say and give the exit status."""
    match arguments:
        case ["build", *kinds]:
            _build(kinds or [*RECIPES, *LAYOUTS])
            return 0
        case ["run", *command] if command:
            return _run(command)
        case ["up", *wanted] if wanted:
            if inside():
                return _up(wanted)
            _build(sorted({word.partition(":")[0] for word in wanted}))
            return run_inside([sys.executable, "-m", "tests.lab", *arguments])
    print(__doc__, file=sys.stderr)
    return 2


def _build(kinds: list[str]) -> None:
    known = RECIPES | LAYOUTS | CONTAINERS | EXTRA_RECIPES
    if unknown := set(kinds) - set(known):
        raise LabUnavailable(f"no such kind: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if reason := missing():
        raise LabUnavailable(reason)
    ensure(kinds, say=lambda line: print(line, file=sys.stderr, flush=True))


def _run(command: list[str]) -> int:
    try:
        _build([*RECIPES, *LAYOUTS, *CONTAINERS, *EXTRA_RECIPES])
        return run_inside(command)
    except LabUnavailable as error:
        print(f"lab: {error}\nlab: the command runs without one", file=sys.stderr)
        return subprocess.run(command).returncode


def _up(wanted: list[str]) -> int:
    kinds = []
    for word in wanted:
        kind, _, count = word.partition(":")
        kinds += [kind] * int(count or 1)
    with Lab() as lab:
        lab.boot_all(kinds)
        inventory = lab.folder / "inventory.yaml"
        inventory.write_text(lab.inventory())
        print(inventory.read_text())
        print(f"# inventory: {inventory}\n# password of pwd and nosudo: {lab.password!r}")
        print(
            f"# log in: ssh -i {lab.identity_file} -o UserKnownHostsFile={lab.known_hosts} ops@{lab.hosts[0].address}"
        )
        print(f"# from another terminal: {join_command()}", flush=True)
        if sys.stdin.isatty():
            shell = os.environ.get("SHELL", "/bin/sh")
            return subprocess.run([shell], env=os.environ | {"LAB_INVENTORY": str(inventory)}).returncode
        with suppress(KeyboardInterrupt):
            sys.stdin.read()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (LabUnavailable, LabError) as error:
        sys.exit(f"lab: {error}")
