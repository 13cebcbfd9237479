"""Every service manager keeps the contract, also one that was dropped in a minute ago."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from sshd_keepalive import registry, services
from sshd_keepalive.model import ServiceChoice
from sshd_keepalive.quoting import quote
from tests.support.shell import argv_of, installed_shells

HOSTILE = 'it\'s; touch /tmp/never "$(exit 7)" `exit 7`\n*'
CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
PARTS = ("find", "is_active", "restart")


def sh(text: str, shell: str = "dash", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shell, "-c", text], capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", **environment}
    )


def parses(text: str) -> None:
    """The text is whole for every shell: no quote left open, no word split."""
    for shell in installed_shells():
        argv = [argv_of(shell)[0], "-n"]
        completed = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
        assert completed.returncode == 0, shell + completed.stderr + text


@pytest.fixture
def dropped_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The service manager of CONTRIBUTING.md, as a file among the others."""
    (code,) = re.findall(r"```python\n(.*?)```", CONTRIBUTING.read_text(), re.DOTALL)
    (tmp_path / "s6.py").write_text(code)
    monkeypatch.setattr(services, "__path__", [*services.__path__, str(tmp_path)])
    registry.list_built_in.cache_clear()
    yield "s6"
    registry.list_built_in.cache_clear()
    sys.modules.pop("sshd_keepalive.services.s6", None)


def test_the_one_file_of_contributing_is_all_there_is_to_add(dropped_in: str) -> None:
    assert dropped_in in registry.list_names("services")
    module = registry.load("services", dropped_in)
    text = services.build_functions({dropped_in: module}, ServiceChoice())
    parses(text)
    assert "manager=s6" in text
    find = services.Manager(module).find(ServiceChoice(unit=HOSTILE))
    assert sh(f"{find}; printf '%s' \"$unit\"").stdout == HOSTILE
    own = {name for name in vars(module) if not name.startswith("_")} - {"ServiceChoice", "quote_unit"}
    assert own == {"RANK", "DETECT", "find", "is_active", "restart"}, "five definitions are a service manager"


@pytest.mark.parametrize(
    ("seen", "unit", "cause"),
    [
        ("/run/s6/ssh", None, ""),
        ("/run/s6/ssh", "ssh", ""),
        ("/run/s6/web", "ssh", "other_daemon"),
        ("", None, "no_unit"),
    ],
)
def test_by_default_the_unit_that_runs_sshd_must_be_the_one_to_restart(
    dropped_in: str, seen: str, unit: str | None, cause: str
) -> None:
    module = registry.load("services", dropped_in)
    choice = ServiceChoice(manager=dropped_in, unit=unit)
    text = services.build_functions({dropped_in: module}, choice)
    supervised = "is_supervised_by() { :; }" if seen else "is_supervised_by() { false; }"
    found = sh(
        f"readlink() {{ echo {seen}; }}\n{supervised}\n{text}pid=7 manager={dropped_in} unit={seen}\n"
        'find_obstacle; echo "$problem"; echo "$unit"'
    )
    problem, left = found.stdout.splitlines()
    assert (problem.partition(" ")[0], left) == (cause, unit or seen)
    assert found.stderr == ""


@pytest.mark.parametrize("name", registry.list_names("services"))
def test_a_hostile_unit_stays_one_word(name: str) -> None:
    choice = ServiceChoice(
        manager=name, unit=HOSTILE, pidfile=f"/{HOSTILE}", restart="restart-it now", is_active="ask-it"
    )
    module = registry.load("services", name)
    text = services.build_functions({name: module}, choice)
    parses(text)
    for part in PARTS:
        shell_text = getattr(services.Manager(module), part)(choice)
        parses(shell_text)
        if name != "command" or part == "find":  # it believes two commands
            assert quote(HOSTILE)[1:-1] in shell_text


@pytest.mark.parametrize("name", registry.list_names("services"))
def test_the_timer_gets_its_command_as_one_word(name: str) -> None:
    module = registry.load("services", name)
    text = services.Manager(module).set_timer("sshd-keepalive-r", f"/bin/sh {quote(HOSTILE)} fire", 60)
    parses(text)
    parses(services.Manager(module).cancel_timer("sshd-keepalive-r"))


def test_detection_takes_the_lowest_rank_that_answers() -> None:
    managers = {name: registry.load("services", name) for name in registry.list_names("services")}
    text = services.build_functions(managers, ServiceChoice())
    for answer, found in {
        "is_supervised_by() { [ $1 = runsv ]; }; is_init() { :; }": "runit",
        "is_supervised_by() { [ $1 = supervisord ]; }; is_init() { :; }": "supervisord",
        "is_supervised_by() { false; }; is_init() { [ $1 = systemd ]; }; test() { :; }": "systemd",
        "is_supervised_by() { false; }; is_init() { [ $1 = init ]; }; test() { [ $2 = /run/openrc ]; }": "openrc",
        "is_supervised_by() { false; }; is_init() { [ $1 = init ]; }; test() { false; }": "sysv",
        "is_supervised_by() { false; }; is_init() { false; }; test() { :; }": "",
    }.items():
        assert sh(f'{answer}; {text}detect; echo "$manager"', "bash").stdout == f"{found}\n"


def test_a_file_on_a_disk_does_not_make_a_manager() -> None:
    """The commands and files of all of them, and an sshd of nobody's: only process 1 and the parent of sshd count."""
    common = resources.files("sshd_keepalive.scripts").joinpath("common.sh").read_text()
    managers = {name: registry.load("services", name) for name in registry.list_names("services")}
    text = services.build_functions(managers, ServiceChoice())
    text += services.build_guard_functions(managers, "sshd-keepalive-r", "fire", "boot", 60)
    text = text.replace("is_root || return 0", "").replace("test -d", ":").replace("test -x", ":")
    strangers = f"{common}\n{text}\npid=$$\ncomm_of() {{ comm=tini state=S parent=1; }}\n"
    found = sh(
        f'{strangers}detect; detect_init; echo "<$manager><$init>"; hook_boot; echo $?; find_obstacle; echo "$problem"'
    )
    assert found.stdout.splitlines()[:2] == ["<><>", "2"]
    assert found.stdout.splitlines()[2].startswith("no_manager ")
    assert "process 1 is tini" in found.stdout


def test_only_what_steers_machines_gets_timers_and_boots() -> None:
    managers = {name: registry.load("services", name) for name in registry.list_names("services")}
    text = services.build_guard_functions(managers, "sshd-keepalive-r", "fire", "boot", 60)
    inits = [name for name, module in managers.items() if services.is_init(module)]
    assert sorted(inits) == ["openrc", "systemd", "sysv"]
    assert sorted(set(re.findall(r"init=(\w+);", text))) == sorted(inits)


@pytest.mark.parametrize("name", registry.list_names("services"))
def test_an_sshd_that_is_process_1_is_never_restarted(name: str) -> None:
    """A PID file or two commands of the inventory are believed: SIGHUP leaves process 1 where it is."""
    module = registry.load("services", name)
    text = services.build_functions({name: module}, ServiceChoice(manager=name, unit="x", pidfile="/none"))
    said = sh(
        f'{text}\nsystemctl() {{ :; }}; pid=1 manager={name} ACTION=restart; find_obstacle; echo "$problem"'
    ).stdout
    assert said.startswith("process_1 ") == (module.RANK > 0)


def test_a_manager_that_the_inventory_names_is_not_looked_for() -> None:
    managers = {"command": registry.load("services", "command")}
    choice = ServiceChoice(manager="command", restart="echo restarted", is_active="exit 3")
    text = services.build_functions(managers, choice)
    assert sh(f"{text}detect; restart_unit; echo $manager").stdout == "restarted\ncommand\n"
    assert sh(f"{text}detect; is_active").returncode == 3


@pytest.mark.parametrize("name", registry.list_names("services"))
def test_what_a_boot_runs_is_written_and_taken_back(name: str, tmp_path: Path) -> None:
    module = registry.load("services", name)
    text = services.Manager(module).hook_boot("sshd-keepalive-r", f"/bin/sh {quote(HOSTILE)} boot")
    parses(f"f() {{\n{text}\n}}")
    if "return 2" in text:
        return
    folders = ("etc/systemd/system", "etc/init.d", "etc/rc2.d", "etc/runlevels/default")
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    here = text.replace("/etc/", f"{tmp_path}/etc/")
    done = sh(f"flush() {{ :; }}; command() {{ return 1; }}; unit=x.service; f() {{ {here}\n}}; f")
    assert (done.returncode, done.stderr) == (0, "")
    written = [path for path in tmp_path.rglob("*sshd-keepalive-r*") if path.is_file() and not path.is_symlink()]
    assert len(written) == 1
    gone = services.Manager(module).unhook_boot("sshd-keepalive-r").replace("/etc/", f"{tmp_path}/etc/")
    assert sh(f"command() {{ return 1; }}; {gone}").returncode == 0
    assert list(tmp_path.rglob("*sshd-keepalive-r*")) == []


@pytest.mark.parametrize("name", registry.list_names("services"))
def test_an_obstacle_is_a_word_and_a_sentence(name: str) -> None:
    choice = ServiceChoice(manager=name, unit=HOSTILE)
    text = services.Manager(registry.load("services", name)).find_obstacle(choice)
    parses(f"f() {{\n{text}\n}}")
    said = sh(
        "systemctl() { echo LoadState=masked; }\nunit='' described='' problem='' pid=1 pidfile=/none ACTION=restart\n"
        f"f() {{ {text}\n}}\nf; printf '%s' \"$problem\""
    )
    if name in ("pidfile", "command"):  # believed as the inventory says
        assert said.stdout == ""
    else:
        assert re.match(r"[a-z_]+ .+", said.stdout)


SHOWN = """\
ExecStart={{ path=/usr/sbin/sshd ; argv[]=/usr/sbin/sshd -D $SSHD_OPTS ${{MORE}} $NONE ; ignore_errors=no ; pid=0 }}
EnvironmentFiles={0}/etc/default/ssh (ignore_errors=yes)
EnvironmentFiles={0}/etc/none (ignore_errors=yes)
"""


def started(name: str, tmp_path: Path, unit: str, *, also: str = "", **files: str) -> str:
    """What a manager says of the next start, with the files of /etc it reads in `tmp_path`.

    Args:
        unit: of the listener; empty for a process per connection, whose template is sshd@.service.
        also: what systemd shows of a second template, ssh@.service.
    """
    for path, text in files.items():
        place = tmp_path / "etc" / path.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    common = resources.files("sshd_keepalive.scripts").joinpath("common.sh").read_text()
    text = registry.load("services", name).find_next_start(ServiceChoice()).replace("/etc/", f"{tmp_path}/etc/")
    parses(f"f() {{\n{text}\n}}")
    shown = SHOWN.format(tmp_path)
    named = unit or "sshd@0.service"
    known = f"systemctl() {{ for last; do :; done; case $last in {named}) cat ;; ssh@0.service) echo '{also}' ;; esac "
    known += f"<<'Q'\n{shown}Q\n}}\npid={1 if unit else ''}"
    script = (
        f"{common}\n{known}\nunit='{unit}' following=''\nf() {{\n{text}\n}}\nf >/dev/null\nprintf %s \"$following\""
    )
    said = set()
    for shell in installed_shells():
        done = sh(script, argv_of(shell)[0])
        assert (done.returncode, done.stderr) == (0, ""), shell
        said.add(" ".join(done.stdout.split()))
    (found,) = said
    return found


@pytest.mark.parametrize("unit", ["ssh.service", ""])
def test_systemds_next_start_has_the_words_of_unit_and_environment_files(tmp_path: Path, unit: str) -> None:
    options = "SSHD_OPTS=-4\n# SSHD_OPTS=no\nSSHD_OPTS=\"-o ClientAliveInterval=77 -6\"\nexport MORE='-u 0'\n"
    assert started("systemd", tmp_path, unit, default__ssh=options) == (
        "/usr/sbin/sshd -D -o ClientAliveInterval=77 -6 -u 0"
    )


@pytest.mark.parametrize(("name", "unit"), [("systemd", "ssh.service"), ("systemd", ""), ("sysv", "ssh")])
def test_an_environment_file_that_cannot_be_read_gives_no_options(name: str, unit: str, tmp_path: Path) -> None:
    (tmp_path / "etc/default/ssh").mkdir(parents=True)
    assert started(name, tmp_path, unit) == ""


def test_systemd_219_spells_the_key_of_environment_files_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "SHOWN", SHOWN.replace("EnvironmentFiles=", "EnvironmentFile="))
    options = "SSHD_OPTS='-o ClientAliveInterval=77'\n"
    assert started("systemd", tmp_path, "", default__ssh=options) == "/usr/sbin/sshd -D -o ClientAliveInterval=77"


def test_two_templates_that_differ_tell_nothing(tmp_path: Path) -> None:
    same = "ExecStart={ path=/usr/sbin/sshd ; argv[]=/usr/sbin/sshd -D ; }"
    assert started("systemd", tmp_path, "", also=same) == "/usr/sbin/sshd -D"
    assert started("systemd", tmp_path, "", also=same.replace("-D", "-D -o ClientAliveInterval=15")) == ""


def test_a_variable_of_the_unit_itself_gives_no_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for shown in ("Environment=A=1 SSHD_OPTS=-4 B=2", 'Environment="MORE=-o ClientAliveInterval=15"'):
        monkeypatch.setattr(sys.modules[__name__], "SHOWN", f"{SHOWN}{shown}\n")
        assert started("systemd", tmp_path, "ssh.service") == ""
    monkeypatch.setattr(sys.modules[__name__], "SHOWN", SHOWN + "Environment=OTHER=-4\n")
    assert started("systemd", tmp_path, "ssh.service") == "/usr/sbin/sshd -D"


def test_a_wrappers_next_start_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "SHOWN", SHOWN.replace("/usr/sbin/sshd", "/opt/start"))
    assert started("systemd", tmp_path, "ssh.service") == ""
    monkeypatch.setattr(sys.modules[__name__], "SHOWN", "ExecStart=\n")
    assert started("systemd", tmp_path, "ssh.service") == ""


@pytest.mark.parametrize("name", ["sysv", "openrc"])
def test_an_init_scripts_next_start_has_the_words_of_its_settings(name: str, tmp_path: Path) -> None:
    assert started(name, tmp_path, "sshd", sysconfig__sshd="OPTIONS=-oClientAliveInterval=7\n") == (
        "sshd -oClientAliveInterval=7"
    )
    assert (
        started(name, tmp_path, "", sysconfig__sshd="OPTIONS=-oClientAliveInterval=7\n") == ""
    )  # of the listener only
    assert started(name, tmp_path, "sshd", **{"init.d__sshd": "sshd -o ClientAliveInterval=9"}) == ""


def test_all_texts_together_are_clean_shell() -> None:
    managers = {name: registry.load("services", name) for name in registry.list_names("services")}
    text = services.build_functions(managers, ServiceChoice())
    text += services.build_guard_functions(managers, "sshd-keepalive-r", "/bin/sh x fire", "/bin/sh x boot", 60)
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run(
        # Variables come from the scripts around them; what is written to a file is not to be expanded now.
        [shellcheck, "--shell=sh", "--exclude=SC2154,SC2034,SC2016,SC2317", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
