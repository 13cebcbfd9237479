"""The walk up the process tree and the questions to process 1, over a made-up /proc, under every shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sshd_keepalive import registry, scripts
from sshd_keepalive.model import ServiceChoice
from tests.support.shell import LocalShell, installed_shells

LISTENER = "sshd: /usr/sbin/sshd -D [listener] 1 of 10-100 startups"


class Processes:
    """A directory in place of /proc; `$$` of a script is its process 40."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"

    def add(self, number: int, parent: int, comm: str, *words: str, ended: str = "\0") -> None:
        place = self.proc / str(number)
        place.mkdir(parents=True)
        (place / "status").write_text(f"Name:\t{comm}\nState:\tS (sleeping)\nPPid:\t{parent}\nUid:\t0\t0\t0\t0\n")
        (place / "cmdline").write_text("".join(word + ended for word in words))

    def run(self, script: str, shell: str = "dash", **variables: str) -> str:
        common = scripts.read_script("common").replace("/proc/", f"{self.proc}/").replace("walk=$$", "walk=40")
        given = "".join(f"{name}='{value}'\n" for name, value in variables.items())
        done = LocalShell(shell=shell).run(f"{common}\n{given}{script}", timeout_s=20)
        return done.stdout.decode().strip()


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(tmp_path)


@pytest.mark.parametrize("shell", installed_shells())
def test_the_walk_to_the_listener_reaches_process_1(processes: Processes, shell: str) -> None:
    processes.add(1, 0, "sshd", LISTENER, ended="")
    processes.add(20, 1, "sshd", "sshd: ops [priv]")
    processes.add(30, 20, "sshd", "sshd: ops@notty")
    processes.add(40, 30, "sh", "sh", "-s")
    found = processes.run('find_listener; echo "$pid: $command_line"', shell)
    assert found == f"1: {LISTENER}"


def test_this_program_is_not_the_listener_that_it_started(processes: Processes) -> None:
    processes.add(1, 0, "systemd", "/sbin/init")
    processes.add(10, 1, "sshd-keepalive", "python3", "sshd-keepalive", "demo", "--keep")
    processes.add(20, 10, "sshd", LISTENER, ended="")
    processes.add(30, 20, "sshd", "sshd: ops [priv]")
    processes.add(40, 30, "sh", "sh", "-s")
    assert processes.run('find_listener; echo "$pid: $command_line"') == f"20: {LISTENER}"


@pytest.mark.parametrize("shell", installed_shells())
@pytest.mark.parametrize(
    ("comm", "words", "name", "is_it"),
    [
        ("init", ("init [2]",), "init", True),
        ("init", ("/sbin/init", "splash"), "init", True),
        ("init", ("/bin/sh", "/init"), "init", False),  # a container's start script
        ("init", ("/usr/bin/bash", "/init", "sshd"), "init", False),
        ("systemd", ("/sbin/init",), "systemd", True),
        ("tini", ("/sbin/init",), "init", False),
        ("sshd", (LISTENER,), "init", False),
    ],
)
def test_process_1_is_recognised_by_what_it_is(
    processes: Processes, shell: str, comm: str, words: tuple[str, ...], name: str, is_it: bool
) -> None:
    processes.add(1, 0, comm, *words)
    assert processes.run(f"if is_init {name}; then echo yes; else echo no; fi", shell) == ("yes" if is_it else "no")


@pytest.mark.parametrize(
    ("comm", "words", "is_it"),
    [
        ("supervisord", ("/usr/bin/python3", "/usr/bin/supervisord", "-n"), True),
        ("python3", ("python3", "/usr/local/bin/supervisord", "-nc", "/etc/s.conf"), True),
        ("python3", ("python3", "/srv/not-supervisord"), False),
        ("sh", ("sh", "-c", "sshd"), False),
    ],
)
def test_a_supervisor_is_the_parent_of_the_listener(
    processes: Processes, comm: str, words: tuple[str, ...], is_it: bool
) -> None:
    processes.add(1, 0, "tini", "tini")
    processes.add(5, 1, comm, *words)
    processes.add(7, 5, "sshd", LISTENER)
    asked = 'if is_supervised_by supervisord; then echo "$parent"; else echo no; fi'
    assert processes.run(asked, pid="7") == ("5" if is_it else "no")
    assert processes.run(asked, pid="") == "no"


def asked_of_supervisorctl(processes: Processes) -> str:
    """The words that supervisorctl gets for a restart; where it is started comes first."""
    processes.add(40, 1, "sh", "sh", "-s")
    text = registry.load("services", "supervisord").restart(ServiceChoice(unit="sshd"))
    text = text.replace("/proc/", f"{processes.proc}/").replace("comm_of $$", "comm_of 40")
    return processes.run(f'supervisorctl() {{ echo "$(pwd -P): $*"; }}\nf() {{\n{text}\n}}\nf')


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-c", "/srv/s.conf"), "-c /srv/s.conf "),
        (("-nc", "/etc/s.conf"), "-c /etc/s.conf "),
        (("-c/etc/s.conf", "-n"), "-c /etc/s.conf "),
        (("-n", "--configuration=/etc/s.conf"), "-c /etc/s.conf "),
        (("--configuration", "s.conf"), "-c s.conf "),
        (("-n",), ""),
    ],
)
def test_supervisorctl_reads_the_file_that_supervisord_reads(
    processes: Processes, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    processes.add(3, 1, "supervisord", "python3", "/usr/bin/supervisord", *words)
    (processes.proc / "3/cwd").symlink_to(tmp_path)
    processes.add(4, 1, "vi", "vi", "/etc/supervisord.conf")
    assert asked_of_supervisorctl(processes) == f"{tmp_path.resolve()}: {told}restart sshd"


def test_a_supervisord_of_another_account_is_not_obeyed(processes: Processes, tmp_path: Path) -> None:
    """It could have root's supervisorctl read a file of its own."""
    processes.add(3, 1, "supervisord", "python3", "/usr/bin/supervisord", "-c", "/tmp/mine.conf")
    status = processes.proc / "3/status"
    status.write_text(status.read_text().replace("Uid:\t0", "Uid:\t1000"))
    assert asked_of_supervisorctl(processes) == "/: restart sshd"


# ---------------------------------------------------------------------------------------- init scripts

DEBIAN = "start-stop-daemon --pidfile /run/sshd.pid --exec /usr/sbin/sshd -- $SSHD_OPTS\n"
REDHAT = "PID_FILE=/var/run/sshd.pid\n$SSHD $OPTIONS\n"
OPENRC = 'pidfile="/run/$RC_SVCNAME.pid"\n'


@pytest.mark.parametrize("manager", ["sysv", "openrc"])
@pytest.mark.parametrize(
    ("script", "settings", "daemon", "pidfile", "named", "words", "cause"),
    [
        (DEBIAN, "", "", "/run/sshd.pid", "7", "", ""),
        (REDHAT, "", "", "/run/sshd.pid", "7", "", ""),
        (DEBIAN, "", "", "/var/run/sshd.pid", "7", "", ""),
        (OPENRC, "", "pidfile=/run/sshd.pid\n", "/run/sshd.pid", "7", "", ""),
        (
            DEBIAN,
            'SSHD_OPTS="-o ClientAliveInterval=77 -4"',
            "",
            "/run/sshd.pid",
            "7",
            "-o ClientAliveInterval=77 -4",
            "",
        ),
        (DEBIAN, "", "", "/run/sshd.pid", "9", "", "other_daemon"),
        (DEBIAN, "", "", "/run/second.pid", "7", "", "other_daemon"),
        (DEBIAN, "", "", "/run/sshd.pid", "7", "-f /etc/ssh2/sshd_config", "other_daemon"),
        (DEBIAN, "", "", "/run/sshd.pid", "7", "-p 2222", "other_daemon"),
        (DEBIAN, "", "", "/run/sshd.pi", "7", "", "other_daemon"),
        (DEBIAN, "", "", "none", "7", "", "no_pidfile"),
    ],
)
def test_an_init_script_must_prove_to_reach_the_sshd_that_let_us_in(
    tmp_path: Path,
    manager: str,
    script: str,
    settings: str,
    daemon: str,
    pidfile: str,
    named: str,
    words: str,
    cause: str,
) -> None:
    for path, text in {
        "etc/init.d/ssh": script,
        "etc/default/ssh": settings,
        "run/openrc/daemons/ssh/001": daemon,
        pidfile.removeprefix("/var").lstrip("/"): named,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    text = registry.load("services", manager).find_obstacle(ServiceChoice())
    here = text.replace("/etc/", f"{tmp_path}/etc/").replace(" /run/openrc", f" {tmp_path}/run/openrc")
    here = here.replace('$(cat "$pidfile"', f'$(cat "{tmp_path}/${{pidfile#/var}}"')
    given = f"unit=ssh pid=7 ACTION=restart\npidfile={pidfile}\nwords='{words}'\n"
    done = subprocess.run(
        ["dash", "-c", f'{given}f() {{\n{here}\n}}\nf; echo "$problem"'],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.stderr == ""
    assert done.stdout.rstrip().partition(" ")[0] == cause, done.stdout


@pytest.mark.parametrize("shell", installed_shells())
@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("-D -o ClientAliveInterval 15", "-o ClientAliveInterval=15"),
        ("-D -oClientAliveInterval 15 -4 -o Port=2222", "-oClientAliveInterval=15 -4 -o Port=2222"),
        ("-o AllowUsers a b -p 22", "-o AllowUsers a b -p 22"),  # which of them is one word nobody knows
        ("-D -o", "-o"),
    ],
)
def test_an_option_that_has_lost_its_quotes_is_one_word_again(
    processes: Processes, shell: str, title: str, words: str
) -> None:
    line = f"sshd: /usr/sbin/sshd {title} [listener] 0 of 10-100 startups"
    assert processes.run('daemon_words; echo "$words"', shell, pid="1", command_line=line) == words
