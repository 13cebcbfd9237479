"""paramiko.SSHClient in a thread pool, the script everybody writes: bare_paramiko.py TASK.json"""

import base64
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko


class Pinned(paramiko.MissingHostKeyPolicy):
    """One key for all: paramiko's own known_hosts takes seconds to load a few thousand names."""

    def __init__(self, host_key: str) -> None:
        self.blob = base64.b64decode(host_key.split()[1])

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        if key.asbytes() != self.blob:
            raise paramiko.SSHException("another host key")


def run(address: str, task: dict) -> int:
    """Log in, run the script; gives the length of what it printed."""
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(Pinned(task["host_key"]))
    try:
        client.connect(
            address, task["port"], task["user"], key_filename=task["key"], allow_agent=False, look_for_keys=False
        )
        stdin, stdout, _ = client.exec_command("sh -s")
        stdin.write(task["script"])
        stdin.channel.shutdown_write()
        return len(stdout.read())
    finally:
        client.close()


def again(address: str, task: dict) -> int:
    """Run a task; once more after an "Invalid packet blocking" of paramiko, as one of some ten thousand logins ends."""
    try:
        return run(address, task)
    except paramiko.SSHException:
        return run(address, task)


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    with ThreadPoolExecutor(given["at_once"]) as pool:
        lengths = list(pool.map(lambda address: again(address, given), given["addresses"]))
    sys.exit(min(lengths) < 100)
