"""A wrong command line, inventory or configuration: exit code 2, one clear message, no host contacted."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sshd_keepalive.cli import COMMANDS, command
from tests.support.cli import PROGRAM, keepalive
from tests.support.terminal import Terminal


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "hosts.yaml"
    path.write_text("groups: {etl: {hosts: {ecs-01: 192.0.2.11, ecs-02: 192.0.2.12}}}\n")
    return path


def test_version_and_help_say_what_there_is() -> None:
    assert keepalive("--version").stdout.startswith("sshd-keepalive, version ")
    shown = keepalive("--help").stdout
    for name in ("check", "plan", "apply", "hosts", "demo"):
        assert f"\n  {name} " in shown
    assert "Exit codes: 0 ok, 1 drift, 2 usage" in shown
    headings = ("\nInspect:\n", "\nChange:\n", "\nMonitor:\n", "\nTroubleshoot:\n", "\nSet up:\n")
    assert sorted(map(shown.index, headings)) == [*map(shown.index, headings)]


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_fits_the_terminal_and_cuts_nothing(name: str, columns: int) -> None:
    ran = CliRunner().invoke(command, [*name.split(), "--help"], env={"COLUMNS": str(columns)})
    assert ran.exit_code == 0
    _, _, below_usage = ran.stdout.partition("\n\n")
    assert "..." not in below_usage
    if columns >= 80 or not name:
        assert max(map(len, ran.stdout.splitlines())) <= columns


def test_help_is_also_a_command() -> None:
    assert keepalive("help", "plan").stdout == keepalive("plan", "--help").stdout
    assert keepalive("help").stdout == keepalive("--help").stdout


def test_options_of_a_command_stand_under_headings() -> None:
    shown = keepalive("apply", "--help").stdout
    headings = [line[:-1] for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Which hosts", "Policy", "Log in", "Rollout", "Output", "Advanced"]


def test_commands_have_the_options_that_mean_something_there() -> None:
    for name, present, absent in (
        ("hosts", ("--inventory", "--json"), ("--user", "--engine", "--forks", "--out")),
        ("why", ("--user", "--json"), ("--engine", "--forks", "--strategy")),
        ("probe", ("--forks",), ("--engine", "--strategy")),
        ("check", ("--engine", "--strategy", "--json"), ()),
    ):
        shown = keepalive(name, "--help").stdout
        assert [option for option in present if f"{option} " not in shown] == []
        assert [option for option in absent if f"{option} " in shown] == []


def test_json_is_short_for_its_format(inventory: Path) -> None:
    assert keepalive("hosts", "-i", inventory, "--json").stdout == (
        keepalive("hosts", "-i", inventory, "--format", "json").stdout
    )
    assert keepalive("hosts", "-i", inventory, SSHD_KEEPALIVE_FORMAT="jsonl").stdout.count("\n") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chekc"], "did you mean 'check'?"),
        (["diff"], "did you mean 'plan'?"),
        (["rollback"], "did you mean 'undo'?"),
        (["revert"], "did you mean 'undo'?"),
        (["status"], "did you mean 'check'?"),
        (["version"], "did you mean '--version'?"),
        (["help", "chekc"], "did you mean 'check'?"),
        (["check", "host", "--private-key", "/nowhere/key"], "--private-key /nowhere/key: the file does not exist"),
        (["check", "host", "--keep", "30d"], "--keep needs --record"),
        (["check", "host", "--store", "history.db"], "--store needs --record"),
        (["check", "host", "--notify-on", "always"], "--notify-on needs --notify"),
        (["check", "host", "--private-key", "/etc"], "--private-key /etc: is a directory, a file is expected"),
        (["check", "host", "--count", "many"], "'many' is not a valid number"),
        (["check", "host", "--timeout", "1m"], "'1m' is not a valid number"),
        (["check", "host", "--timeout", "nan"], "'nan' is not a valid number"),
        (["apply", "host", "--yes", "--soak", "inf"], "'inf' is not a valid number"),
        (["check", "host", "--interval", "9999999999"], "9999999999 is not between 0 s and 2147483647 s"),
        (["check", "host", "--as-if", "99"], "'99' is not a release of OpenSSH"),
        (["--config", "/etc", "check", "host"], "configuration /etc: is a directory, a file is expected"),
        (["check", "-i", ""], "inventory '': no file is named"),
        (["check", "host", "--concurrency", "5"], "--concurrency needs --deep"),
        (["check", "host", "--openssh", "9.6"], "--openssh needs --file"),
        (["check"], "no hosts were named"),
        (["check", "--inventroy", "x"], "no such option --inventroy, did you mean '--inventory'?"),
        (["check", "-i", "/nowhere/hosts.yaml"], "/nowhere/hosts.yaml"),
        (["check", "-i", "nosuchkind:x"], "nosuchkind"),
        (["check", "user@"], "user@"),
        (["check", "root:secret@host"], "a target cannot hold a password"),
        (["check", "host", "--format", "jason"], "--format: 'jason' is not known, did you mean 'json'?"),
        (["check", "host", "--out", "htlm:page"], "--out: 'htlm' is not known, did you mean 'html'?"),
        (["check", "host", "--engine", "dsk"], "--engine: 'dsk' is not known, did you mean 'dask'?"),
        (["check", "host", "--notify", "aprise:env:X"], "--notify: 'aprise' is not known, did you mean 'apprise'?"),
        (["apply", "host", "--serial"], "option '--serial' requires an argument"),
        (["check", "host", "--out", "json"], "KIND:FILE"),
        (["check", "host", "--out", "html:~nobody-here/page.html"], "the account does not exist"),
        (["check", "host", "--out", "json:/nowhere/x.json"], "the directory does not exist"),
        (["check", "host", "-f", "0"], "0"),
        (["plan", "host", "--out", "/nowhere/x.plan"], "--out /nowhere/x.plan: the directory does not exist"),
        (["plan", "-i", "-", "--out", "x.plan"], "apply could not read these hosts again"),
        (["apply", "host"], "look at the changes with --dry-run, then add --yes"),
        (["undo", "host"], "look at the changes with --dry-run, then add --yes"),
        (["-i", "hosts.yaml", "check"], "sshd-keepalive check -i"),
        (["--vesion"], "--version"),
        (["schedule", "install", "--every", "daily", "--nmae", "x"], "--nmae, did you mean '--name'?"),
        (["schedule", "install", "--every", "daily", "--notfy", "x"], "--notfy, did you mean '--notify'?"),
    ],
)
def test_mistakes_on_the_command_line(words: list[str], said: str) -> None:
    ran = keepalive(*words)
    assert ran.status == 2
    assert said in ran.stderr
    assert ran.stderr.startswith("error: ")
    assert ran.stdout == ""
    assert "secret" not in ran.stderr


@pytest.mark.parametrize(
    ("words", "step"),
    [
        (["chekc"], "sshd-keepalive --help"),
        (["check", "--inventroy", "x"], "sshd-keepalive check --help"),
        (["schedule", "list", "--nmae"], "sshd-keepalive schedule list --help"),
        (["schedule", "install", "--every", "daily", "--nmae", "x"], "sshd-keepalive schedule install --help"),
    ],
)
def test_a_mistake_that_click_finds_looks_like_every_other(words: list[str], step: str) -> None:
    said, step_line = keepalive(*words).stderr.splitlines()
    assert said.startswith("error: no such ")
    assert step_line == f"next: {step}"


@pytest.mark.parametrize(
    ("words", "said", "step"),
    [
        (["check", "-i", "/nowhere/hosts.yml"], "/nowhere/hosts.yml: the file does not exist", "-i FILE"),
        (["diagnose", "/nowhere/log"], "/nowhere/log cannot be read: No such file or directory", "standard input"),
    ],
)
def test_a_missing_file_is_named_with_what_to_name_instead(words: list[str], said: str, step: str) -> None:
    error_line, step_line = keepalive(*words).stderr.splitlines()
    assert error_line == f"error: {said}"
    assert step_line.startswith("next: name ")
    assert step in step_line


@pytest.mark.parametrize("columns", [40, 60])
def test_a_mistake_is_reported_without_breaking_words(columns: int) -> None:
    words = ("check", "host", "--private-key", f"/nowhere/{'long-' * 20}key")
    with Terminal(*words, program=PROGRAM, COLUMNS=str(columns)) as terminal:
        assert terminal.end() == 2
        shown = terminal.shown.splitlines()
    assert "\n".join(shown).split() == keepalive(*words).stderr.split()
    assert [line for line in shown if len(line) > columns and len(line.split()) > 1] == []


def test_unknown_pattern_and_wrong_key_in_the_inventory(inventory: Path) -> None:
    ran = keepalive("check", "-i", inventory, "--limit", "elt")
    assert (ran.status, "did you mean 'etl'?" in ran.stderr) == (2, True)
    inventory.write_text("hosts: {a: {adress: 192.0.2.1}}\n")
    ran = keepalive("apply", "--yes", "-i", inventory)
    assert ran.status == 2
    assert f"{inventory}:1:13: " in ran.stderr
    assert "did you mean 'address'?" in ran.stderr


def test_hosts_lists_without_connecting(inventory: Path) -> None:
    ran = keepalive("hosts", "-i", inventory)
    assert ran.status == 0
    assert "ecs-01  192.0.2.11:22  300/3  [etl]\n" in ran.stdout
    assert keepalive("hosts", "-i", inventory, "--limit", "ecs-02").stdout.count("192.0.2") == 1
    assert '"name": "ecs-01"' in keepalive("hosts", "-i", inventory, "--format", "json").stdout


def test_options_come_from_the_environment_and_the_configuration_file(inventory: Path, tmp_path: Path) -> None:
    assert keepalive("hosts", SSHD_KEEPALIVE_INVENTORY=str(inventory)).stdout.endswith("2 hosts\n")
    config = tmp_path / "own.yaml"
    config.write_text(f"inventory: {inventory}\nhosts: {{limit: ecs-02}}\n")
    ran = keepalive("hosts", SSHD_KEEPALIVE_CONFIG=str(config))
    assert ran.stdout.endswith("1 host\n"), ran
    config.write_text("inventry: x\n")
    ran = keepalive("hosts", SSHD_KEEPALIVE_CONFIG=str(config))
    assert (ran.status, "did you mean 'inventory'?" in ran.stderr) == (2, True)


def test_nothing_is_watched_where_nothing_was_changed() -> None:
    ran = keepalive("apply", "--yes", "--watch", "1d", "ops@127.0.0.1:1")
    assert (ran.status, ran.stderr) == (3, "")


def test_what_a_module_logs_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "hosts.ini").write_text("web ansible_become_password=plain\n")
    ran = keepalive("hosts", "-i", tmp_path / "hosts.ini")
    assert ran.status == 0
    assert ran.stderr.startswith("warning: ")


def test_a_schedule_that_does_not_exist_is_not_created_to_be_removed() -> None:
    ran = keepalive("schedule", "remove", "nightly")
    assert (ran.status, "schedule install" in ran.stderr) == (2, False)


def test_unreachable_and_unknown_addresses_are_distinguished_and_hide_no_host(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text("hosts: {closed: {address: 127.0.0.1, port: 1}, lost: {address: nowhere.invalid}}\n")
    key = tmp_path / "key"
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    key.write_bytes(pem)
    key.chmod(0o600)
    ran = keepalive("check", "-i", inventory, "--format", "json", "--private-key", key)
    assert ran.status == 3
    assert (ran.host("closed")["failure"]["kind"], ran.host("lost")["failure"]["kind"]) == ("tcp", "dns")
    assert all(host["failure"]["hint"] for host in ran.data["hosts"])
    assert ran.data["summary"]["unreachable"] == 2
    applied = keepalive("apply", "--yes", "-i", inventory, "--format", "jsonl", "--private-key", key)
    assert applied.status == 3
    assert applied.stdout.count('"state": "unreachable", "change": null') == 2


def test_a_reader_who_goes_away_ends_the_program_quietly(inventory: Path) -> None:
    import subprocess
    import sys

    pipe = f'"{sys.executable}" -m sshd_keepalive hosts -i {inventory} --format jsonl | true'
    completed = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True, check=False)
    assert completed.stderr == ""


def test_the_list_ends_with_the_differing_ends_of_the_names(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text(
        "hosts:\n  a: 192.0.2.1\n  b: 192.0.2.2\n  c: {address: 192.0.2.3, policy: {ClientAliveInterval: 120}}\n"
    )
    assert keepalive("hosts", "-i", inventory).stdout.endswith("\n3 hosts: 2 to get 300/3, 1 to get 120/3\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--interval", "5", "--keep-alive-every", "5"), "--keep-alive-every cannot be combined with --interval"),
        (("--keep-alive-every", "1"), "--keep-alive-every: 1 s is too short"),
        (("--drop-dead-after", "5m"), "--drop-dead-after: 300 s is less than twice keep_alive_every"),
        (("--interval", "1.5"), "not a whole number of seconds"),
        (("--count", "0"), "harmful"),
    ],
)
@pytest.mark.parametrize("command", ["check", "plan", "apply", "confirm"])
def test_a_policy_of_the_command_line_is_checked_as_one_of_the_inventory(
    inventory: Path, command: str, words: tuple[str, ...], said: str
) -> None:
    yes = ("--yes",) if command == "apply" else ()
    ran = keepalive(command, "-i", inventory, *words, *yes)
    assert ran.status == 2
    assert said in ran.stderr
