"""Schedules that fire by themselves: systemd's timer and a real cron, on hosts that check themselves over ssh."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import files, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.support.sshd import wait_until

from .hosts import LabHost

Boot = Callable[..., list[LabHost]]
ROOT = Path(__file__).parents[2]
PROGRAM = "python3 -m sshd_keepalive"
INVENTORY = (
    "hosts: {itself: {address: 127.0.0.1, user: root, become: none, identity_file: /root/.ssh/own, "
    "known_hosts: /root/.ssh/known}}"
)
PAM = "[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n"
FOREIGN = "# somebody else's\n*/7 3 * * * true 50\\% # and not ours\n\n@reboot true"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program and what it needs, copied from here: the lab has no way out to fetch anything."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the hosts' Python is 3.11, what is installed here is for another one")
    target = tmp_path_factory.mktemp("site")
    extras = {"SQLAlchemy", "alembic", "Jinja2", "junitparser", "prometheus-client"}
    for name in needed(extras | {"sshd-keepalive"}) - {"sshd-keepalive"}:
        for file in files(name) or ():
            if ".." not in file.parts and (source := Path(str(file.locate()))).is_file():
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target / file)
    shutil.copytree(ROOT / "src/sshd_keepalive", target / "sshd_keepalive")
    (target / "sshd_keepalive-0.dist-info").mkdir()
    (target / "sshd_keepalive-0.dist-info/METADATA").write_text("Name: sshd-keepalive\nVersion: 0\n")
    return target


def needed(names: set[str]) -> set[str]:
    """These distributions and all that they need, without extras."""
    more = {
        requirement.name
        for name in names
        for text in requires(name) or ()
        if not (requirement := Requirement(text)).marker or requirement.marker.evaluate({"extra": ""})
    }
    return names if more <= names else needed(names | more)


@pytest.fixture
def controller(boot: Boot, installed: Path) -> Callable[[str], LabHost]:
    def made(kind: str) -> LabHost:
        (host,) = boot(kind)
        site = host.files / "usr/local/lib/python3.11/dist-packages"
        subprocess.run(["cp", "-aT", str(installed), str(site)], check=True)
        site.chmod(0o755)  # pytest's folders are for its account alone
        host.run(
            "umask 077; mkdir -p /root/.ssh; ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/own; "
            "cat /root/.ssh/own.pub >>/root/.ssh/authorized_keys; "
            'printf "127.0.0.1 %s\\n" "$(cat /etc/ssh/ssh_host_ed25519_key.pub)" >/root/.ssh/known; '
            f"printf '%s\\n' '{INVENTORY}' >/root/hosts.yaml"
        )
        return host

    return made


def keepalive(host: LabHost, words: str, *, code: int = 0) -> str:
    done = host.run(f"cd /root; {PROGRAM} {words}", check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def recorded(host: LabHost) -> list[dict[str, Any]]:
    """The runs in root's history."""
    done = host.run(f"cd /root; {PROGRAM} history --format json", check=False)
    runs: list[dict[str, Any]] = json.loads(done.stdout)["runs"] if done.stdout else []
    return runs


def test_systemd_runs_it_by_itself_and_the_result_is_recorded(controller: Callable[[str], LabHost]) -> None:
    host = controller("d12py")
    said = keepalive(host, "schedule install --every '*:*:0/10' -i hosts.yaml")
    assert re.match(r"installed +check: check of 1 host, every \*:\*:0/10, by systemd", said)
    wait_until(lambda: bool(recorded(host)), 60, "the timer to fire and its check to be in the history")
    assert recorded(host)[0]["summary"]["drift"] == 1
    assert "sshd-keepalive-check.timer" in keepalive(host, "schedule list")
    unit = "sshd-keepalive-check.service"
    assert host.run(f"systemctl is-failed {unit}", check=False).stdout.strip() != "failed", "drift is a result"

    assert host.run(f"systemd-analyze verify {unit} sshd-keepalive-check.timer 2>&1").stdout == ""
    exposure = host.run(f"systemd-analyze security --no-pager {unit} | tail -n 1").stdout
    assert float(re.search(r"([\d.]+)", exposure.split(":")[1])[1]) <= 2.0, exposure

    assert keepalive(host, "schedule install --every '*:*:0/10' -i hosts.yaml").startswith("unchanged")
    daily = "schedule install --every day -i hosts.yaml"
    wait_until(lambda: ", next " in keepalive(host, daily), 60, "a time, which is not known while a check runs")
    assert " 06:0" in keepalive(host, daily)
    keepalive(host, "schedule remove")
    assert host.run("ls /etc/systemd/system | grep sshd-keepalive", check=False).stdout == ""
    assert "sshd-keepalive" not in host.run("systemctl list-timers --all --no-pager").stdout
    assert "no schedules" in keepalive(host, "schedule list")


def paste(host: LabHost, hint: str) -> str:
    """Run a suggested command; gives all that it shows, which must be no complaint about the command."""
    done = host.run(f"cd /root; {re.sub('^sshd-keepalive', PROGRAM, hint)} 2>&1", check=False)
    assert done.returncode in (0, 1), (hint, done.stdout)
    assert not re.search("^error:", done.stdout, re.MULTILINE), (hint, done.stdout)
    return done.stdout


def find_hint(shown: str) -> str:
    """Give the last command that is suggested: what cron prints begins with the report of the check and its own."""
    return str(re.findall(r"next: (.+)$", shown, re.MULTILINE)[-1])


@pytest.mark.parametrize("kind", ["d12py", "sysvpy"])
def test_what_a_schedule_suggests_works_when_it_is_pasted(controller: Callable[[str], LabHost], kind: str) -> None:
    """From one suggestion to the next, to the result of the check."""
    host = controller(kind)
    installed = paste(host, find_hint(paste(host, "sshd-keepalive schedule list")))
    assert "check of 1 host, every day" in installed
    ran = paste(host, find_hint(installed))
    assert "check: drift\n" in ran
    wait_until(lambda: "drift       itself" in paste(host, find_hint(ran)), 60, "the result, also in the journal")
    if kind == "sysvpy":
        host.run("crontab -r")
        unscheduled = paste(host, "sshd-keepalive schedule list")
        assert "NOT SCHEDULED" in unscheduled
        assert "removed" in paste(host, find_hint(unscheduled))


def test_a_schedule_counts_and_records_lost_sessions(controller: Callable[[str], LabHost]) -> None:
    host = controller("d12py")
    for minutes, message in (
        (9, "Accepted publickey for etl from 192.0.2.9 port 50200 ssh2"),
        (4, "Timeout, client not responding from user etl 192.0.2.9 port 50200"),
    ):
        host.run(
            f"date -u -d '-{minutes + 600} min' '+%Y-%m-%dT%H:%M:%S+00:00 h sshd[7]: {message}' >>/var/log/auth.log"
        )
    keepalive(host, "schedule install --every '*:*:0/10' -i hosts.yaml --losses")
    wait_until(lambda: bool(recorded(host)), 60, "the timer to fire and its check to be in the history")
    host.wait_until("journalctl -u sshd-keepalive-check -o cat | grep -q 'lost sessions: 1 of '", "the report")


def test_what_cannot_be_scheduled_leaves_nothing(controller: Callable[[str], LabHost]) -> None:
    host = controller("d12py")
    host.run("sed 's/become: none/password: prompt/' /root/hosts.yaml >/root/asks.yaml; cp /root/hosts.yaml /tmp")
    for words in (
        "--every 'whenever' -i hosts.yaml",
        "--every '61 * * * *' -i hosts.yaml",
        "--every day -i missing.yaml",
        "--every day --name 'a/b' -i hosts.yaml",
        "--every day -K -i hosts.yaml",
        "--every day --no-such-option -i hosts.yaml",
        "--every '*-02-30' -i hosts.yaml",
        "--every '2020-01-01 06:00' -i hosts.yaml",
        "--every day -i asks.yaml",
        "--every day -i /tmp/hosts.yaml",
        "--every day -i hosts.yaml --store postgresql://u:geheim@127.0.0.1/h",
    ):
        done = host.run(f"cd /root; {PROGRAM} schedule install {words}", check=False)
        assert done.returncode == 2, words
        assert "geheim" not in done.stdout + done.stderr
    assert (
        host.run("ls /etc/systemd/system | grep sshd-keepalive; ls /etc/sshd-keepalive/schedules", check=False).stdout
        == ""
    )
    keepalive(host, "schedule run check", code=2)
    keepalive(host, "schedule remove check", code=2)


def test_cron_runs_it_where_there_is_no_systemd(controller: Callable[[str], LabHost]) -> None:
    host = controller("sysvpy")
    host.run("crontab -", stdin=FOREIGN + "\n")
    said = keepalive(host, "schedule install --every '* * * * *' -i hosts.yaml")
    assert "by cron, next * * * * *" in said
    crontab = host.run("crontab -l").stdout
    assert crontab.startswith(FOREIGN + "\n")
    assert keepalive(host, "schedule install --every '* * * * *' -i hosts.yaml").startswith("unchanged")
    assert host.run("crontab -l").stdout == crontab
    wait_until(lambda: bool(recorded(host)), 150, "cron to start it")
    assert recorded(host)[0]["summary"]["drift"] == 1
    for every in ("Mon..Fri 06:00", "61 * * * *", "@never"):
        keepalive(host, f"schedule install --every '{every}' -i hosts.yaml", code=2)
        assert host.run("crontab -l").stdout == crontab, "what cron does not take changes nothing"
    assert "* * * * * /bin/sh" in keepalive(host, "schedule list")

    def has_run() -> bool:
        """Whether cron, at the full minute, has not just begun a run of its own."""
        done = host.run(f"cd /root; {PROGRAM} schedule run", check=False)
        assert done.returncode in (1, 75), done.stdout + done.stderr
        return done.returncode == 1 and done.stdout.endswith("check: drift\n")

    wait_until(has_run, 60, "a run by hand")
    keepalive(host, "schedule remove")
    assert host.run("crontab -l").stdout == FOREIGN + "\n"


def test_a_run_by_hand_has_the_surroundings_of_the_timer(controller: Callable[[str], LabHost]) -> None:
    """Locked up as it is, root reads what is in others' homes, writes reports for others, and imports nothing odd."""
    host = controller("d12py")
    host.run(
        "install -d -m 700 -o ops /home/ops/fleet; install -m 600 -o ops /root/hosts.yaml /home/ops/fleet; "
        "install -d -o ops /srv/www '/srv/$HOME'; echo 'raise SystemExit(99)' >/home/ops/fleet/yaml.py"
    )
    words = "schedule install --every week -i hosts.yaml --out html:/srv/www/fleet.html --out json:/srv/www/fleet.json"
    words += " --out 'csv:/srv/$HOME/fleet.csv'"
    done = host.run(f"cd /home/ops/fleet; python3 -P -m sshd_keepalive {words}", check=False)
    assert done.returncode == 0, done.stderr
    assert keepalive(host, "schedule run", code=1) == "check: drift\n"
    assert json.loads(host.run("cat /srv/www/fleet.json").stdout)["summary"]["drift"] == 1
    assert host.run("stat -c %a /srv/www/fleet.html '/srv/$HOME/fleet.csv'").stdout == "644\n644\n"
    host.wait_until("journalctl -u sshd-keepalive-check -o cat | grep -q '^drift'", "the journal to have the report")
    host.run("mv /srv/www /srv/gone")
    assert keepalive(host, "schedule run", code=2) == "check: usage\n", "a place that is gone is told"


def test_an_account_has_timers_of_its_own(controller: Callable[[str], LabHost]) -> None:
    host = controller("d12py")
    host.run(
        "install -m 600 -o ops /root/.ssh/own /home/ops/own; cat /root/.ssh/own.pub >>/home/ops/.ssh/authorized_keys; "
        "sed 's,user: root, user: ops,; s/become: none/become: sudo/; s,/root/.ssh/own,/home/ops/own,; "
        "s,/root/.ssh/known,/home/ops/known,' /root/hosts.yaml >/home/ops/hosts.yaml; "
        "cp /root/.ssh/known /home/ops; chmod 644 /home/ops/*.yaml /home/ops/known"
    )
    # The host has no libpam-systemd, which would say where the account's manager is found.
    host.run("mkdir -p /etc/systemd/system/user@.service.d; cat >/etc/systemd/system/user@.service.d/x.conf", stdin=PAM)
    host.run("systemctl daemon-reload; loginctl enable-linger ops")

    def as_ops(words: str, *, code: int = 0) -> str:
        script = f"cd; XDG_RUNTIME_DIR=/run/user/$(id -u) {PROGRAM} {words}"
        done = host.run(f"runuser -l ops -c {shlex.quote(script)}", check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    socket = "test -S /run/user/$(id -u ops)/systemd/private"
    wait_until(lambda: host.run(socket, check=False).returncode == 0, 60, "the account's manager")
    said = as_ops("schedule install --every '*:*:0/10' -i hosts.yaml")
    assert "by systemd" in said

    def has_run() -> bool:
        text = as_ops("history --format json || true")
        return bool(text and json.loads(text)["runs"])

    wait_until(has_run, 60, "the timer to fire")
    assert host.run("systemctl list-unit-files | grep sshd-keepalive", check=False).stdout == ""
    as_ops("schedule remove")
    assert host.run("ls /home/ops/.config/systemd/user | grep keepalive", check=False).stdout == ""
