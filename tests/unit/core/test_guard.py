"""The guard's own script, run for real under every shell that a host may have as sh; sshd is a stand-in."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sshd_keepalive import registry, services
from sshd_keepalive.core import guard
from sshd_keepalive.core.guard import Answer, Change
from sshd_keepalive.core.quoting import quote
from sshd_keepalive.model import (
    COUNT_MAX,
    INTERVAL,
    Context,
    Host,
    NewContent,
    Plan,
    Prediction,
    RemoteFile,
    ServiceChoice,
    Snapshot,
)
from tests.support.shell import LocalShell, installed_shells, write_command

SHELLS = installed_shells()
OLD = b"# \xff not UTF-8\nClientAliveInterval 0\n"
NEW = b"# \xff not UTF-8\nClientAliveInterval 300\n"
#: Prints both settings of the file after -f, as sshd -T does; refuses a file with Nonsense in it.
SSHD = """
while [ $# -gt 0 ]; do case $1 in -f) file=$2 ;; esac; shift; done
if grep -q Nonsense "$file"; then echo "$file: line 1: Bad configuration option: Nonsense" >&2; exit 255; fi
echo "clientaliveinterval $(sed -n 's/^ClientAliveInterval //p' "$file")"
echo "clientalivecountmax 3"
echo "port 22"
"""


class Machine:
    """A directory that plays the host: a configuration, an sshd, and a service that can be told to fail."""

    def __init__(self, folder: Path, shell: str, name: str = "etc") -> None:
        self.folder = folder
        self.config = folder / name / "sshd_config"
        self.config.parent.mkdir(parents=True)
        self.config.write_bytes(OLD)
        self.state = folder / "state"
        self.fails = folder / "fails"
        sshd = write_command(folder / "bin", "sshd", SSHD)
        said = quote(str(folder / "restarts"))
        restart = (
            f"echo restarted >>{said}; ! grep -q 300 {quote(str(self.config))} || test ! -e {quote(str(self.fails))}"
        )
        self.service = ServiceChoice(manager="command", restart=restart, is_active="true")
        self.host = Host(name="local", address="127.0.0.1", sshd=str(sshd), service=self.service)
        self.shell = LocalShell(self.host, shell=shell, folder=folder)

    def change(
        self, *, run_id: str = "20260101T000000Z-aaaaaa", deadline_s: int = 60, rehearsed: bool = False
    ) -> Change:
        path = str(self.config)
        values = lambda interval: ((INTERVAL, interval), (COUNT_MAX, "3"))  # noqa: E731
        plan = Plan(
            host=self.host,
            contents=(NewContent(path=path, before=OLD, after=NEW),),
            predictions=(Prediction(context=Context(), before=values("0"), after=values("300")),),
            restart=True,
        )
        snapshot = Snapshot(
            host=self.host,
            taken_at=datetime.now(UTC),
            version="9.2p1",
            files=(RemoteFile(path=path, content=OLD),),
            globs=(),
            dumps=(),
            daemon=None,
            manager="command",
            unit="command",
            facts=(("state", str(self.state)), ("sshd_config", path)),
        )
        directory = f"{self.state}/{run_id}"
        fire, boot = guard.fire_command(directory), guard.boot_command(directory)
        functions = services.functions({"command": registry.load("services", "command")}, self.service)
        # No manager of this machine: the timer is a sleeping shell, and nothing of /etc is touched.
        functions += services.guard_functions({}, f"test-{run_id}", fire, boot, deadline_s)
        return Change(
            plan=plan,
            snapshot=snapshot,
            run_id=run_id,
            deadline_s=deadline_s,
            candidate=(("candidate.0", NEW),),
            functions=functions,
            rehearsed=rehearsed,
        )

    def tell(self, script: str) -> Answer:
        return guard.parse(self.shell.run(script, timeout_s=30).stdout)

    def make(self, change: Change) -> Answer:
        return self.tell(guard.change_script(change))

    def litter(self) -> list[str]:
        beside = [path.name for path in self.config.parent.iterdir() if path.name != "sshd_config"]
        locks = [path.name for path in self.state.iterdir() if path.name.startswith(("lock", "new", "claim"))]
        return beside + locks

    def wait(self, happened: Callable[[], bool]) -> None:
        end = time.monotonic() + 15
        while not happened():
            assert time.monotonic() < end
            time.sleep(0.02)


@pytest.fixture(params=SHELLS)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    return Machine(tmp_path, request.param)


def test_changed_and_confirmed(machine: Machine) -> None:
    change = machine.change(deadline_s=2)
    machine.config.chmod(0o640)
    answer = machine.make(change)
    assert answer.end == "changed", answer
    assert [step.name for step in answer.steps] == [
        "compare", "back_up", "stage", "validate", "arm", "install", "restart",
    ]  # fmt: skip
    assert (machine.config.read_bytes(), machine.config.stat().st_mode & 0o777) == (NEW, 0o640)
    assert machine.tell(guard.confirm_command(change.directory)).end == "applied"
    assert machine.litter() == []
    fired = Path(change.directory) / "fired.log"
    machine.wait(fired.exists)
    time.sleep(0.2)
    assert machine.config.read_bytes() == NEW
    assert (machine.folder / "restarts").read_text() == "restarted\n"


def test_not_confirmed_comes_back_by_itself(machine: Machine) -> None:
    change = machine.change(deadline_s=1)
    machine.config.chmod(0o640)
    assert machine.make(change).end == "changed"
    machine.wait(lambda: machine.litter() == [])
    assert (machine.config.read_bytes(), machine.config.stat().st_mode & 0o777) == (OLD, 0o640)
    assert (machine.folder / "restarts").read_text() == "restarted\n" * 2
    assert "not confirmed within 1 s" in (machine.state / "taken_back").read_text()
    late = machine.tell(guard.confirm_command(change.directory))
    assert (late.end, late.steps[-1].ok) == ("rolled_back", False)


def test_a_power_cut_that_lost_the_note_still_finds_the_new_file(machine: Machine) -> None:
    """A rename may reach the disk while the note of it, on another file system, does not."""
    change = machine.change()
    assert machine.make(change).end == "changed"
    folder = Path(change.directory)
    (folder / "touched").unlink()
    (folder / "boot").write_text("another-boot\n")
    machine.tell(guard.boot_command(change.directory))
    assert (machine.config.read_bytes(), machine.litter()) == (OLD, [])


def test_a_run_that_is_never_carried_on_leaves_nothing(machine: Machine) -> None:
    """The controller died during the rehearsal."""
    change = machine.change(deadline_s=1, rehearsed=True)
    assert machine.make(change).end == "ready"
    assert machine.config.read_bytes() == OLD
    machine.wait(lambda: not Path(change.directory).exists())
    assert machine.litter() == []
    assert machine.tell(guard.restore_command(change.directory)).end == "refused"


def test_second_half_after_the_time_was_up_changes_nothing(machine: Machine) -> None:
    change = machine.change(deadline_s=1, rehearsed=True)
    machine.make(change)
    machine.wait(lambda: not Path(change.directory).exists())
    late = machine.tell(guard.go_command(change.directory))
    assert (late.end, late.cause) == ("refused", "fired")
    assert machine.config.read_bytes() == OLD


def test_a_restart_that_fails_is_taken_back_at_once(machine: Machine) -> None:
    machine.fails.touch()
    change = machine.change()
    answer = machine.make(change)
    assert (answer.end, answer.kind, answer.steps[-1].name) == ("rolled_back", "restart", "restore")
    assert machine.config.read_bytes() == OLD
    assert machine.litter() == []
    assert machine.tell(guard.restore_command(change.directory)).end == "rolled_back"  # again: as it is


def test_one_at_a_time(machine: Machine) -> None:
    first = machine.change()
    assert machine.make(first).end == "changed"
    second = machine.make(machine.change(run_id="20260101T000001Z-bbbbbb"))
    assert (second.end, second.kind) == ("refused", "locked")
    assert first.run_id in second.reason
    assert machine.tell(guard.restore_command(first.directory)).end == "rolled_back"
    assert machine.litter() == []


def test_a_run_whose_machine_was_started_anew_is_undone_by_the_next(machine: Machine) -> None:
    first = machine.change()
    assert machine.make(first).end == "changed"
    machine.shell.run(f"kill -- -$(cat {first.directory}/sleeper)", timeout_s=5)
    lock = machine.state / "lock"
    words = lock.read_text().split()
    lock.write_text(f"{words[0]} {words[1]} another-boot {words[3]} {words[4]}\n")
    second = machine.make(machine.change(run_id="20260101T000001Z-bbbbbb"))
    assert second.end == "changed", second
    assert (Path(first.directory) / "decided/how").read_text() == "rolled_back\n"
    assert machine.config.read_bytes() == NEW
    machine.tell(guard.restore_command(f"{machine.state}/20260101T000001Z-bbbbbb"))


def test_nobody_listens_any_more(machine: Machine, tmp_path: Path) -> None:
    """The login dies: the script meets a closed pipe, takes everything back at once and waits for no timer."""
    change = machine.change()
    restart = replace(machine.service, restart=f"sleep 0.5; {machine.service.restart}")
    functions = services.functions({"command": registry.load("services", "command")}, restart)
    change = replace(
        change, functions=functions + change.functions.partition("detect_init")[2].join(["detect_init", ""])
    )
    script = tmp_path / "script"
    script.write_bytes(guard.change_script(change).encode("utf-8", "surrogateescape"))
    argv = [*machine.shell._argv[:-1], str(script)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=machine.shell._environment)
    assert process.stdout is not None
    machine.wait(lambda: machine.config.read_bytes() == NEW)
    process.stdout.close()
    process.wait(20)
    assert machine.config.read_bytes() == OLD
    assert machine.litter() == []


@pytest.mark.parametrize("trouble", ["edited", "hard link", "present file broken", "new file broken"])
def test_refused_with_nothing_left(machine: Machine, trouble: str) -> None:
    change = machine.change()
    wanted = {
        "edited": "changed_meanwhile",
        "hard link": "validate",
        "present file broken": "config_broken",
        "new file broken": "validate",
    }
    if trouble == "edited":
        machine.config.write_bytes(OLD + b"# somebody else\n")
    elif trouble == "hard link":
        (machine.folder / "other").hardlink_to(machine.config)
    elif trouble == "present file broken":
        broken = OLD + b"Nonsense 1\n"
        machine.config.write_bytes(broken)
        content = replace(change.plan.contents[0], before=broken)
        change = replace(change, plan=replace(change.plan, contents=(content,)))
    else:
        change = replace(change, candidate=(("candidate.0", NEW + b"Nonsense 1\n"),))
    before = machine.config.read_bytes()
    answer = machine.make(change)
    assert (answer.end, answer.kind) == ("refused", wanted[trouble]), answer
    assert machine.config.read_bytes() == before
    assert machine.litter() == []
    assert not Path(change.directory).exists()


def test_an_edit_by_somebody_else_is_kept_when_the_old_bytes_come_back(machine: Machine) -> None:
    change = machine.change()
    assert machine.make(change).end == "changed"
    machine.config.write_bytes(b"# mine\n")
    assert machine.tell(guard.restore_command(change.directory)).end == "rolled_back"
    assert machine.config.read_bytes() == OLD
    assert (Path(change.directory) / "1.found").read_bytes() == b"# mine\n"


@pytest.mark.parametrize("name", ["it's", "a b", '"$(touch never)"', "`touch never`", "-f", "*", "new\nline", "Zoë"])
def test_hostile_paths_stay_one_word(tmp_path: Path, name: str) -> None:
    machine = Machine(tmp_path, SHELLS[0], name)
    change = machine.change()
    answer = machine.make(change)
    assert answer.end == "changed", answer
    assert machine.config.read_bytes() == NEW
    assert machine.tell(guard.restore_command(change.directory)).end == "rolled_back"
    assert machine.config.read_bytes() == OLD
    assert not list(tmp_path.rglob("never"))
    assert machine.litter() == []


def test_everything_is_private(machine: Machine) -> None:
    change = machine.change()
    machine.make(change)
    for path in machine.state.rglob("*"):
        if path.name != "1.before":  # which wears the owner and mode of the file
            assert path.stat().st_mode & 0o077 == 0, path
    assert machine.state.stat().st_mode & 0o777 == 0o700
    machine.tell(guard.restore_command(change.directory))


@pytest.mark.parametrize("path", sorted(Path(guard.__file__).with_name("scripts").glob("*.sh")), ids=lambda p: p.name)
def test_every_shell_reads_the_script(path: Path) -> None:
    for name in SHELLS:
        argv = {"busybox": ["busybox", "sh"]}.get(name, [name])
        done = subprocess.run([*argv, "-n", str(path)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), name
