"""asyncssh with a semaphore, the script everybody writes: bare_asyncssh.py TASK.json"""

import asyncio
import json
import sys
from pathlib import Path

import asyncssh

task = json.loads(Path(sys.argv[1]).read_text())


async def run(address: str, gate: asyncio.Semaphore) -> int:
    async with (
        gate,
        asyncssh.connect(
            address,
            task["port"],
            username=task["user"],
            client_keys=[key],
            known_hosts=known,
            agent_path=None,
            config=[],
        ) as connection,
    ):
        done = await connection.run("sh -s", input=task["script"], encoding="latin-1")
        return len(done.stdout)


async def main() -> int:
    gate = asyncio.Semaphore(task["at_once"])
    lengths = await asyncio.gather(*(run(address, gate) for address in task["addresses"]))
    return min(lengths) < 100


key = asyncssh.read_private_key(task["key"])
known = ([asyncssh.import_public_key(task["host_key"])], [], [])
sys.exit(asyncio.run(main()))
