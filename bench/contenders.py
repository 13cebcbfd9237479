"""Who is compared, and the exact command of each."""

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.hosts import Lab, LabHost

HERE = Path(__file__).parent
BENCH_BIN = HERE.parent / ".venv-bench/bin"
OUR_BIN = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Contender:
    """One program; `stdin` holds the addresses for those that read them there."""

    name: str
    apply: list[str]
    check: list[str]
    stdin: str = ""
    env: dict[str, str] = field(default_factory=dict)


def contenders(lab: Lab, hosts: list[LabHost], folder: Path) -> list[Contender]:
    """Write everybody's inventory of the same hosts into `folder` and give their commands, ours first."""
    ours = folder / "hosts.yaml"
    ours.write_text(lab.inventory(user="root"))
    n_forks, key, known = str(len(hosts)), str(lab.identity_file), str(lab.known_hosts)
    addresses = "".join(f"{host.address}\n" for host in hosts)
    loop = ["sh", str(HERE / "ssh_loop.sh")]
    pool = [str(OUR_BIN / "python"), str(HERE / "paramiko_pool.py")]
    with_script = {name: [str(HERE / f"{name}.sh"), n_forks, key, known] for name in ("apply", "check")}
    tool = str(OUR_BIN / "sshd-keepalive")
    return [
        Contender(
            "sshd-keepalive",
            [tool, "apply", "-i", str(ours), "-f", n_forks, "--yes"],
            [tool, "check", "-i", str(ours), "-f", n_forks],
        ),
        Contender("ssh loop", loop + with_script["apply"], loop + with_script["check"], stdin=addresses),
        Contender("paramiko pool", pool + with_script["apply"], pool + with_script["check"], stdin=addresses),
        _pyinfra(hosts, key, known, folder),
        _ansible(hosts, key, known, folder),
    ]


def _pyinfra(hosts: list[LabHost], key: str, known: str, folder: Path) -> Contender:
    data = {
        "ssh_user": "root",
        "ssh_key": key,
        "ssh_known_hosts_file": known,
        "ssh_strict_host_key_checking": "yes",
        "ssh_look_for_keys": False,
        "ssh_allow_agent": False,
    }
    inventory = folder / "pyinfra_inventory.py"
    inventory.write_text(f"hosts = {[(host.address, data) for host in hosts]!r}\n")
    argv = [str(BENCH_BIN / "pyinfra"), "-y", "--parallel", str(len(hosts)), str(inventory)]
    return Contender(
        "pyinfra",
        [*argv, str(HERE / "pyinfra_apply.py")],
        [*argv, str(HERE / "pyinfra_check.py")],
        env={"HOME": str(folder)},
    )


def _ansible(hosts: list[LabHost], key: str, known: str, folder: Path) -> Contender:
    common = f"-F none -o ControlMaster=auto -o ControlPersist=60s -o IdentitiesOnly=yes -o UserKnownHostsFile={known}"
    variables = {"ansible_user": "root", "ansible_ssh_private_key_file": key, "ansible_ssh_args": common}
    inventory = folder / "ansible.yaml"
    inventory.write_text(json.dumps({"all": {"vars": variables, "hosts": {host.address: {} for host in hosts}}}))
    argv = [str(BENCH_BIN / "ansible-playbook"), "-i", str(inventory), "-f", str(len(hosts))]
    env = {"ANSIBLE_CONFIG": str(HERE / "ansible.cfg"), "HOME": str(folder)}
    # ansible-playbook finds its helpers on PATH.
    env["PATH"] = f"{BENCH_BIN}{os.pathsep}{os.environ['PATH']}"
    return Contender(
        "Ansible", [*argv, str(HERE / "ansible_apply.yaml")], [*argv, str(HERE / "ansible_check.yaml")], env=env
    )
