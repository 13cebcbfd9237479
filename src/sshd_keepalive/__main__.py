"""`python -m sshd_keepalive`, and the console script: the standard streams, and what the program ends with."""

from __future__ import annotations

import atexit
import errno
import gc
import io
import os
import signal
import sys
import threading
from typing import Any, Final, NoReturn

#: Connections are cycles of some hundred objects each, and an inventory is a large tree of objects that stay: with
#: Python's own (700, 10, 10) the collector takes 6 % of a check's CPU, and half of the load of 100,000 hosts.
_GC: Final = (20_000, 20, 50)


def main() -> None:
    """Run the command line; the exit codes are those of `cli.ExitCode`."""
    _set_up_process()
    _open_what_is_closed()
    output = _Stream(1)
    sys.stdout, sys.stderr = _text(output, sys.stdout), _text(_Stream(2), sys.stderr)

    from sshd_keepalive.cli import ExitCode, run

    try:
        _on_interrupt(signal.default_int_handler)
        code = run()
        sys.stdout.flush()
        _on_interrupt(signal.SIG_IGN)  # the result is written, and the end takes no time
    except KeyboardInterrupt:  # a second Ctrl-C, or one at the edge of `run`
        _on_interrupt(signal.SIG_IGN)
        code = ExitCode.INTERRUPTED
    if output.error:  # the reader of the output has no result
        sys.stderr.write(f"error: cannot write to standard output: {os.strerror(output.error)}\n")
        code = max(code, ExitCode.UNKNOWN)
    # Hosts are not waited for after Ctrl-C or a time limit. After a KeyboardInterrupt out of `exec`, which dataclasses
    # use, Python ends itself with SIGINT, even if it was caught (Python/pythonrun.c, unhandled_keyboard_interrupt).
    if code == ExitCode.INTERRUPTED or threading.active_count() > 1:
        _leave(code)
    gc.freeze()  # the memory goes with the process: Python need not look for garbage at its end, 30 ms
    raise SystemExit(code)


def _leave(code: int) -> NoReturn:
    """End the process around threads that still run: Python would take away what they use, and may crash then."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _on_interrupt(handler: Any) -> None:
    """Set what Ctrl-C does, except in a job of a shell that ignores it."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)


def _leave_at_once(*_: object) -> NoReturn:
    """End the process on a Ctrl-C while modules are imported: an exception there would be a traceback."""
    try:
        os.write(2, b"\ninterrupted: nothing was changed\n")
    finally:
        os._exit(130)


def _set_up_process() -> None:
    """Set what holds for the whole process; only a process that is this program may do that."""
    _on_interrupt(_leave_at_once)
    gc.set_threshold(*_GC)
    # paramiko imports invoke, a third of its 200 ms, for `Match exec` alone, and does without (paramiko/config.py).
    sys.modules["invoke"] = None  # type: ignore[assignment]  # how Python says: not to be had


class _Stream(io.FileIO):
    """A standard stream that ends no change in the middle: it drops everything after the first failure.

    Attributes:
        error: the errno of that failure; 0: all was written, or the reader went away, as `head` does.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)
        self.error = 0
        self._is_dropping = False

    def write(self, data: Any, /) -> int:
        """Write, or drop."""
        if not self._is_dropping:
            try:
                return super().write(data)
            except OSError as failure:
                self._is_dropping = True
                self.error = 0 if failure.errno == errno.EPIPE else failure.errno or errno.EIO
        return memoryview(data).nbytes


def _text(stream: _Stream, like: Any) -> io.TextIOWrapper:
    """Wrap a stream for text in the encoding that Python has chosen; escape what that cannot express."""
    encoding = getattr(like, "encoding", "utf-8")  # None: the stream was closed
    return io.TextIOWrapper(io.BufferedWriter(stream), encoding, "backslashreplace", line_buffering=True)


def _open_what_is_closed() -> None:
    """Open standard streams that were closed, as `<&-` does: a connection would get the number, and what we print."""
    for name in ("stdin", "stdout", "stderr"):  # in the order of their numbers
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)
            if name == "stdin":
                sys.stdin = open(number, encoding="utf-8", closefd=False)  # noqa: SIM115 (until the end)


if __name__ == "__main__":
    main()
