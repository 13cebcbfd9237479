"""How much one host may ask of this program: sizes that are checked before parsing, and a budget of work.

Judging runs in one interpreter for all hosts, and no time limit can interrupt it. So its cost is counted beforehand
in steps, by the bytes, lines and blocks that were read: the answer depends on the host's files alone, never on a
clock, on the machine or on other hosts. Sizes are far above what real hosts have; sshd takes 256 KiB of configuration
before OpenSSH 10.1 and 4 MiB since (`Version.max_config_bytes`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sshd_keepalive.errors import HostError
from sshd_keepalive.model import FailureKind

MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024  # of one script; `ssh.framing` reads no more
MAX_RECORDS: Final = 50_000  # of one answer
MAX_FILES: Final = 2_000
MAX_CONFIG_BYTES: Final = 4 * 1024 * 1024  # of all files together
MAX_LINES: Final = 50_000  # of all files together
MAX_WORDS: Final = 300_000  # of all files together, comments included
MAX_LINE_BYTES: Final = 64 * 1024
MAX_GLOBS: Final = 1_000  # Include patterns
MAX_GLOB_BYTES: Final = 1_024  # of one pattern; each becomes a regular expression
MAX_NAME_BYTES: Final = 255  # of a user or host name that is made up to reach a Match block

_WORD_ENDS: Final = (b" ", b"\t", b"=", b'"')

#: A step is a quarter of a microsecond of Python, more or less: a budget is one second of one processor.
STEPS: Final = 4_000_000


class Work:
    """The steps that are left for one host. Not shared between threads."""

    __slots__ = ("left",)

    def __init__(self, steps: int = STEPS) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        """Take steps off the budget, before they are done.

        Raises:
            HostError: kind `observe`, cause `too_large`: the budget is spent.
        """
        self.left -= steps
        if self.left < 0:
            raise make_too_large("its Match blocks, Include lines and patterns need too much work to evaluate")


def make_too_large(what: str) -> HostError:
    """Make the error for a configuration that exceeds a limit.

    Args:
        what: which limit is exceeded, as the subject and verb of a sentence.
    """
    return HostError(
        f"the configuration is too large to judge: {what}",
        kind=FailureKind.OBSERVE,
        cause="too_large",
        hint="read the values on the host: sudo sshd -T",
    )


def check_files(contents: list[bytes]) -> None:
    """Refuse files that are too many, too large, or have too many words or lines, or too long ones.

    Raises:
        HostError: kind `observe`, cause `too_large`.
    """
    if len(contents) > MAX_FILES:
        raise make_too_large(f"it has {len(contents)} files; the limit is {MAX_FILES}")
    check_size(contents)
    n_lines = sum(content.count(b"\n") for content in contents)
    if n_lines > MAX_LINES:
        raise make_too_large(f"its files have {n_lines} lines; the limit is {MAX_LINES}")
    n_words = sum(content.count(end) for content in contents for end in _WORD_ENDS)
    if n_words > MAX_WORDS:
        raise make_too_large(f"its files have {n_words} words; the limit is {MAX_WORDS}")
    if any(_has_long_line(content) for content in contents):
        raise make_too_large(f"a line has more than {MAX_LINE_BYTES} bytes")


def check_size(contents: Iterable[bytes]) -> None:
    """Refuse files that are together larger than what any sshd reads.

    Raises:
        HostError: kind `observe`, cause `too_large`.
    """
    if sum(map(len, contents)) > MAX_CONFIG_BYTES:
        raise make_too_large(f"its files have more than {MAX_CONFIG_BYTES >> 20} MiB; no sshd reads more")


def _has_long_line(content: bytes) -> bool:
    start = 0
    while len(content) - start > MAX_LINE_BYTES:
        end = content.rfind(b"\n", start, start + MAX_LINE_BYTES + 1)
        if end < 0:
            return True
        start = end + 1
    return False
