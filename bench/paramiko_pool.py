"""paramiko and a thread pool: paramiko_pool.py SCRIPT FORKS KEY KNOWN_HOSTS <addresses. The script everybody writes."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko


def run(address: str) -> str:
    client = paramiko.SSHClient()
    client.load_host_keys(known_hosts)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.connect(address, username="root", key_filename=key, allow_agent=False, look_for_keys=False, timeout=30)
    try:
        stdin, stdout, _ = client.exec_command("sh -s")
        stdin.write(script)
        stdin.channel.shutdown_write()
        return stdout.read().decode().strip()
    finally:
        client.close()


script_file, forks, key, known_hosts = sys.argv[1:]
script = Path(script_file).read_text()
addresses = sys.stdin.read().split()
with ThreadPoolExecutor(int(forks)) as pool:
    answers = list(pool.map(run, addresses))
for address, answer in zip(addresses, answers, strict=True):
    print(address, answer)
sys.exit(any(answer != "ok" for answer in answers))
