"""Boot, enter, reset and stop the lab's hosts.

A host is a `systemd-nspawn --boot` over an overlay of its kind's root: the root is never written to, what a host writes
lives in memory, survives its reboots and is forgotten with the lab. Every wait is for an event and has an end.
"""

import ipaddress
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from . import namespaces
from .cgroups import is_unified, make_cgroups
from .recipes import LAYOUTS, PASSWORD, RECIPES, USERS, recipe_of
from .roots import IDENTITY_FILE, LabUnavailable, mark_used, root_path

BOOT_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0
BOOTS_AT_ONCE = 8
POLL_S = 0.02

_JOIN_CGROUPS_AND_EXEC = (
    'n=$1; shift; while [ "$n" -gt 0 ]; do echo $$ >"$1/cgroup.procs"; shift; n=$((n - 1)); done; exec "$@"'
)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
T = TypeVar("T")


class LabError(Exception):
    """A host did not do what the lab asked of it; the message holds what it printed."""


@dataclass(slots=True)
class LabHost:
    """One running host. `files` is its root directory as seen from the controller."""

    name: str
    kind: str
    address: str
    files: Path
    _lab: "Lab"
    _process: subprocess.Popen[bytes] | None = None
    _init_pid: int = 0

    @property
    def root(self) -> Path:
        """The kind's untouched root: what a file was before anybody changed it."""
        return root_path(self.kind)

    @property
    def log(self) -> Path:
        """What the host printed on its console."""
        return self.files.with_suffix(".log")

    @property
    def is_running(self) -> bool:
        """Is the host up? It is also down after a `poweroff` or `reboot` given inside."""
        return self._process is not None and self._process.poll() is None

    def run(
        self, script: str, *, check: bool = True, stdin: str = "", timeout_s: float = 180
    ) -> subprocess.CompletedProcess[str]:
        """Run shell text in the host as root, past sshd.

        Raises:
            LabError: the script failed and `check` is on.
        """
        clean = ["env", "-i", f"PATH={_PATH}", "HOME=/root", "LC_ALL=C.UTF-8"]
        command = ["nsenter", "-t", str(self._init_pid), "--all", *clean, "sh", "-c", script]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_s)
        if check and done.returncode:
            raise LabError(f"{self.name}: exit status {done.returncode} of: {script}\n{done.stdout}{done.stderr}")
        return done

    def start(self) -> None:
        """Boot, give the address, and wait until sshd answers and the boot is over."""
        cgroups = make_cgroups(self.name)
        recipe = recipe_of(self.kind)
        nspawn = ["systemd-nspawn", "--quiet", "-D", str(self.files), f"--machine={self.name}"]
        nspawn += ["--register=no", "--keep-unit", "--resolv-conf=off", "--timezone=off", "--link-journal=no"]
        nspawn += [f"--network-bridge={self._lab.bridge}", *(recipe.command or ["--boot"])]
        env = os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1" if is_unified() else "0"}
        command = ["sh", "-c", _JOIN_CGROUPS_AND_EXEC, "sh", str(len(cgroups)), *map(str, cgroups), *nspawn]
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C on the terminal is for the tests, not for the hosts.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True
            )
        self._init_pid = self._wait_for("its process 1", self._find_init, BOOT_TIMEOUT_S)
        address = f"ip addr add {self.address}/16 dev host0 && ip link set host0 up"
        subprocess.run(["nsenter", "-t", str(self._init_pid), "-n", "sh", "-c", address], check=True)
        self.wait_for_sshd()
        self._wait_for(
            "the end of its boot",
            lambda: self.run(recipe.booted, check=False, timeout_s=BOOT_TIMEOUT_S).returncode == 0,
            BOOT_TIMEOUT_S,
        )

    def stop(self) -> None:
        """End the host at once, as a power cut would."""
        if self._process is None:
            return
        if self._process.poll() is None:
            # nspawn's death would leave process 1 behind for a moment; process 1 takes everything with it.
            os.kill(self._init_pid or self._process.pid, signal.SIGKILL)
            self._process.wait(STOP_TIMEOUT_S)
        self._process = None

    def reboot(self, *, orderly: bool = True) -> None:
        """Boot again with all files kept; `orderly=False` is the power cut."""
        if orderly:
            self.run("reboot", check=False)
            self.wait_until_down()
        self.stop()
        self.start()

    def wait_until_down(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Wait for the end of a host that was told to end from inside."""
        if self._process is not None:
            self._process.wait(timeout_s)

    def restart_sshd(self) -> None:
        """Restart sshd as the host's administrator would, and wait until it answers."""
        self.run(recipe_of(self.kind).restart)
        self.wait_for_sshd()

    def reset(self) -> None:
        """Put the stock /etc/ssh back and restart sshd; other files stay as they are."""
        ours, stock = self.files / "etc/ssh", self.root / "etc/ssh"
        for path in ours.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(stock, ours, dirs_exist_ok=True, symlinks=True)
        self.restart_sshd()

    def sshd_values(self) -> dict[str, str]:
        """Give what `sshd -T` says inside the host, by lower-case keyword; of repeated ones the last."""
        lines = self.run("mkdir -p /run/sshd; sshd -T").stdout.splitlines()
        pairs = (line.split(" ", 1) for line in lines if " " in line)
        return {keyword.lower(): value for keyword, value in pairs}

    def wait_until(self, script: str, what: str, timeout_s: float = BOOT_TIMEOUT_S) -> None:
        """Wait until shell text succeeds inside the host."""
        self._wait_for(what, lambda: self.run(script, check=False).returncode == 0, timeout_s)

    def wait_for_sshd(self, timeout_s: float = BOOT_TIMEOUT_S) -> None:
        """Wait until port 22 says `SSH-2.0`, from an address of its own.

        OpenSSH 9.8 and later punish an address that hangs up before it logs in: that must not be the controller's.
        """

        def answers() -> bool:
            source = (str(self._lab.probe_address), 0)
            try:
                with socket.create_connection((self.address, 22), timeout=2, source_address=source) as connection:
                    return connection.recv(8) == b"SSH-2.0-"
            except OSError:
                return False

        self._wait_for("sshd", answers, timeout_s)

    def _find_init(self) -> int:
        """Give process 1 as numbered here, 0 while nspawn is not there yet."""
        assert self._process is not None
        parent = self._process.pid
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            try:
                program = Path(f"/proc/{child}/exe").readlink().name
            except OSError:
                continue
            if program == recipe_of(self.kind).init:
                return int(child)
        return 0

    def _wait_for(self, what: str, found: Callable[[], T], timeout_s: float) -> T:
        end = time.monotonic() + timeout_s
        while not (result := found()):
            if not self.is_running or time.monotonic() > end:
                tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
                state = "still running" if self.is_running else "ended"
                raise LabError(f"{self.name} ({state}): no sign of {what} in {timeout_s:.0f} s\n{tail}")
            time.sleep(POLL_S)
        return result


@dataclass(slots=True)
class Lab:
    """A network with hosts in it; several labs live side by side in one namespace.

    Example:
        with Lab() as lab:
            first, second = lab.boot("d12", count=2)
            first.run("systemctl is-active ssh")
    """

    hosts: list[LabHost] = field(default_factory=list)
    bridge: str = ""
    folder: Path = Path()
    _network: ipaddress.IPv4Network | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    identity_file = IDENTITY_FILE
    users = USERS
    password = PASSWORD

    def __enter__(self) -> "Lab":
        if reason := unavailable(kinds=()):
            raise LabUnavailable(reason)
        self._make_bridge()
        # Of its own: an earlier lab of this number has left its folder, with the files of its hosts.
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.bridge}-", dir=namespaces.SCRATCH))
        self.known_hosts.touch()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self.hosts:
            host.stop()
        subprocess.run(["ip", "link", "del", self.bridge], check=True)

    @property
    def known_hosts(self) -> Path:
        """The public keys of every host booted so far, by address and by name."""
        return self.folder / "known_hosts"

    @property
    def controller_address(self) -> ipaddress.IPv4Address:
        """The address from which the hosts are logged in to."""
        assert self._network is not None
        return self._network[1]

    @property
    def probe_address(self) -> ipaddress.IPv4Address:
        """The address from which `wait_for_sshd` looks."""
        assert self._network is not None
        return self._network[2]

    def boot(self, kind: str = "d12", *, count: int = 1) -> list[LabHost]:
        """Boot hosts of one kind, several at a time; they are ready when this returns."""
        return self.boot_all([kind] * count)

    def boot_all(self, kinds: list[str]) -> list[LabHost]:
        """Boot a host of each kind named, in this order, several at a time.

        Raises:
            LabUnavailable: the root of a kind was not built.
            LabError: a host did not come up; its console's last lines are in the message.
        """
        if reason := unavailable(kinds=kinds):
            raise LabUnavailable(reason)
        for kind in set(kinds):
            mark_used(kind)
        hosts = [self._make_host(kind) for kind in kinds]
        self.hosts += hosts
        with self.known_hosts.open("a") as known:
            for host in hosts:
                for key in sorted((host.root / "etc/ssh").glob("ssh_host_*_key.pub")):
                    known.write(f"{host.address},{host.name} {' '.join(key.read_text().split()[:2])}\n")
        with ThreadPoolExecutor(max_workers=BOOTS_AT_ONCE) as pool:
            list(pool.map(LabHost.start, hosts))
        return hosts

    @contextmanager
    def borrow(self, kind: str = "d12", *, count: int = 1) -> Iterator[list[LabHost]]:
        """Boot hosts and stop them at the end of the block."""
        hosts = self.boot(kind, count=count)
        try:
            yield hosts
        finally:
            for host in hosts:
                host.stop()
                self.hosts.remove(host)

    def inventory(self, *, user: str = "ops") -> str:
        """Write the running hosts as a native inventory, ready for `sshd-keepalive -i`."""
        lines = [
            "defaults:",
            f"  user: {user}",
            f"  identity_file: {self.identity_file}",
            f"  known_hosts: {self.known_hosts}",
            f"  become: {'none' if user == 'root' else 'sudo'}",
            "hosts:",
        ]
        for host in (host for host in self.hosts if host.is_running):
            become = recipe_of(host.kind).become
            is_default = user == "root" or become == "sudo"
            lines.append(
                f"  {host.name}: " + (host.address if is_default else f"{{address: {host.address}, become: {become}}}")
            )
        return "\n".join(lines) + "\n"

    def _make_host(self, kind: str) -> LabHost:
        assert self._network is not None
        number = next(self._numbers)
        # nspawn makes "vb-NAME" the interface's name, and 15 characters are all it may have: two kinds stay apart.
        name = f"{kind}-{self.bridge.removeprefix('lab')}{number:03d}"
        base = self.folder / name
        files, upper, work = base, base.with_suffix(".upper"), base.with_suffix(".work")
        for folder in (files, upper, work):
            folder.mkdir()
        layers = f"lowerdir={root_path(kind)},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(files)], check=True)
        (files / "etc/hostname").write_text(f"{name}\n")
        (files / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost\n")
        (files / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
        return LabHost(name, kind, str(self._network[256 + number]), files, self)

    def _make_bridge(self) -> None:
        """Take the first free number: the creation of an interface is what makes it ours."""
        for number in range(100):
            self.bridge, self._network = f"lab{number}", ipaddress.IPv4Network(f"10.{100 + number}.0.0/16")
            made = subprocess.run(["ip", "link", "add", self.bridge, "type", "bridge"], capture_output=True, text=True)
            if made.returncode == 0:
                break
            if "File exists" not in made.stderr:
                raise LabUnavailable(f"no bridge could be made: {made.stderr.strip()}")
        for address in (self.controller_address, self.probe_address):
            subprocess.run(["ip", "addr", "add", f"{address}/16", "dev", self.bridge], check=True)
        subprocess.run(["ip", "link", "set", self.bridge, "up"], check=True)


def unavailable(kinds: Iterable[str] = (*RECIPES, *LAYOUTS)) -> str | None:
    """Say why there can be no lab with hosts of these kinds in this process, None if there can."""
    if reason := namespaces.missing():
        return reason
    if not namespaces.inside():
        return "not in a network of its own: `make test-lab`, or `python -m tests.lab run COMMAND`"
    try:
        absent = [kind for kind in kinds if not root_path(kind).exists()]
    except LabUnavailable as error:
        return str(error)
    return (
        f"root filesystems not built: {', '.join(absent)}: run `python -m tests.lab build` as root" if absent else None
    )
