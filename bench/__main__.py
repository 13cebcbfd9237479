"""Time everybody on the same hosts and write results.md: `make bench`, or `python -m bench` inside the lab.

usage: python -m bench [--hosts N] [--rounds N] [--only NAME,NAME] [--out FILE]
"""

import argparse
import os
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path

from tests.lab.hosts import Lab, LabHost
from tests.lab.roots import LabUnavailable

from .contenders import OUR_BIN, Contender, contenders
from .measure import Cost, measured
from .table import Results, markdown

WANTED = {"clientaliveinterval": "300", "clientalivecountmax": "3"}
TIMEOUT_S = 600
N_STARTS = 11
N_AT_ONCE = 4
N_LOOK = 2  # processes that `n_started` itself starts
ACCOUNT = "/var/account"  # on a host: a record for each process that ended
ACCT = struct.Struct("=B47x16s")  # acct(5), version 3: flags, and the name of the program
AFORK = 1  # it has not become another program


class BenchError(Exception):
    """A program failed, or reported a success that the hosts do not show; there is nothing to compare."""


def main() -> int:
    """Boot, measure, report."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.md"))
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with Lab() as lab, tempfile.TemporaryDirectory() as scratch:
        tell(f"booting {options.hosts} hosts")
        hosts = lab.boot("d12py", count=options.hosts)
        everybody = contenders(lab, hosts, Path(scratch))
        chosen = [one for one in everybody if not options.only or one.name in options.only.split(",")]
        warm_up(chosen, Path(scratch))
        results: Results = {}
        for name, work, cost in rounds(chosen, hosts, options.rounds, Path(scratch)):
            results.setdefault(work, {}).setdefault(name, []).append(cost)
        programs = count_programs(everybody[0], hosts, Path(scratch))
        starts = list(start_costs(Path(scratch)))
    text = markdown(results, programs, starts, n_hosts=options.hosts, n_rounds=options.rounds, load=load)
    options.out.write_text(text)
    print(text)
    return 0


def rounds(everybody: list[Contender], hosts: list[LabHost], n: int, folder: Path) -> Iterator[tuple[str, str, Cost]]:
    """Yield (program, work, cost). In each round everybody has a turn, and another one begins."""
    for number in range(n):
        turn = number % len(everybody)
        for one in everybody[turn:] + everybody[:turn]:
            everywhere(make_stock, hosts)
            for work, command in (("apply", one.apply), ("again", one.apply), ("check", one.check)):
                before = n_started(hosts[0])
                cost = run(one, command, folder)
                cost = replace(cost, n_host_processes=n_started(hosts[0]) - before - N_LOOK)
                tell(f"round {number + 1}, {one.name}, {work}: {cost.wall_s:.2f} s, CPU {cost.cpu_s:.2f} s")
                if work == "apply":
                    everywhere(inspect, hosts)
                yield one.name, work, cost


def warm_up(everybody: list[Contender], folder: Path) -> None:
    """Let everybody do everything once without measuring: Python compiles the modules at their first import."""
    for one in everybody:
        for command in (one.apply, one.check):
            run(one, command, folder)


def run(one: Contender, command: list[str], folder: Path) -> Cost:
    """Run one command; anything but success ends the benchmark."""
    log = folder / "command.log"
    # Short paths and nobody's own settings: a run starts without shared connections or caches of an earlier one.
    with tempfile.TemporaryDirectory() as private:
        env = os.environ | one.env | {"ANSIBLE_SSH_CONTROL_PATH_DIR": private, "NO_COLOR": "1"}
        # Installed programs have compiled modules, and the lab forbids Python to write them into the working tree.
        env |= {"PYTHONPYCACHEPREFIX": str(folder / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
        cost = measured(command, stdin=one.stdin, env=env, log=log, timeout_s=TIMEOUT_S)
    if cost.status:
        raise BenchError(f"{' '.join(command)}: exit status {cost.status}\n{log.read_text()[-4000:]}")
    return cost


def make_stock(host: LabHost) -> None:
    """Give a host the state it booted in, sshd included.

    A guard that was confirmed looks at sshd once more when its time is up: that must not fall into somebody's turn.
    """
    host.run("systemctl stop 'sshd-keepalive-*.timer'; rm -rf /var/lib/sshd-keepalive")
    host.reset()


def inspect(host: LabHost) -> None:
    """See from inside that the work was done: the values are in effect and sshd was started after they were written."""
    values = host.sshd_values()
    if any(values[keyword] != value for keyword, value in WANTED.items()):
        raise BenchError(f"{host.name}: success was reported, but sshd -T says otherwise")
    written, started = host.run(
        "systemctl is-active --quiet ssh && stat -c %Z /etc/ssh/sshd_config && "
        'date -d "$(systemctl show -P ActiveEnterTimestamp ssh)" +%s'
    ).stdout.split()
    if int(started) < int(written):
        raise BenchError(f"{host.name}: success was reported, but sshd runs with the old values")


def everywhere(work: Callable[[LabHost], None], hosts: list[LabHost]) -> None:
    """Do something on every host, a few at a time; the first failure is raised."""
    with ThreadPoolExecutor(N_AT_ONCE) as pool:
        list(pool.map(work, hosts))


def n_started(host: LabHost) -> int:
    """Give how many processes a host has started since it booted: the last number given out in its process table."""
    return int(host.run("cat /proc/sys/kernel/ns_last_pid").stdout)


def count_programs(ours: Contender, hosts: list[LabHost], folder: Path) -> Counter[str]:
    """Count by program which processes one apply starts on a host, by the host's own accounting (acct(2))."""
    everywhere(make_stock, hosts)
    account = "python3 -c 'import ctypes; exit(ctypes.CDLL(None).acct({}))'"
    hosts[0].run(f": >{ACCOUNT} && exec " + account.format(f'b"{ACCOUNT}"'))
    run(ours, ours.apply, folder)
    hosts[0].run(account.format("None"))
    records = ACCT.iter_unpack((hosts[0].files / ACCOUNT.lstrip("/")).read_bytes())
    names = [name.partition(b"\0")[0].decode() + " (fork)" * (flags & AFORK) for flags, name in records]
    return Counter(names[1:])  # the first is the one that began the accounting


def start_costs(folder: Path) -> Iterator[tuple[str, Cost]]:
    """Yield the cost of starting: our `--version`, and the interpreter with nothing but click."""
    commands = {
        "sshd-keepalive --version": [str(OUR_BIN / "sshd-keepalive"), "--version"],
        'python -c "import click"': [str(OUR_BIN / "python"), "-c", "import click"],
    }
    for name, command in chain.from_iterable([commands.items()] * N_STARTS):
        yield name, run(Contender(name, [], []), command, folder)


def tell(line: str) -> None:
    """Say how far the benchmark is, on standard error."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BenchError, LabUnavailable) as error:
        sys.exit(f"bench: {error}")
