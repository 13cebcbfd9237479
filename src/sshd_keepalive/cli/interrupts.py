"""What Ctrl-C and SIGTERM do to a run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from sshd_keepalive.cli import ExitCode
from sshd_keepalive.cli.prompts import PROMPTS
from sshd_keepalive.fleet.stop import Stop
from sshd_keepalive.spelling import join_first


@contextmanager
def finish_changes(stop: Stop) -> Iterator[None]:
    """On Ctrl-C and SIGTERM finish the hosts that are being changed, and no others.

    The second signal exits at once; the guards of the hosts revert what is not confirmed.
    """

    def on_signal(number: int, frame: FrameType | None) -> None:
        del number, frame
        if stop.is_interrupted:
            os._exit(ExitCode.INTERRUPTED)
        names = stop.interrupt()
        PROMPTS.stop()
        if names:
            _write(f"interrupted: finishing {join_first(names, 5)}; press Ctrl-C again to leave at once\n")
        else:
            _write("interrupted: no host is being changed now\n")

    with _handle(on_signal, signal.SIGINT, signal.SIGTERM):
        yield


@contextmanager
def finish_reading(stop: Stop, *, leaves: bool) -> Iterator[None]:
    """On SIGTERM begin no further host. On Ctrl-C leave at once, or do the same.

    Args:
        leaves: Ctrl-C raises KeyboardInterrupt.
    """

    def on_signal(number: int, frame: FrameType | None) -> None:
        del number, frame
        if stop.is_set():
            os._exit(ExitCode.INTERRUPTED)
        stop.set()
        PROMPTS.stop()
        _write("interrupted: finishing the hosts in progress; press Ctrl-C again to leave at once\n")

    with _handle(on_signal, signal.SIGTERM, *(() if leaves else (signal.SIGINT,))):
        yield


def _write(text: str) -> None:
    """Write to standard error past its buffer, in which the main thread may be writing just now."""
    with suppress(OSError):
        os.write(2, text.encode())


@contextmanager
def _handle(handler: Callable[[int, FrameType | None], None], *numbers: signal.Signals) -> Iterator[None]:
    handlers = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in handlers.items():
            signal.signal(number, former)
