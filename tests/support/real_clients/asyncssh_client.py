"""usage: asyncssh_client.py ADDRESS PORT USER KEY answers|silent. A quiet session; says `here`, then its own error.

Silent: the program blocks its event loop until a line comes on standard input.
"""

import asyncio
import sys

import asyncssh

address, port, user, key, mode = sys.argv[1:]


async def main() -> None:
    connection = await asyncssh.connect(
        address, int(port), username=user, client_keys=[key], known_hosts=None, config=None, agent_path=None
    )
    process = await connection.create_process("echo here; exec sleep 3001")
    print(await process.stdout.readline(), end="", flush=True)
    if mode == "silent":
        sys.stdin.readline()
    await process.wait()
    await connection.run("true")


asyncio.run(main())
