"""Count round trips: a proxy that delays every byte, and the slope of the time over the delay."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

DELAYS_S = (0.05, 0.15)  # one way
REPEATS = 3


def count(visit: Callable[[int], object], address: str, port: int) -> float:
    """Round trips of one visit, which gets the port to go to; the TCP handshake is not delayed and not counted."""
    fastest = []
    for delay_s in DELAYS_S:
        with delaying(address, port, delay_s) as through:
            fastest.append(min(_seconds(visit, through) for _ in range(REPEATS)))
    return (fastest[1] - fastest[0]) / (2 * (DELAYS_S[1] - DELAYS_S[0]))


def _seconds(visit: Callable[[int], object], port: int) -> float:
    began_s = time.perf_counter()
    visit(port)
    return time.perf_counter() - began_s


@contextmanager
def delaying(address: str, port: int, delay_s: float) -> Iterator[int]:
    """Start a proxy on loopback; give its port."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(address, port)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(_pass_on(reader, there_writer, delay_s), _pass_on(there_reader, writer, delay_s))

    async def start() -> asyncio.Server:
        return await asyncio.start_server(serve, address, 0)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        asyncio.run_coroutine_threadsafe(_ended(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)


async def _ended(server: asyncio.Server) -> None:
    server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Each piece is written so much later than it came; pieces do not wait for each other."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            loop.call_later(delay_s, writer.write, data)
    loop.call_later(delay_s, writer.close)
