"""The records in which scripts answer: `KIND LENGTH`, a line end, LENGTH bytes, a line end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sshd_keepalive.errors import HostError, MomentaryError
from sshd_keepalive.model import Completed, FailureKind
from sshd_keepalive.sshd_config.limits import MAX_ANSWER_BYTES, MAX_RECORDS, make_too_large

Record = tuple[str, bytes]

#: More digits than the length of any answer has; a longer number Python itself would refuse to read.
_MOST_DIGITS: Final = 12
_MOST_HEAD: Final = 64  # bytes of a record's first line


def read_records(stdout: bytes) -> Iterator[Record]:
    """Yield each record in order; nothing in a value can be taken for a record.

    Raises:
        MomentaryError: the output does not add up: it was cut off, or a file changed while it was read.
        HostError: kind `observe`, cause `too_large`, more than MAX_RECORDS.
    """
    position = n_records = 0
    while position < len(stdout):
        n_records += 1
        if n_records > MAX_RECORDS:
            raise make_too_large(f"an answer has more than {MAX_RECORDS} records")
        end = stdout.find(b"\n", position, position + _MOST_HEAD)
        kind, _, length = stdout[position : end if end >= 0 else position].partition(b" ")
        if end < 0 or not kind.isalpha() or not length.isdigit() or len(length) > _MOST_DIGITS:
            raise _make_error(position)
        start, position = end + 1, end + 1 + int(length) + 1
        if position > len(stdout) or stdout[position - 1 : position] != b"\n":
            raise _make_error(start)
        yield kind.decode("ascii"), stdout[start : position - 1]


def _make_error(position: int) -> MomentaryError:
    return MomentaryError(
        f"cannot parse the output of the host at byte {position}: it was cut off, or a file changed while it was read"
    )


def read_output(completed: Completed) -> bytes:
    """Give the output of a script that only reads.

    Raises:
        HostError: it did not finish: kind `timeout`, `tcp`, or `observe` with cause `too_large`.
    """
    if completed.ended:
        return completed.stdout
    if len(completed.stdout) >= MAX_ANSWER_BYTES:
        raise make_too_large(f"an answer has more than {MAX_ANSWER_BYTES >> 20} MiB")
    if completed.is_late:
        message = "the answer was not complete before the time limit"
        hint = "raise --timeout, or look at the load of the host"
        raise HostError(message, kind=FailureKind.TIMEOUT, cause="deadline(read)", hint=hint)
    message = "the connection broke before the answer was complete"
    raise HostError(message, kind=FailureKind.TCP, cause="lost(read)", hint="run the command again")


@contextmanager
def legible(what: str) -> Iterator[None]:
    """Report output that cannot be parsed as an error of the host; a context manager or decorator.

    Raises:
        HostError: kind `observe`, for a number or a date that is not valid.
    """
    try:
        yield
    except (ValueError, IndexError, OverflowError, OSError, ZeroDivisionError):
        raise HostError(
            f"cannot parse what the host reported about {what}",
            kind=FailureKind.OBSERVE,
            cause="output-cut",
            hint="run check again",
        ) from None


def parse_clock(text: str) -> tuple[float, bool]:
    """Parse the output of `date +%s.%N`: the time, and whether it has a fraction; busybox date does not support %N."""
    has_fraction = text.replace(".", "").isdigit()
    return (float(text) if has_fraction else float(text.partition(".")[0] or 0)), has_fraction
