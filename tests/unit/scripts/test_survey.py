"""The observing script, run for real by a shell of this machine over trees of files; its parser, fed by hand."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sshd_keepalive import scripts
from sshd_keepalive.errors import HostError
from sshd_keepalive.fleet.report import report_settled
from sshd_keepalive.model import BLANK, Daemon, Host, Phase, Plan, Prediction, ServiceChoice, Snapshot
from sshd_keepalive.planning.judge import find_contradiction
from sshd_keepalive.remote.observe import build_functions, observe
from sshd_keepalive.scripts import survey
from sshd_keepalive.scripts.records import read_records
from sshd_keepalive.sshd_config import command_line, limits
from sshd_keepalive.sshd_config.reading import read
from sshd_keepalive.sshd_config.tree import find_missing_globs
from tests.support.shell import LOCAL, LocalShell, installed_shells, write_command

NOW = datetime(2026, 1, 31, tzinfo=UTC)
FUNCTIONS = scripts.read_script("common") + scripts.read_script("survey").replace("\nsurvey 2>/dev/null\n", "\n")
DUMP = "port 22\nclientaliveinterval 0\nclientalivecountmax 3\npidfile none\n"
SSHD = f"case $1 in -V) echo OpenSSH_9.2p1 >&2; exit 1 ;; esac\nprintf '{DUMP}'"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host whose sshd is a stand-in that prints one dump, and whose service is believed."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/sshd_config").write_text("ClientAliveInterval 0\n")
    sshd = write_command(tmp_path / "fence", "sshd", SSHD)
    service = ServiceChoice(manager="command", restart="true", is_active="true")
    return replace(LOCAL, sshd=str(sshd), sshd_config=str(tmp_path / "etc/sshd_config"), service=service)


def look(
    host: Host,
    *,
    shell: str = "dash",
    extra: tuple[str, ...] = (),
    timeout_s: float = 60,
    confirms: survey.Condition | None = None,
) -> Snapshot:
    script = survey.build_script(host, build_functions(host.service), users=("root",), extra=extra, confirms=confirms)
    completed = LocalShell(host, shell=shell).run(script, timeout_s=timeout_s)
    assert completed.ended, completed
    return survey.parse(completed.stdout, host, NOW)


def tree(host: Host, **files: str) -> Path:
    """Write files beside the main one; `__` stands for a slash. Gives their directory."""
    folder = Path(host.sshd_config).parent
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace("@", str(folder)))
    return folder


@pytest.mark.parametrize("shell", installed_shells())
def test_all_files_that_an_include_can_reach_are_brought(host: Host, shell: str) -> None:
    folder = tree(
        host,
        sshd_config='Include @/d/*.conf\n include\t@/one  @/missing # not @/this\nINCLUDE=@/eq\n"Include" @/quoted\n',
        d__20="no",
        d__10="no",
        one="Include @/deep\n",
        deep="Include @/one\nClientAliveInterval 5\r\n",
        eq="x",
        quoted="no newline",
        this="not included",
    )
    (folder / "d/b.conf").write_bytes(b"\xff\x00\n")
    (folder / "d/a.conf").write_bytes(b"")
    (folder / "d/.hidden.conf").write_text("not matched by a star")
    (folder / "d/sub.conf").mkdir()
    snapshot = look(host, shell=shell)
    names = [str(Path(file.path).relative_to(folder)) for file in snapshot.files]
    assert sorted(names) == ["d/a.conf", "d/b.conf", "deep", "eq", "one", "quoted", "sshd_config"]
    assert all(file.content == Path(file.path).read_bytes() for file in snapshot.files)
    globs = {glob.pattern: glob.paths for glob in snapshot.globs}
    assert globs[f"{folder}/d/*.conf"] == (f"{folder}/d/a.conf", f"{folder}/d/b.conf")
    assert globs[f"{folder}/missing"] == ()
    assert find_missing_globs(read(snapshot).tree) == ()


def test_an_include_that_the_shell_did_not_understand_is_asked_for_again(host: Host) -> None:
    folder = tree(host, sshd_config='Include "@/with space.conf"\n')
    (folder / "with space.conf").write_text("ClientAliveInterval 0\n")
    shell = LocalShell(host)
    snapshot = observe(shell, NOW, timeout_s=20).snapshot
    assert [Path(file.path).name for file in snapshot.files] == ["sshd_config", "with space.conf"]
    assert len(shell.scripts) == 2


def test_a_file_written_during_the_look_is_looked_at_again(host: Host) -> None:
    """The stand-in writes the file when sshd is asked: we have read the old state, sshd tells the new one."""
    config = Path(host.sshd_config)
    Path(host.sshd).write_text(
        "#!/bin/sh\ncase $1 in -V) echo OpenSSH_9.2p1 >&2; exit 1 ;; esac\n"
        f"echo ClientAliveInterval 300 >{config}\nprintf '{DUMP.replace('interval 0', 'interval 300')}'\n"
    )
    shell = LocalShell(host)
    reading = observe(shell, NOW, timeout_s=20)
    assert reading.everybody["clientaliveinterval"].value == "300"
    assert len(shell.scripts) == 2


LOCKED = "20260101T000000Z-aaaaaa"


def begin_change(host: Host) -> Path:
    """A change of which nobody knows the end yet; gives its directory."""
    run = Path(look(host).state_dir) / LOCKED
    run.mkdir(parents=True)
    (run / "boot").write_text(Path("/proc/sys/kernel/random/boot_id").read_text())
    (run / "installing").touch()
    (run.parent / "lock").write_text(f"{run.name} 99999999999 boot 1 1\n")
    return run


def when_sshd_is_asked(host: Host, script: str) -> None:
    """Let something happen at the moment at which the files were read and sshd was not yet asked about them."""
    path = Path(host.sshd)
    path.write_text(path.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\n{script}\n"))


def test_a_change_that_ends_during_the_look_is_looked_at_again(host: Host) -> None:
    """Its end may fall between what is read of the files and what is read of the daemon."""
    run = begin_change(host)
    when_sshd_is_asked(host, f"rm -f {run.parent}/lock")
    shell = LocalShell(host)
    assert observe(shell, NOW, timeout_s=20).snapshot.pending is None
    assert len(shell.scripts) == 2


def test_a_file_that_grows_between_two_commands_is_looked_at_again(host: Host, tmp_path: Path) -> None:
    grows = f"[ -e {tmp_path}/grown ] || echo '# more' >>{host.sshd_config}; : >{tmp_path}/grown"
    write_command(tmp_path / "fence", "cat", f'case "$*" in *sshd_config*) {grows} ;; esac\nexec /bin/cat "$@"')
    shell = LocalShell(host, fence=tmp_path / "fence")
    assert observe(shell, NOW, timeout_s=20).snapshot.files[0].content == b"ClientAliveInterval 0\n# more\n"
    assert len(shell.scripts) == 2


def restarting(host: Host, pidfile: Path) -> Host:
    """The host with a daemon whose PID file is away, as sshd has it during a restart."""
    return replace(host, service=ServiceChoice(manager="pidfile", pidfile=str(pidfile)))


def test_a_daemon_that_is_just_restarted_is_looked_for_again(host: Host, tmp_path: Path) -> None:
    """The stand-in writes the PID file at the end of the first look, as sshd does when it listens again."""
    host = restarting(host, tmp_path / "pid")
    shell = LocalShell(host)
    with subprocess.Popen(["/bin/sh", "-c", "read line", "sshd", "-f", host.sshd_config], stdin=subprocess.PIPE) as one:
        when_sshd_is_asked(host, f"echo {one.pid} >{tmp_path}/pid")
        daemon = observe(shell, NOW, timeout_s=20).snapshot.daemon
        assert daemon is not None
        assert daemon.pid == one.pid
    assert len(shell.scripts) == 2


@pytest.fixture
def running(host: Host, tmp_path: Path) -> Iterator[Host]:
    """The host with a daemon that has read its files."""
    with subprocess.Popen(["/bin/sh", "-c", "read line", "sshd", "-f", host.sshd_config], stdin=subprocess.PIPE) as one:
        (tmp_path / "pid").write_text(f"{one.pid}\n")
        yield restarting(host, tmp_path / "pid")


def expect(host: Host, shell: str) -> survey.Condition:
    """Look at a host with a daemon, and have all that was found confirmed by a guard that notes its verb."""
    folder = tree(host, sshd_config="Include @/one @/d/*.conf\nClientAliveInterval 0\n", one="", d__a="x\n", d__b="")
    (folder / "one").write_bytes(b"ClientAliveInterval 0\n#\xe4\n")
    for name in ("a", "b"):
        (folder / "d" / name).rename(folder / f"d/{name}.conf")
    restart(host)
    (folder / "it's guard.sh").write_text('echo "$1" >>"$0.said"; printf "end 7\\napplied\\n"\n')
    pair = (("clientaliveinterval", "0"), ("clientalivecountmax", "3"))
    planned = Plan(host=host, predictions=(Prediction(context=BLANK, before=pair, after=pair),))
    expected = survey.predict_records(look(host, shell=shell), planned)
    assert expected
    return survey.Condition(expected=expected, guard=str(folder / "it's guard.sh"))


def restart(host: Host) -> None:
    """Say when the daemon last read its files, which is now."""
    pidfile = Path(host.service.pidfile or "")
    pidfile.write_text(pidfile.read_text())


def change_value(host: Host, folder: Path) -> None:
    write_command(folder.parent / "fence", "sshd", SSHD.replace("interval 0", "interval 1"))


def change_refusal(host: Host, folder: Path) -> None:
    write_command(folder.parent / "fence", "sshd", SSHD.replace("printf", "echo no >&2; exit 1; printf"))


def add_file(host: Host, folder: Path) -> None:
    (folder / "d/c.conf").write_text("")
    restart(host)


def edit_file(host: Host, folder: Path) -> None:
    (folder / "one").write_bytes(b"ClientAliveInterval 1\n#\xe4\n")
    restart(host)


def move_line(host: Host, folder: Path) -> None:
    (folder / "d/a.conf").write_text("")
    (folder / "d/b.conf").write_text("x\n")
    restart(host)


def edit_after_the_start(host: Host, folder: Path) -> None:
    os.utime(folder / "one", (0, (folder.parent / "pid").stat().st_ctime + 10))


def change_directory_after_the_start(host: Host, folder: Path) -> None:
    os.utime(folder / "d", (0, 11_000_000_000))  # a digit more than today
    restart(host)


def lose_pidfile(host: Host, folder: Path) -> None:
    when_sshd_is_asked(host, f"rm -f {host.service.pidfile}")


MEDDLE = [
    change_value, change_refusal, add_file, edit_file, move_line,
    edit_after_the_start, change_directory_after_the_start, lose_pidfile,
]  # fmt: skip


@pytest.mark.parametrize("shell", installed_shells())
def test_a_host_lets_the_guard_confirm_exactly_what_was_predicted(running: Host, shell: str) -> None:
    confirms = expect(running, shell)
    assert look(running, shell=shell, confirms=confirms).confirmation == b"end 7\napplied\n"
    assert Path(f"{confirms.guard}.said").read_text() == "confirm\n"


@pytest.mark.parametrize("shell", installed_shells())
@pytest.mark.parametrize("meddle", MEDDLE)
def test_a_host_that_differs_from_the_prediction_does_not_confirm(
    running: Host, shell: str, meddle: Callable[[Host, Path], None]
) -> None:
    confirms = expect(running, shell)
    meddle(running, Path(running.sshd_config).parent)
    assert look(running, shell=shell, confirms=confirms).confirmation == b""
    assert not Path(f"{confirms.guard}.said").exists()


def test_a_daemon_that_is_not_there_is_missed_after_two_looks(host: Host, tmp_path: Path) -> None:
    shell = LocalShell(restarting(host, tmp_path / "pid"))
    with pytest.raises(HostError) as raised:
        observe(shell, NOW, timeout_s=20)
    assert raised.value.cause == "no-daemon"
    assert len(shell.scripts) == 2


@pytest.mark.parametrize("is_installed", [False, True])
def test_a_change_that_restarts_the_daemon_is_reported_instead_of_the_daemon_that_is_missing(
    host: Host, tmp_path: Path, is_installed: bool
) -> None:
    """Once it waits for its confirmation the new daemon has to be there."""
    run = begin_change(host)
    host = restarting(host, tmp_path / "pid")
    if is_installed:
        (run / "installed").touch()
        with pytest.raises(HostError, match="no process behind"):
            look(host)
        return
    report = report_settled(read(look(host)), "another run")
    assert report.failure is not None
    assert (report.failure.kind, report.failure.cause) == ("locked", "at_work")


def test_a_pending_change_is_reported_instead_of_a_difference_of_the_readings(host: Host) -> None:
    begin_change(host)
    Path(host.sshd_config).write_text("ClientAliveInterval 5\n")
    reading = read(look(host))
    assert find_contradiction(reading) is not None
    report = report_settled(reading, "another run")
    assert report.failure is not None
    assert (report.state, report.failure.kind) == ("unknown", "locked")


def test_a_difference_that_stays_is_looked_at_twice_and_reported(host: Host) -> None:
    Path(host.sshd_config).write_text("ClientAliveInterval 5\n")
    shell = LocalShell(host)
    message = find_contradiction(observe(shell, NOW, timeout_s=20))
    assert message is not None
    assert "sshd -T reports 0 for everybody, this program reads 5" in message
    assert len(shell.scripts) == 2


def test_a_difference_that_the_last_attempt_finds_is_reported(host: Host) -> None:
    folder = tree(host, sshd_config='Include "@/1 .conf"\n')
    for n in range(1, 5):
        (folder / f"{n} .conf").write_text(f'Include "{folder}/{n + 1} .conf"\n')
    (folder / "4 .conf").write_text("ClientAliveInterval 5\n")
    shell = LocalShell(host)
    assert find_contradiction(observe(shell, NOW, timeout_s=20)) is not None
    assert len(shell.scripts) == 5


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda path: path.symlink_to("/nowhere/at-all"), "dangling-file"),
        (lambda path: os.mkfifo(path), "irregular-file"),
    ],
    ids=["dangling link", "fifo"],
)
def test_what_no_sshd_should_read_is_refused_by_name(host: Host, make: object, cause: str) -> None:
    folder = tree(host, sshd_config="Include @/d/*.conf\n", d__a="x")
    make(folder / "d/x.conf")  # type: ignore[operator]
    with pytest.raises(HostError, match=r"d/x\.conf") as raised:
        look(host)
    assert (raised.value.kind, raised.value.cause) == ("observe", cause)


def test_a_link_is_read_and_its_target_reported(host: Host) -> None:
    folder = tree(host, sshd_config="Include @/link\n", real="ClientAliveInterval 9\n")
    (folder / "link").symlink_to("real")
    file = look(host).files[1]
    assert (file.path, file.real_path, file.content) == (f"{folder}/link", f"{folder}/real", b"ClientAliveInterval 9\n")


@pytest.mark.sshd  # not that it needs one: it takes seconds
def test_as_many_drop_ins_as_are_allowed_are_brought_in_one_look(host: Host) -> None:
    folder = tree(host, sshd_config="Include @/d/*\n")
    (folder / "d").mkdir()
    n_drop_ins = limits.MAX_FILES - 1
    for number in range(n_drop_ins):
        (folder / f"d/{number:05}").write_text(f"# {number}\n")
    snapshot = look(host, timeout_s=240)
    assert len(snapshot.files) == limits.MAX_FILES
    assert snapshot.files[-1].content == f"# {n_drop_ins - 1}\n".encode()
    (folder / "d/more").write_text("# one more\n")
    with pytest.raises(HostError) as caught:
        look(host, timeout_s=240)
    assert caught.value.cause == "too_large"


def test_a_look_writes_nothing(host: Host) -> None:
    folder = tree(host, sshd_config="Include @/d/*\nMatch User x\n", d__a="x")
    before = sorted((str(path), path.stat().st_mtime_ns) for path in folder.parent.rglob("*"))
    look(host)
    assert sorted((str(path), path.stat().st_mtime_ns) for path in folder.parent.rglob("*")) == before


def test_sshd_is_asked_for_users_only_where_the_file_has_a_match(host: Host) -> None:
    assert [dump.context.user for dump in look(host).dumps] == [None]
    tree(host, sshd_config="match user root\n X11Forwarding no\n")
    assert [dump.context.user for dump in look(host).dumps] == [None, "root"]


@pytest.mark.parametrize("shell", installed_shells())
@pytest.mark.parametrize(
    ("version", "answer", "has_it"),
    [
        ("OpenSSH_8.0p1", "Include directive not supported as a command-line option", True),
        ("OpenSSH_8.0p1", "command-line: line 0: Bad configuration option: Include", False),
        ("OpenSSH_7.4p1", "command-line: line 0: Bad configuration option: Include", False),
        ("OpenSSH_8.0p1", "", False),
        ("OpenSSH_8.2p1", "Include directive not supported as a command-line option", False),  # no backport: its own
    ],
)
def test_an_old_release_is_asked_whether_its_vendor_added_include(
    host: Host, tmp_path: Path, shell: str, version: str, answer: str, has_it: bool
) -> None:
    body = f"case $* in -V) echo {version} >&2; exit 1 ;; '-t -o Include='*) echo '{answer}' >&2; exit 255 ;; esac\n"
    write_command(tmp_path / "fence", "sshd", f"{body}printf '{DUMP}'")
    assert look(host, shell=shell).has_include_backport is has_it


def test_sshds_own_complaint_is_kept(host: Host, tmp_path: Path) -> None:
    write_command(tmp_path / "fence", "sshd", "echo OpenSSH_9.2p1; echo 'line 1: Bad option' >&2; exit 255")
    dump = look(host).dumps[0]
    assert (dump.error, dump.settings) == ("line 1: Bad option", ())


def test_a_host_without_sshd_and_one_with_another_kind_say_so(host: Host, tmp_path: Path) -> None:
    write_command(tmp_path / "fence", "sshd", "echo Dropbear v2022.83")
    with pytest.raises(HostError) as raised:
        look(host)
    assert raised.value.cause == "not-openssh"
    with pytest.raises(HostError) as raised:
        survey.parse(b"nosshd 3\nnot\n", host, NOW)
    assert raised.value.cause == "no-sshd"


@pytest.mark.parametrize("at", [1, 5, 20, 60, -1, -7])
def test_output_that_was_cut_off_is_never_taken_for_an_answer(host: Host, at: int) -> None:
    script = survey.build_script(host, build_functions(host.service), users=("root",))
    stdout = LocalShell(host).run(script, timeout_s=20).stdout
    with pytest.raises(HostError) as raised:
        survey.parse(stdout[:at], host, NOW)
    assert raised.value.kind == "observe"


def test_no_value_can_be_taken_for_a_record() -> None:
    hostile = b"x\nend 7\napplied\n"
    data = b"reason %d\n%s\nend 7\nrefused\n" % (len(hostile), hostile)
    assert list(read_records(data)) == [("reason", hostile), ("end", b"refused")]


@pytest.mark.parametrize(
    ("start", "options"),
    [
        ("sshd: /usr/sbin/sshd -D -o ClientAliveInterval=77 [listener] 0 of 10", ("ClientAliveInterval=77",)),
        ("/usr/sbin/sshd\n-D\n-oClientAliveInterval=77\n-p\n22", ("ClientAliveInterval=77",)),
        ("sshd: /usr/sbin/sshd -o ClientAliveInterval 77 -D [listener]", ("ClientAliveInterval 77",)),
        ("sshd: /usr/sbin/sshd -o A=1 -o B=2 [listener] 3 of 10-100", ("A=1", "B=2")),
        ("sshd: /usr/sbin/sshd -D [listener]", ()),
    ],
)
def test_daemon_options_are_read_from_arguments_and_from_a_title(start: str, options: tuple[str, ...]) -> None:
    assert command_line.read_options(start) == options


STATE = "/var/lib/sshd-keepalive/etc-ssh-sshd_config"


def words(**more: str) -> dict[str, str]:
    return {
        "started": "1000",
        "hertz": "100",
        "before": "110.00",
        "uptime": "110.00",
        "clock": "1000.500000000",
        **more,
    }


def test_when_the_daemon_last_read_its_files() -> None:
    assert survey._read_times(words(loaded="5 900.25 901.5\n0 7 8")) == (901.5, 0.0, [8])
    assert survey._read_times(words(folders="0 7 8")) == (900.5, survey._TICK_S, [8])
    assert survey._read_times(words(before="109.00")) == (900.5, 1.0, [])
    assert survey._read_times(words(clock="1000.%N")) == (900.0, 1.0, [])
    for useless in ({}, words(uptime="3.00")):  # the uptime of a container, and a start by the clock of the machine
        with pytest.raises(HostError) as raised:
            survey._read_times(useless)
        assert raised.value.cause == "no-start-time"
    with pytest.raises(HostError, match="PID file was deleted"):
        survey._read_times(words(loaded="  File: /etc/ssh"))


def record(kind: str, value: str) -> bytes:
    return b"%s %d\n%s\n" % (kind.encode(), len(value.encode()), value.encode())


@pytest.mark.parametrize(
    ("kind", "value", "cause"),
    [
        ("nosshd", "not in the usual places", "no-sshd"),
        ("elsewhere", "/srv/sshd_config", "other-config"),
        ("config", "sshd_config", "other-config"),
        ("command", "sshd: /usr/sbin/sshd -D -f /srv/my conf/sshd_config [listener] 0 of 10-100", "other-config"),
        ("lost", "no sshd among the ancestors of this login", "no-daemon"),
        ("version", "dropbear", "not-openssh"),
        ("unreadable", "/etc/ssh/sshd_config", "unreadable-file"),
    ],
)
def test_what_makes_a_look_useless_is_named(host: Host, kind: str, value: str, cause: str) -> None:
    told = record("state", STATE) + record(kind, value)
    told += record("version", "OpenSSH_9.2p1") if kind != "version" else b""
    with pytest.raises(HostError) as raised:
        survey.parse(told, replace(host, service=ServiceChoice()), NOW)
    assert (raised.value.kind, raised.value.cause) == ("observe", cause)
    assert raised.value.hint


def test_a_host_that_does_not_say_where_backups_go_is_not_read(host: Host) -> None:
    with pytest.raises(HostError) as raised:
        survey.parse(record("version", "OpenSSH_9.2p1") + record("state", "elsewhere"), host, NOW)
    assert (raised.value.kind, raised.value.cause) == ("observe", "output-cut")


def test_a_file_that_vanishes_while_it_is_read_is_no_answer(host: Host) -> None:
    told = record("path", "/a") + record("path", "/b") + record("details", "1 5 5") + record("content", "x")
    with pytest.raises(HostError, match="was deleted while it was read"):
        survey.parse(told, host, NOW)


def daemon_of(host: Host, **more: str) -> Daemon:
    told = {"version": "OpenSSH_9.2p1", "state": STATE, **words(), **more}
    out = b"".join(record(kind, value) for kind, value in told.items())
    daemon = survey.parse(out, replace(host, service=ServiceChoice()), NOW).daemon
    assert daemon is not None
    return daemon


def test_the_daemon_and_its_next_start(host: Host) -> None:
    daemon = daemon_of(
        host,
        pid="7",
        command="/usr/sbin/sshd\n-D\n-oPort=22",
        start=" /usr/sbin/sshd -D -o ClientAliveInterval=9\n",
        directory="/etc/ssh/sshd_config.d",
        folders="0 901.0 950.0",
    )
    assert (daemon.pid, daemon.options) == (7, ("Port=22",))
    assert daemon.next_command == "/usr/sbin/sshd -D -o ClientAliveInterval=9"
    assert daemon.stale == ("/etc/ssh/sshd_config.d",)
    assert daemon_of(host, pid="7").next_command is None
    with pytest.raises(HostError, match="directory was deleted while it was read"):
        daemon_of(host, pid="7", directory="/etc/ssh/sshd_config.d", folders="")


def test_with_a_process_for_each_connection_the_next_start_is_what_holds(host: Host) -> None:
    daemon = daemon_of(host, pid="", command="sshd: root@notty", start="/usr/sbin/sshd -i -o ClientAliveInterval=9")
    assert (daemon.pid, daemon.options) == (None, ("ClientAliveInterval=9",))
    assert daemon_of(host, command="sshd -i -o ClientAliveInterval=8").options == ("ClientAliveInterval=8",)


@pytest.mark.parametrize(
    ("files", "booted", "phase"),
    [
        ((), "", None),  # before a run touches anything the host is as it was
        (("installing",), "", Phase.CHANGING),
        (("installing", "installed"), "", Phase.WAITING),
        (("installing", "installed"), "another-boot", Phase.STUCK),
        (("installing", "applied"), "", None),
        (("installing", "rolled_back"), "another-boot", None),
        (("installing", "installed", "reverting"), "", Phase.REVERTING),
        (("installing", "installed", ""), "", Phase.WAITING),  # whoever decides has not written what
        (("installing", "unproved"), "", Phase.STUCK),
        (("installing", "unknown"), "", Phase.STUCK),  # an earlier version's word
    ],
)
def test_the_phase_of_a_pending_change(host: Host, files: tuple[str, ...], booted: str, phase: Phase | None) -> None:
    run = begin_change(host)
    (run / "installing").unlink()
    decision = [name for name in files if not name.startswith("install")]
    for name in set(files) - set(decision):
        (run / name).touch()
    if decision:
        (run / "decided").mkdir()
        (run / "decided/how").write_text("".join(decision))
    if booted:
        (run / "boot").write_text(booted)
    pending = look(host).pending
    assert (pending and pending.phase) is phase


@pytest.mark.parametrize("shell", installed_shells())
def test_agents_are_recognised_by_their_directories_each_once(host: Host, shell: str, tmp_path: Path) -> None:
    for path in ("etc/puppetlabs/puppet", "etc/puppet/puppet.conf", "var/lib/waagent", "usr/local/hostguard"):
        (tmp_path / "root" / path).mkdir(parents=True)
    script = survey.build_script(host, build_functions(host.service), users=())
    elsewhere = re.sub(r"\|(/[a-z])", rf"|{tmp_path}/root\1", script)
    completed = LocalShell(host, shell=shell).run(elsewhere, timeout_s=60)
    found = survey.parse(completed.stdout, host, NOW)
    assert found.agents == ("WALinuxAgent", "Host Security Service", "Puppet")
    assert dict(found.facts)["agents"] == "WALinuxAgent, Host Security Service, Puppet"


@pytest.mark.parametrize("shell", installed_shells())
@pytest.mark.parametrize(
    ("moduli", "said", "program", "is_so", "searched"),
    [
        ("compiled_in", "port 22\nmodulifile /etc/ssh/moduli\nx y", "nothing", True, False),
        ("compiled_in", "port 22\nModuliFile /etc/ssh/moduli", "nothing", True, False),
        ("named", "port 22\nmodulifile /etc/ssh/moduli", "/usr/local/etc/sshd_config", False, True),
        ("compiled_in", "port 22\nmodulifile /etc/moduli", "has /etc/ssh/sshd_config in it", True, True),
        ("compiled_in", "port 22\nmodulifile /usr/etc/moduli", "has /usr/etc/sshd_config in it", False, True),
        ("compiled_in", "Missing privilege separation directory", "exec /opt/real-daemon", True, True),
    ],
)
def test_the_compiled_in_path_is_recognised_by_its_neighbour_or_read_from_the_program(
    tmp_path: Path, shell: str, moduli: str, said: str, program: str, is_so: bool, searched: bool
) -> None:
    write_command(tmp_path / "fence", "grep", 'echo x >>searched; exec /bin/grep "$@"')
    (tmp_path / "sshd").write_text(program)
    functions = FUNCTIONS
    script = (
        f"{functions}\nCONFIG=/etc/ssh/sshd_config sshd={tmp_path}/sshd moduli={moduli} answer='{said}'\nis_compiled_in"
    )
    done = LocalShell(shell=shell, fence=tmp_path / "fence", folder=tmp_path).run(script, timeout_s=30)
    assert (done.status == 0, (tmp_path / "searched").exists()) == (is_so, searched), done


@pytest.mark.parametrize("line", ["ModuliFile /x", ' "modulifile" /x', "\tMODULIFILE=/x"])
def test_moduli_that_a_file_names_tell_nothing_of_the_program(host: Host, tmp_path: Path, line: str) -> None:
    (tmp_path / "a").write_text(f"Port 22\n{line}\n")
    script = f"{FUNCTIONS}\nCR='\r' space=$IFS\ncontent=$(cat {tmp_path}/a)\nfind_includes\nprintf '%s\\n' $wanted"
    assert LocalShell().run(script, timeout_s=30).stdout == b"//moduli//\n"
