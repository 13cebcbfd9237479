"""The guard's own script, run for real under every shell that a host may have as sh; sshd is a stand-in."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sshd_keepalive import registry, services
from sshd_keepalive.model import (
    COUNT_MAX,
    INTERVAL,
    Context,
    Dump,
    Glob,
    Host,
    NewContent,
    Plan,
    Prediction,
    RemoteFile,
    ServiceChoice,
    Snapshot,
)
from sshd_keepalive.quoting import quote
from sshd_keepalive.scripts import guard, read_script
from sshd_keepalive.scripts.guard import Answer, Change
from tests.support import acl, shell_variables
from tests.support.shell import LocalShell, argv_of, installed_shells, write_command

pytestmark = pytest.mark.slow

SHELLS = installed_shells()
DEADLINE_S = 77
OLD = b"# \xff not UTF-8\nClientAliveInterval 0\n"
NEW = b"# \xff not UTF-8\nClientAliveInterval 300\n"
#: Prints both settings of the file after -f, as sshd -T does; refuses Nonsense in it or in more.d, which it includes.
SSHD = """
while [ $# -gt 0 ]; do case $1 in -f) file=$2 ;; esac; shift; done
echo "$file" >>"${0%/*}/asked"
for each in "$file" "${0%/*}/../more.d"/*.conf; do
    if grep -q Nonsense "$each"; then echo "$each: line 1: Bad configuration option: Nonsense" >&2; exit 255; fi
done
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
        self.more = folder / "more.d"
        self.state = folder / "state"
        self.fails = folder / "fails"
        sshd = write_command(folder / "bin", "sshd", SSHD)
        said = quote(str(folder / "restarts"))
        restart = (
            f"echo restarted >>{said}; ! grep -q 300 {quote(str(self.config))} || test ! -e {quote(str(self.fails))}"
        )
        self.service = ServiceChoice(manager="command", restart=restart, is_active="true")
        self.host = Host(name="local", address="127.0.0.1", sshd=str(sshd), service=self.service)
        self.fence = folder / "fence"
        # The timer sleeps until it is told that its time is up, and nothing else does.
        self.up = folder / "up"
        write_command(
            self.fence,
            "sleep",
            f'[ "$1" = {DEADLINE_S} ] || exec /bin/sleep "$@"\n'
            f"until [ -e {quote(str(self.up))} ]; do /bin/sleep 0.02; done",
        )
        self.name = shell
        self.shell = LocalShell(self.host, shell=shell, folder=folder, fence=self.fence)

    def change(
        self,
        *,
        run_id: str = "20260101T000000Z-aaaaaa",
        rehearsed: bool = False,
        more: tuple[NewContent, ...] = (),
    ) -> Change:
        path = str(self.config)
        included = [
            RemoteFile(
                path=str(file),
                content=file.read_bytes(),
                real_path=str(file.resolve()) if file.is_symlink() else None,
            )
            for file in sorted(self.more.glob("*.conf"))
        ]
        values = lambda interval: ((INTERVAL, interval), (COUNT_MAX, "3"))  # noqa: E731
        plan = Plan(
            host=self.host,
            contents=(NewContent(path=path, before=OLD, after=NEW), *more),
            predictions=(Prediction(context=Context(), before=values("0"), after=values("300")),),
            restart=True,
        )
        snapshot = Snapshot(
            host=self.host,
            taken_at=datetime.now(UTC),
            version="9.2p1",
            files=(RemoteFile(path=path, content=OLD), *included),
            globs=(Glob(pattern=f"{self.more}/*.conf", paths=tuple(file.path for file in included)),),
            dumps=(Dump(context=Context(), settings=(("hostkey", f"{self.folder}/key"),)),),
            daemon=None,
            manager="command",
            unit="command",
            state_dir=str(self.state),
            config_path=path,
        )
        directory = f"{self.state}/{run_id}"
        expire, boot = guard.build_timed_command(directory, "expire"), guard.build_timed_command(directory, "boot")
        functions = services.build_functions({"command": registry.load("services", "command")}, self.service)
        # No manager of this machine: the timer is a sleeping shell, and nothing of /etc is touched.
        functions += services.build_guard_functions({}, f"test-{run_id}", expire, boot, DEADLINE_S)
        return Change(
            plan=plan,
            snapshot=snapshot,
            run_id=run_id,
            deadline_s=DEADLINE_S,
            candidate=(("candidate.0", NEW),),
            functions=functions,
            rehearsed=rehearsed,
        )

    def tell(self, script: str) -> Answer:
        return guard.parse(self.shell.run(script, timeout_s=30).stdout)

    def make(self, change: Change) -> Answer:
        return self.tell(guard.build_change_script(change))

    def litter(self) -> list[str]:
        beside = [path.name for path in self.config.parent.iterdir() if path.name != "sshd_config"]
        locks = [path.name for path in self.state.iterdir() if path.name.startswith(("lock", "new", "claim"))]
        return beside + locks

    def end_guards(self) -> None:
        """What waits for its time to be up must not outlive the test."""
        for sleeper in self.state.glob("*/sleeper"):
            with suppress(ProcessLookupError, FileNotFoundError):
                os.killpg(int(sleeper.read_text().split()[0]), signal.SIGKILL)

    def wait(self, happened: Callable[[], bool]) -> None:
        end = time.monotonic() + 90
        while not happened():
            assert time.monotonic() < end
            time.sleep(0.02)


@pytest.fixture(params=SHELLS)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path, request.param)
    yield machine
    machine.end_guards()
    machine.up.touch()


def test_changed_and_confirmed(machine: Machine) -> None:
    change = machine.change()
    machine.config.chmod(0o640)
    answer = machine.make(change)
    assert answer.end == "changed", answer
    assert [step.name for step in answer.steps] == [
        "back_up", "compare", "stage", "validate", "arm", "install", "restart",
    ]  # fmt: skip
    assert (machine.config.read_bytes(), machine.config.stat().st_mode & 0o777) == (NEW, 0o640)
    sleeper = (Path(change.directory) / "sleeper").read_text().split()[0]
    assert machine.tell(guard.build_confirm_command(change.directory)).end == "applied"
    assert machine.litter() == []
    machine.up.touch()
    machine.wait(lambda: not Path(f"/proc/{sleeper}").exists())
    assert (Path(change.directory) / "expire.log").exists()
    assert machine.config.read_bytes() == NEW
    assert (machine.folder / "restarts").read_text() == "restarted\n"


MEANWHILE: dict[str, Callable[[Path], object]] = {
    "nothing": lambda _: None,
    "edited": lambda file: file.write_text("Nonsense 1\n"),
    "edited and dated back": lambda file: (file.write_text("Nonsense 1\n"), os.utime(file, (0, 0))),
    "created": lambda file: file.with_name("20.conf").write_text("Nonsense 1\n"),
    "created and dated back": lambda file: (MEANWHILE["created"](file), os.utime(file.parent, (0, 0))),
    "replaced by one that leads elsewhere": lambda file: (
        file.with_name("new").symlink_to("../nonsense"),
        file.with_name("new").rename(file),
    ),
    "link retargeted": lambda file: (file.parent.parent / "nonsense").replace(file.parent.parent / "target"),
    "directory replaced": lambda file: (
        file.parent.rename(file.parent.with_name("old.d")),
        file.parent.with_name("other.d").rename(file.parent),
    ),
    "a directory behind another name": lambda file: (
        file.parent.with_name("new").symlink_to("other.d"),
        file.parent.with_name("new").replace(file.parent),
    ),
    "host key replaced": lambda file: (
        (file.parent.parent / "new").write_text("a key of the same length"),
        (file.parent.parent / "new").replace(file.parent.parent / "key"),
    ),
    "host key gone": lambda file: (file.parent.parent / "key").unlink(),
}


@pytest.mark.parametrize("meanwhile", MEANWHILE)
def test_what_sshd_has_read_already_is_asked_again_only_when_it_changed(machine: Machine, meanwhile: str) -> None:
    """Between the check of the new files and their installation lies a login."""
    folder = machine.folder
    (folder / "other.d").mkdir()
    (folder / "other.d/10.conf").write_text("Nonsense 1\n")
    (folder / "nonsense").write_text("Nonsense 1\n")
    (folder / "target").write_text("Banner none\n")
    (folder / "key").write_text("a key of the same length")
    if "behind" in meanwhile:
        (folder / "v1").mkdir()
        machine.more.symlink_to("v1")
    else:
        machine.more.mkdir()
    (machine.more / "10.conf").write_text("PermitTTY yes\n")
    if "link" in meanwhile:
        (machine.more / "15.conf").symlink_to("../target")
    change = machine.change(rehearsed=True)
    assert machine.make(change).end == "ready"
    asked = folder / "bin/asked"
    asked.unlink()
    MEANWHILE[meanwhile](machine.more / "10.conf")
    answer = machine.tell(guard.build_install_command(change.directory))
    if meanwhile == "nothing":
        # busybox's stat tells whole seconds, and so too little.
        is_asked = machine.name == "busybox"
        assert (answer.end, machine.config.read_bytes(), asked.exists()) == ("changed", NEW, is_asked)
        machine.tell(guard.build_revert_command(change.directory))
    elif "key" in meanwhile:  # which the stand-in does not read
        assert (answer.end, asked.exists()) == ("changed", True)
        machine.tell(guard.build_revert_command(change.directory))
    else:
        assert (answer.end, answer.kind) == ("rolled_back", "validate"), answer
        assert machine.config.read_bytes() == OLD


def test_not_confirmed_comes_back_by_itself(machine: Machine) -> None:
    change = machine.change()
    machine.config.chmod(0o640)
    assert machine.make(change).end == "changed"
    machine.up.touch()
    machine.wait(lambda: machine.litter() == [])
    assert (machine.config.read_bytes(), machine.config.stat().st_mode & 0o777) == (OLD, 0o640)
    assert (machine.folder / "restarts").read_text() == "restarted\n" * 2
    assert f"not confirmed within {DEADLINE_S} s" in (machine.state / "taken_back").read_text()
    late = machine.tell(guard.build_confirm_command(change.directory))
    assert (late.end, late.steps[-1].ok) == ("rolled_back", False)


def test_a_power_cut_that_lost_the_note_still_finds_the_new_file(machine: Machine) -> None:
    """A rename may reach the disk while the note of it, on another file system, does not."""
    change = machine.change()
    assert machine.make(change).end == "changed"
    folder = Path(change.directory)
    (folder / "installing").unlink()
    (folder / "boot").write_text("another-boot\n")
    machine.tell(guard.build_timed_command(change.directory, "boot"))
    assert (machine.config.read_bytes(), machine.litter()) == (OLD, [])


def test_a_run_that_is_never_carried_on_leaves_nothing(machine: Machine) -> None:
    """The controller died during the rehearsal."""
    change = machine.change(rehearsed=True)
    assert machine.make(change).end == "ready"
    assert machine.config.read_bytes() == OLD
    machine.up.touch()
    machine.wait(lambda: not Path(change.directory).exists())
    assert machine.litter() == []
    assert machine.tell(guard.build_revert_command(change.directory)).end == "refused"


def test_second_half_after_the_time_was_up_changes_nothing(machine: Machine) -> None:
    change = machine.change(rehearsed=True)
    machine.make(change)
    machine.up.touch()
    machine.wait(lambda: not Path(change.directory).exists())
    late = machine.tell(guard.build_install_command(change.directory))
    assert (late.end, late.cause) == ("refused", "expired")
    assert machine.config.read_bytes() == OLD


def test_second_half_that_begins_while_the_run_is_removed_changes_nothing(machine: Machine) -> None:
    """Files go one by one: the decision may have gone when the new content is still there."""
    change = machine.change(rehearsed=True)
    machine.make(change)
    removing, removed = machine.folder / "removing", machine.folder / "removed"
    write_command(
        machine.fence,
        "rm",
        f'if [ "$*" = "-rf {change.directory}" ] && [ ! -e {removing} ]; then\n'
        f'/bin/rm -rf "$2/decided"; : >{removing}; until [ -e {removed} ]; do /bin/sleep 0.02; done\nfi\n'
        'exec /bin/rm "$@"',
    )
    machine.up.touch()
    machine.wait(removing.exists)
    inode = machine.config.stat().st_ino
    late = machine.tell(guard.build_install_command(change.directory))
    removed.touch()
    assert (late.end, late.cause) == ("refused", "expired"), late
    assert (machine.config.read_bytes(), machine.config.stat().st_ino) == (OLD, inode)
    machine.wait(lambda: not Path(change.directory).exists())
    assert machine.litter() == []


def test_a_restart_that_fails_is_taken_back_at_once(machine: Machine) -> None:
    machine.fails.touch()
    change = machine.change()
    answer = machine.make(change)
    assert (answer.end, answer.kind, answer.steps[-1].name) == ("rolled_back", "restart", "revert")
    assert machine.config.read_bytes() == OLD
    assert machine.litter() == []
    assert machine.tell(guard.build_revert_command(change.directory)).end == "rolled_back"  # again: as it is


def test_a_timer_of_a_run_that_was_reverted_touches_nothing(machine: Machine) -> None:
    """It may have begun just before it was cancelled; the files may be those of a later run."""
    machine.fails.touch()
    first = machine.change()
    assert machine.make(first).end == "rolled_back"
    machine.fails.unlink()
    second = machine.change(run_id="20260101T000001Z-bbbbbb")
    assert machine.make(second).end == "changed"
    assert machine.tell(guard.build_confirm_command(second.directory)).end == "applied"
    restarts = (machine.folder / "restarts").read_text()
    machine.tell(guard.build_timed_command(first.directory, "expire"))
    assert (machine.config.read_bytes(), (machine.folder / "restarts").read_text()) == (NEW, restarts)


def with_restart(machine: Machine, restart: str) -> Change:
    """A change whose service is restarted by something else."""
    change = machine.change()
    service = replace(machine.service, restart=restart)
    functions = services.build_functions({"command": registry.load("services", "command")}, service)
    return replace(change, functions=functions + "detect_init" + change.functions.partition("detect_init")[2])


def test_a_manager_that_does_not_come_to_an_end_is_waited_for_in_vain(machine: Machine) -> None:
    write_command(machine.fence, "sleep", '[ "$1" != 20 ] || exec /bin/sleep 2; exec /bin/sleep "$@"')
    waits = f"until [ -e {quote(str(machine.up))} ]; do /bin/sleep 0.02; done"
    hangs = f"if grep -q 300 {quote(str(machine.config))}; then {waits}; else {machine.service.restart}; fi"
    answer = machine.make(with_restart(machine, hangs))
    assert (answer.end, answer.kind) == ("rolled_back", "restart"), answer
    assert answer.reason.endswith("failed to restart sshd (still running after 20 s)"), "its log is empty"
    assert machine.config.read_bytes() == OLD


@pytest.mark.parametrize(("end", "code"), [("exit 0", ""), ("exit 3", "3"), ("kill -KILL $job_shell", "137")])
def test_a_restart_command_may_end_its_shell(machine: Machine, end: str, code: str) -> None:
    """What the inventory gives as a command is anybody's text; it is heard of at once, or when the time is up."""
    time_s = 5 if code == "137" else 600  # longer than any test waits
    write_command(machine.fence, "sleep", f'[ "$1" != 20 ] || exec /bin/sleep {time_s}; exec /bin/sleep "$@"')
    end = end.replace("$job_shell", "$(sh -c 'echo $PPID')")
    fails = f"if grep -q 300 {quote(str(machine.config))}; then {end}; else {machine.service.restart}; fi"
    answer = machine.make(with_restart(machine, fails))
    if code:
        assert (answer.end, f"exit {code}" in answer.reason) == ("rolled_back", True), answer
    else:
        assert answer.end == "changed"
        machine.tell(guard.build_revert_command(f"{machine.state}/20260101T000000Z-aaaaaa"))


def test_one_at_a_time(machine: Machine) -> None:
    first = machine.change()
    assert machine.make(first).end == "changed"
    second = machine.make(machine.change(run_id="20260101T000001Z-bbbbbb"))
    assert (second.end, second.kind) == ("refused", "locked")
    assert first.run_id in second.reason
    assert machine.tell(guard.build_revert_command(first.directory)).end == "rolled_back"
    assert machine.litter() == []


def test_a_run_whose_machine_was_started_anew_is_undone_by_the_next(machine: Machine) -> None:
    first = machine.change()
    assert machine.make(first).end == "changed"
    machine.end_guards()
    lock = machine.state / "lock"
    words = lock.read_text().split()
    lock.write_text(f"{words[0]} {words[1]} another-boot {words[3]} {words[4]}\n")
    second = machine.make(machine.change(run_id="20260101T000001Z-bbbbbb"))
    assert second.end == "changed", second
    assert (Path(first.directory) / "decided/how").read_text() == "rolled_back\n"
    assert machine.config.read_bytes() == NEW
    machine.tell(guard.build_revert_command(f"{machine.state}/20260101T000001Z-bbbbbb"))


def test_a_daemon_that_no_longer_listens(machine: Machine, tmp_path: Path) -> None:
    """The login dies: the script meets a closed pipe, takes everything back at once and waits for no timer."""
    gone = machine.folder / "gone"
    change = with_restart(machine, f"until [ -e {quote(str(gone))} ]; do sleep 0.02; done; {machine.service.restart}")
    script = tmp_path / "script"
    script.write_bytes(guard.build_change_script(change).encode("utf-8", "surrogateescape"))
    argv = [*machine.shell._argv[:-1], str(script)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=machine.shell._environment)
    assert process.stdout is not None
    machine.wait(lambda: machine.config.read_bytes() == NEW)
    process.stdout.close()
    gone.touch()
    process.wait(60)
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
    assert machine.tell(guard.build_revert_command(change.directory)).end == "rolled_back"
    assert machine.config.read_bytes() == OLD
    assert (Path(change.directory) / "1.found").read_bytes() == b"# mine\n"


def others(machine: Machine) -> tuple[NewContent, ...]:
    """One file more that changes, one that is created in a directory of its own, one that goes."""
    folder = machine.config.parent
    for name in ("second", "fourth"):
        (folder / name).write_bytes(b"old\n")
    return (
        NewContent(path=str(folder / "second"), before=b"old\n", after=b"new\n"),
        NewContent(path=str(folder / "new.d/third"), before=None, after=b"new\n"),
        NewContent(path=str(folder / "fourth"), before=b"old\n", after=b"", gone=True),
    )


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def test_several_files_are_one_transaction(machine: Machine) -> None:
    more = others(machine)
    before = tree(machine.config.parent)
    change = machine.change(more=more)
    assert machine.make(change).end == "changed"
    assert {path.name: path.read_bytes() for path in machine.config.parent.rglob("*") if path.is_file()} == {
        "sshd_config": NEW,
        "second": b"new\n",
        "third": b"new\n",
    }
    assert machine.tell(guard.build_revert_command(change.directory)).end == "rolled_back"
    assert tree(machine.config.parent) == before


@pytest.mark.parametrize("name", ["sshd_config", "second", "third"])
def test_a_file_that_cannot_be_installed_takes_all_others_back(machine: Machine, name: str) -> None:
    """As bad as it gets: the new file vanishes, and the old one is cut to nothing."""
    change = machine.change(more=others(machine))
    before = tree(machine.config.parent)
    fails = f'case "$*" in *{name}) rm -f "$2"; : >"$3"; exit 1 ;; esac'
    write_command(machine.fence, "mv", f'{fails}\nexec /bin/mv "$@"')
    answer = machine.make(change)
    assert (answer.end, answer.steps[-2].name, answer.steps[-2].ok) == ("rolled_back", "install", False), answer
    assert tree(machine.config.parent) == before


def test_a_new_file_that_has_gone_leaves_the_old_one_untouched(machine: Machine) -> None:
    change = machine.change()
    before_ns = machine.config.stat().st_mtime_ns
    write_command(machine.fence, "mv", 'case "$*" in *sshd_config) rm -f "$2"; exit 1 ;; esac\nexec /bin/mv "$@"')
    answer = machine.make(change)
    assert (answer.end, answer.steps[-2].name) == ("rolled_back", "install"), answer
    assert (machine.config.read_bytes(), machine.config.stat().st_mtime_ns) == (OLD, before_ns), "cut and put back"


def test_the_backup_is_on_the_disk_before_a_file_goes(machine: Machine) -> None:
    """As by an undo of what was created: nothing new is written beside it."""
    path = machine.config.with_name("second")
    path.write_bytes(b"old\n")
    change = machine.change()
    (values,) = change.plan.predictions
    plan = replace(
        change.plan,
        contents=(NewContent(path=str(path), before=b"old\n", after=b"", gone=True),),
        predictions=(replace(values, after=values.before),),
    )
    change = replace(change, plan=plan, candidate=(("candidate.0", OLD),))
    write_command(machine.fence, "sync", f'echo "$*" >>{machine.folder}/synced; exec /bin/sync "$@"')
    safe = f'case "$*" in *etc/second) grep -q 1.before {machine.folder}/synced || exit 1 ;; esac'
    write_command(machine.fence, "rm", f'{safe}; exec /bin/rm "$@"')
    answer = machine.make(change)
    assert answer.end == "changed", answer
    assert not path.exists()
    assert machine.tell(guard.build_revert_command(change.directory)).end == "rolled_back"
    assert path.read_bytes() == b"old\n"


def test_a_confirmation_is_on_the_disk_before_the_lock_goes(machine: Machine) -> None:
    """Otherwise a power cut could take back what was told as applied."""
    write_command(machine.fence, "sync", f'echo "$*" >>{machine.folder}/synced; exec /bin/sync "$@"')
    safe = f'case "$*" in */lock*) grep -q decided/how {machine.folder}/synced || exit 1 ;; esac'
    change = machine.change()
    assert machine.make(change).end == "changed"
    write_command(machine.fence, "rm", f'{safe}; exec /bin/rm "$@"')
    assert machine.tell(guard.build_confirm_command(change.directory)).end == "applied"
    assert machine.litter() == []


def test_a_run_of_a_slow_clock_keeps_its_own_backup(machine: Machine) -> None:
    """Runs are named by the controller's clock: ten of a fast one are not newer than the one at work."""
    for number in range(10):
        (machine.state / f"2099010{number}T000000Z-aaaaaa").mkdir(parents=True)
    change = machine.change()
    assert machine.make(change).end == "changed"
    assert machine.tell(guard.build_confirm_command(change.directory)).end == "applied"
    assert (Path(change.directory) / "1.before").read_bytes() == OLD
    assert machine.tell(guard.build_revert_command(change.directory)).end == "rolled_back"
    assert machine.config.read_bytes() == OLD


def test_a_log_that_cannot_be_opened_stops_neither_the_change_nor_the_way_back(machine: Machine) -> None:
    change = machine.change(rehearsed=True)
    assert machine.make(change).end == "ready"
    for name in ("restart.log", "expire.log"):
        (Path(change.directory) / name).mkdir()
    assert machine.tell(guard.build_install_command(change.directory)).end == "changed"
    machine.up.touch()
    machine.wait(lambda: not (machine.state / "lock").exists())
    assert machine.config.read_bytes() == OLD


def test_runs_that_are_taken_back_do_not_pile_up(machine: Machine) -> None:
    for number in range(10):
        (machine.state / f"2001010{number}T000000Z-aaaaaa").mkdir(parents=True)
    machine.fails.touch()
    change = machine.change()
    assert machine.make(change).end == "rolled_back"
    runs = sorted(path.name for path in machine.state.iterdir() if path.is_dir())
    assert (len(runs), runs[-1]) == (10, change.run_id)


@pytest.mark.parametrize("found", ["", "cut", "x y z\n"])
def test_a_lock_that_a_power_cut_left_half_written_holds_nothing(machine: Machine, found: str) -> None:
    machine.state.mkdir()
    (machine.state / "new.20250101T000000Z-dddddd").write_text(found)
    (machine.state / "lock").write_text(found)
    answer = machine.make(machine.change())
    assert answer.end == "changed", answer
    machine.tell(guard.build_revert_command(machine.change().directory))
    assert machine.litter() == []


def test_who_dies_while_it_clears_a_dead_run_away_is_cleared_away_too(machine: Machine) -> None:
    dead = machine.state / "20250101T000000Z-dddddd"
    dead.mkdir(parents=True)
    (machine.state / "lock").write_text(f"{dead.name} 999999999 another-boot 1 1\n")
    (dead / "guard.sh").write_text("kill -9 $PPID\n")
    machine.shell.run(guard.build_change_script(machine.change()), timeout_s=30)
    assert (machine.state / "lock").read_text().startswith(dead.name)
    (dead / "guard.sh").write_text("exit 0\n")
    second = machine.change(run_id="20260101T000001Z-bbbbbb")
    answer = machine.make(second)
    assert answer.end == "changed", answer
    machine.tell(guard.build_revert_command(second.directory))
    assert machine.litter() == []


def test_two_first_runs_may_make_the_directory_for_backups_at_once(machine: Machine) -> None:
    """The other one's mkdir comes just before ours."""
    write_command(
        machine.fence,
        "mkdir",
        f'for last; do :; done; [ "$last" != {quote(str(machine.state))} ] || /bin/mkdir "$last"; exec /bin/mkdir "$@"',
    )
    answer = machine.make(machine.change())
    assert answer.end == "changed", answer
    machine.tell(guard.build_revert_command(machine.change().directory))


def test_a_confirmation_waits_until_the_host_has_said_what_it_decided(machine: Machine) -> None:
    """To decide is to make a directory and then to write a word into it."""
    change = machine.change()
    assert machine.make(change).end == "changed"
    decided = Path(change.directory) / "decided"
    decided.mkdir()
    writing = threading.Timer(0.3, (decided / "how").write_text, ("reverting\n",))
    writing.start()
    assert machine.tell(guard.build_confirm_command(change.directory)).end == "reverting"
    writing.join()
    assert machine.tell(guard.build_revert_command(change.directory)).end == "rolled_back"


def test_who_reverts_is_known_before_the_decision_can_be_read(machine: Machine) -> None:
    """Otherwise a person and the timer could restore the files and restart sshd at the same time."""
    change = machine.change()
    assert machine.make(change).end == "changed"
    decided = Path(change.directory) / "decided"
    write_command(machine.fence, "mkdir", '/bin/mkdir "$@" && case $1 in */decided) mkfifo "$1/how" ;; esac')
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(machine.tell, guard.build_revert_command(change.directory))
        machine.wait((decided / "how").exists)
        with (decided / "how").open():  # waits until the word is about to be written
            is_known = (decided / "by").exists()
            (decided / "how").unlink()
    assert is_known
    assert answer.result().end == "rolled_back"


def test_a_confirmation_that_comes_too_late_reports_what_the_host_does(machine: Machine) -> None:
    change = machine.change()
    assert machine.make(change).end == "changed"
    decided = Path(change.directory) / "decided"
    decided.mkdir()
    (decided / "how").write_text("reverting\n")
    late = machine.tell(guard.build_confirm_command(change.directory))
    assert (late.end, late.steps[-1].ok) == ("reverting", False), late
    assert machine.tell(guard.build_revert_command(change.directory)).end == "rolled_back"


@pytest.mark.parametrize("how", ["unproved", "unknown", "reverting"])
def test_a_run_that_failed_to_revert_ends_the_wait(machine: Machine, how: str) -> None:
    """`unknown` is an earlier version's word. A run that still reverts is waited for."""
    first = machine.change()
    assert machine.make(first).end == "changed"
    decided = Path(first.directory) / "decided"
    decided.mkdir()
    (decided / "how").write_text(f"{how}\n")
    (Path(first.directory) / "guard.sh").write_text("exit 0\n")
    second = machine.change(run_id="20260101T000001Z-bbbbbb")
    machine.config.write_bytes(OLD)
    answer = machine.make(second)
    assert (answer.end, answer.kind) == (("refused", "locked") if how == "reverting" else ("changed", None)), answer
    machine.tell(guard.build_revert_command(second.directory))


def test_a_run_that_cannot_be_taken_back_is_named_with_its_directory(machine: Machine) -> None:
    dead = machine.state / "20250101T000000Z-dddddd"
    dead.mkdir(parents=True)
    (machine.state / "lock").write_text(f"{dead.name} 999999999 another-boot 1 1\n")
    (dead / "guard.sh").write_text("printf 'step 36\\nrevert failed 1.0 2.0 nothing starts it\\n'; exit 1\n")
    answer = machine.make(machine.change())
    assert (answer.kind, answer.cause, answer.holder) == ("locked", "not_taken_back", str(dead))
    assert answer.reason.endswith(": nothing starts it")


def test_a_missing_privilege_separation_directory_is_provided(machine: Machine) -> None:
    """Debian's unit removes it whenever it stops; sshd -T says so (OpenSSH sshd.c), no fault of the files."""
    missing = machine.folder / "run/sshd"
    write_command(
        machine.folder / "bin",
        "sshd",
        f'[ -d {missing} ] || {{ echo "Missing privilege separation directory: {missing}" >&2; exit 255; }}\n{SSHD}',
    )
    change = machine.change()
    answer = machine.make(change)
    assert answer.end == "changed", answer
    assert missing.stat().st_mode & 0o777 == 0o755
    machine.tell(guard.build_revert_command(change.directory))


def test_an_older_run_is_not_taken_back_by_hand_while_another_is_at_work(machine: Machine) -> None:
    first = machine.change()
    machine.make(first)
    machine.tell(guard.build_confirm_command(first.directory))
    (machine.state / "lock").write_text("20260101T000001Z-bbbbbb 999999999 this 1 1\n")
    answer = machine.tell(guard.build_revert_command(first.directory))
    assert (answer.end, "20260101T000001Z-bbbbbb" in answer.reason) == ("refused", True), answer
    assert machine.config.read_bytes() == NEW


#: A process that listens thrice, holds a connection, and says its number and its ports.
LISTENER = """
import os, socket, sys
ours = [socket.create_server((address, 0), family=family) for family, address in
        ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1"))]
connection = socket.create_connection(ours[0].getsockname())
print(os.getpid(), *(server.getsockname()[1] for server in ours), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("tools", ["ls awk ss", "ls awk"])
def test_the_addresses_that_a_process_listens_on(shell: str, tools: str, tmp_path: Path) -> None:
    """With ss and without it: sorted, no connection among them."""
    for tool in tools.split():
        if (path := shutil.which(tool)) is None:
            pytest.skip(f"no {tool} here")
        (tmp_path / tool).symlink_to(path)
    with subprocess.Popen(
        [sys.executable, "-c", LISTENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as listener:
        assert listener.stdout
        pid, *ports = listener.stdout.readline().split()
        script = f'{read_script("common")}PATH={quote(str(tmp_path))}\nfind_bindings {pid} $$\necho "$bindings"\n'
        told, *addresses = LocalShell(shell=shell).run(script, timeout_s=20).stdout.decode().split()
        listener.communicate()
    assert told == pid
    assert addresses == sorted(addresses)
    assert sorted(address.rpartition(":")[2] for address in addresses) == sorted(ports)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_socket_with_a_port_that_is_no_number_is_left_out(shell: str, tmp_path: Path) -> None:
    rows = [
        "LISTEN 0 5 odd:* x ino:1 ",
        "LISTEN 0 5 odd: x ino:2 ",
        "LISTEN 0 5 odd:a-b x ino:3 ",
        "LISTEN 0 5 h:9 x ino:4 ",
    ]
    write_command(tmp_path, "ss", "".join(f"echo '{row}'\n" for row in rows))
    links = "".join(f"echo 'l 1 r r 64 D 1 1:0{n} {n} -> socket:[{n}]'\n" for n in range(1, 5))
    write_command(tmp_path, "ls", f"echo /proc/7/fd:\n{links}")
    script = f'{read_script("common")}PATH={quote(str(tmp_path))}\nfind_bindings 7\necho "$bindings"\n'
    assert LocalShell(shell=shell).run(script, timeout_s=20).stdout == b"7 h:9\n\n"


def give_away(machine: Machine, trap: str) -> None:
    """Let an ordinary account write where root will, or to a place on the way there."""
    elsewhere = machine.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "state").mkdir()
    match trap:
        case "owner":
            os.chown(machine.config.parent, 12345, 12345)
        case "group":
            machine.config.parent.chmod(0o775)
        case "world":
            machine.config.parent.chmod(0o777)
        case "access list":
            os.setxattr(machine.config.parent, acl.ACCESS, acl.writable_by(12345))
        case "planted state":
            os.chown(elsewhere, 12345, 12345)
            machine.state.symlink_to(elsewhere)
        case "real parent":
            os.chown(elsewhere, 12345, 12345)
            machine.state.symlink_to(elsewhere / "state")
        case "link on the way":
            (machine.folder / "real").mkdir()
            (elsewhere / "link").symlink_to("../real")
            os.chown(elsewhere, 12345, 12345)
            machine.state.symlink_to("elsewhere/link")
        case "above":
            os.chown(machine.folder, 12345, 12345)


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file somebody else's")


@as_root
@pytest.mark.parametrize(
    "trap",
    ["owner", "group", "world", "access list", "planted state", "real parent", "link on the way", "above"],
)
def test_root_writes_nowhere_where_somebody_else_could_swap_what_is_written(machine: Machine, trap: str) -> None:
    """With a directory of their own an ordinary account could have root write to, and run, what it likes."""
    give_away(machine, trap)
    before = tree(machine.folder)
    answer = machine.make(machine.change())
    assert (answer.end, answer.kind, answer.cause) == ("refused", "read_only", "not_ours"), answer
    assert {name: content for name, content in tree(machine.folder).items() if "/state" not in name} == {
        name: content for name, content in before.items() if "/state" not in name
    }


@as_root
def test_links_of_root_alone_may_lead_to_the_state_directory(machine: Machine) -> None:
    (machine.folder / "real/new\nline").mkdir(parents=True)
    (machine.folder / "one").symlink_to("real/./new\nline/../new\nline/")
    machine.state.symlink_to(machine.folder / "one/state")
    (machine.folder / "real/new\nline/state").mkdir()
    change = machine.change()
    assert machine.make(change).end == "changed"
    assert machine.tell(guard.build_revert_command(change.directory)).end == "rolled_back"


@as_root
@pytest.mark.parametrize("how", ["link to itself", "no ls", "no readlink"])
def test_nothing_is_written_where_the_writers_are_unknown(machine: Machine, how: str) -> None:
    machine.state.symlink_to("state" if how == "link to itself" else "real")
    (machine.folder / "real").mkdir()
    if how != "link to itself":
        write_command(machine.fence, how.removeprefix("no "), "exit 127")
    answer = machine.make(machine.change())
    assert (answer.end, answer.cause) == ("refused", "not_ours"), answer
    assert machine.config.read_bytes() == OLD


@as_root
def test_an_inherited_access_list_opens_no_backup_to_anybody(machine: Machine) -> None:
    """The umask counts for nothing where the directory above has a default ACL (acl(5))."""
    os.setxattr(machine.folder, acl.DEFAULT, acl.writable_by(12345))
    change = machine.change()
    assert machine.make(change).end == "changed"
    assert machine.state.stat().st_mode & 0o777 == 0o700
    look = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "ls", str(machine.state)]
    assert subprocess.run(look, capture_output=True, check=False).returncode != 0
    machine.tell(guard.build_revert_command(change.directory))


@as_root
@pytest.mark.parametrize("trap", ["owner", "above"])
def test_a_guard_whose_directory_somebody_else_may_write_to_by_now_writes_nothing(machine: Machine, trap: str) -> None:
    change = machine.change()
    assert machine.make(change).end == "changed"
    give_away(machine, trap)
    before = tree(machine.folder)
    commands = [guard.build_revert_command(change.directory)]
    if trap == "above":
        commands += [guard.build_confirm_command(change.directory), guard.build_install_command(change.directory)]
    for command in commands:
        answer = machine.tell(command)
        assert answer.end == "unproved", answer
        assert answer.cause == ("not_ours" if trap == "above" else ""), answer
        assert machine.config.read_bytes() == NEW
    assert trap == "owner" or tree(machine.folder) == before
    os.chown(machine.folder, 0, 0)
    os.chown(machine.config.parent, 0, 0)
    assert machine.tell(guard.build_revert_command(change.directory)).end == "rolled_back"
    assert machine.config.read_bytes() == OLD


def test_nothing_of_the_timer_outlives_a_change_that_is_reverted(machine: Machine) -> None:
    """A shell waits for its sleep: both must end."""
    change = machine.change()
    assert machine.make(change).end == "changed"
    leader = (Path(change.directory) / "sleeper").read_text().split()[0]

    def count() -> int:
        listed = subprocess.run(["ps", "-e", "-o", "pgid="], capture_output=True, text=True, check=True)
        return listed.stdout.split().count(leader)

    machine.wait(lambda: count() > 1)
    assert machine.tell(guard.build_revert_command(change.directory)).end == "rolled_back"
    machine.wait(lambda: count() == 0)


@pytest.mark.parametrize("differs", ["boot", "start", "nothing"])
def test_a_process_that_has_the_sleepers_number_by_now_is_left_alone(machine: Machine, differs: str) -> None:
    change = machine.change()
    assert machine.make(change).end == "changed"
    machine.end_guards()
    note = Path(change.directory) / "sleeper"
    _, _, boot = note.read_text().split()
    with subprocess.Popen(["/bin/sleep", "600"], start_new_session=True) as innocent:
        start = Path(f"/proc/{innocent.pid}/stat").read_text().split()[21]
        words = {"boot": f"{start} another-boot", "start": f"{int(start) - 1} {boot}", "nothing": f"{start} {boot}"}
        note.write_text(f"{innocent.pid} {words[differs]}\n")
        assert machine.tell(guard.build_revert_command(change.directory)).end == "rolled_back"
        if differs == "nothing":
            assert innocent.wait(20) == -signal.SIGKILL
        else:
            assert innocent.poll() is None
        innocent.kill()
    assert not note.exists()


def test_new_files_get_the_label_of_the_policy_and_old_ones_keep_theirs(machine: Machine) -> None:
    write_command(machine.fence, "restorecon", f'printf "%s\n" "$1" >>{machine.folder}/relabelled')
    change = machine.change(more=others(machine))
    assert machine.make(change).end == "changed"
    relabelled = (machine.folder / "relabelled").read_text().splitlines()
    folder = machine.config.parent
    assert relabelled == [str(machine.state), str(folder / "new.d"), str(folder / "new.d/third")]
    machine.tell(guard.build_revert_command(change.directory))


def test_what_is_no_sshd_of_ours_is_not_looked_into(machine: Machine, tmp_path: Path) -> None:
    """An account may call thousands of its processes sshd; here it is one, and it is another account's."""
    program = tmp_path / "sshd-of-mine"
    shutil.copy(shutil.which("sleep") or "", program)
    ours = [str(program), "600"]
    theirs = ["setpriv", "--reuid=12345", "--clear-groups", *ours] if os.geteuid() == 0 else ours
    with subprocess.Popen(ours) as one, subprocess.Popen(theirs) as other:
        machine.wait(lambda: all(Path(f"/proc/{p.pid}/comm").read_text() == "sshd-of-mine\n" for p in (one, other)))
        numbers = (
            machine.shell.run(read_script("common") + "find_sshds\necho $sshds\n", timeout_s=30).stdout.decode().split()
        )
        one.kill()
        other.kill()
    assert str(one.pid) in numbers
    assert (str(other.pid) in numbers) is (os.geteuid() != 0)


@pytest.mark.parametrize("name", ["it's", "a b", '"$(touch never)"', "`touch never`", "-f", "*", "new\nline", "Zoë"])
def test_hostile_paths_stay_one_word(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> None:
    machine = Machine(tmp_path, SHELLS[0], name)
    request.addfinalizer(machine.end_guards)
    change = machine.change()
    answer = machine.make(change)
    assert answer.end == "changed", answer
    assert machine.config.read_bytes() == NEW
    assert machine.tell(guard.build_revert_command(change.directory)).end == "rolled_back"
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
    machine.tell(guard.build_revert_command(change.directory))


@pytest.mark.parametrize("path", sorted(Path(guard.__file__).parent.glob("*.sh")), ids=lambda p: p.name)
@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_reads_the_script(path: Path, shell: str) -> None:
    done = subprocess.run([argv_of(shell)[0], "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_program_that_was_replaced_is_named_without_the_kernels_remark(shell: str, tmp_path: Path) -> None:
    program = tmp_path / "sshd"
    shutil.copy(shutil.which("sleep") or "", program)
    with subprocess.Popen([str(program), "600"]) as daemon:
        link = Path(f"/proc/{daemon.pid}/exe")
        while link.readlink() != program:
            time.sleep(0.01)
        program.unlink()
        shutil.copy(shutil.which("sleep") or "", program)
        script = f"{read_script('common')}SSHD='' pid={daemon.pid}\nfind_sshd\necho $sshd\n"
        found = LocalShell(shell=shell).run(script, timeout_s=20).stdout.decode()
        daemon.kill()
    assert found == f"{program}\n"


@pytest.mark.parametrize("part", ["guard_files", "guard_daemon", "guard"])
def test_each_function_says_what_it_reads_and_sets(part: str, tmp_path: Path) -> None:
    """A shell has no local variables: whoever changes a function must know whose these are."""
    known = shell_variables.functions(guard.build_guard_script(Machine(tmp_path, SHELLS[0]).change()))
    for name in ("common", "guard_files", "guard_daemon", "guard"):  # what is sent has no indentation
        known |= shell_variables.functions(Path(guard.__file__).with_name(f"{name}.sh").read_text())
    wrong = []
    for function in shell_variables.functions(Path(guard.__file__).with_name(f"{part}.sh").read_text()).values():
        assert function.name in known
        assert function.comment.startswith(f"{function.name}:") or f"{function.name} " in function.comment, (
            function.name
        )
        wanted = shell_variables.sentence(function, known)
        if (function.told("Reads"), function.told("Sets")) != (
            shell_variables.reads(function, known),
            set(function.sets),
        ):
            wrong.append(f"{function.name}: {wanted}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("f() { a=$b; }", "Reads b. Sets a."),
        ('f() {\n    g\n    echo "$c $d"\n}\ng() { c=1; }', "Reads d."),
        ("f() {\n    while read -r x _; do :; done\n    for y in $z; do :; done\n}", "Reads z. Sets x y."),
        ('f() { awk -v u="$v" \'w = $1\'; p="q=$r"; }', "Reads r v. Sets p."),
        ("f() { :; } 2>/dev/null", ""),
    ],
)
def test_what_a_function_reads_and_sets_is_found_in_its_text(text: str, wanted: str) -> None:
    known = shell_variables.functions(f"{text}\n")
    assert shell_variables.sentence(known["f"], known) == wanted
