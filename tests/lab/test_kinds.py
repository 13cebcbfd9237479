"""The main job on hosts laid out as other systems are; what is emulated, and how, stands in tests/lab/kinds.

`make hosts` runs everything on every kind and writes the table of docs/reference/hosts.md.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.cli import Ran, keepalive

from .daemons import DAEMONS
from .hosts import Lab, LabHost
from .recipes import LAYOUTS, RECIPES, recipe_of

Boot = Callable[..., list[LabHost]]
ALL = bool(os.environ.get("KEEPALIVE_WRITE_HOSTS"))
KINDS = (*RECIPES, *LAYOUTS) if ALL else tuple(LAYOUTS)
full = pytest.mark.skipif(not ALL, reason="make hosts")

CONFIG = "/etc/ssh/sshd_config"
VENDOR = "/usr/etc/ssh/sshd_config"
#: Where a new value may stand.
NEW = "/etc/ssh/sshd_config /etc/ssh/sshd_config.d/00-sshd-keepalive.conf"
#: Kind → the file that is written, where it is not the main file.
DECIDES = {"suse": "/etc/ssh/sshd_config.d/00-sshd-keepalive.conf"}
#: Kinds whose files only root may read.
UNREADABLE = ("rhel", "el7", "suse", "ubuntu")

#: Kind → shell text that succeeds where the host is what its recipe says.
CLAIMS = {
    "rhel": """
        ! ls -d /etc/debian_version /usr/bin/apt* /usr/bin/dpkg /etc/default/ssh /etc/init.d/ssh
        systemctl is-active sshd.service && ! systemctl cat ssh.service
        ! grep ExecStartPre /usr/lib/systemd/system/sshd.service
        [ "$(stat -c %a /etc/ssh/sshd_config /etc/ssh/sshd_config.d | tr '\\n' ' ')" = '600 700 ' ]
        grep -qx 'Include /etc/ssh/sshd_config.d/\\*.conf' /etc/ssh/sshd_config
        sshd -T | grep -qx 'requiredrsasize 2048'
        tr '\\0' ' ' </proc/$(cat /run/sshd.pid)/cmdline | grep -q oCiphers=aes256""",
    "el7": """
        systemctl is-active sshd.service && ! grep -i include /etc/ssh/sshd_config
        systemctl show --property=EnvironmentFiles sshd.service | grep -q '^EnvironmentFile=/etc/sysconfig/sshd (ignore'
        ! systemctl show --property=MainPID --value sshd.service && ! journalctl --sync
        su pwd -c 'sudo -n true </dev/null' 2>&1 | grep -q tty && su ops -c 'sudo -n true </dev/null'""",
    "suse": """
        systemctl is-active sshd.service && ! [ -e /etc/ssh/sshd_config ] && ! sshd -T -f /etc/ssh/sshd_config
        sshd -T | grep -qx 'ciphers aes256-gcm@openssh.com,aes256-ctr'
        echo 'Ciphers aes256-ctr' >/etc/ssh/sshd_config.d/x.conf && sshd -T | grep -qx 'ciphers aes256-ctr'
        echo 'PidFile none' >/etc/ssh/sshd_config && sshd -T | grep -qx 'pidfile none'
        rm /etc/ssh/sshd_config /etc/ssh/sshd_config.d/x.conf""",
    "alpine": """
        ls --help 2>&1 | grep -q BusyBox && sh --help 2>&1 | grep -q BusyBox && ! ls -q /
        ! command -v bash ss ip getconf sudo dpkg && [ "$(su ops -c 'doas id -u')" = 0 ]
        rc-service sshd status && ! rc-service -e ssh""",
    "ubuntu": """
        systemctl is-active ssh.socket && ls --version | grep -q ^ls.0 && sudo --version 2>&1 | grep -q sudo-rs
        echo 'Port 2222' >/etc/ssh/sshd_config.d/port.conf && systemctl daemon-reload
        systemctl show --property=Listen ssh.socket | grep -q 0.0.0.0:2222
        rm /etc/ssh/sshd_config.d/port.conf && systemctl daemon-reload""",
    "sid": """
        sshd -V 2>&1 | grep -qE 'OpenSSH_(1[1-9]|10\\.([6-9]|[1-9][0-9]))'
        sshd -T | grep -q ^ClientAliveInterval""",
}

#: Kind → how the page calls it.
NAMES = {
    "d11": "Debian 11",
    "d12": "Debian 12",
    "d13": "Debian 13",
    "sysv": "Debian 12, System V init",
    "openrc": "Debian 12, OpenRC",
    "socket": "Debian 13, ssh.socket",
    "rhel": "RHEL 9 and 10 layout",
    "el7": "EL 7, EulerOS layout",
    "suse": "SLES 16, Tumbleweed layout",
    "alpine": "Alpine layout",
    "ubuntu": "Ubuntu 25.10 layout",
    "sid": "Debian unstable's OpenSSH",
}
PAGE = Path(__file__).parents[2] / "docs/reference/hosts.md"
BEGIN, END = "<!-- found by tests/lab/test_kinds.py -->", "<!-- end -->"


@dataclass(slots=True)
class Table:
    """What was found: (kind, what was done) → one or two words."""

    cells: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, kind: str, column: str, result: str) -> None:
        self.cells[kind, column] = result

    def write(self, versions: dict[str, str]) -> None:
        """Replace the rows of the kinds that were tried; a cell whose test failed is empty."""
        before, _, rest = PAGE.read_text().partition(BEGIN)
        known = {line.split(" | ")[0]: line for line in rest.partition(END)[0].splitlines()}
        columns = list(dict.fromkeys(column for _, column in self.cells))
        lines = [f"| host | OpenSSH | {' | '.join(columns)} |", "|---|---|" + "---|" * len(columns)]
        for kind, name in NAMES.items():
            cells = [self.cells.get((kind, column), "") for column in columns]
            if kind in versions:
                lines.append(f"| {name} | {versions[kind]} | {' | '.join(cells)} |")
            elif old := known.get(f"| {name}"):
                lines.append(old)
        PAGE.write_text("\n".join([before + BEGIN, "", *lines, "", END + rest.partition(END)[2]]))


@pytest.fixture(scope="module")
def versions() -> dict[str, str]:
    return {}


@pytest.fixture(scope="module")
def table(versions: dict[str, str]) -> Iterator[Table]:
    found = Table()
    yield found
    if ALL:
        found.write(versions)


def login(lab: Lab, host: LabHost, command: str) -> subprocess.Popen[str]:
    """A session of `ops` that lasts."""
    options = ["BatchMode=yes", f"UserKnownHostsFile={lab.known_hosts}", "IdentitiesOnly=yes"]
    words = [word for option in options for word in ("-o", option)]
    argv = ["ssh", "-F", "none", *words, "-i", str(lab.identity_file), f"ops@{host.address}", command]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@dataclass(slots=True)
class Case:
    """A host of one kind and the program aimed at it."""

    host: LabHost
    folder: Path
    inventory: str
    stock: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def __call__(self, *words: str, inventory: str = "") -> Ran:
        path = self.folder / "hosts.yaml"
        path.write_text(inventory or self.inventory)
        return keepalive(*words, "-i", path, "--limit", self.host.name, "--format", "json")

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Mode and content of all that sshd may read, by path."""
        tops = [self.host.files / "etc/ssh", self.host.files / "usr/etc/ssh"]
        paths = sorted(path for top in tops for path in top.rglob("*") if path.is_file())
        return {
            f"/{path.relative_to(self.host.files)}": (path.stat().st_mode & 0o7777, path.read_bytes()) for path in paths
        }

    def changed(self) -> set[str]:
        """The files that differ from the stock ones, in bytes or mode, the created and removed ones among them."""
        now = self.files()
        return {path for path in now.keys() | self.stock.keys() if now.get(path) != self.stock.get(path)}

    def daemon(self) -> str:
        """Who listens, and since when."""
        return self.host.run("cat /run/sshd.pid; cut -d ' ' -f 22 /proc/$(cat /run/sshd.pid)/stat").stdout

    def values(self) -> tuple[str, str]:
        values = self.host.sshd_values()
        return values["clientaliveinterval"], values["clientalivecountmax"]

    def settled(self) -> None:
        """Nothing of a run is pending any more."""
        self.host.wait_until(f"! [ -e {self('check').host()['facts']['state']}/lock ]", "the guard to be done")

    def runs_the_old_files(self) -> None:
        """One sshd listens, it has read the files that were put back, and the service manager replaces it."""
        found = self("check")
        wrong = [finding["setting"] for finding in found.host()["findings"] if finding["state"] != "ok"]
        assert (found.status, wrong) == (1, ["ClientAliveInterval"]), found.stdout
        (before,) = self.host.run(DAEMONS).stdout.splitlines()
        self.host.restart_sshd()
        (after,) = self.host.run(DAEMONS).stdout.splitlines()
        assert after != before

    @contextmanager
    def before_each_start(self, script: str, otherwise: str) -> Iterator[None]:
        """Let shell text come before every start of sshd; where it fails, systemd gives up, others start sshd so."""
        host = self.host
        if recipe_of(host.kind).init == "systemd":
            unit = "sshd.service" if host.kind in ("rhel", "el7", "suse") else "ssh.service"
            (host.files / "script").write_text(script)
            place, text = f"/etc/systemd/system/{unit}.d", "[Service]\\nExecStartPre=/bin/sh /script\\n"
            host.run(f"mkdir -p {place}; printf '{text}' >{place}/test.conf; systemctl daemon-reload")
            undo = f"rm -r {place} /script; systemctl daemon-reload"
        else:
            path, variable = ("etc/default/ssh", "SSHD_OPTS")
            if host.kind == "alpine":
                path, variable = ("etc/conf.d/sshd", "command_args")
            (host.files / path).write_text(f"( {script} ) || {variable}='{otherwise}'\n")
            undo = f": >/{path}"
        try:
            yield
        finally:
            host.run(undo)


@pytest.fixture(scope="module", params=KINDS)
def case(
    lab: Lab, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, versions: dict[str, str]
) -> Iterator[Case]:
    with lab.borrow(request.param) as (host,):
        made = Case(host, tmp_path_factory.mktemp(host.kind), lab.inventory())
        made.stock = made.files()
        versions[host.kind] = host.run("sshd -V 2>&1 | sed -n 's/.*OpenSSH_\\([^ ,]*\\).*/\\1/p'").stdout.strip()
        yield made


@pytest.fixture(autouse=True)
def fresh(request: pytest.FixtureRequest) -> None:
    """What a test that failed has left on the host is not for the next one."""
    if "case" in request.fixturenames:
        case: Case = request.getfixturevalue("case")
        if case.changed():
            case.host.reset()


def test_host_is_what_its_kind_says(case: Case) -> None:
    for claim in CLAIMS.get(case.host.kind, "true").strip().splitlines():
        case.host.run(f"set -x; {claim.strip()}")


def test_the_main_job(case: Case, table: Table) -> None:
    """check, plan, apply, apply, why, undo: one file changes, by what the plan showed, and comes back byte for byte."""
    kind = case.host.kind
    decides = DECIDES.get(kind, CONFIG)
    assert (case("check").status, case("check").host()["state"]) == (1, "drift")
    table.add(kind, "check", "drift")

    planned = case("plan")
    assert planned.status == 1
    assert f"+++ {decides}\n" in planned.host()["diff"]
    assert case.changed() == set()
    table.add(kind, "plan", "drift")

    before = case.daemon()
    applied = case("apply", "--yes")
    assert (applied.status, applied.host()["change"], applied.host()["state"]) == (0, "applied", "ok"), applied.stdout
    assert applied.host()["diff"] == planned.host()["diff"]
    assert case.values() == ("300", "3")
    assert case.changed() == {decides}
    assert case.files()[decides][0] == case.stock[VENDOR if kind == "suse" else decides][0]
    assert case.daemon() != before
    table.add(kind, "apply", "applied")

    before = case.daemon()
    inode = (case.host.files / decides.lstrip("/")).stat()
    again = case("apply", "--yes")
    assert (again.status, again.host()["change"]) == (0, "unchanged")
    assert (case.daemon(), (case.host.files / decides.lstrip("/")).stat()) == (before, inode)
    table.add(kind, "apply again", "unchanged")

    why = case("why", case.host.name)
    assert why.status == 0
    assert decides in why.stdout
    table.add(kind, "why", "shown")

    undone = case("undo", "--yes")
    assert (undone.status, undone.host()["change"]) == (0, "applied"), undone.stdout
    assert case.changed() == set()
    assert case.values() == ("0", "3")
    table.add(kind, "undo", "applied")


def test_a_drop_in_or_what_comes_closest(case: Case, table: Table) -> None:
    kind = case.host.kind
    applied = case("apply", "--yes", inventory=case.inventory + "policy: {strategy: drop-in}\n")
    assert (applied.status, applied.host()["change"]) == (0, "applied"), applied.stdout
    made = case.changed()
    assert made == ({CONFIG} if kind == "el7" else {"/etc/ssh/sshd_config.d/00-sshd-keepalive.conf"})
    assert case.values() == ("300", "3")
    assert case("undo", "--yes").host()["change"] == "applied"
    assert case.changed() == set()
    table.add(kind, "drop-in", "edited in place" if kind == "el7" else "applied")


def test_a_restart_that_fails_is_rolled_back(case: Case, table: Table) -> None:
    with case.before_each_start(f"! grep -q -s -F 'ClientAliveInterval 300' {NEW}", "-o Nonsense=1"):
        ran = case("apply", "--yes")
        assert (ran.status, ran.host()["change"]) == (4, "rolled_back"), ran.stdout
        assert case.changed() == set()
        case.runs_the_old_files()
    table.add(case.host.kind, "restart fails", "rolled back")


@full
def test_a_restart_that_hangs_is_rolled_back(case: Case, table: Table) -> None:
    """The start waits for as long as the new value stands in the file; it goes on when the old one is back."""
    hang = f"while grep -q -s -F 'ClientAliveInterval 300' {NEW}; do sleep 0.1; done"
    with case.before_each_start(hang, ""):
        ran = case("apply", "--yes")
        assert (ran.status, ran.host()["change"]) == (4, "rolled_back"), ran.stdout
        assert "still running after 20 s" in ran.host()["failure"]["message"]
        assert case.changed() == set()
        case.runs_the_old_files()
    table.add(case.host.kind, "restart hangs", "rolled back")


@full
def test_the_host_reverts_if_the_controller_dies_during_a_change(case: Case, table: Table) -> None:
    host = case.host
    for name in ("hold", "held"):
        (host.files / name).unlink(missing_ok=True)
    hold = "[ ! -e /hold ] || { : >/held; while [ -e /hold ]; do sleep 0.1; done; }"
    with case.before_each_start(hold, ""):
        (host.files / "hold").touch()
        path = case.folder / "hosts.yaml"
        path.write_text(case.inventory)
        words = ["apply", "--yes", "-i", str(path), "--limit", host.name]
        process = subprocess.Popen(
            [sys.executable, "-m", "sshd_keepalive", *words, "--confirm-timeout", "30"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        host.wait_until("[ -e /held ]", "the restart")
        process.kill()
        process.wait()
        assert case.changed() == {DECIDES.get(host.kind, CONFIG)}
        (host.files / "hold").unlink()
        host.wait_for_sshd()
        case.settled()
    assert case.changed() == set()
    case.runs_the_old_files()
    table.add(host.kind, "controller killed", "reverted")


@full
def test_a_reboot_before_the_confirmation_takes_it_back(case: Case, table: Table) -> None:
    host = case.host
    applied = case("apply", "--yes", "--no-confirm", "--confirm-timeout", "300")
    assert applied.host()["change"] == "applied", applied.stdout
    host.reboot()
    assert case.changed() == set()
    seen = case("check")
    assert seen.status == 1
    assert "before the change was confirmed" in seen.host()["reverted"]["reason"]
    assert case.values() == ("0", "3")
    table.add(host.kind, "reboot", "reverted")


def test_a_session_is_listed_once(case: Case, lab: Lab, table: Table) -> None:
    """The monitor of a session of ops is titled otherwise from OpenSSH 10.5 on."""
    job = login(lab, case.host, "echo here; sleep 1000")
    try:
        assert job.stdout is not None
        assert job.stdout.readline() == "here\n"
        seen = case("sessions", "--all")
        assert seen.host()["facts"]["sessions"] == "1", seen.stdout
    finally:
        job.kill()
        job.communicate()
    table.add(case.host.kind, "sessions", "shown")


@full
def test_a_probe_in_seconds(case: Case, table: Table) -> None:
    ran = case("probe", "--fast")
    assert ran.host()["failure"] is None, ran.stdout
    verdicts = {finding["setting"]: finding["state"] for finding in ran.host()["findings"]}
    assert [verdicts.get(trial) for trial in ("observed", "count 0", "dead client")] == ["ok"] * 3, ran.stdout
    table.add(case.host.kind, "probe --fast", "counted")


def test_other_limits(case: Case, table: Table) -> None:
    deep = case("check", "--deep")
    assert (deep.status, deep.host()["state"]) == (1, "drift"), deep.stdout
    assert "TCPKeepAlive" in {finding["setting"] for finding in deep.host()["findings"]}
    table.add(case.host.kind, "check --deep", "drift")


def test_an_account_without_root_gets_a_report_of_what_it_can_read(case: Case, table: Table) -> None:
    """OpenSSH 9.3 and newer answer anybody who may read the files; before, what is right cannot be confirmed."""
    kind = case.host.kind
    text = case.inventory.replace(", become: doas", ", become: none").replace("become: sudo", "become: none")
    ran = case("check", inventory=text)
    if kind in UNREADABLE:
        assert (ran.status, ran.host()["failure"]["cause"]) == (3, "unreadable-file"), ran.stdout
        table.add(kind, "check without root", "unknown")
        return
    verdicts = [finding["state"] for finding in ran.host()["findings"]]
    is_told = tuple(map(int, ran.host()["facts"]["openssh"].split("p")[0].split("."))) >= (9, 3)
    assert verdicts == ["drift", "ok" if is_told else "unknown"], ran.stdout
    table.add(kind, "check without root", "drift" if is_told else "in part")


# -------------------------------------------------------------------------------- hosts that mix kinds


@pytest.fixture
def one(boot: Boot, lab: Lab, tmp_path: Path) -> Callable[[str], Case]:
    """A fresh host of a kind, for one test."""

    def borrow(kind: str) -> Case:
        (host,) = boot(kind)
        case = Case(host, tmp_path, lab.inventory())
        case.stock = case.files()
        return case

    return borrow


def test_a_generator_that_fails_stops_a_change_before_it_begins(one: Callable[[str], Case]) -> None:
    """At a daemon-reload the socket has lost the address of IPv4; sshd, once restarted, would have lost it too."""
    case = one("ubuntu")
    generator = case.host.files / "usr/lib/systemd/system-generators/sshd-socket-generator"
    works = generator.read_text()
    generator.write_text("#!/bin/sh\nexit 1\n")
    case.host.run("systemctl daemon-reload")
    refused = case("apply", "--yes")
    assert (refused.status, refused.host()["change"]) == (3, "refused"), refused.stdout
    failure = refused.host()["failure"]
    assert failure["cause"] == "socket_ports"
    assert "ports of ssh.socket are 22, those of the sshd that accepted this login are 22 22" in failure["message"]
    assert case.changed() == set()
    generator.write_text(works)
    case.host.run(re.findall("run on the host: (.*)", refused.host()["failure"]["hint"])[0])
    assert case("apply", "--yes").host()["change"] == "applied"


def test_an_sshd_that_openrc_lost_is_replaced_by_one_that_it_supervises(one: Callable[[str], Case]) -> None:
    """OpenRC takes it for stopped: to restart it means to start it, and start-stop-daemon sees one that runs."""
    case = one("alpine")
    case.host.run("rc-service sshd zap")
    applied = case("apply", "--yes")
    assert (applied.status, applied.host()["change"]) == (0, "applied"), applied.stdout
    assert case("undo", "--yes").host()["change"] == "applied"
    case.runs_the_old_files()


PER_CONNECTION = "systemctl disable -q --now sshd.service; systemctl start sshd.socket"


@pytest.mark.parametrize(
    "options", ["-o ClientAliveInterval=15", "-o 'ClientAliveInterval 15'", "-oClientAliveInterval=15 -4"]
)
def test_options_of_a_process_per_connection_decide_and_are_not_overwritten(
    one: Callable[[str], Case], options: str
) -> None:
    """systemd 219 spells the key of environment files otherwise: the options were not seen, and `apply` was content."""
    case = one("el7")
    case.host.run(f'echo "OPTIONS=\\"{options}\\"" >>/etc/sysconfig/sshd; {PER_CONNECTION}')
    (interval, *_) = case("check").host()["findings"]
    assert (interval["value"], interval["state"], interval["place"]["path"]) == ("15", "drift", "<command line>")
    refused = case("apply", "--yes")
    assert (refused.status, refused.host()["change"]) == (3, "refused"), refused.stdout
    assert "ClientAliveInterval" in refused.host()["failure"]["message"]
    assert case.changed() == set()


@pytest.mark.parametrize(
    "script",
    [
        "cd /etc/systemd/system; mkdir sshd@.service.d; "
        "printf '[Service]\\nEnvironment=OPTIONS=-oClientAliveInterval=15\\n' >sshd@.service.d/x.conf",
        "cd /usr/lib/systemd/system; sed 's/-i/-i -oClientAliveInterval=15/' sshd@.service >ssh@.service",
        "rm /etc/sysconfig/sshd; mkdir /etc/sysconfig/sshd",
    ],
    ids=["a variable of the unit", "two templates", "an environment file that cannot be read"],
)
def test_options_that_cannot_be_determined_make_the_host_unknown(one: Callable[[str], Case], script: str) -> None:
    case = one("rhel")
    case.host.run(f"{script}; systemctl daemon-reload; {PER_CONNECTION}")
    ran = case("check")
    assert (ran.status, ran.host()["state"]) == (3, "unknown"), ran.stdout
    refused = case("apply", "--yes")
    assert (refused.status, refused.host()["change"]) == (3, "refused"), refused.stdout
    assert "service: {unit: " in refused.host()["failure"]["hint"]
    assert case.changed() == set()


def test_the_unit_that_runs_sshd_counts_whatever_its_name(one: Callable[[str], Case]) -> None:
    """A hand-made ssh.service on a host of the Red Hat family, first idle, then in the place of the vendor's."""
    case = one("rhel")
    case.host.run(
        "sed 's/^ExecStart=.*/ExecStart=\\/usr\\/sbin\\/sshd -D -p 2222/' /usr/lib/systemd/system/sshd.service "
        ">/etc/systemd/system/ssh.service; systemctl daemon-reload"
    )
    assert case("check").host()["facts"]["unit"] == "sshd.service"
    assert case("apply", "--yes").host()["change"] == "applied"
    assert case("undo", "--yes").host()["change"] == "applied"
    case.host.run("sed -i 's/ -p 2222//' /etc/systemd/system/ssh.service; systemctl daemon-reload")
    case.host.run("systemctl stop sshd.service; systemctl start ssh.service")
    assert case("check").host()["facts"]["unit"] == "ssh.service"
    assert case("apply", "--yes").host()["change"] == "applied"
    assert case.values() == ("300", "3")


def test_a_vendor_file_that_is_a_link_is_read_and_never_written(one: Callable[[str], Case]) -> None:
    case = one("suse")
    case.host.run(f"mv {VENDOR} /usr/share/sshd_config; ln -s ../../share/sshd_config {VENDOR}")
    case.host.restart_sshd()
    applied = case("apply", "--yes")
    assert applied.host()["change"] == "applied", applied.stdout
    assert case.host.run(f"readlink {VENDOR}; ls /etc/ssh/sshd_config.d").stdout.split() == [
        "../../share/sshd_config",
        "00-sshd-keepalive.conf",
    ]
    assert case.values() == ("300", "3")
    # An administrator's own main file hides the vendor's: from then on it is the one that counts.
    case.host.run(f"echo 'UsePAM yes' >{CONFIG}")
    case.host.restart_sshd()
    checked = case("check")
    assert checked.host()["failure"] is None, checked.stdout
    assert checked.host()["facts"]["sshd_config"] == CONFIG
    assert checked.host()["state"] == "drift"
